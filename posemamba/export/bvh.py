"""BVH: a skeleton of joints and their rotations, which all animation programs read."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from posemamba import storage
from posemamba.export.armature import ARMATURE, NODES, Bone, Motion, armature_motion
from posemamba.export.scene import checked, hips
from posemamba.lifting import Body

_CENTIMETRES = 0.1  # in a millimetre; BVH names no unit, and most programs take centimetres


def write_bvh(body: Body, path: str | Path) -> None:
    """Writes one body's motion as BVH: centimetres, y up, angles in degrees.

    The order of a joint's angles is Z, X, Y, and Z, Y, X in the legs; CHANNELS says so. The rest pose is a T
    pose that faces z, with bones of their mean lengths. The camera's (x, y, z) is here (x, -y, -z). A body
    whose place is not known has its hips above the origin and its lowest joint on the floor y = 0. BVH has no
    time of beginning: its first frame is the body's first.

    Args:
        path: the file; its folder must exist.

    Raises:
        ValueError: as `checked`.
    """
    checked([body])
    motion, place = armature_motion(body), hips([body])[0]
    table = np.concatenate([place * _CENTIMETRES, np.degrees(_angles(motion)).reshape(len(body), -1)], axis=1)
    told = ["MOTION", f"Frames: {len(body)}", f"Frame Time: {1 / body.fps:.8f}"]
    with storage.atomic_path(path) as temporary, open(temporary, "w", encoding="ascii", newline="\n") as file:
        file.write("\n".join(["HIERARCHY", *_hierarchy(motion, 0), *told]) + "\n")
        np.savetxt(file, table, fmt="%.4f")


def _hierarchy(motion: Motion, index: int, depth: int = 0) -> Iterator[str]:
    """The lines of a node and all that hangs from it."""
    node, indent = NODES[index], "  " * depth
    tip = index >= len(ARMATURE)
    yield indent + ("End Site" if tip else f"{'JOINT' if depth else 'ROOT'} {node.name}")
    yield indent + "{"
    yield f"{indent}  OFFSET {' '.join(f'{value:.5f}' for value in motion.offsets[index] * _CENTIMETRES)}"
    if not tip:
        turns = " ".join(f"{axis}rotation" for axis in _order(node))
        yield f"{indent}  CHANNELS {'3' if depth else '6 Xposition Yposition Zposition'} {turns}"
    for child, other in enumerate(NODES):
        if other.parent == index:
            yield from _hierarchy(motion, child, depth + 1)
    yield indent + "}"


def _order(bone: Bone) -> str:
    """The axes of a bone's angles: the middle one lies along legs and arms, so that a knee's bend by a
    right angle does not bring the jumps of a gimbal lock."""
    return "ZYX" if bone.name.endswith("Leg") else "ZXY"


def _angles(motion: Motion) -> Float[np.ndarray, "frames bones 3"]:
    """Each bone's angles, radians: of their two readings in each frame the one nearer to the last frame's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Gimbal lock", UserWarning)
        found = [Rotation.from_quat(turns) for turns in motion.turns.swapaxes(0, 1)]
        found = [turns.as_euler(_order(bone)) for turns, bone in zip(found, ARMATURE, strict=True)]
    angles = np.stack(found, axis=1)
    readings = np.stack([angles, angles * (1, -1, 1) + np.pi])
    for frame in range(1, len(angles)):
        last = angles[frame - 1]
        both = readings[:, frame] - 2 * np.pi * np.round((readings[:, frame] - last) / (2 * np.pi))
        angles[frame] = both[np.abs(both - last).sum(-1).argmin(0), np.arange(len(last))]
    return angles
