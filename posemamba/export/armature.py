"""The 17 joints as bones that turn: what animation programs hold instead of points. Here y is up."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from posemamba.export.scene import upright
from posemamba.lifting import Body
from posemamba.skeleton import PARENTS

Vector = tuple[float, float, float]
_LEFT, _RIGHT, _UP, _DOWN = (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, -1.0, 0.0)
_UNTWIST = 2.0  # turns a second by which a bone at most turns back to no twist


class Bone(NamedTuple):
    """A bone: its name, its parent's index (-1: none), the joint where it begins, the one it leads to, its
    direction in the T pose. Without these two it is a frame, which three joints turn, or a limb's tip."""

    name: str
    parent: int
    joint: int
    end: int | None = None
    rest: Vector = (0.0, 0.0, 0.0)


# Each bone has a turn of its own, as in CMU's BVH files: some begin where their parent does.
ARMATURE = (
    Bone("Hips", -1, 0),
    Bone("RHipJoint", 0, 0, 1, _RIGHT),
    Bone("RightUpLeg", 1, 1, 2, _DOWN),
    Bone("RightLeg", 2, 2, 3, _DOWN),
    Bone("LHipJoint", 0, 0, 4, _LEFT),
    Bone("LeftUpLeg", 4, 4, 5, _DOWN),
    Bone("LeftLeg", 5, 5, 6, _DOWN),
    Bone("LowerBack", 0, 0, 7, _UP),
    Bone("Spine", 7, 7, 8, _UP),
    Bone("Chest", 8, 8),
    Bone("Neck", 9, 8, 9, _UP),
    Bone("Head", 10, 9, 10, _UP),
    Bone("LeftShoulder", 9, 8, 11, _LEFT),
    Bone("LeftArm", 12, 11, 12, _LEFT),
    Bone("LeftForeArm", 13, 12, 13, _LEFT),
    Bone("RightShoulder", 9, 8, 14, _RIGHT),
    Bone("RightArm", 15, 14, 15, _RIGHT),
    Bone("RightForeArm", 16, 15, 16, _RIGHT),
)
_FEET = Bone("RightFoot", 3, 3), Bone("LeftFoot", 6, 6)
NODES = (*ARMATURE, *_FEET, Bone("HeadTop", 11, 10), Bone("LeftHand", 14, 13), Bone("RightHand", 17, 16))
# What turns a frame: across from the first joint to the second, and up from the third to the fourth.
_FRAMES = {"Hips": (1, 4, 0, 7), "Chest": (14, 11, 7, 8)}


class Motion(NamedTuple):
    """A body's motion as turns of bones whose lengths do not change.

    Attributes:
        offsets: from where a node's parent is to it, in the T pose, mm: nothing, or a bone's mean length.
        turns: each bone's rotation relative to its parent's, a quaternion (x, y, z, w) of length 1 whose sign
            does not jump; in the T pose all are (0, 0, 0, 1). Bones and nodes are ordered as `NODES`.
    """

    offsets: Float[np.ndarray, "nodes 3"]
    turns: Float[np.ndarray, "frames bones 4"]


def armature_motion(body: Body) -> Motion:
    """The turns that lead an armature along with a body.

    A bone points where it does in the body, by the least turn from the T pose relative to its parent: without
    a twist about itself. Where it points against its direction in the T pose no turn is the least; near there
    it keeps its twist from frame to frame, and loses it at two turns a second. The hips and the chest are
    whole frames: across from side to side, and up as far as that leaves it.
    """
    points = upright(body.joints)
    turned, turns = [], np.empty((len(body), len(ARMATURE), 4))  # `turned`: relative to the world
    for index, bone in enumerate(ARMATURE):
        parent = turned[bone.parent] if index else Rotation.identity(len(body))
        if bone.end is None:
            left, right, low, high = (points[:, joint] for joint in _FRAMES[bone.name])
            turn = parent.inv() * _frames(right - left, high - low)
        else:
            way = parent.inv().apply(points[:, bone.end] - points[:, bone.joint])
            turn = _swings(way, bone.rest, body.fps)
        turned.append(parent * turn)
        turns[:, index] = turn.as_quat()
    turns[1:] *= np.cumprod(np.where((turns[1:] * turns[:-1]).sum(-1) < 0, -1, 1), axis=0)[..., None]
    lengths = np.linalg.norm(points - points[:, [max(parent, 0) for parent in PARENTS]], axis=-1).mean(0)
    rests = {bone.end: bone.rest for bone in ARMATURE} | {0: (0, 0, 0)}
    begins = [node.joint != NODES[node.parent].joint for node in NODES]
    offsets = np.array([rests[node.joint] for node in NODES]) * lengths[[node.joint for node in NODES], None]
    return Motion(offsets * np.array(begins)[:, None], turns)


def _held(values: np.ndarray, valid: np.ndarray, first) -> np.ndarray:
    """The values; those that are not valid are the last valid ones, or else the next ones, or `first`."""
    if not valid.any():
        return np.broadcast_to(np.asarray(first, dtype=float), values.shape)
    last = np.maximum.accumulate(np.where(valid, np.arange(len(valid)), -1))
    return values[np.where(last < 0, valid.argmax(), last)]


def _frames(across: np.ndarray, up: np.ndarray):
    """Rotations that take x to `across` `(frames, 3)` and y as near to `up` as that allows."""
    ahead = np.cross(across, up)
    size, length = (np.linalg.norm(each, axis=-1, keepdims=True) for each in (ahead, across))
    valid = (size > 1e-3 * np.maximum(length * np.linalg.norm(up, axis=-1, keepdims=True), 1))[:, 0]
    x, z = across / np.maximum(length, 1e-9), ahead / np.maximum(size, 1e-9)
    return Rotation.from_matrix(_held(np.stack([x, np.cross(z, x), z], axis=-1), valid, np.eye(3)))


def _arcs(start: np.ndarray, end: np.ndarray):
    """The least rotations that take unit vectors `(frames, 3)` to others; half turns to opposite ones."""
    turn = np.concatenate([np.cross(start, end), 1 + (start * end).sum(-1, keepdims=True)], axis=-1)
    aside = np.cross(start, np.eye(3)[np.abs(start).argmin(-1)])
    opposite = np.linalg.norm(turn, axis=-1, keepdims=True) < 1e-6
    return Rotation.from_quat(np.where(opposite, np.pad(aside, ((0, 0), (0, 1))), turn))


def _swings(vectors: np.ndarray, rest: Vector, fps: float):
    """Rotations that take a direction to those of vectors `(frames, 3)`: least ones, continuous in time."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    ways = _held(vectors / np.maximum(length, 1e-9), length[:, 0] > 1e-3, rest)
    swings = _arcs(np.broadcast_to(rest, ways.shape), ways)
    if len(ways) < 2:
        return swings
    # The twist by which each least turn differs from the last one carried along; what is owed is paid slowly.
    slip = (swings[1:].inv() * (_arcs(ways[:-1], ways[1:]) * swings[:-1])).as_quat()
    slip = 2 * np.arctan2(slip[:, :3] @ np.array(rest), slip[:, 3])
    twist, twists, most = 0.0, [0.0], 2 * math.pi * _UNTWIST / fps
    for step in slip.tolist():
        twist = (twist + step + math.pi) % (2 * math.pi) - math.pi
        twist -= min(max(twist, -most), most)
        twists.append(twist)
    return swings * Rotation.from_rotvec(np.array(twists)[:, None] * rest)
