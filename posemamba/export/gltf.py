"""glTF: skinned bodies that move, in one .glb that Blender, game engines and browsers open."""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posemamba import __version__, storage
from posemamba.export.armature import ARMATURE, NODES, Motion, armature_motion
from posemamba.export.scene import checked, hips, label, shades
from posemamba.lifting import Body
from posemamba.skeleton import LEFT

_METRES = 0.001  # in a millimetre
_THICK = 0.025  # of a bone, half its width in metres
_COMPONENTS = {np.dtype(np.uint8): 5121, np.dtype(np.uint16): 5123, np.dtype(np.float32): 5126}
_ARRAY, _ELEMENTS = 34962, 34963  # what a part of the buffer is for: vertices, their order
# A bone's shape: its beginning (0), a ring of four corners, its end (5); seen from outside against the clock.
_FACES = [(0, 2, 1), (0, 3, 2), (0, 4, 3), (0, 1, 4), (5, 1, 2), (5, 2, 3), (5, 3, 4), (5, 4, 1)]


class _File:
    """A glTF under way: its JSON, and its binary buffer."""

    def __init__(self):
        generator = f"posemamba {__version__}"
        self.json = {
            "asset": {"version": "2.0", "generator": generator},
            "scene": 0,
            "scenes": [{"nodes": []}],
        }
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, kind: str, **item) -> int:
        """Adds an item to a list of the JSON; its index."""
        self.json.setdefault(kind, []).append(item)
        return len(self.json[kind]) - 1

    def array(
        self, values, type_: str, target: int | None = None, dtype=np.float32, bounds: bool = False
    ) -> int:
        """Adds an array to the buffer; its accessor's index."""
        values = np.ascontiguousarray(values, dtype=dtype)
        data = values.tobytes()
        view = dict(
            buffer=0, byteOffset=self.size, byteLength=len(data), **({"target": target} if target else {})
        )
        limits = dict(min=np.atleast_1d(values.min(0)).tolist(), max=np.atleast_1d(values.max(0)).tolist())
        self.parts += [data, bytes(-len(data) % 4)]
        self.size += len(data) + len(self.parts[-1])
        shape = dict(componentType=_COMPONENTS[values.dtype], count=len(values), type=type_)
        return self.add(
            "accessors", bufferView=self.add("bufferViews", **view), **shape, **(limits if bounds else {})
        )

    def write(self, path: str | Path) -> None:
        text = json.dumps(
            self.json | {"buffers": [{"byteLength": self.size}]}, separators=(",", ":")
        ).encode()
        text += b" " * (-len(text) % 4)
        with storage.atomic_path(path) as temporary, open(temporary, "wb") as file:
            file.write(struct.pack("<4sII", b"glTF", 2, 28 + len(text) + self.size))
            file.write(struct.pack("<I4s", len(text), b"JSON") + text)
            file.write(struct.pack("<I4s", self.size, b"BIN\0"))
            file.writelines(self.parts)


def write_gltf(bodies: Sequence[Body], path: str | Path) -> None:
    """Writes all bodies as one .glb: for each a skeleton with a simple skin, and one animation that moves them all.

    Metres, y up; a body at rest is in a T pose and faces z. The camera's (x, y, z) is here (x, -y, -z). Bodies with no
    known place stand side by side on the floor y = 0. Time 0 is the video's first frame; before a body's first frame
    and after its last one it has no size.

    Args:
        path: the file; its folder must exist.

    Raises:
        ValueError: as `checked`.
    """
    bodies, file, channels, samplers = checked(bodies), _File(), [], []
    end = max(body.start + len(body) for body in bodies)

    def animate(node: int, property_: str, times: int, values: int, interpolation: str = "LINEAR") -> None:
        channels.append(dict(sampler=len(samplers), target=dict(node=node, path=property_)))
        samplers.append(dict(input=times, output=values, interpolation=interpolation))

    for body, place, colours in zip(bodies, hips(bodies), shades(bodies), strict=True):
        motion, name = armature_motion(body), label(body)
        joints = _skeleton(file, motion, place[0] * _METRES)
        person = file.add("nodes", name=name, children=[joints[0]])
        skinned = file.add("nodes", name=f"{name}_skin", **_skin(file, motion, joints, colours, name))
        file.json["scenes"][0]["nodes"] += [person, skinned]
        # A time of its own for each frame, in seconds of the video.
        times = file.array((body.start + np.arange(len(body))) / body.fps, "SCALAR", bounds=True)
        animate(joints[0], "translation", times, file.array(place * _METRES, "VEC3"))
        for index in range(len(ARMATURE)):
            animate(joints[index], "rotation", times, file.array(motion.turns[:, index], "VEC4"))
        seen = {0: body.start == 0, body.start: True} | {
            at: False for at in [body.start + len(body)] if at < end
        }
        if not all(seen.values()):
            steps = file.array(np.array(list(seen)) / body.fps, "SCALAR", bounds=True)
            scales = file.array(np.repeat([[float(each)] for each in seen.values()], 3, axis=1), "VEC3")
            animate(person, "scale", steps, scales, "STEP")
    file.add("animations", name="motion", channels=channels, samplers=samplers)
    file.write(path)


