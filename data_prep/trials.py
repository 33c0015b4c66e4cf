"""Captured trials: Human3.6M's 17 joints from the skeletons of motion capture, and the clips cut from them.

The reference is CMU's own Acclaim skeleton: the hips are the ends of the hip joints and the root their
middle, knees and ankles the ends of femur and tibia, spine the end of the lower back, thorax the middle of
the lowest neck bone, nose the end of the upper neck, head the end of the head, shoulders and elbows the ends
of clavicle and humerus, and wrists the ends of the wrist bones, a third of the forearm beyond the radius. Of
the .bvh files made from CMU's motion those for MotionBuilder and for 3ds Max keep these bones but for two,
which have no length any more. The wrist's is put back straight, as half of the radius, which it is; the
thorax as a second upper back, which it is to within some millimetres. Those for DAZ have a skeleton of their
own, whose nearest joints are taken; the top of the head, which they lack, is put where it is in the median of
CMU's clips, above the nose by 0.69 of its distance from the thorax.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from posemamba.skeleton import JOINT_NAMES

# Metres a second that no joint reaches (230 mm in a sixtieth of a second): a jump of the capture. Seconds
# that are left out at each side of one, and that a clip must last.
JUMP, MARGIN, LEAST = 13.8, 0.05, 1.5
# From nose to the top of the head, in distances from thorax to nose.
ABOVE = 0.69


@dataclass(frozen=True)
class Rig:
    """Where a family of skeletons has the 17 joints.

    Attributes:
        name: what the family is called in messages.
        sides: what the names of right and left begin with.
        legs, arms: hip, knee, ankle; shoulder, elbow, wrist, without the side.
        trunk: spine, thorax, nose, and head where there is one; of several places the mean, the lowest first.
        wrist: how far along the way from the elbow to the place named for it the wrist is.
        lost: the joint after which the thorax is missing.
    """

    name: str
    sides: tuple[str, str]
    legs: tuple[str, str, str]
    arms: tuple[str, str, str]
    trunk: tuple[tuple[str, ...], ...]
    wrist: float = 1.0
    lost: str = ""

    def places(self) -> tuple[tuple[str, ...], ...]:
        """For each of the 17 joints the places whose mean it is."""
        (right_leg, left_leg), (right_arm, left_arm) = (
            [[(side + part,) for part in parts] for side in self.sides] for parts in (self.legs, self.arms)
        )
        trunk = (*self.trunk, self.trunk[2])[:4]
        return ((*right_leg[0], *left_leg[0]), *right_leg, *left_leg, *trunk, *left_arm, *right_arm)


_NECK = ("start of lowerneck", "lowerneck")
ACCLAIM = Rig(
    "CMU's skeleton",
    *(("r", "l"), ("hipjoint", "femur", "tibia"), ("clavicle", "humerus", "wrist")),
    (("lowerback",), _NECK, ("upperneck",), ("head",)),
)
BVH = (
    Rig(
        "CMU's motion for MotionBuilder",
        *(("right", "left"), ("upleg", "leg", "foot"), ("arm", "forearm", "hand")),
        (("spine",), ("neck", "neck1"), ("head",), ("end of head",)),
        *(1.5, "spine1"),
    ),
    Rig(
        "CMU's motion for 3ds Max",
        *(("right", "left"), ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")),
        (("chest",), ("lowerneck", "neck"), ("head",), ("end of head",)),
        *(1.5, "chest2"),
    ),
    Rig(
        "CMU's motion for DAZ",
        *(("r", "l"), ("thigh", "shin", "foot"), ("shldr", "forearm", "hand")),
        (("abdomen",), ("lcollar", "rcollar"), ("head", "beyond head")),
    ),
)
# Millimetres in the units that such files are written in: CMU's own, inches, centimetres, metres, mm.
UNITS = (25.4 / 0.45, 25.4, 10.0, 1000.0, 1.0)


def seventeen(
    places: dict[str, Float[np.ndarray, "frames 3"]], rigs: tuple[Rig, ...], path
) -> Float[np.ndarray, "frames 17 3"]:
    """The 17 joints from named places, y up as they are; of several rigs the one that fits.

    Raises:
        ValueError: no rig finds all its places; what the nearest one lacks is named.
    """
    wanted = {rig: {*(place for joint in rig.places() for place in joint), rig.lost} - {""} for rig in rigs}
    rig = min(rigs, key=lambda rig: len(wanted[rig] - set(places)))
    if lacking := ", ".join(sorted(wanted[rig] - set(places))):
        which = rig.name if len(rigs) == 1 else f"{rig.name}, the nearest that is known"
        raise ValueError(f"{path} lacks {lacking}, expected what the 17 joints are made of: {which}")
    joints = np.stack([sum(places[place] for place in joint) / len(joint) for joint in rig.places()], axis=1)
    if rig.lost and np.allclose(places[rig.lost], places[rig.trunk[1][0]]):
        joints[:, JOINT_NAMES.index("thorax") :] += (places[f"beyond {rig.lost}"] - places[rig.lost])[:, None]
    if len(rig.trunk) == 3:
        thorax, nose, head = (JOINT_NAMES.index(name) for name in ("thorax", "nose", "head"))
        joints[:, head] += ABOVE * (joints[:, nose] - joints[:, thorax])
    for side in ("left", "right") * (rig.wrist != 1):
        elbow, wrist = (joints[:, JOINT_NAMES.index(f"{side} {joint}")] for joint in ("elbow", "wrist"))
        wrist += (rig.wrist - 1) * (wrist - elbow)
    return joints


def unit_of(joints: Float[np.ndarray, "frames 17 3"], path) -> float:
    """The unit of `UNITS` in which thigh and shin together are 600 to 1100 mm, in mm.

    Raises:
        ValueError: in none.
    """
    sides = (("right hip", "right knee", "right ankle"), ("left hip", "left knee", "left ankle"))
    places = joints[0, [[JOINT_NAMES.index(name) for name in side] for side in sides]]
    leg = np.linalg.norm(np.diff(places, axis=1), axis=-1).sum(axis=1).mean()
    fitting = [unit for unit in UNITS if 600 <= unit * leg <= 1100]
    if len(fitting) != 1:
        expected = "a unit in which it is 600 to 1100 mm (give it: --unit MILLIMETRES)"
        raise ValueError(f"{path}: a leg is {leg:.4g} of the file's units long, expected {expected}")
    return fitting[0]


def cut(
    joints: Float[np.ndarray, "frames 17 3"], rate: float, fps: float, path
) -> list[tuple[int, Float32[np.ndarray, "frames 17 3"]]]:
    """The clips of a trial, each with its place among the pieces that the trial falls into.

    The trial is thinned, and loses its first frame, which is a bind pose in many files. It is cut where a
    joint jumps. Each piece is laid so that its root is over the origin in the mean, and rounded to 0.25 mm.

    Args:
        joints: mm, y up.
        rate, fps: frames a second that the trial has and that the clips shall have.

    Raises:
        ValueError: the rate is no multiple of fps.
    """
    step = round(rate / fps)
    if step < 1 or abs(step * fps - rate) > 1e-3 * rate:
        expected = ", ".join(f"{rate / by:g}" for by in (1, 2, 3, 4))
        raise ValueError(
            f"{path} has {rate:g} frames a second, of which --fps {fps:g} cannot be thinned, "
            f"expected --fps {expected} or another that goes into it"
        )
    x, y, z = np.moveaxis(joints[::step][1:], -1, 0)
    joints = np.stack([x, -z, y], axis=-1).astype(np.float32)
    moved = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max(axis=-1, initial=0)
    good, margin = np.ones(len(joints), dtype=np.int8), max(1, round(MARGIN * fps))
    for jump in np.flatnonzero(moved > 1000 * JUMP / fps) + 1:
        good[max(0, jump - margin) : jump + margin] = 0
    edges = np.flatnonzero(np.diff(good, prepend=0, append=0)).reshape(-1, 2)
    clips = []
    for place, (start, stop) in enumerate(edges):
        if stop - start >= LEAST * fps:
            piece = joints[start:stop]
            centre = piece[:, 0].mean(axis=0) * np.float32([1, 1, 0])
            clips.append((place, np.round((piece - centre) * 4) / 4))
    return clips
