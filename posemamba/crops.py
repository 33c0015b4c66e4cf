"""A person as a camera of their own would see them: turned to face them, and of one size.

A body's picture depends on where in the image it stands: beside the middle it is seen from another side, and
farther away it is smaller. With the focal length known both can be undone (Yu et al., 2021). A virtual camera
at the same place turns until its axis meets the person, and its picture is scaled to one spread. What a
network says in that camera's axes is turned back into the true one's.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

#: What a network may be shown, `PoseMambaConfig.view`.
VIEWS = ("image", "person")


@dataclass(frozen=True, eq=False)
class PersonView:
    """Windows of keypoints `(*b, frames, 17, 2)` as virtual cameras see them, one a window.

    Attributes:
        inputs: in units of the person's spread, the root mean square distance of their joints from the middle
            of their frame.
        rotation: from the camera's axes to the virtual one's.
        spread: that unit, at a distance of 1.
    """

    inputs: Float[Tensor, "... frames joints 2"]
    rotation: Float[Tensor, "... 3 3"]
    spread: Float[Tensor, "..."]

    def turn(self, joints: Float[Tensor, "*b frames joints 3"]) -> Float[Tensor, "*b frames joints 3"]:
        """Joints in the camera's axes, root-relative or not, in the virtual camera's."""
        return joints @ self.rotation.transpose(-1, -2)[..., None, :, :]

    def turn_back(self, joints: Float[Tensor, "*b frames joints 3"]) -> Float[Tensor, "*b frames joints 3"]:
        """The inverse of `turn`: a network's answers in the camera's axes."""
        return joints @ self.rotation[..., None, :, :]


def person_view(
    keypoints: Float[Tensor, "*b frames joints 2"],
    focal: float | Float[Tensor, "*b"],
    center: tuple[float, float] | Float[Tensor, "*b 2"],
) -> PersonView:
    """Windows of keypoints as a virtual camera sees them that faces the person (after Yu et al., 2021).

    It turns by the least rotation that brings the person's middle, the median over the window's frames, to
    its axis. A person who walks leaves the middle within a window and comes back: their path is kept.

    Args:
        keypoints: pixels without distortion.
        focal, center: of each window's camera, pixels.

    Raises:
        ValueError: keypoints that all lie in one point, or a focal length that is not positive.
    """
    focal = torch.as_tensor(focal).to(keypoints)[..., None, None, None]
    center = torch.as_tensor(center).to(keypoints)[..., None, None, :]
    if not (focal > 0).all():
        raise ValueError(f"the focal length is {focal.min():g} pixels, expected a positive number")
    rays = F.normalize(F.pad((keypoints - center) / focal, (0, 1), value=1.0), dim=-1)
    x, y, z = F.normalize(rays.mean(-2).median(-2).values, dim=-1).unbind(-1)
    # Rodrigues' formula for the rotation of (x, y, z) to (0, 0, 1) about their common normal.
    c = 1 / (1 + z)
    rows = [1 - c * x * x, -c * x * y, -x, -c * x * y, 1 - c * y * y, -y, x, y, z]
    rotation = torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
    turned = rays @ rotation.transpose(-1, -2)[..., None, :, :]
    # Farther than 87 degrees aside there is no image.
    flat = turned[..., :2] / turned[..., 2:].clamp_min(0.05)
    spread = (flat - flat.mean(-2, keepdim=True)).square().sum(-1).mean((-1, -2)).sqrt()
    if not (spread > 0).all():
        raise ValueError("a window's keypoints all lie in one point, expected a body")
    return PersonView(flat / spread[..., None, None, None], rotation, spread)
