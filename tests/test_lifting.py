"""From a detected person to a body: rates, short clips, bones, filters, and where the root is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from posemamba import PoseMamba, lifting, storage
from posemamba.camera import Camera, normalise_screen
from posemamba.keypoints import Person
from posemamba.lifting import GUESSED_FOCAL, hold_bones, lift_person, place_root, resample, trained_fps
from posemamba.motion import load_motion
from posemamba.skeleton import BONES, FLIP_ORDER, bone_lengths

SIZE = (1000, 1000)


class StandIn(nn.Module):
    """A network made of one function of its windows; remembers their shapes."""

    def __init__(self, function, frames=9, fps=60, **config):
        super().__init__()
        self.config = SimpleNamespace(frames=frames, millimetres_per_unit=1000.0, **config)
        self.about = {"training": {"data": {"fps": fps}}}
        self.function, self.shapes = function, []

    def forward(self, x):
        self.shapes.append(tuple(x.shape))
        return self.function(x)


def flat(x):
    """The image as the body, with no depth."""
    return torch.cat([x, torch.zeros_like(x[..., :1])], -1)


def speed(x):
    """How far each joint gets in a frame of the network's, as its depth."""
    step = x.diff(dim=1, append=2 * x[:, -1:] - x[:, -2:-1]) if x.shape[1] > 1 else torch.zeros_like(x)
    return torch.cat([x, step.norm(dim=-1, keepdim=True)], -1)


def person(keypoints, size=SIZE, confidence=None, **more):
    points = np.asarray(keypoints, np.float32)
    sure = np.ones(points.shape[:2], np.float32) if confidence is None else confidence
    return Person(more.get("track", 0), more.get("start", 0), points, sure, *size)


def walk(frames=60, way=5.0):
    """A stiff body that moves straight across, each joint at its own speed: pixels."""
    still = np.random.default_rng(0).uniform(200, 700, (17, 2))
    ways = way * np.linspace(1, 2, 17)[:, None] * (1, 0.2)
    return still + np.arange(frames)[:, None, None] * ways


@pytest.fixture(scope="module")
def scene():
    """The demonstration clip before an upright, rolled camera that is aimed beside it."""
    world = torch.from_numpy(np.array(load_motion(storage.asset("demo.safetensors"))[0].joints)).double()
    middle = world[:, 0].mean(0)
    camera = Camera.look_at(middle + torch.tensor([3000.0, 2000, 700]), middle + 500, 1300, 1080, 1920)
    tilt = torch.tensor(0.3, dtype=torch.float64)
    c, s = tilt.cos().item(), tilt.sin().item()
    roll = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    camera = Camera(
        roll @ camera.rotation,
        roll @ camera.translation,
        camera.focal,
        camera.center,
        width=1080,
        height=1920,
    )
    points = camera.world_to_camera(world)
    return points.numpy(), camera.project(points).numpy()


@pytest.mark.parametrize("fps", [24, 25, 30, 50, 59.94, 60, 120])
@pytest.mark.parametrize("trained", [60, 30])
def test_every_rate_comes_back_and_the_network_sees_its_own(fps, trained):
    network, points = StandIn(speed, fps=trained), walk(40)
    body = lift_person(network, person(points, track=7, start=12), fps)
    assert (body.track, body.start, body.fps, len(body)) == (7, 12, fps, 40)
    expected = 1000 * normalise_screen(points, *SIZE)
    np.testing.assert_allclose(body.joints[..., :2], expected - expected[:, :1], atol=0.05)
    # Straight motion: the step that the network saw is that of one of its frames.
    step = 1000 * np.linalg.norm(np.diff(normalise_screen(points, *SIZE), axis=0), axis=-1)[0] * fps / trained
    slack = 0.002 if fps == 59.94 else 1e-3
    np.testing.assert_allclose(
        body.joints[10:20, 1:, 2], np.tile(step[1:] - step[0], (10, 1)), rtol=slack, atol=0.05
    )
    assert body.keypoints is not None and np.array_equal(body.keypoints, points.astype(np.float32))


@pytest.mark.parametrize("fps", [15, 24, 30, 59.94, 60, 120, 240])
@pytest.mark.parametrize("frames", [1, 2, 3, 8])
def test_short_clips_are_held_to_a_whole_window(fps, frames):
    network = StandIn(flat, frames=81)
    body = lift_person(network, person(walk(frames)), fps, flip=False)
    assert network.shapes == [(1, 81, 17, 2)] and len(body) == frames
    expected = 1000 * normalise_screen(walk(frames), *SIZE)
    np.testing.assert_allclose(body.joints[..., :2], expected - expected[:, :1], atol=0.05)


