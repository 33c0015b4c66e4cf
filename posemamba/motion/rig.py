"""Virtual cameras placed around a body, and what they see of it."""

import math
from dataclasses import dataclass, replace

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
            With a range its logarithm is drawn.
        jitter: the camera looks at a point this far, at most, from the body along each world axis, mm.
        roll: about its own axis, degrees, to either side at most.
        aside: then it turns until the point is this far, at most, from the image's middle along x and along
            y, in half widths.
        size: width and height of the square image, pixels.

    Raises:
        ValueError: ranges that are empty or not positive.
    """

    distance: tuple[float, float] = (4500.0, 6500.0)
    height: tuple[float, float] = (800.0, 2000.0)
    focal: float | tuple[float, float] = 1145 / 500
    jitter: float = 250.0
    roll: float = 0.0
    aside: float = 0.0
    size: int = 1000

    def __post_init__(self):
        object.__setattr__(self, "_focal", self.focal if isinstance(self.focal, tuple) else (self.focal,) * 2)
        for name in ("distance", "height", "_focal"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                found = f"the rig's {name.strip('_')} is ({low}, {high})"
                raise ValueError(f"{found}, expected positive numbers in order")
        if not (self.size > 0 and min(self.jitter, self.roll, self.aside) >= 0):
            raise ValueError("the rig needs a positive size, and a jitter, roll and aside of 0 or more")

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
            distance = torch.maximum(distance, reach * (1 + self.aside) + 1500)
        height = self.height[0] + (self.height[1] - self.height[0]) * draws[..., 2]
        # The distance is the straight one; a body far above or below still gets a camera off its vertical.
        across = (distance**2 - (height - targets[..., 2]) ** 2).clamp_min((distance / 5) ** 2).sqrt()
        around = targets[..., :2] + across[..., None] * torch.stack([azimuth.cos(), azimuth.sin()], dim=-1)
        position = torch.cat([around, height[..., None]], dim=-1)
        aim = targets + self.jitter * (2 * draws[..., 3:] - 1)
        half, (low, high) = self.size / 2, self._focal
        camera = Camera.look_at(position, aim, low * half, width=self.size, height=self.size)
        if not (self.roll or self.aside or low < high):
            return camera
        draws = torch.rand(*targets.shape[:-1], 4, generator=generator, dtype=torch.float64).to(targets)
        focal = low * (high / low) ** draws[..., 0]
        roll = math.radians(self.roll) * (2 * draws[..., 1] - 1)
        # Turned by these, what was in the middle is at (x, y) in the image.
        x, y = (self.aside * (2 * draws[..., k] - 1) / focal for k in (2, 3))
        turn = _about(0, -y.atan()) @ _about(1, torch.atan2(x, (1 + y * y).sqrt())) @ _about(2, roll)
        rotation = turn @ camera.rotation
        translation = (turn @ camera.translation[..., None])[..., 0]
        focal = (focal * half)[..., None].expand(camera.focal.shape)
        return replace(camera, rotation=rotation, translation=translation, focal=focal)


#: Cameras of every kind: phones to lenses, from near to far, from the floor to above head height, rolled, and
#: with the person anywhere in the image.
WILD = CameraRig((2000.0, 8000.0), (300.0, 4000.0), (1.1, 4.0), 250.0, roll=30.0, aside=0.6)


def _about(axis: int, angle: Float[Tensor, "*b"]) -> Float[Tensor, "*b 3 3"]:
    """The rotation by an angle about an axis."""
    c, s, one, none = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    rows = [[one, none, none], [none, c, -s], [none, s, c]]
    rows = [[rows[(i - axis) % 3][(j - axis) % 3] for j in range(3)] for i in range(3)]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


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
