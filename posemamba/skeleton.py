"""The body: seventeen joints in Human3.6M's order, the bones between them, the two sides, the limbs.

Every array of a pose in this package ends in `(17, 2)` (image) or `(17, 3)` (space), in the order of
`JOINT_NAMES`. What detectors find are other joints: `JOINT_SETS` names them and makes the seventeen of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
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


def _both(*parts: str) -> list[str]:
    """Left and right of each part in turn."""
    return [f"{side} {part}" for part in parts for side in ("left", "right")]


_LEGS, _ARMS = _both("hip", "knee", "ankle"), _both("shoulder", "elbow", "wrist")
_LEFT_LEG, _RIGHT_LEG, _LEFT_ARM, _RIGHT_ARM = _LEGS[::2], _LEGS[1::2], _ARMS[::2], _ARMS[1::2]
H36M = Skeleton(
    name="Human3.6M",
    joints=("pelvis", *_RIGHT_LEG, *_LEFT_LEG, "spine", "thorax", "nose", "head", *_LEFT_ARM, *_RIGHT_ARM),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    left=(4, 5, 6, 11, 12, 13),
    right=(1, 2, 3, 14, 15, 16),
)

#: Of Human3.6M: the joints' names, their number, each one's parent, the 16 bones as (parent, child).
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


Recipe = dict[str, float]


@dataclass(frozen=True, eq=False)
class JointSet:
    """The joints that a detector finds, and how each of Human3.6M's 17 is made of them.

    Attributes:
        name: what the set is called.
        joints: the joints' names in its order.
        made: how to make those of the 17 that the set does not have under their own names, or may miss. The
            first recipe is the rule, the others stand in while its joints are unseen. A recipe gives joints
            of the set their weights, which sum to 1; a negative weight leads beyond the joints.

    Raises:
        ValueError: one of the 17 is not to be had, or a recipe is none.
    """

    name: str
    joints: tuple[str, ...]
    made: dict[str, tuple[Recipe, ...]] = field(default_factory=dict)

    def __post_init__(self):
        if others := sorted(set(self.made) - set(JOINT_NAMES)):
            raise ValueError(f"joint set {self.name!r} makes {others[0]!r}, none of Human3.6M's joints")
        for joint, recipe in [(name, recipe) for name in JOINT_NAMES for recipe in self.recipes(name)]:
            unknown, total = min(set(recipe) - set(self.joints), default=""), sum(recipe.values())
            fault = f"{unknown!r}, none of its joints" if unknown else f"weights that sum to {total:g}"
            if unknown or abs(total - 1) > 1e-6:
                raise ValueError(f"joint set {self.name!r} makes {joint!r} of {fault}")

    def recipes(self, joint: str) -> tuple[Recipe, ...]:
        """How one of the 17 is made: the rule, then what stands in for it."""
        return self.made.get(joint, ({joint: 1.0},))

    def convert(
        self,
        points: Float[np.ndarray, "*batch joints dims"],
        confidence: Float[np.ndarray, "*batch joints"] | None = None,
        present: Bool[np.ndarray, "*batch joints"] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Human3.6M's 17 joints out of the set's, in image or space.

        Args:
            points: in any unit.
            confidence: 1 everywhere where left out.
            present: which of the points count; those of a confidence above 0 where left out.

        Returns:
            The joints `(*batch, 17, dims)`; their confidence `(*batch, 17)`, the least of those that they
            were made of; which of them could be made, likewise. The others are 0.

        Raises:
            ValueError: shapes that do not fit.
        """
        points, count = np.asarray(points), len(self.joints)
        confidence = np.ones(points.shape[:-1]) if confidence is None else np.asarray(confidence)
        present = confidence > 0 if present is None else np.asarray(present)
        shapes = points.shape, confidence.shape, present.shape
        if points.ndim < 2 or points.shape[-2] != count or {*shapes[1:]} != {points.shape[:-1]}:
            found = ", ".join(map(str, shapes))
            raise ValueError(f"{self.name} has shapes {found}, expected (..., {count}, d) and (..., {count})")
        joints = np.zeros((*points.shape[:-2], JOINTS, points.shape[-1]))
        least, there = np.zeros(joints.shape[:-1]), np.zeros(joints.shape[:-1], bool)
        for at, joint in enumerate(JOINT_NAMES):
            for recipe in self.recipes(joint):
                parts = [self.joints.index(part) for part in recipe]
                use = present[..., parts].all(-1) & ~there[..., at]
                joints[use, at] = np.array(list(recipe.values())) @ points[..., parts, :][use]
                least[use, at] = confidence[..., parts][use].min(-1)
                there[use, at] = True
        return joints, least, there