def test_between_frames_are_straight_lines():
    values = np.array([0.0, 10, 40], np.float32).reshape(3, 1, 1)
    found = resample(values, np.array([0, 0.25, 1, 1.5, 2]))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 0, 0], [0, 2.5, 10, 25, 40])


def test_the_rate_is_what_the_folder_says():
    kept = PoseMamba.from_pretrained(storage.asset("small_cmu"))
    assert trained_fps(kept) == kept.about["training"]["data"]["fps"] == 60
    assert trained_fps(StandIn(flat, fps=30)) == 30
    for odd in (None, "30", -1, float("nan")):
        assert trained_fps(StandIn(flat, fps=odd)) == 60
    assert trained_fps(nn.Identity()) == 60
    several = StandIn(flat)
    several.about["training"]["data"]["rates"] = [25, 30]
    assert [trained_fps(several, near) for near in (None, 24, 29.97, 50, 120)] == [60, 25, 30, 60, 60]
    lift_person(several, person(walk(9)), 25, flip=False)
    assert several.shapes == [(1, 9, 17, 2)]


def test_upright_images_are_seen_by_their_width():
    seen = []
    network = StandIn(lambda x: (seen.append(x.clone()), flat(x))[1])
    upright = person(walk(9), size=(1080, 1920))
    body = lift_person(network, upright, 60, flip=False)
    np.testing.assert_allclose(seen[0][0].numpy(), upright.normalised(), atol=1e-6)
    assert body.size == (1080, 1920) and body.focal == GUESSED_FOCAL * 1920 and not body.focal_known
    assert lift_person(network, upright, 60, focal=1500).focal_known


def test_windows_are_turned_back_before_they_are_blended(monkeypatch):
    def turning(model, size, focal):
        def view(pixels):
            angle = pixels[:, 0, 0, 0].double()  # another one for each window
            c, s = angle.cos(), angle.sin()
            turn = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)[:, None]
            whole = torch.eye(3, dtype=torch.float64).repeat(len(angle), 1, 1, 1)
            whole[..., :2, :2] = turn
            return pixels.double() @ turn, lambda joints: joints.double() @ whole.transpose(-1, -2)

        return view

    points = walk(50) / 1000
    plain = StandIn(flat)
    plain.config.millimetres_per_unit = 1.0
    monkeypatch.setattr(lifting, "view_of", turning)
    body = lift_person(plain, person(points), 60)
    expected = points - points[:, :1]
    np.testing.assert_allclose(body.joints[..., :2], expected, atol=1e-5)


def test_a_network_that_sees_the_person_is_answered_in_the_cameras_axes(scene):
    crops = pytest.importorskip("posemamba.crops")
    _, pixels = scene
    network = StandIn(flat, frames=240, view="person")
    body = lift_person(network, person(pixels, (1080, 1920)), 60, focal=1300)
    seen = crops.person_view(torch.from_numpy(pixels), 1300.0, (540.0, 960.0))
    expected = 1000 * seen.turn_back(flat(seen.inputs)).numpy()
    np.testing.assert_allclose(body.joints, expected - expected[:, :1], atol=1)
    wrong = lift_person(network, person(pixels, (1080, 1920)), 60, focal=2600)
    assert np.abs(wrong.joints - body.joints).max() > 20  # the focal length counts


def test_bones_are_held(scene):
    points, _ = scene
    loose = points - points[:, :1] + np.random.default_rng(0).normal(0, 20, points.shape)
    loose[:, 0] = 0
    held = hold_bones(loose)
    lengths, before = bone_lengths(held), bone_lengths(loose)
    assert np.ptp(lengths, axis=0).max() < 1e-6 < 20 < np.ptp(before, axis=0).max()
    other = np.array(FLIP_ORDER)[1:] - 1
    np.testing.assert_allclose(lengths[0], lengths[0][other], atol=1e-9)
    np.testing.assert_allclose(lengths[0], (np.median(before, 0) + np.median(before, 0)[other]) / 2)
    for parent, child in BONES:
        ways = loose[:, child] - loose[:, parent], held[:, child] - held[:, parent]
        a, b = (way / np.linalg.norm(way, axis=-1, keepdims=True) for way in ways)
        np.testing.assert_allclose(a, b, atol=1e-9)
    body = lift_person(StandIn(speed), person(walk()), 25, rigid=True, smooth="gaussian")
    assert np.ptp(bone_lengths(body.joints), axis=0).max() < 0.01


