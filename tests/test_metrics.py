"""The metrics against scipy and against what must not change them."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import minimize
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from posemamba import losses
from posemamba.metrics import (
    AUC_THRESHOLDS,
    METRICS,
    align,
    auc,
    check_finite,
    mpjpe,
    mpjve,
    n_mpjpe,
    p_mpjpe,
    pck,
    per_action,
    scored_steps,
)

seeds = st.integers(0, 10_000)


def poses(*shape: int, seed: int = 0, size: float = 300.0) -> torch.Tensor:
    """Root-relative random bodies in millimetres."""
    body = torch.randn(*shape, 17, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return size * (body - body[..., :1, :])


def turned(body: torch.Tensor, seed: int, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    rotation = torch.from_numpy(Rotation.random(random_state=seed).as_matrix())
    return scale * body @ rotation + shift


def frame_error(a, b) -> float:
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b), axis=-1).mean())


def test_position_and_velocity_against_numpy():
    prediction, target = poses(2, 5, seed=1), poses(2, 5, seed=2)
    expected = [
        [frame_error(p, t) for p, t in zip(*pair, strict=True)]
        for pair in zip(prediction, target, strict=True)
    ]
    np.testing.assert_allclose(mpjpe(prediction, target), expected)
    steps = mpjve(prediction, target)
    assert steps.shape == (2, 4)
    p, t = prediction.numpy(), target.numpy()
    np.testing.assert_allclose(steps[1, 2], frame_error(p[1, 3] - p[1, 2], t[1, 3] - t[1, 2]))
    assert mpjve(prediction[:, :1], target[:, :1]).shape == (2, 0)
    # The losses are the means of these.
    for metric, loss in [(mpjpe, losses.mpjpe), (n_mpjpe, losses.n_mpjpe), (mpjve, losses.mpjve)]:
        torch.testing.assert_close(metric(prediction, target).mean(), loss(prediction, target))


def test_known_distances_in_millimetres():
    target = poses(1, seed=3).float()
    prediction = target + torch.tensor([30.0, 0.0, 40.0])
    np.testing.assert_allclose(mpjpe(prediction, target), 50, rtol=1e-6)
    np.testing.assert_allclose(p_mpjpe(prediction, target), 0, atol=1e-3)


def test_correct_keypoints_are_counted_as_the_data_sets_own_code_counts_them():
    target = torch.zeros(1, 1, 17, 3, dtype=torch.float64)
    prediction = target.clone()
    # A joint at a threshold is not within it: the official code asks for less.
    prediction[..., :6, 1] = torch.tensor([4.999, 5.0, 149.999, 150.0, 151.0, 1e9], dtype=torch.float64)
    wanted = [100.0, 100.0, 100.0, 0.0, 0.0, 0.0] + [100.0] * 11
    assert pck(prediction, target, by_joint=True)[0, 0].tolist() == wanted
    assert pck(prediction, target).item() == pytest.approx(100 * 14 / 17)
    assert pck(prediction, target, threshold=5.0).item() == pytest.approx(100 * 12 / 17)
    # Thresholds 5 to 150, 10 to 150, 150 alone, none; and where there is no error all but 0.
    share = [100 * n / 31 for n in (30, 29, 1, 0, 0, 0)] + [100 * 30 / 31] * 11
    assert auc(prediction, target, by_joint=True)[0, 0].tolist() == pytest.approx(share)
    assert auc(prediction, target).item() == pytest.approx(sum(share) / 17)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_area_is_the_mean_of_the_curve(seed):
    prediction, target = poses(2, 5, seed=seed, size=60.0), poses(2, 5, seed=seed + 1, size=60.0)
    curve = torch.stack([pck(prediction, target, threshold) for threshold in AUC_THRESHOLDS])
    assert (curve.diff(dim=0) >= 0).all() and 0 < curve[-1].mean() < 100
    torch.testing.assert_close(auc(prediction, target), curve.mean(0))
    # In other words and units, and in any order of the thresholds.
    metres = [threshold / 1000 for threshold in reversed(AUC_THRESHOLDS)]
    torch.testing.assert_close(auc(prediction / 1000, target / 1000, metres), auc(prediction, target))


@pytest.mark.parametrize("thresholds", [[], [-5.0], [float("nan")], [float("inf")]])
def test_thresholds_that_are_no_distances_are_named(thresholds):
    with pytest.raises(ValueError, match=r"thresholds are \[.*expected one or more finite distances"):
        auc(poses(2), poses(2), thresholds)


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(0.01, 3.0))
def test_alignment_is_scipys(seed, noise):
    target = poses(3, seed=seed)
    prediction = turned(target, seed, 0.4, 70.0) + noise * poses(3, seed=seed + 1)
    aligned = align(prediction, target)
    for p, t, ours in zip(prediction.numpy(), target.numpy(), aligned.numpy(), strict=True):
        p0, t0 = p - p.mean(0), t - t.mean(0)
        rotation = Rotation.align_vectors(t0, p0)[0].as_matrix()
        turned_p = p0 @ rotation.T
        expected = (turned_p * t0).sum() / (p0**2).sum() * turned_p + t.mean(0)
        np.testing.assert_allclose(ours, expected, atol=1e-6)
        orthogonal, strength = orthogonal_procrustes(p0, t0)
        if np.linalg.det(orthogonal) > 0:  # scipy's procrustes may mirror; where it does not, all three agree
            np.testing.assert_allclose(
                ours, strength / (p0**2).sum() * p0 @ orthogonal + t.mean(0), atol=1e-6
            )
            disparity = procrustes(t, p)[2]
            np.testing.assert_allclose(
                ((ours - t) ** 2).sum() / (t0**2).sum(), disparity, rtol=1e-6, atol=1e-12
            )


def test_alignment_is_the_least_squares_optimum():
    prediction, target = poses(seed=5), poses(seed=6)

    def cost(x):  # the squared factor keeps a negative one, which would mirror, out
        moved = x[0] ** 2 * prediction.numpy() @ Rotation.from_rotvec(x[1:4]).as_matrix() + 100 * x[4:]
        return ((moved - target.numpy()) ** 2).mean()

    best = min(
        minimize(cost, np.r_[0.3, start, np.zeros(3)]).fun
        for start in np.vstack([np.zeros(3), 2 * np.eye(3)])
    )
    assert float((align(prediction, target) - target).square().mean()) == pytest.approx(best, rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(1e-3, 1e3), st.floats(-1e4, 1e4))
def test_invariances(seed, scale, shift):
    prediction, target = poses(2, seed=seed), poses(2, seed=seed + 1)
    moved = turned(prediction, seed, scale, shift)
    torch.testing.assert_close(p_mpjpe(moved, target), p_mpjpe(prediction, target), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(n_mpjpe(scale * prediction, target), n_mpjpe(prediction, target))
    both = turned(torch.stack([prediction, target]), seed, 1.0, shift)
    torch.testing.assert_close(mpjpe(*both), mpjpe(prediction, target))
    torch.testing.assert_close(mpjve(*both), mpjve(prediction, target))
    assert float(mpjpe(target, target).max()) == 0 and float(p_mpjpe(moved, prediction).max()) < 1e-6


@settings(max_examples=40, deadline=None)
@given(seeds)
@example(1328)
def test_fitting_more_never_costs_squares(seed):
    # In squares: the scale can only help, and the whole similarity can only help more, unless the best scale
    # is below 0 (as for seed 1328): it mirrors the body, which no rotation does.
    prediction, target = poses(4, seed=seed), poses(4, seed=seed + 1)
    squares = lambda moved: (moved - target).square().sum((-2, -1))  # noqa: E731
    factor = losses.fit_scale(prediction, target)
    scaled, proper = factor * prediction, factor[:, 0, 0] >= 0
    assert (squares(scaled) <= squares(prediction) + 1e-6).all()
    assert (squares(align(prediction, target)) <= squares(scaled) + 1e-6)[proper].all()


def test_a_mirrored_body_is_not_aligned_away():
    target = poses(4, seed=9)
    mirrored = target * torch.tensor([-1.0, 1.0, 1.0])
    assert (p_mpjpe(mirrored, target) > 50).all()
    # A flat pose mirrored across its own plane is itself; mirrored within it, half a turn brings it back.
    flat = target * torch.tensor([1.0, 1.0, 0.0])
    assert float(p_mpjpe(flat * torch.tensor([-1.0, 1.0, 1.0]), flat).max()) < 1e-9


# The mean of 17 times 0.3 is not quite 0.3.
@pytest.mark.parametrize("place", [0.0, 0.3, -1234.567, 1e7])
def test_degenerate_poses_have_errors_not_nan(place):
    target = poses(3, seed=2)
    point = torch.full_like(target, place)
    expected = torch.linalg.vector_norm(target - target.mean(-2, keepdim=True), dim=-1).mean(-1)
    torch.testing.assert_close(p_mpjpe(point, target), expected)
    torch.testing.assert_close(p_mpjpe(target, point), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(p_mpjpe(point, point), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-6)
    line = target.clone()
    line[..., 1:] = place
    for a, b in [(line, target), (target, line), (line, line), (point, line)]:
        assert torch.isfinite(p_mpjpe(a, b)).all() and torch.isfinite(n_mpjpe(a, b)).all()
    assert float(p_mpjpe(turned(line, 3, 2.0, 5.0), line).max()) < 1e-5
    assert torch.isfinite(n_mpjpe(torch.zeros_like(target), target)).all()


def test_one_bad_frame_does_not_touch_the_others():
    prediction, target = poses(3, seed=1), poses(3, seed=2)
    alone = p_mpjpe(prediction[1:], target[1:])
    prediction[0] = 0
    torch.testing.assert_close(p_mpjpe(prediction, target)[1:], alone)


def test_arrays_devices_and_gradients():
    prediction, target = poses(2, seed=1), poses(2, seed=2)
    for metric in (mpjpe, n_mpjpe, p_mpjpe, mpjve, pck, auc):
        one = metric(prediction.float().requires_grad_(), target.float())
        assert one.dtype == torch.float64 and not one.requires_grad
        torch.testing.assert_close(metric(prediction.numpy(), target.numpy()), metric(prediction, target))
        torch.testing.assert_close(one, metric(prediction, target), rtol=1e-5, atol=1e-5)


def test_actions_and_frames_are_averaged_apart():
    errors = torch.tensor([[10.0, 20.0], [30.0, float("nan")], [100.0, 100.0], [1.0, 1.0]])
    scored = torch.tensor([[True, True], [True, False], [True, False], [False, False]])
    means = per_action(errors, ["walking", "walking", "sitting", "running"], scored)
    assert means.actions == {"sitting": 100.0, "walking": 20.0} and means.frames == {
        "sitting": 1,
        "walking": 3,
    }
    assert means.over_actions == 60.0 and means.over_frames == 40.0
    assert per_action(errors, torch.tensor([2, 2, 1, 0]), scored, ["running", "sitting", "walking"]) == means
    assert per_action(errors[:1], ["a"]).over_frames == 15.0


def test_a_frame_that_two_windows_cover_counts_once():
    errors = torch.tensor([[1.0, 2.0, 3.0], [5.0, 7.0, 100.0], [9.0, 9.0, 9.0]])
    frame = torch.tensor([[0, 1, 2], [1, 2, 3], [7, 8, 9]])
    means = per_action(errors, ["walking", "walking", "sitting"], frame=frame)
    assert means.frames == {"sitting": 3, "walking": 4}
    walking = [1.0, (2.0 + 5.0) / 2, (3.0 + 7.0) / 2, 100.0]
    assert means.actions == {"sitting": 9.0, "walking": sum(walking) / 4}
    assert means.over_frames == pytest.approx((sum(walking) + 27) / 7)
    # What does not count is no second opinion, and a number that two actions share is a frame of each.
    scored = torch.tensor([[True] * 3, [False, False, True], [True] * 3])
    assert per_action(errors, ["a", "a", "b"], scored, frame=frame).actions["a"] == (1 + 2 + 3 + 100) / 4
    assert per_action(errors, ["a", "b", "b"], frame=frame).frames == {"a": 3, "b": 6}


def test_metrics_are_listed_once_under_the_names_of_the_losses():
    prediction, target = poses(2, 5, seed=1), poses(2, 5, seed=2)
    assert set(losses.pose_loss(prediction, target).terms) - set(METRICS) == {
        "temporal_consistency",
        "reprojection",
    }
    for name, metric in METRICS.items():
        assert metric.of.__name__ == name
        joints = metric.of(prediction, target, by_joint=True)
        assert joints.shape == (2, 4 if metric.steps else 5, 17)
        torch.testing.assert_close(joints.mean(-1), metric.of(prediction, target))
    assert mpjpe(prediction, target, by_joint=True)[1, 2, 3] == pytest.approx(
        float((prediction - target)[1, 2, 3].norm())
    )


def test_steps_count_where_both_frames_do():
    scored = torch.tensor([[True, True, False, True]])
    assert scored_steps(scored).tolist() == [[True, False, False]]


def test_what_does_not_fit_is_named():
    target = poses(2, 4)
    for metric in (mpjpe, n_mpjpe, p_mpjpe, mpjve, pck, auc):
        with pytest.raises(ValueError, match=r"target has shape \(2, 3, 17, 3\)"):
            metric(target, target[:, :3])
        broken = target.clone()
        broken[1, 2, 13, 0] = float("nan")
        with pytest.raises(ValueError, match=r"prediction .* frame 2 of sequence 1, joint 13 \(left wrist\)"):
            metric(broken, target)
        with pytest.raises(ValueError, match="target must be finite"):
            metric(target, broken)
    with pytest.raises(ValueError, match=r"in frame 0, joint 1$"):
        check_finite(torch.tensor([[[0.0], [float("inf")]]]), "x")
    errors = torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"actions have shapes .*, \(1,\)\), expected"):
        per_action(errors, ["a"])
    with pytest.raises(ValueError, match="no frame"):
        per_action(errors, ["a", "b"], errors < 0)
    with pytest.raises(ValueError, match="where they are scored"):
        per_action(errors * float("nan"), ["a", "b"])
    with pytest.raises(ValueError, match="expected indices into 1 names"):
        per_action(errors, torch.tensor([0, 1]), names=["a"])
