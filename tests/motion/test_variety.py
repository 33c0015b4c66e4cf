"""Cameras of every kind, other bodies, a poor detector: what training for strangers' videos draws."""

import math

import numpy as np
import pytest
import torch

from posemamba.evaluation import RidgeRegression
from posemamba.motion import Clip, WindowSampler, evaluation_windows, synthetic_clips
from posemamba.motion.noise import WILD_NOISE, DetectorNoise
from posemamba.motion.rig import WILD, CameraRig
from posemamba.motion.variety import BodyVariety
from posemamba.skeleton import FLIP_ORDER, JOINT_NAMES, JOINT_SETS, bone_lengths

RECORDED = BodyVariety(size=0, bones=0, lopsided=0, detectors=0, face=0, offsets=0)


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def worlds(n: int = 6, frames: int = 20) -> torch.Tensor:
    (clip, *_) = synthetic_clips(seed=1, train=1, test=0, seconds=4)
    return torch.tensor(np.asarray(clip.joints[:frames])).expand(n, -1, -1, -1).clone()


def test_without_variety_bodies_stay_as_they_were():
    world = worlds()
    assert torch.allclose(RECORDED.apply(world, drawn()), world, atol=0.01)


def test_bones_change_by_one_factor_each_and_keep_their_directions():
    world = worlds(400, 2)
    bodies = BodyVariety(lopsided=0, detectors=0).apply(world, drawn())
    ratio = bone_lengths(bodies) / bone_lengths(world)
    assert torch.allclose(ratio[:, 0], ratio[:, 1], atol=1e-4), "a body keeps its bones in all frames"
    mirrored = [child - 1 for child in FLIP_ORDER[1:]]
    assert torch.allclose(ratio, ratio[..., mirrored], atol=1e-3), "left as right"
    spread = ratio[:, 0].log().std(0)
    assert (spread - math.hypot(0.1, 0.07)).abs().max() < 0.02
    assert (BodyVariety(lopsided=0.05, detectors=0).apply(world, drawn()) != bodies).any()


def test_a_detectors_joints_are_made_as_the_joint_sets_make_them():
    world = worlds()
    bodies = BodyVariety(size=0, bones=0, lopsided=0, detectors=1, face=0, offsets=0).apply(world, drawn())
    at = {name: k for k, name in enumerate(JOINT_NAMES)}
    coco = JOINT_SETS["COCO-17"].joints
    points = np.zeros((*bodies.shape[:2], 17, 3))
    for k, name in enumerate(coco):
        if name in at:
            points[:, :, k] = bodies[:, :, at[name]]
    made, *_ = JOINT_SETS["COCO-17"].convert(points)
    for name in ("pelvis", "spine", "thorax", "nose"):
        assert np.allclose(made[:, :, at[name]], bodies[:, :, at[name]], atol=0.1), name
    nose, base = bodies[:, :, at["nose"]], world[:, :, at["nose"]]
    left = world[:, :, at["left shoulder"]] - world[:, :, at["right shoulder"]]
    up = world[:, :, at["head"]] - base
    assert 140 < (nose - base).norm(dim=-1).mean() < 165
    assert (torch.linalg.cross(left, up, dim=-1) * (nose - base)).sum(-1).min() > 0, "the nose is in front"


def test_a_share_of_the_windows_has_a_detectors_joints():
    world = worlds(600, 1)
    bodies = BodyVariety(size=0, bones=0, lopsided=0, offsets=0).apply(world, drawn(3))
    moved = (bodies[:, 0, 9] - world[:, 0, 9]).norm(dim=-1) > 50
    assert abs(moved.float().mean() - 0.9) < 0.04


def test_wild_cameras_are_where_they_are_said_to_be():
    target = torch.tensor([[300.0, -200.0, 900.0]]).expand(4000, 3)
    camera = WILD.sample(drawn(), target)
    away = (camera.position - target).norm(dim=-1)
    assert away.min() + 1e-2 >= 2000 and away.max() < 8001 and 2500 < away.quantile(0.1) < 3000
    height = camera.position[:, 2]
    assert 290 < height.min() < 400 and 3900 < height.max() < 4001
    focal = camera.focal[:, 0] / 500
    assert 1.1 <= focal.min() < 1.15 and 3.9 < focal.max() <= 4.0
    assert torch.equal(camera.focal[:, 0], camera.focal[:, 1])
    eye = torch.eye(3).expand(4000, 3, 3)
    assert torch.allclose(camera.rotation @ camera.rotation.mT, eye, atol=1e-5)
    assert (torch.linalg.det(camera.rotation) > 0).all()
    up = camera.rotation[:, :, 2]  # the world's z in the camera's axes
    assert 25 < torch.rad2deg(torch.atan2(up[:, 0], -up[:, 1])).abs().quantile(0.95) < 50


def test_aside_puts_the_person_anywhere_in_the_image():
    rig, target = CameraRig(jitter=0, aside=0.6), torch.tensor([[0.0, 0.0, 900.0]]).expand(2000, 3)
    camera = rig.sample(drawn(), target)
    at = camera.project(camera.world_to_camera(target[:, None]))[:, 0] / 500 - 1
    assert at.abs().max() < 0.6001 and (at.abs().amax(0) > 0.58).all()
    assert at.mean(0).abs().max() < 0.03 and abs((at[:, 0] * at[:, 1]).mean()) < 0.02