def _skeleton(file: _File, motion: Motion, place: np.ndarray) -> list[int]:
    """Adds the armature's nodes, its hips at `place`; their indices."""
    first, nodes = len(file.json.get("nodes", [])), []
    for index, (node, offset) in enumerate(zip(NODES, motion.offsets * _METRES, strict=True)):
        children = [first + child for child, other in enumerate(NODES) if other.parent == index]
        where = (offset if index else place).tolist()
        nodes.append(
            file.add(
                "nodes", name=node.name, translation=where, **({"children": children} if children else {})
            )
        )
    return nodes


def _skin(file: _File, motion: Motion, joints: list[int], colours: tuple[str, str], name: str) -> dict:
    """A mesh of a shape for each bone, which follows that bone alone, and the skin: what their node holds."""
    rest = motion.offsets * _METRES
    for index, node in enumerate(NODES[1:], 1):
        rest[index] += rest[node.parent]
    places = {node.joint: at for node, at in zip(NODES, rest, strict=True)}
    primitives = []
    for side, colour in zip(("right", "left"), colours, strict=True):
        owners = [
            at
            for at, bone in enumerate(ARMATURE)
            if bone.end is not None and (bone.end in LEFT) == (side == "left")
        ]
        corners = np.concatenate([_shape(rest[at], places[ARMATURE[at].end]) for at in owners])
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
        owners = np.repeat(owners, 3 * len(_FACES))
        attributes = dict(
            POSITION=file.array(corners.reshape(-1, 3), "VEC3", _ARRAY, bounds=True),
            NORMAL=file.array(normals.repeat(3, axis=0), "VEC3", _ARRAY),
            JOINTS_0=file.array(owners[:, None] * [1, 0, 0, 0], "VEC4", _ARRAY, np.uint8),
            WEIGHTS_0=file.array(np.tile([1, 0, 0, 0], (len(owners), 1)), "VEC4", _ARRAY),
        )
        paint = dict(baseColorFactor=[*_linear(colour), 1], metallicFactor=0, roughnessFactor=0.7)
        material = file.add("materials", name=f"{name}_{side}", pbrMetallicRoughness=paint)
        primitives.append(dict(attributes=attributes, material=material))
    bind = np.tile(np.eye(4), (len(joints), 1, 1))
    bind[:, 3, :3] = -rest  # column by column
    inverse = file.array(bind.reshape(-1, 16), "MAT4")
    skin = file.add("skins", name=name, joints=joints, inverseBindMatrices=inverse, skeleton=joints[0])
    return dict(mesh=file.add("meshes", name=name, primitives=primitives), skin=skin)


def _shape(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The triangles `(8, 3 corners, 3)` of a bone: two pyramids, whose common ring is a fifth along."""
    along = end - start
    way = along / max(np.linalg.norm(along), 1e-9) if along.any() else np.array([0.0, 1.0, 0.0])
    aside = np.cross(way, np.eye(3)[np.abs(way).argmin()])
    aside *= _THICK / np.linalg.norm(aside)
    ring = [aside, np.cross(way, aside), -aside, -np.cross(way, aside)]
    return np.array([start, *(start + along / 5 + each for each in ring), end])[np.array(_FACES)]


def _linear(colour: str) -> list[float]:
    """A colour such as "#0072B2" as glTF wants it: linear in light."""
    return [((int(colour[at : at + 2], 16) / 255 + 0.055) / 1.055) ** 2.4 for at in (1, 3, 5)]
