"""Virtual cameras placed around a body, and what they see of it."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from posemamba.camera import Camera, normalise_screen


@dataclass(frozen=True)
class CameraRig:
    """How virtual cameras are placed around a body. All ranges are drawn from uniformly.

    Attributes:
        distance: from the camera to the body, mm (nearest, farthest).
        height: of the camera above the floor z = 0, mm (lowest, highest).
        focal: focal length in units of half the image's width; 1145 pixels on 1000, as Human3.6M's cameras.
        jitter: the camera looks at a point this far, at most, from the body along each world axis, mm.
        size: width and height of the square image, pixels.

    Raises:
        ValueError: ranges that are empty or not positive.
    """

    distance: tuple[float, float] = (4500.0, 6500.0)
    height: tuple[float, float] = (800.0, 2000.0)
    focal: float = 1145 / 500
    jitter: float = 250.0
    size: int = 1000

    def __post_init__(self):
        for name in ("distance", "height"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"the rig's {name} is ({low}, {high}), expected positive numbers in order")
        if not (self.focal > 0 and self.size > 0 and self.jitter >= 0):
            raise ValueError("the rig needs a positive focal length and size and a jitter of 0 or more")

    def sample(
        self, generator: Generator, targets: Float[Tensor, "*b 3"], reach: Float[Tensor, "*b"] | None = None
    ) -> Camera:
        """A camera for each target (batch shape `*b`), at a random azimuth, looking near it.

        Args:
            generator: every random number comes from it, so equal states give equal cameras.
            targets: `(*b, 3)` points of the bodies, commonly the window's mean root, mm in the world.
            reach: `(*b,)` how far from its target a body gets, mm. The camera stands at least 1.5 m farther
                away, so that nothing of a runner's long window is behind it.
        """
        draws = torch.rand(*targets.shape[:-1], 6, generator=generator, dtype=torch.float64).to(targets)
        azimuth = 2 * math.pi * draws[..., 0]
        distance = self.distance[0] + (self.distance[1] - self.distance[0]) * draws[..., 1]
        if reach is not None:
            distance = torch.maximum(distance, reach + 1500)
        height = self.height[0] + (self.height[1] - self.height[0]) * draws[..., 2]
        # The distance is the straight one; a body far above or below still gets a camera off its vertical.
        across = (distance**2 - (height - targets[..., 2]) ** 2).clamp_min((distance / 5) ** 2).sqrt()
        around = targets[..., :2] + across[..., None] * torch.stack([azimuth.cos(), azimuth.sin()], dim=-1)
        position = torch.cat([around, height[..., None]], dim=-1)
        aim = targets + self.jitter * (2 * draws[..., 3:] - 1)
        return Camera.look_at(position, aim, self.focal * self.size / 2, width=self.size, height=self.size)


def see(world: Float[Tensor, "*b frames 17 3"], camera: Camera) -> tuple[Tensor, Tensor]:
    """What a camera of batch shape `*b` makes of windows `(*b, frames, 17, 3)`, mm.

    Returns:
        The network's input `(*b, frames, 17, 2)`, normalised, and its target `(*b, frames, 17, 3)` in the
        camera's frame, relative to the root, mm.
    """
    points = camera.world_to_camera(world)
    inputs = normalise_screen(camera.project(points), camera.width, camera.height)
    return inputs, points - points[..., :1, :]


def middle_and_reach(world: Float[Tensor, "*b frames 17 3"]) -> tuple[Tensor, Tensor]:
    """A window's mean root `(*b, 3)`, and how far from it a joint gets `(*b,)`, mm."""
    middle = world[..., 0, :].mean(dim=-2)
    return middle, (world - middle[..., None, None, :]).square().sum(-1).amax(dim=(-1, -2)).sqrt()
