"""The body: seventeen joints in Human3.6M's order, the bones between them, the two sides, the limbs.

Every array of a pose in this package ends in `(17, 2)` (image) or `(17, 3)` (space), in the order of
`JOINT_NAMES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Skeleton:
    """A named set of joints hung from one root.

    Attributes:
        name: what the joint set is called.
        joints: the joints' names; a joint's index is its place here.
        parents: for each joint the index of the joint it hangs from, -1 for the root (exactly one).
        left, right: the joints of the body's two sides; `left[i]` and `right[i]` mirror each other.

    Raises:
        ValueError: these do not fit together.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]

    def __post_init__(self):
        count, sides, reached = len(self.joints), (*self.left, *self.right), {-1}
        for _ in self.parents:
            reached |= {child for child, parent in enumerate(self.parents) if parent in reached}
        paired = len(self.left) == len(self.right) and len(set(sides)) == len(sides)
        for fits, fault in (
            (len(self.parents) == count, f"has {count} joints but {len(self.parents)} parents"),
            (self.parents.count(-1) == 1, "must have exactly one root (parent -1)"),
            (len(reached) == count + 1, "has joints that do not hang from its root"),
            (paired, "needs as many left joints as right ones, each named once"),
        ):
            if not fits:
                raise ValueError(f"skeleton {self.name!r} {fault}")

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """The bones as (parent, child) pairs, in the children's order."""
        return tuple((parent, child) for child, parent in enumerate(self.parents) if parent >= 0)

    @cached_property
    def flip_order(self) -> tuple[int, ...]:
        """The permutation that swaps sides: joint i of a mirrored pose is joint flip_order[i] of the pose."""
        other = dict(zip((*self.left, *self.right), (*self.right, *self.left), strict=True))
        return tuple(other.get(joint, joint) for joint in range(len(self.joints)))


_PAIRED = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
_LEFT, _RIGHT = ([f"{side} {joint}" for joint in _PAIRED] for side in ("left", "right"))
H36M = Skeleton(
    name="Human3.6M",
    joints=("pelvis", *_RIGHT[:3], *_LEFT[:3], "spine", "thorax", "nose", "head", *_LEFT[3:], *_RIGHT[3:]),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    left=(4, 5, 6, 11, 12, 13),
    right=(1, 2, 3, 14, 15, 16),
)

JOINT_NAMES, JOINTS, PARENTS, BONES = H36M.joints, len(H36M.joints), H36M.parents, H36M.bones
LEFT, RIGHT, FLIP_ORDER = H36M.left, H36M.right, H36M.flip_order

# Each limb from the joint it hangs from to its end; the trunk is what the four leave over.
LIMBS = {
    "right leg": (0, 1, 2, 3),
    "left leg": (0, 4, 5, 6),
    "left arm": (8, 11, 12, 13),
    "right arm": (8, 14, 15, 16),
    "trunk": (0, 7, 8, 9, 10),
}

# The released model's limb order: the root, then the four limbs. Joints 7, 9 and 10 never occur in it,
# 0 occurs three times and 8 twice, so it is a reading of the tokens and not a permutation.
LIMB_ORDER = (0, *(joint for limb, joints in LIMBS.items() if limb != "trunk" for joint in joints))


def check_joints(array, name: str, dims: tuple[int, ...] = (2, 3)) -> None:
    """Raises ValueError unless an array, called `name`, holds poses `(..., 17, d)` with d of `dims`."""
    shape = tuple(array.shape)
    if len(shape) < 2 or shape[-2] != JOINTS or shape[-1] not in dims:
        wanted = " or ".join(f"(..., {JOINTS}, {d})" for d in dims)
        raise ValueError(f"{name} has shape {shape}, expected {wanted}: Human3.6M's {JOINTS} joints")


def flip(points: Float[Tensor, "*batch 17 dims"] | np.ndarray):
    """Mirrors poses: negates the first coordinate and swaps the left joints with the right ones.

    The horizontal flip of an image whose middle column is x = 0, and of a scene in that camera's frame.
    `points` is `(..., 17, d)`, d = 2 or 3; it is not written to.
    """
    check_joints(points, "points")
    mirrored = points[..., list(FLIP_ORDER), :]
    mirrored[..., 0] *= -1
    return mirrored


def bone_lengths(joints: Float[Tensor, "*batch 17 dims"] | np.ndarray):
    """The lengths `(..., 16)` of the bones of poses `(..., 17, d)`, in their unit, ordered as `BONES`."""
    check_joints(joints, "joints")
    parents, children = (list(ends) for ends in zip(*BONES, strict=True))
    return ((joints[..., children, :] - joints[..., parents, :]) ** 2).sum(-1) ** 0.5
