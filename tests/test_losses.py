"""The losses against plain loops, their invariances, and their gradients where distances vanish."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from posemamba.losses import (
    JOINT_WEIGHTS,
    LOSS_WEIGHTS,
    LossWeights,
    fit_scale,
    mpjpe,
    mpjve,
    n_mpjpe,
    pose_loss,
    reprojection,
    temporal_consistency,
)

TWO = [mpjpe, n_mpjpe, reprojection, mpjve]


def poses(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, 17, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distance(a, b) -> float:
    return math.sqrt(sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True)))


def test_against_loops_over_every_joint():
    prediction, target = poses(2, 4, seed=1), poses(2, 4, seed=2)
    position, scaled, flat, velocity, smooth = [], [], [], [], []
    for p, t in zip(prediction.numpy(), target.numpy(), strict=True):
        for frame in range(4):
            s = np.sum(p[frame] * t[frame]) / np.sum(p[frame] ** 2)
            for joint in range(17):
                position.append(distance(p[frame, joint], t[frame, joint]))
                scaled.append(distance(s * p[frame, joint], t[frame, joint]))
                flat.append(distance(p[frame, joint, :2], t[frame, joint, :2]))
                if frame:
                    step = p[frame, joint] - p[frame - 1, joint]
                    velocity.append(distance(step, t[frame, joint] - t[frame - 1, joint]))
                    smooth.extend(JOINT_WEIGHTS[joint] * step**2)
    expected = [np.mean(values) for values in (position, scaled, flat, velocity, smooth)]
    total, terms = pose_loss(prediction, target)
    np.testing.assert_allclose([float(term) for term in terms.values()], expected, rtol=1e-12)
    assert list(terms) == ["mpjpe", "n_mpjpe", "reprojection", "mpjve", "temporal_consistency"]
    np.testing.assert_allclose(float(total), np.dot([1, 0.5, 0, 20, 0.5], expected), rtol=1e-12)
    total, again = pose_loss(prediction, target, "paper")
    assert again == terms  # all are computed, whatever they weigh
    np.testing.assert_allclose(float(total), np.dot([1, 0, 0.5, 20, 0.5], expected), rtol=1e-12)


def test_numbers_that_can_be_checked_by_hand():
    target = torch.zeros(3, 17, 3)
    prediction = target.clone()
    prediction[:, 5] = torch.tensor([3.0, 4.0, 0.0])  # one of 17 joints is 5 away, always
    assert float(mpjpe(prediction, target)) == pytest.approx(5 / 17)
    assert float(mpjve(prediction, target)) == 0
    prediction[2, 5] = 0  # and jumps back by 5 in one step of two
    assert float(mpjve(prediction, target)) == pytest.approx(5 / 17 / 2)
    # Joint 5 weighs 2.5: (9 + 16 + 0) in one of 2 x 17 x 3 places.
    assert float(temporal_consistency(prediction)) == pytest.approx(2.5 * 25 / (2 * 17 * 3))


def test_the_reprojection_knows_nothing_of_depth():
    prediction, target = poses(3, seed=3).requires_grad_(), poses(3, seed=4)
    deeper = prediction + 7 * poses(3, seed=5) * torch.tensor([0.0, 0.0, 1.0])
    assert torch.equal(reprojection(deeper, target), reprojection(prediction, target))
    aside = target + torch.tensor([0.3, -0.4, 9.0])
    torch.testing.assert_close(reprojection(aside, target), torch.tensor(0.5, dtype=torch.float64))
    reprojection(prediction, target).backward()
    assert not prediction.grad[..., 2].any() and prediction.grad[..., :2].all()
    # With exact depth it is all of MPJPE; otherwise it is less.
    exact = torch.cat([prediction[..., :2], target[..., 2:]], dim=-1)
    torch.testing.assert_close(reprojection(exact, target), mpjpe(exact, target))
    assert reprojection(prediction, target) < mpjpe(prediction, target)


def test_the_scale_is_the_best_one():
    prediction, target = poses(seed=3), poses(seed=4)
    best = minimize_scalar(lambda s: float((s * prediction - target).square().sum())).x
    assert float(fit_scale(prediction, target)) == pytest.approx(best, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1e4), st.integers(0, 1000))
def test_scale_properties(scale, seed):
    prediction, target = poses(2, 3, seed=seed), poses(2, 3, seed=seed + 1)
    for loss in TWO:
        torch.testing.assert_close(loss(scale * prediction, scale * target), scale * loss(prediction, target))
    torch.testing.assert_close(n_mpjpe(scale * prediction, target), n_mpjpe(prediction, target))
    torch.testing.assert_close(n_mpjpe(scale * target, target), torch.zeros((), dtype=torch.float64))
    # The same poses in another unit give the same direction of descent.
    released = pose_loss(prediction, target, "released").total
    other = pose_loss(scale * prediction, scale * target, LOSS_WEIGHTS["released"].in_unit(scale)).total
    torch.testing.assert_close(other, scale * released)


def test_presets_agree_on_the_same_poses():
    prediction, target = poses(5, seed=1), poses(5, seed=2)
    released = pose_loss(prediction, target).total
    metres = pose_loss(2.2 * prediction, 2.2 * target, "metres").total
    millimetres = pose_loss(2200 * prediction, 2200 * target, "millimetres").total
    torch.testing.assert_close(metres, 2.2 * released)
    torch.testing.assert_close(millimetres, 2200 * released)
    assert LOSS_WEIGHTS["released"] == LossWeights(mpjpe=1, n_mpjpe=0.5, mpjve=20, temporal_consistency=0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "case", ["equal", "still", "zero target", "zero prediction", "zero", "tiny", "one frame"]
)
def test_gradients_are_finite_where_distances_vanish(case, dtype):
    target = poses(1 if case == "one frame" else 4, seed=5).to(dtype) * 1000
    prediction = target.clone()
    if case == "still":
        prediction = prediction[:1].repeat(4, 1, 1)
    if case in ("zero target", "zero"):
        target = torch.zeros_like(target)
    if case in ("zero prediction", "zero"):
        prediction = torch.zeros_like(prediction)
    if case == "tiny":
        prediction = prediction * 1e-22
    prediction.requires_grad_()
    loss = pose_loss(prediction, target)
    loss.total.backward()
    assert torch.isfinite(loss.total) and torch.isfinite(prediction.grad).all()
    for term in TWO:
        (gradient,) = torch.autograd.grad(term(prediction, target), prediction)
        assert torch.isfinite(gradient).all(), term


def test_gradients_are_right_elsewhere():
    prediction, target = poses(2, 3, seed=7).requires_grad_(), poses(2, 3, seed=8)
    assert torch.autograd.gradcheck(lambda x: pose_loss(x, target).total, prediction)


def test_a_single_frame_has_no_velocity():
    prediction, target = poses(2, 1, seed=1).requires_grad_(), poses(2, 1, seed=2)
    for term in (mpjve(prediction, target), temporal_consistency(prediction)):
        assert term.item() == 0
        term.backward()
    assert not prediction.grad.any()


def test_other_joint_sets_bring_their_own_weights():
    prediction = poses(3)[:, :5]
    ones = temporal_consistency(prediction, (1,) * 5)
    torch.testing.assert_close(ones, torch.diff(prediction, dim=0).square().mean())
    with pytest.raises(ValueError, match=r"joint_weights has shape \(17,\), expected \(5,\)"):
        temporal_consistency(prediction)


def test_what_does_not_fit_is_named():
    for loss in (*TWO, pose_loss):
        with pytest.raises(
            ValueError, match=r"target has shape \(3, 17, 3\), expected that of the prediction"
        ):
            loss(poses(2), poses(3))
        with pytest.raises(ValueError, match=r"prediction has shape \(2, 17, 2\)"):
            loss(poses(2)[..., :2], poses(2)[..., :2])
        with pytest.raises(ValueError, match=r"without zeros"):
            loss(poses(0), poses(0))
    with pytest.raises(ValueError, match="expected one of released, paper, millimetres, metres"):
        pose_loss(poses(2), poses(2), "inches")
    for wrong in (float("nan"), float("inf"), -1, "5"):
        with pytest.raises(ValueError, match="weight of mpjve must be 0 or more"):
            LossWeights(mpjve=wrong)
    with pytest.raises(ValueError, match="more than 0"):
        LossWeights(mpjpe=1).in_unit(0)


def test_a_term_that_is_not_named_does_not_train():
    prediction, target = poses(2, 3, seed=7), poses(2, 3, seed=8)
    total, terms = pose_loss(prediction, target, {"mpjpe": 2})
    torch.testing.assert_close(total, 2 * terms["mpjpe"])
    assert LossWeights(mpjpe=2) == LossWeights.of({"mpjpe": 2}) == LossWeights(2)
    with pytest.raises(ValueError, match=r"unknown loss term 'mpjpp', expected some of mpjpe, n_mpjpe"):
        pose_loss(prediction, target, {"mpjpp": 1})
    for nothing in ({}, {"mpjpe": 0}):
        with pytest.raises(ValueError, match="every term the weight 0"):
            LossWeights.of(nothing)
