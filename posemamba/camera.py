"""Pinhole cameras with lens distortion, and the coordinates of the screen.

World: millimetres, z up. Camera: x right, y down, z forward. A world point X is `rotation @ X + translation`
in the camera's frame; its pixel is the distorted `(x/z, y/z)` times the focal length plus the centre.

The lens is Human3.6M's: radial k1, k2, k3 and tangential p1, p2. With r2 = x^2 + y^2 and
s = 1 + k1 r2 + k2 r2^2 + k3 r2^3 + p1 y + p2 x, a point (x, y) moves to (x s + p2 r2, y s + p1 r2). This is
what that data set's own code computes. OpenCV's form of Brown's model has 2 p1 y + 2 p2 x in s; with
Human3.6M's coefficients the two differ by less than a pixel inside the image.

Everything here raises ValueError for arrays of a shape that does not fit; the message names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Points = Float[Tensor, "*b_more 3"]
Pixels = Float[Tensor, "*b_more 2"]

# A point nearer to the camera's plane than this has no image (mm).
NEAR = 1.0
# What a camera's tensors end in, after the batch.
_SIZES = dict(rotation=(3, 3), translation=(3,), focal=(2,), center=(2,), radial=(3,), tangential=(2,))


@dataclass(frozen=True, eq=False)
class Camera:
    """One camera, or a batch of them with any leading shape `*b`.

    Attributes:
        rotation: `(*b, 3, 3)` from the world's axes to the camera's.
        translation: `(*b, 3)` the world's origin in the camera's frame, mm.
        focal: `(*b, 2)` focal length along x and y, pixels.
        center: `(*b, 2)` principal point, pixels.
        radial: `(*b, 3)` coefficients k1, k2, k3; zero where left out.
        tangential: `(*b, 2)` coefficients p1, p2; zero where left out.
        width, height: the image's size, pixels.
    """

    rotation: Float[Tensor, "... 3 3"]
    translation: Float[Tensor, "... 3"]
    focal: Float[Tensor, "... 2"]
    center: Float[Tensor, "... 2"]
    radial: Float[Tensor, "... 3"] | None = None
    tangential: Float[Tensor, "... 2"] | None = None
    width: int = 1000
    height: int = 1000

    def __post_init__(self):
        batch = tuple(self.rotation.shape[:-2])
        for name, size in _SIZES.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, self.focal.new_zeros(*batch, *size))
            found = tuple(getattr(self, name).shape)
            if found != (*batch, *size):
                raise ValueError(f"the camera's {name} has shape {found}, expected {(*batch, *size)}")
        if self.width <= 0 or self.height <= 0:
            found = f"the camera's image is {self.width} x {self.height} pixels"
            raise ValueError(f"{found}, expected positive sizes")

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading shape `*b`; `()` for one camera."""
        return tuple(self.translation.shape[:-1])

    @property
    def position(self) -> Float[Tensor, "*b 3"]:
        """Where the camera stands in the world, mm."""
        return -(self.rotation.transpose(-1, -2) @ self.translation[..., None])[..., 0]

    def __getitem__(self, index) -> Camera:
        """The cameras at `index` of the batch."""
        if not self.batch_shape:
            raise IndexError("this is one camera, not a batch of them")
        return replace(self, **{name: getattr(self, name)[index] for name in _SIZES})

    @classmethod
    def stack(cls, cameras: Sequence[Camera]) -> Camera:
        """Cameras of one batch shape and image size as one batch, along a new first dimension."""
        if len({(camera.width, camera.height) for camera in cameras}) != 1:
            raise ValueError("cameras to stack must be at least one and share one image size")
        tensors = {name: torch.stack([getattr(camera, name) for camera in cameras]) for name in _SIZES}
        return cls(**tensors, width=cameras[0].width, height=cameras[0].height)

    def to(self, *args, **kwargs) -> Camera:
        """The camera on another device or in another floating type; arguments as `Tensor.to`."""
        return replace(self, **{name: getattr(self, name).to(*args, **kwargs) for name in _SIZES})

    def _align(self, parameter: Tensor, points: Tensor, size: int, name: str) -> Tensor:
        """The parameter `(*b, k)`, with ones after `*b` for the middle dimensions of the points."""
        batch, found = self.batch_shape, tuple(points.shape)
        if not found or found[-1] != size or found[: len(batch)] != batch or len(found) <= len(batch):
            wanted = ", ".join([*map(str, batch), "...", str(size)])
            raise ValueError(f"{name} has shape {found}, expected ({wanted}) for a camera batch of {batch}")
        return parameter.reshape(*batch, *(1,) * (len(found) - 1 - len(batch)), parameter.shape[-1])

    def world_to_camera(self, points: Points) -> Points:
        """Points `(*b, ..., 3)` of the world in the camera's frame, both in mm."""
        translation = self._align(self.translation, points, 3, "points")
        rows = points.reshape(*self.batch_shape, -1, 3)
        return (rows @ self.rotation.transpose(-1, -2)).reshape(points.shape) + translation

    def camera_to_world(self, points: Points) -> Points:
        """The inverse of `world_to_camera`."""
        away = points - self._align(self.translation, points, 3, "points")
        return (away.reshape(*self.batch_shape, -1, 3) @ self.rotation).reshape(points.shape)

    def project(self, points: Points) -> Pixels:
        """The pixels `(*b, ..., 2)` of points `(*b, ..., 3)` in the camera's frame, mm.

        They are distorted by the lens and may lie outside the image. A point behind the camera, or less than
        1 mm in front of its plane, has no image: both its coordinates are NaN.
        """
        focal = self._align(self.focal, points, 3, "points")
        depth = points[..., 2:]
        seen = depth >= NEAR
        # The division stays finite where there is no image, so that the other points' gradients stay clean.
        plane = points[..., :2] / torch.where(seen, depth, torch.ones_like(depth))
        if self.radial.any() or self.tangential.any():
            p, r2, scale, _ = self._lens(plane)
            plane = plane * scale + p * r2
        pixels = focal * plane + self._align(self.center, points, 3, "points")
        return pixels.masked_fill(~seen, float("nan"))

    def unproject(self, pixels: Pixels, depth: Float[Tensor, "*b_more"]) -> Points:
        """The inverse of `project`: the points that have these pixels at these depths along the axis, mm.

        The distortion is inverted to rounding within the part of the image where the lens is one-to-one.
        """
        focal = self._align(self.focal, pixels, 2, "pixels")
        if depth.shape != pixels.shape[:-1]:
            found, wanted = tuple(depth.shape), tuple(pixels.shape[:-1])
            raise ValueError(f"depth has shape {found}, expected {wanted}: one depth a pixel")
        distorted = (pixels - self._align(self.center, pixels, 2, "pixels")) / focal
        plane = distorted
        for _ in range(8):  # Newton's method
            p, r2, scale, slope = self._lens(plane)
            by_scale = plane[..., None] * (slope * plane + p)[..., None, :]
            jacobian = (
                torch.diag_embed(scale.expand_as(plane)) + by_scale + 2 * p[..., None] * plane[..., None, :]
            )
            wrong = plane * scale + p * r2 - distorted
            plane = plane - torch.linalg.solve_ex(jacobian, wrong)[0]
        return F.pad(plane, (0, 1), value=1.0) * depth[..., None]

    def _lens(self, plane: Tensor) -> tuple[Tensor, ...]:
        """(p2, p1), r2, s and the slope of s's radial part, ds = slope (x dx + y dy), in the lens's model."""
        k1, k2, k3 = self._align(self.radial, plane, 2, "points").split(1, -1)
        p = self._align(self.tangential.flip(-1), plane, 2, "points")
        r2 = (plane * plane).sum(-1, keepdim=True)
        scale = 1 + r2 * (k1 + r2 * (k2 + r2 * k3)) + (p * plane).sum(-1, keepdim=True)
        return p, r2, scale, 2 * (k1 + r2 * (2 * k2 + r2 * 3 * k3))

    @classmethod
    def look_at(
        cls, position: Points, target: Points, focal: float, width: int = 1000, height: int = 1000
    ) -> Camera:
        """A camera that sees a point at its principal point, with the world's z upwards in the image.

        Args:
            position, target: `(*b, 3)` in the world, mm; ValueError for a vertical view: no up.
            focal, width, height: pixels; the principal point is the image's middle.
        """
        if position.shape != target.shape or position.shape[-1:] != (3,):
            found = f"{tuple(position.shape)} and {tuple(target.shape)}"
            raise ValueError(f"position and target have shapes {found}, expected (..., 3) twice, the same")
        forward = target - position
        across = forward[..., :2].norm(dim=-1)  # 0 when the view is vertical
        if (across <= 1e-6 * forward.norm(dim=-1)).any():
            raise ValueError("a camera must look at a point not straight above, below or at its position")
        forward = F.normalize(forward, dim=-1)
        x, y, _ = forward.unbind(-1)
        right = F.normalize(torch.stack([y, -x, torch.zeros_like(x)], dim=-1), dim=-1)
        rotation = torch.stack([right, torch.linalg.cross(forward, right), forward], dim=-2)
        translation, batch = -(rotation @ position[..., None])[..., 0], position.shape[:-1]
        center = position.new_tensor([width / 2, height / 2]).expand(*batch, 2)
        lengths = position.new_full((*batch, 2), float(focal))
        return cls(rotation, translation, lengths, center, width=width, height=height)


