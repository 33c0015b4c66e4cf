"""What 2D keypoints betray: every rate below is of random views of synthetic bodies."""

from collections import Counter

import numpy as np
import pytest
import torch

from posemamba.camera import denormalise_screen
from posemamba.keypoints import inspect
from posemamba.motion import CameraRig, load_motion, see, synthetic_clips
from posemamba.motion.rig import middle_and_reach
from posemamba.skeleton import flip
from posemamba.storage import asset

VIEWS = 300
# Where each joint of another order is among Human3.6M's; COCO's eyes and ears are made below.
COCO = (9, 9, 9, 9, 9, 11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3)
MPI_INF = (10, 8, 14, 15, 16, 11, 12, 13, 1, 2, 3, 4, 5, 6, 0, 7, 9)
RIGHT_ARM_FIRST = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13)
LEFT_LEG_FIRST = (0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)


@pytest.fixture(scope="module")
def scenes():
    """Pieces of 1 to 243 frames, each with a camera: 4.5 to 6.5 m away, from any side."""
    clips = [clip for seed in (3, 4) for clip in synthetic_clips(seed=seed, train=2, test=0)]
    random, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    found = []
    for _ in range(VIEWS):
        clip, length = clips[random.integers(len(clips))], random.choice([1, 2, 9, 27, 81, 243])
        start = random.integers(len(clip) - length + 1)
        world = torch.from_numpy(clip.joints[start : start + length])
        found.append((world, CameraRig().sample(generator, *middle_and_reach(world))))
    return found


@pytest.fixture(scope="module")
def views(scenes):
    return [see(world, camera)[0] for world, camera in scenes]


def tilted(scenes, axes):
    """Views of the bodies turned about their roots: `axes` are the world's that x, y and z become."""
    matrix = torch.tensor(axes, dtype=torch.float32)
    for world, camera in scenes:
        middle = world[:, :1].mean(0, keepdim=True)
        yield see((world - middle) @ matrix + middle, camera)[0]


def said(views) -> tuple[Counter, bool]:
    """How often each finding comes (its first four words), and whether one of them was certain."""
    found = [finding for view in views for finding in inspect(view.numpy())]
    return Counter(" ".join(f.sentence.split()[:4]) for f in found), any(f.certain for f in found)


def share(views, words: str) -> float:
    return said(views)[0][words] / VIEWS


def test_bodies_seen_from_any_side_are_in_order(views):
    assert said(views) == (Counter(), False)
    assert said(map(flip, views)) == (Counter(), False)
    demo = torch.from_numpy(load_motion(asset("demo.safetensors"))[0].joints)
    cameras = [
        CameraRig().sample(torch.Generator().manual_seed(seed), demo[:, 0].mean(0)) for seed in range(20)
    ]
    assert said(see(demo, camera)[0] for camera in cameras) == (Counter(), False)


def test_a_detectors_noise_seldom_raises_a_doubt(views):
    def noisy(view):
        size = (view - view.mean(1, keepdim=True)).square().sum(-1).mean().sqrt()
        return view + size / 10 * torch.randn(view.shape, generator=torch.Generator().manual_seed(0))

    found, certain = said(map(noisy, views))
    assert found.total() <= 0.02 * VIEWS and not certain


def test_a_body_that_lies_or_stays_aside_is_never_refused(scenes, views):
    for axes in ([[1, 0, 0], [0, 0, 1], [0, -1, 0]], [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]):
        found, certain = said(tilted(scenes, axes))
        assert found.total() <= 0.03 * VIEWS and not certain
    found, certain = said(view + torch.tensor([0.5, 0.0]) for view in views)
    assert found.total() <= 0.02 * VIEWS and not certain
    # Two frames of thirty in which somebody passes right beside the camera.
    passing = torch.cat([view[:1].expand(28, 17, 2) for view in views[:1]] + [views[0][:1] * 200] * 2)
    assert not said([passing])[1]
    # Wholly inside the lower right quarter, or head down: nobody can know.
    found, certain = said(0.3 * view + 0.5 for view in views)
    assert found["keypoints lie between 0"] > 0.9 * VIEWS and not certain
    assert not said(tilted(scenes, [[1, 0, 0], [0, -1, 0], [0, 0, -1]]))[1]


def test_wrong_units_are_named(views):
    pixels = [denormalise_screen(view, 1000, 1000) for view in views]
    assert said(pixels)[0].total() == VIEWS and said(pixels)[1]
    assert "reach 1000 as pixels do" in inspect(np.concatenate([pixels[0], pixels[0] * 0 + 1000]))[0].sentence
    for width, height in ((1000, 1000), (1920, 1080)):
        size = torch.tensor([width, height])
        fractions = [denormalise_screen(view, width, height) / size for view in views]
        assert share(fractions, "keypoints lie between 0") >= 0.9


def test_y_upwards_is_named(views):
    assert share((view * torch.tensor([1.0, -1.0]) for view in views), "the head lies far") >= 0.97


def test_cocos_order_is_named(scenes):
    def as_coco(world):
        nose, head, across = world[:, 9], world[:, 10], world[:, 14] - world[:, 11]
        right, up = (way / way.norm(dim=-1, keepdim=True) for way in (across, head - nose))
        back = -torch.linalg.cross(up, right)
        joints = world[:, COCO].clone()
        face = [(-32, 30, 15), (32, 30, 15), (-75, 20, 100), (75, 20, 100)]  # eyes and ears from the nose, mm
        for joint, (aside, over, behind) in enumerate(face, start=1):
            joints[:, joint] += aside * right + over * up + behind * back
        return joints

    views = [see(as_coco(world), camera)[0] for world, camera in scenes]
    assert share(views, "joints 0 to 4") >= 0.97 and said(views)[1]


def test_other_orders_are_named(views):
    assert share((view[:, MPI_INF] for view in views), "the pelvis does not") >= 0.97
    for order in (RIGHT_ARM_FIRST, LEFT_LEG_FIRST):
        assert share((view[:, order] for view in views), "the shoulders run against") >= 0.7
    order = torch.Generator().manual_seed(0)
    shuffled = (view[:, torch.randperm(17, generator=order)] for view in views)
    assert said(shuffled)[0].total() >= 0.97 * VIEWS


def test_what_is_no_body_at_all():
    _, joints = inspect(np.zeros((3, 17, 2)))
    assert joints.certain and joints.sentence.startswith("all joints lie in one point")
    assert said([torch.rand(9, 17, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1])[0].total() == 1
    for points in (np.full((3, 17, 2), np.nan), np.zeros((0, 17, 2)), np.zeros((17, 2))):
        with pytest.raises(ValueError, match=r"expected finite \(frames, 17, 2\)"):
            inspect(points)
    with pytest.raises(ValueError, match=r"points has shape \(3, 16, 2\)"):
        inspect(np.zeros((3, 16, 2)))