def test_a_level_rig_draws_as_it_always_did():
    draws, other = drawn(5), drawn(5)
    camera = CameraRig().sample(draws, torch.full((3, 3), 900.0))
    torch.rand(3, 6, generator=other, dtype=torch.float64)
    assert torch.equal(torch.rand(2, generator=draws), torch.rand(2, generator=other))
    assert camera.focal.eq(1145).all()


def test_drift_is_slow_and_strength_differs_from_one_sequence_to_the_next():
    calm = dict(limb_swaps=0, body_swaps=0, dropouts=0, frozen=0)
    truth = torch.rand(1, 1, 17, 2, generator=drawn()).expand(300, 200, 17, 2) * 500
    size = torch.full((300,), 500.0)
    slow = DetectorNoise(jitter=0, drift=0.01, **calm).apply(truth, size, 0)[0] - truth
    trunk = slow[:, :, [0, 7, 8, 9, 10]]
    assert abs(trunk.std() - 5) < 0.5
    lag = (trunk[:, 30:] * trunk[:, :-30]).mean() / trunk.square().mean()
    assert abs(lag - math.exp(-1)) < 0.1
    varied = DetectorNoise(strength=(0.25, 4.0), **calm).apply(truth, size, 0)[0] - truth
    of = varied.square().mean((1, 2, 3)).sqrt()
    assert of.max() / of.min() > 8


def sampler(**changes) -> WindowSampler:
    clips = synthetic_clips(seed=0, train=3, test=0, seconds=4)
    wild = dict(rig=WILD, noise=WILD_NOISE, view="person", focal_error=0.1, variety=BodyVariety())
    return WindowSampler(clips, 15, 30, 12, **wild | changes)


def test_a_wild_batch_is_a_function_of_seed_and_step():
    inputs, targets = sampler().batch(7)
    again = sampler().batch(7)
    assert torch.equal(inputs, again[0]) and torch.equal(targets, again[1])
    assert inputs.isfinite().all() and targets.isfinite().all()
    assert not torch.equal(sampler(seed=1).batch(7)[0], inputs)
    assert targets[:, :, 0].abs().max() == 0


def test_windows_of_several_rates_are_drawn_as_often_as_there_are_some():
    clip = Clip(np.zeros((240, 17, 3), np.float32), 60.0, "c", "a", "train")
    clip.joints[:, 10, 2] = np.arange(240)
    alone, both = (WindowSampler([clip], 9, 60, 512, rig=WILD, rates=rates) for rates in ((), (30, 24)))
    assert len(alone) == 232 and len(both) == 232 + 2 * 112 + 88
    step = both.batch(0)[1][:, :, 10].norm(dim=-1).diff(dim=1).mean(1)
    for apart, count in ((1, 232), (2, 224), (2.5, 88)):
        share = ((step - apart).abs() < 0.01).float().mean()
        assert abs(share - count / len(both)) < 0.07


def test_in_the_persons_view_inputs_are_the_targets_picture():
    """Without noise: x and y agree in direction and sign, perspective apart."""
    inputs, targets = sampler(noise=None, focal_error=0.0, variety=None).batch(0)
    flat = inputs - inputs[:, :, :1]
    agree = (flat * targets[..., :2]).sum() / (flat.norm() * targets[..., :2].norm())
    assert agree > 0.85


def test_evaluation_windows_see_the_same_variety_every_time():
    clips = synthetic_clips(seed=0, train=0, test=2, seconds=4)
    rules = dict(views=2, rig=WILD, noise=WILD_NOISE, view="person", variety=BodyVariety(), focal_error=0.1)
    one, two = (evaluation_windows(clips, 15, 30, **rules) for _ in range(2))
    assert torch.equal(one.inputs, two.inputs) and torch.equal(one.targets, two.targets)
    # Both views of a window show one body.
    lengths = bone_lengths(one.targets)
    assert torch.allclose(lengths[0], lengths[1], atol=0.1)
    plain = evaluation_windows(clips, 15, 30, views=2, rig=WILD, view="person")
    assert not torch.allclose(bone_lengths(plain.targets)[0], lengths[0], atol=1)


def test_the_baselines_learn_in_the_persons_view():
    clips = synthetic_clips(seed=0, train=8, test=0, seconds=4)
    ridge = RidgeRegression.fit(clips, 9, 30, 0, WILD, 200, view="person")
    windows = evaluation_windows(clips, 9, 30, 1, rig=WILD, view="person")
    error = (ridge(windows.inputs) - windows.targets).norm(dim=-1).mean()
    assert error < windows.targets.norm(dim=-1).mean()


def test_wrong_settings_are_refused():
    for wrong in (dict(size=-1), dict(detectors=1.5)):
        with pytest.raises(ValueError, match="the variety's"):
            BodyVariety(**wrong)
    with pytest.raises(ValueError, match=r"rig's focal is \(3, 2\)"):
        CameraRig(focal=(3, 2))
    with pytest.raises(ValueError, match="roll and aside of 0 or more"):
        CameraRig(roll=-1)
    with pytest.raises(ValueError, match="strength"):
        DetectorNoise(strength=(2.0, 1.0))
    with pytest.raises(ValueError, match="virtual cameras and metric targets"):
        sampler(targets="2.5d")
    joints = np.zeros((30, 17, 3), np.float32)
    with pytest.raises(ValueError, match="view is 'side'"):
        WindowSampler([Clip(joints, 30.0, "c", "a", "train")], 9, 30, view="side")