def test_the_root_is_found_by_the_camera_equation(scene):
    points, pixels = scene
    joints, sure = points - points[:, :1], np.ones(points.shape[:2])
    for fps in (60, 30):
        step = 60 // fps
        root = place_root(joints[::step], pixels[::step], sure[::step], (1080, 1920), 1300, fps)
        off = np.abs(root - points[::step, 0])
        assert off.max() < 8 and off.mean() < 1  # mm, 4 m away, of somebody who jumps
    exact = place_root(joints, pixels, sure, (1080, 1920), 1300, 60, seconds=0)
    np.testing.assert_allclose(exact, points[:, 0], atol=1e-3)
    # Depths go with the focal length.
    far = place_root(joints, pixels, sure, (1080, 1920), 2600, 60, seconds=0)[:, 2]
    assert 1.9 < np.median(far / exact[:, 2]) < 2.1
    # A joint that was not found counts little.
    off, unsure = pixels.copy(), sure.copy()
    off[:, 13] += 200
    unsure[:, 13] = 0
    away = [
        np.linalg.norm(
            place_root(joints, off, weights, (1080, 1920), 1300, 60) - points[:, 0], axis=-1
        ).mean()
        for weights in (sure, unsure)
    ]
    assert away[1] < 0.15 * away[0]
    # Noise in depth is smoothed away.
    noisy = pixels + np.random.default_rng(0).normal(0, 3, pixels.shape)
    jitter = [
        np.diff(place_root(joints, noisy, sure, (1080, 1920), 1300, 60, seconds)[:, 2]).std()
        for seconds in (0, 0.4)
    ]
    assert jitter[1] < 0.25 * jitter[0]
    # An answer that is turned around against its image is still in front of the camera.
    mirrored = place_root(-joints, pixels, sure, (1080, 1920), 1300, 60)
    assert (mirrored[:, 2] > 500).all()


def test_a_body_may_be_placed():
    network = StandIn(flat)
    body = lift_person(network, person(walk()), 60, focal=1000)
    assert body.root is None and np.array_equal(body.placed, body.joints)
    body = lift_person(network, person(walk()), 60, focal=1000, place=True)
    np.testing.assert_array_equal(body.placed, body.joints + body.root[:, None])
    # A flat body of 1000 mm for half an image of 500 pixels: at focal length 1000 it is 2 m away.
    np.testing.assert_allclose(body.root[:, 2], 2000, rtol=1e-3)
    image = 1000 * body.placed[..., :2] / body.placed[..., 2:] + 500
    np.testing.assert_allclose(image, body.keypoints, atol=0.1)


def test_filters_are_applied_to_joints_and_root():
    noisy = walk() + np.random.default_rng(0).normal(0, 5, (60, 17, 2))
    plain = lift_person(StandIn(flat), person(noisy), 60, place=True)
    for name in ("one-euro", "savgol", "gaussian"):
        smooth = lift_person(StandIn(flat), person(noisy), 60, place=True, smooth=name)
        for of in ("joints", "root"):
            rough = [np.abs(np.diff(getattr(body, of), 2, axis=0)).mean() for body in (plain, smooth)]
            assert rough[1] < 0.7 * rough[0]
        assert np.abs(smooth.joints[:, 0]).max() == 0


def test_what_does_not_fit_is_named():
    network, found = StandIn(flat), person(walk())
    for options, words in (
        (dict(fps=0), "fps is 0, expected a positive number of frames a second"),
        (dict(fps=float("nan")), "fps is nan"),
        (dict(focal=-1), "focal is -1, expected a positive number of pixels"),
        (dict(smooth="median"), "smooth is 'median', expected one of none, one-euro, savgol, gaussian"),
    ):
        with pytest.raises(ValueError, match=words):
            lift_person(network, found, **{"fps": 30} | options)
    with pytest.raises(ValueError, match="the network's view is 'sky', expected 'image' or 'person'"):
        lift_person(StandIn(flat, view="sky"), found, 30)
    network.config.millimetres_per_unit = None
    with pytest.raises(ValueError, match=r"outputs have no known unit .*expected one that answers in mm"):
        lift_person(network, found, 30)
