"""What a network is asked for: joints relative to the root, mm, or MotionBERT's 2.5D; each with its inverse.

2.5D lays a pose on the image and measures depth in the image's own scale. A frame of Human3.6M has, as LCN's
published preparation computes it (Ci et al., 2019) and MotionBERT's file holds it:

- x, y: the joint's pixel through a pinhole. The lens's distortion is left out, so it is not quite the pixel
  where a detector finds the joint.
- z: how much deeper than the root the joint lies, times the pixels of a mm at the root's depth Z. These come
  from a box 2000 mm wide, counted from first pixel to last: (2000 focal / Z + 1) / 2000.
- the factor: mm per pixel. The evaluation multiplies truth and prediction by it.

The program that wrote the file's factors is not published. Its authors call them the lambda of LCN's longer
paper (Ci et al., 2022); those who rebuilt the file fit them: the number that brings a frame's root-relative
2.5D joints nearest to the root-relative joints in mm. That is `scale="fitted"`; `scale="box"` is the box's
own mm per pixel. The two differ by 1% on average, and by up to a tenth in a body that leans along the line of
sight. The file itself can tell, given its cameras: with the right one all four views find the same joints.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from posemamba.camera import Camera, denormalise_screen, normalise_screen

Joints = Float[Tensor, "*b frames joints 3"]
Factor = Float[Tensor, "*b frames"]

BOX = 2000.0  # mm


def root_relative(points: Joints) -> Joints:
    """Joints as seen from joint 0, the root, in the axes and units they came in."""
    if points.ndim < 3 or points.shape[-1] != 3:
        raise ValueError(f"the joints have shape {tuple(points.shape)}, expected (..., frames, joints, 3)")
    return points - points[..., :1, :]


def with_root(relative: Joints, root: Float[Tensor, "*b frames 3"]) -> Joints:
    """The inverse of `root_relative`, given where the root was."""
    return relative + root[..., None, :]


def to_image(points: Joints, camera: Camera, scale: str = "fitted") -> tuple[Joints, Factor]:
    """A pose in the camera's frame as 2.5D (Ci et al., 2019).

    Args:
        points: `(*b, frames, joints, 3)` in the camera's frame, mm; joint 0 is the root.
        camera: of batch shape `*b`.
        scale: what the factor is: "fitted" to the pose by least squares, or the "box"'s mm per pixel.

    Returns:
        `joint3d_image (*b, frames, joints, 3)` in pixels, x and y NaN where a joint is not before the camera,
        and the factor `(*b, frames)`, mm per pixel.
    """
    relative = root_relative(points)
    pixels = _pinhole(camera).project(points)
    pixel = _pixel(points[..., 0, 2], camera)
    image = torch.cat([pixels, relative[..., 2:] / pixel[..., None, None]], dim=-1)
    return image, _fit(root_relative(image), relative) if _fitted(scale) else pixel


def from_image(joint3d_image: Joints, factor: Factor, camera: Camera, scale: str = "fitted") -> Joints:
    """The inverse of `to_image`, exact to rounding: joints in the camera's frame, mm; arguments as there."""
    focal, z = camera.focal[..., :1], joint3d_image[..., 2]
    flat = _pinhole(camera).unproject(joint3d_image[..., :2], torch.ones_like(z))
    if _fitted(scale):
        # The joints are linear in the root's depth Z and the pixel's mm there, P = Z / (focal + Z / BOX):
        # flat (Z + z P). So is the factor that fits them, a Z + b P, a quadratic equation for Z.
        image = root_relative(joint3d_image)
        a, b = _fit(image, root_relative(flat)), _fit(image, flat * z[..., None])
        half = (a * focal + b - factor / BOX) / 2
        root = factor * focal / (half + (half**2 + a * factor * focal / BOX).sqrt())
    else:
        root = factor * focal / (1 - factor / BOX)
    return flat * (root[..., None] + z * _pixel(root, camera)[..., None])[..., None]


def to_millimetres(joint3d_image: Joints | np.ndarray, factor: Factor | np.ndarray) -> Joints | np.ndarray:
    """2.5D in mm: the file's `joints_2.5d_image`, which the evaluation compares, without perspective."""
    return joint3d_image * factor[..., None, None]


def normalise_image(joint3d_image: Joints | np.ndarray, width: int, height: int) -> Joints | np.ndarray:
    """2.5D as the network learns it: x, y as its input (`camera.normalise_screen`), z / w * 2."""
    normalised = joint3d_image * (2 / width)
    normalised[..., :2] = normalise_screen(joint3d_image[..., :2], width, height)
    return normalised


def denormalise_image(normalised: Joints | np.ndarray, width: int, height: int) -> Joints | np.ndarray:
    """The inverse of `normalise_image`."""
    image = normalised * (width / 2)
    image[..., :2] = denormalise_screen(normalised[..., :2], width, height)
    return image


def _pixel(depth: Factor, camera: Camera) -> Factor:
    """The mm of the box's pixel at this depth."""
    return depth / (camera.focal[..., :1] + depth / BOX)


def _pinhole(camera: Camera) -> Camera:
    return replace(camera, radial=None, tangential=None)


def _fit(pixels: Joints, millimetres: Joints) -> Factor:
    """The factor that brings pixels nearest to mm, in each frame."""
    return (pixels * millimetres).sum((-1, -2)) / (pixels * pixels).sum((-1, -2))


def _fitted(scale: str) -> bool:
    if scale not in ("fitted", "box"):
        raise ValueError(f'scale is "{scale}", expected "fitted" or "box"')
    return scale == "fitted"
