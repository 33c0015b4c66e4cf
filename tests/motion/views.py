"""Clips with the views that cameras have of them, and what windows of these are by another way."""

from dataclasses import replace

import numpy as np
import torch

from posemamba.camera import Camera, normalise_screen
from posemamba.motion import Clip, View, synthetic_clips
from posemamba.motion.targets import to_image

SIZES = ((1000, 1002), (1000, 1000), (1920, 1080))
TRUTH = [clip for clip in synthetic_clips(seed=0) if len(clip) > 200][:2]


def camera(number: int, width: int, height: int) -> Camera:
    """A camera with a lens, as Human3.6M's, on a tripod of its own."""
    angle = torch.tensor(2.1 * number + 0.3)
    position = torch.stack([5000 * angle.cos(), 5000 * angle.sin(), torch.tensor(1500.0)])
    lens = dict(radial=torch.tensor([-0.2, 0.24, -0.002]), tangential=torch.tensor([-0.0009, -0.0014]))
    found = Camera.look_at(position, torch.tensor([0.0, 0.0, 900.0]), 1.145 * width, width, height)
    return replace(found, **lens).to(torch.float64)


def seen(clip: Clip, frames: int, views: int = 3, fps: float = 50.0, keep_world: bool = True, **more) -> Clip:
    """A clip with what its cameras have: keypoints are the projections and 2 pixels, confidences count."""
    joints, found = clip.joints[:frames], []
    for number, (width, height) in enumerate(SIZES[:views]):
        one = camera(number, width, height)
        points = one.world_to_camera(torch.from_numpy(joints).double())
        image, factor = (part.float().numpy() for part in to_image(points, one))
        targets = {"joint3d_image": image, "2.5d_factor": factor, "camera": points.float().numpy()}
        keypoints = one.project(points).float().numpy() + 2
        sure = np.arange(frames * 17, dtype=np.float32).reshape(frames, 17) / frames / 17
        valid = np.arange(frames) % 7 != 3
        names = more.get("targets", ())
        view = View(
            str(number), width, height, one, keypoints, sure, valid, {name: targets[name] for name in names}
        )
        found.append(view)
    return Clip(joints if keep_world else None, fps, clip.name, clip.action, "train", views=tuple(found))


def expected(clip: Clip, view: int, frames, projected=False):
    """Inputs and metric targets of these frames, by another way: doubles, and the camera's own words."""
    one, world = clip.views[view], torch.from_numpy(clip.joints[frames]).double()
    points = one.camera.world_to_camera(world)
    pixels = one.camera.project(points) if projected else torch.from_numpy(one.keypoints[frames]).double()
    inputs = normalise_screen(pixels, one.width, one.height)
    return inputs.float(), (points - points[:, :1]).float()


def close(found, wanted, mm=5e-3, image=1e-5):
    torch.testing.assert_close(found[0], wanted[0], atol=image, rtol=0)
    torch.testing.assert_close(found[1], wanted[1], atol=mm, rtol=0)
