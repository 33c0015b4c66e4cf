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
_THICK = 0.025  # half a bone's width, metres
_COMPONENTS = {"float32": 5126, "uint8": 5121}
_VERTICES = 34962  # what a part of the buffer is for
# A bone's triangles, against the clock from outside: its beginning (0), a ring of four corners, its end (5).
_FACES = [(0, 2, 1), (0, 3, 2), (0, 4, 3), (0, 1, 4), (5, 1, 2), (5, 2, 3), (5, 3, 4), (5, 4, 1)]


class _File:
    """A glTF under way: its JSON, and the parts of its binary buffer."""

    def __init__(self):
        self.json = {"asset": {"version": "2.0", "generator": f"posemamba {__version__}"}, "scene": 0}
        self.parts, self.size = [], 0

    def add(self, kind: str, **item) -> int:
        """Adds an item to one of the JSON's lists; its index there."""
        items = self.json.setdefault(kind, [])
        items.append({key: value for key, value in item.items() if value not in (None, [])})
        return len(items) - 1

    def array(self, values, type_: str, bounds=False, target=None, dtype="float32") -> int:
        """Adds an array to the buffer; its accessor's index."""
        values = np.ascontiguousarray(values, dtype=dtype)
        view = dict(buffer=0, byteOffset=self.size, byteLength=values.nbytes, target=target)
        self.parts += [values.tobytes(), bytes(-values.nbytes % 4)]
        self.size += sum(map(len, self.parts[-2:]))
        told = dict(componentType=_COMPONENTS[dtype], count=len(values), type=type_)
        told |= {k: np.atleast_1d(getattr(values, k)(0)).tolist() for k in ("min", "max") if bounds}
        return self.add("accessors", bufferView=self.add("bufferViews", **view), **told)

    def write(self, path: str | Path) -> None:
        self.add("buffers", byteLength=self.size)
        text = json.dumps(self.json, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        with storage.atomic_path(path) as temporary, open(temporary, "wb") as file:
            file.write(struct.pack("<4sII", b"glTF", 2, 28 + len(text) + self.size))
            file.write(struct.pack("<I4s", len(text), b"JSON") + text)
            file.write(struct.pack("<I4s", self.size, b"BIN\0"))
            file.writelines(self.parts)


def write_gltf(bodies: Sequence[Body], path: str | Path) -> None:
    """Writes all bodies as one .glb: a skeleton with a simple skin for each, and one animation.

    Metres, y up: the camera's (x, y, z) is here (x, -y, -z). A body at rest is in a T pose and faces z. Where
    a place is not known, all stand side by side on the floor y = 0. Time 0 is the video's first frame; before
    its own first frame and after its last one a body has no size.

    Args:
        path: the file; its folder must exist.

    Raises:
        ValueError: as `scene.checked`.
    """
    bodies, file, roots, channels, samplers = checked(bodies), _File(), [], [], []
    last = max(body.start + len(body) for body in bodies)

    def animate(node: int, property_: str, times: int, values: int, interpolation: str = "LINEAR") -> None:
        channels.append(dict(sampler=len(samplers), target=dict(node=node, path=property_)))
        samplers.append(dict(input=times, output=values, interpolation=interpolation))

    for body, place, colours in zip(bodies, hips(bodies), shades(bodies), strict=True):
        motion, name, first = armature_motion(body), label(body), len(file.json.get("nodes", []))
        for index, (node, offset) in enumerate(zip(NODES, motion.offsets, strict=True)):
            children = [first + child for child, other in enumerate(NODES) if other.parent == index]
            where = ((offset if index else place[0]) * _METRES).tolist()
            file.add("nodes", name=node.name, translation=where, children=children)
        roots += [file.add("nodes", name=name, children=[first])]
        roots += [file.add("nodes", name=f"{name}_skin", **_skin(file, motion, first, colours, name))]
        times = file.array((body.start + np.arange(len(body))) / body.fps, "SCALAR", bounds=True)
        animate(first, "translation", times, file.array(place * _METRES, "VEC3"))
        for index in range(len(ARMATURE)):
            animate(first + index, "rotation", times, file.array(motion.turns[:, index], "VEC4"))
        end = body.start + len(body)
        seen = {0: body.start == 0, body.start: True} | ({end: False} if end < last else {})
        if not all(seen.values()):
            times = file.array(np.array([*seen]) / body.fps, "SCALAR", bounds=True)
            sizes = np.tile(np.array([*seen.values()], dtype=float)[:, None], 3)
            animate(roots[-2], "scale", times, file.array(sizes, "VEC3"), "STEP")
    file.add("scenes", nodes=roots)
    file.add("animations", name="motion", channels=channels, samplers=samplers)
    file.write(path)


def _skin(file: _File, motion: Motion, first: int, colours: tuple[str, str], name: str) -> dict:
    """A mesh of one shape a bone, which follows that bone alone, and the skin: what their node holds."""
    rest = motion.offsets * _METRES
    for index, node in enumerate(NODES[1:], 1):
        rest[index] += rest[node.parent]
    ends, primitives = {node.joint: place for node, place in zip(NODES, rest, strict=True)}, []
    for is_left, colour in enumerate(colours):
        owners = [at for at, bone in enumerate(ARMATURE) if bone.end and (bone.end in LEFT) == is_left]
        corners = np.stack([_shape(rest[at], ends[ARMATURE[at].end], ARMATURE[at].rest) for at in owners])
        joints = np.repeat(owners, corners[0].size // 3)[:, None]
        attributes = dict(
            POSITION=file.array(corners.reshape(-1, 3), "VEC3", True, _VERTICES),
            JOINTS_0=file.array(joints * (1, 0, 0, 0), "VEC4", False, _VERTICES, "uint8"),
            WEIGHTS_0=file.array(joints * 0 + (1, 0, 0, 0), "VEC4", False, _VERTICES),
        )
        # glTF's colours are linear in light, "#0072B2" is not.
        paint = [((int(colour[at : at + 2], 16) / 255 + 0.055) / 1.055) ** 2.4 for at in (1, 3, 5)]
        paint = dict(baseColorFactor=[*paint, 1], metallicFactor=0, roughnessFactor=0.7)
        side = "left" if is_left else "right"
        painted = file.add("materials", name=f"{name}_{side}", pbrMetallicRoughness=paint)
        primitives.append(dict(attributes=attributes, material=painted))
    bind = np.tile(np.eye(4), (len(NODES), 1, 1))
    bind[:, 3, :3] = -rest  # column by column
    joints = [first + index for index in range(len(NODES))]
    bind = file.array(bind.reshape(-1, 16), "MAT4")
    skin = file.add("skins", name=name, joints=joints, inverseBindMatrices=bind, skeleton=first)
    return dict(mesh=file.add("meshes", name=name, primitives=primitives), skin=skin)


def _shape(start: np.ndarray, end: np.ndarray, way) -> np.ndarray:
    """The triangles `(8, 3 corners, 3)` of a bone: two pyramids, whose common ring is a fifth along."""
    aside = np.cross(way, np.eye(3)[np.abs(way).argmin()]) * _THICK
    across = np.cross(way, aside)
    ring = [start + (end - start) / 5 + each for each in (aside, across, -aside, -across)]
    return np.array([start, *ring, end])[np.array(_FACES)]