def _screen_middle(points: Tensor | np.ndarray, width: int, height: int, name: str):
    """The image's middle in units of half its width, in the points' own kind and type."""
    if tuple(points.shape[-1:]) != (2,):
        raise ValueError(f"{name} has shape {tuple(points.shape)}, expected (..., 2)")
    if width <= 0 or height <= 0:
        raise ValueError(f"the image is {width} x {height} pixels, expected positive sizes")
    middle = (1.0, height / width)
    return points.new_tensor(middle) if isinstance(points, Tensor) else np.array(middle, dtype=points.dtype)


def normalise_screen(pixels: Float[Tensor, "*shape 2"], width: int, height: int) -> Float[Tensor, "*shape 2"]:
    """Pixels to the network's input, `x/w*2 - 1, y/w*2 - h/w`, as VideoPose3D does; tensors or arrays.

    The image's width spans [-1, 1] and its height [-h/w, h/w], so that shapes keep their form.
    """
    return pixels * (2 / width) - _screen_middle(pixels, width, height, "pixels")


def denormalise_screen(
    points: Float[Tensor, "*shape 2"], width: int, height: int
) -> Float[Tensor, "*shape 2"]:
    """The inverse of `normalise_screen`."""
    return (points + _screen_middle(points, width, height, "points")) * (width / 2)