_HIPS, _SHOULDERS, _EARS = (dict.fromkeys(_both(part), 0.5) for part in ("hip", "shoulder", "ear"))
_HALF_WAY = dict.fromkeys((*_HIPS, *_SHOULDERS), 0.25)
_TRUNK = {"pelvis": (_HIPS,), "spine": (_HALF_WAY,), "thorax": (_SHOULDERS,)}
_NECK = {"thorax": ({"neck": 1}, _SHOULDERS)}
# One ear stands in for both, the nose for the ears, the ears for the nose of somebody seen from behind. The
# head's top is as far beyond the ears as 0.35 of their distance from the shoulders' middle.
_ONE_EAR = (_EARS, {"left ear": 1}, {"right ear": 1})
_BEYOND = dict.fromkeys(_SHOULDERS, -0.175)
_HEADS = tuple(_BEYOND | dict.fromkeys(ears, 1.35 / len(ears)) for ears in (*_ONE_EAR, {"nose": 1}))
_FACE = {"nose": ({"nose": 1}, *_ONE_EAR), "head": _HEADS}


def _middle(hip: str) -> dict[str, tuple[Recipe, ...]]:
    """A trunk on the set's own middle of the hips and its neck; the sides stand in for them."""
    return {"pelvis": ({hip: 1}, _HIPS), "spine": ({hip: 0.5, "neck": 0.5}, _HALF_WAY)} | _NECK


_COCO = ("nose", *_both("eye", "ear"), *_ARMS, *_LEGS)
# OpenPose's two sets.
_UPPER, _LOWER = ("nose", "neck", *_RIGHT_ARM, *_LEFT_ARM), (*_RIGHT_LEG, *_LEFT_LEG)
_FACES = ("right eye", "left eye", "right ear", "left ear")
_FEET = [f"{side} {part}" for side in ("left", "right") for part in ("big toe", "small toe", "heel")]
_MPII = (*_RIGHT_LEG[::-1], *_LEFT_LEG, "pelvis", "thorax", "upper neck", "head top", *_RIGHT_ARM[::-1])
_MPII_TRUNK = {"spine": ({"pelvis": 0.5, "thorax": 0.5},)}
_MPII_FACE = {"nose": ({"upper neck": 1},), "head": ({"head top": 1},)}
_EYES = [f"{side} eye{part}" for side in ("left", "right") for part in (" inner", "", " outer")]
_MEDIAPIPE = ("nose", *_EYES, *_both("ear", "mouth"), *_ARMS, *_both("pinky", "index", "thumb"), *_LEGS)
_SETS = {
    "H36M-17": (JOINT_NAMES, {}),
    "COCO-17": (_COCO, _TRUNK | _FACE),
    "Halpe-26": ((*_COCO, "head", "neck", "hip", *_both("big toe", "small toe", "heel")), _middle("hip")),
    "BODY_25": ((*_UPPER, "middle hip", *_LOWER, *_FACES, *_FEET), _middle("middle hip") | _FACE),
    "COCO-18": ((*_UPPER, *_LOWER, *_FACES), _TRUNK | _FACE | _NECK),
    "MPII-16": ((*_MPII, *_LEFT_ARM), _MPII_TRUNK | _MPII_FACE),
    "BlazePose-33": ((*_MEDIAPIPE, *_both("heel", "foot index")), _TRUNK | _FACE),
}
#: What detectors find, by name, and how Human3.6M's joints are made of it.
JOINT_SETS = {name: JointSet(name, joints, made) for name, (joints, made) in _SETS.items()}
