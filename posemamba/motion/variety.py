"""Bodies beyond those that were recorded, and joints where detectors, not motion capture, put them."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from posemamba.skeleton import BONES, FLIP_ORDER, JOINT_NAMES

_AT = {name: joint for joint, name in enumerate(JOINT_NAMES)}
_HIPS, _SHOULDERS = ([_AT[f"{side} {part}"] for side in ("left", "right")] for part in ("hip", "shoulder"))


@dataclass(frozen=True)
class BodyVariety:
    """How bodies are changed, each for a whole window. Normal draws have these standard deviations.

    Motion capture marks the skull's base, the neck and the middle of the back; a detector's nose lies in the
    face, and its neck and spine are middles of shoulders and hips. A share of the windows is given such
    joints, in input and truth alike, as `skeleton.JOINT_SETS` makes them for detectors.

    Attributes:
        size: of the whole body, in logarithms.
        bones: of each bone, left and right alike, in logarithms.
        lopsided: of each bone by itself, in logarithms.
        detectors: the share of windows with joints where detectors put them.
        face: degrees by which the head is turned from the shoulders' front.
        offsets: of the hips along the trunk, of nose and ears in any direction, mm.

    Raises:
        ValueError: a number below 0, or a share above 1.
    """

    size: float = 0.07
    bones: float = 0.1
    lopsided: float = 0.02
    detectors: float = 0.9
    face: float = 25.0
    offsets: float = 20.0

    def __post_init__(self):
        for name, value in vars(self).items():
            top = 1 if name == "detectors" else math.inf
            if not 0 <= value <= top:
                raise ValueError(f"the variety's {name} is {value}, expected 0 to {top:g}")

    def apply(
        self, world: Float[Tensor, "n frames 17 3"], generator: torch.Generator
    ) -> Float[Tensor, "n frames 17 3"]:
        """The same motion of other bodies; the root stays between the hips.

        Args:
            world: joints, mm, z upwards.
            generator: all that is random comes from it.
        """
        n = len(world)
        sizes, alike, each = (torch.randn(n, k, generator=generator) for k in (1, len(BONES), len(BONES)))
        other = [FLIP_ORDER[child] - 1 for _, child in BONES]  # a bone's number is its child's less one
        first = torch.tensor([min(bone, mirror) for bone, mirror in enumerate(other)])
        lengths = (self.bones * alike[:, first] + self.lopsided * each + self.size * sizes).exp().to(world)
        # The path is scaled too, so that it fits the legs.
        bodies = world * (self.size * sizes).exp().to(world)[..., None, None]
        for bone, (parent, child) in enumerate(BONES):
            vector = world[:, :, child] - world[:, :, parent]
            bodies[:, :, child] = bodies[:, :, parent] + lengths[:, bone, None, None] * vector
        chosen = torch.rand(n, generator=generator) < self.detectors
        detected = self._detected(bodies, generator)
        bodies = torch.where(chosen.to(world.device)[:, None, None, None], detected, bodies)
        bodies[:, :, 0] = bodies[:, :, _HIPS].mean(2)
        return bodies

    def _detected(self, bodies: Tensor, generator: torch.Generator) -> Tensor:
        """The joints as a detector's are made of the nose, ears, shoulders and hips that it finds."""
        draws = torch.randn(len(bodies), 8, generator=generator).to(bodies)
        bodies = bodies.clone()
        thorax, base, top = bodies[:, :, _SHOULDERS].mean(2), bodies[:, :, 9], bodies[:, :, 10]
        up = F.normalize(thorax - bodies[:, :, 0], dim=-1)
        bodies[:, :, _HIPS] += (self.offsets * draws[:, :1, None] * up)[:, :, None]
        root = bodies[:, :, _HIPS].mean(2)
        left = bodies[:, :, _SHOULDERS[0]] - bodies[:, :, _SHOULDERS[1]]
        skull = F.normalize(top - base, dim=-1)
        front = F.normalize(torch.linalg.cross(left, skull, dim=-1), dim=-1)
        left = torch.linalg.cross(skull, front, dim=-1)
        turn = torch.deg2rad(self.face * draws[:, 1])[:, None, None]
        front, left = turn.cos() * front + turn.sin() * left, turn.cos() * left - turn.sin() * front
        axes = torch.stack([front, left, skull], dim=-1)
        offset = draws[:, 2:].unflatten(1, (2, 3)) * self.offsets
        # Of a man's head: the nose's tip is a hand's width before the ears. And motion capture's neck is
        # straight, where a person's carries the ears some 4 cm ahead of the shoulders.
        offset[:, 0] += offset.new_tensor([40.0, 0.0, 45.0])
        offset[:, 1] += offset.new_tensor([150.0, 0.0, 25.0])
        ears, nose = (base + (axes @ offset[:, None, k, :, None])[..., 0] for k in (0, 1))
        bodies[:, :, 7], bodies[:, :, 8] = (root + thorax) / 2, thorax
        bodies[:, :, 9], bodies[:, :, 10] = nose, ears + 0.35 * (ears - thorax)
        return bodies
