"""Bodies for the tests of motion capture: written down as .asf, .amc and .bvh, and moved by plain geometry.

A point is carried through a body here by turning it about one axis after the other, joint by joint up to the
root, by Rodrigues' formula: no matrix of the code under test is used.
"""

import random
from dataclasses import dataclass, field

import numpy as np

#: CMU's bones and what each hangs from.
CMU = {
    **{"lhipjoint": "root", "lfemur": "lhipjoint", "ltibia": "lfemur", "lfoot": "ltibia"},
    **{"rhipjoint": "root", "rfemur": "rhipjoint", "rtibia": "rfemur", "rfoot": "rtibia"},
    **{"lowerback": "root", "upperback": "lowerback", "thorax": "upperback"},
    **{"lowerneck": "thorax", "upperneck": "lowerneck", "head": "upperneck"},
    **{"lclavicle": "thorax", "lhumerus": "lclavicle", "lradius": "lhumerus", "lwrist": "lradius"},
    **{"rclavicle": "thorax", "rhumerus": "rclavicle", "rradius": "rhumerus", "rwrist": "rradius"},
}


def turned(vector, axis, angle):
    """A vector turned about an axis of length 1 (Rodrigues)."""
    along = np.dot(axis, vector) * axis
    return along + np.cos(angle) * (vector - along) + np.sin(angle) * np.cross(axis, vector)


@dataclass
class Bone:
    parent: str | None
    direction: np.ndarray
    length: float  # mm
    axis: tuple[float, float, float] = (0.0, 0.0, 0.0)  # radians
    order: str = "XYZ"
    dof: tuple[str, ...] = ("rx", "ry", "rz")

    def own_axis(self, letter):
        """The x, y or z of the bone's frame, in the world at rest."""
        axis = np.eye(3)["xyz".index(letter)]
        for turn in self.order.lower():
            axis = turned(axis, np.eye(3)["xyz".index(turn)], self.axis["xyz".index(turn)])
        return axis


@dataclass
class Body:
    bones: dict[str, Bone]
    root_order: tuple[str, ...] = ("tx", "ty", "tz", "rx", "ry", "rz")
    position: np.ndarray = field(default_factory=lambda: np.zeros(3))  # mm
    orientation: tuple[float, float, float] = (0.0, 0.0, 0.0)  # radians
    orientation_order: str = "XYZ"

    def channels(self, name):
        return self.root_order if name == "root" else self.bones[name].dof

    def motion(self, frames, seed=0, size=0.5):
        """Smooth numbers for all channels: radians and mm."""
        draws, time = np.random.default_rng(seed), np.arange(frames)[:, None] / 30
        values = {}
        for name in ("root", *self.bones):
            count = len(self.channels(name))
            phase, rate = draws.uniform(0, 6, count), draws.uniform(0.3, 1.5, count)
            scale = np.array([size if channel[0] == "r" else 40.0 for channel in self.channels(name)])
            values[name] = scale * np.sin(phase + rate * time)
        return values

    def ends(self, motion):
        """Where each bone ends: name to (frames, 3), mm."""
        frames = len(motion["root"])
        return {
            name: np.array([self._point(name, motion, frame, 1.0) for frame in range(frames)])
            for name in self.bones
        }

    def _point(self, name, motion, frame, part):
        if name == "root":
            moved = dict(zip(self.root_order, motion["root"][frame], strict=True))
            return self.position + [moved.get(channel, 0.0) for channel in ("tx", "ty", "tz")]
        bone = self.bones[name]
        moved = dict(zip(bone.dof, motion[name][frame], strict=True))
        start = self._point(bone.parent, motion, frame, 1.0)
        for letter in "xyz":
            slide = moved.get(f"t{letter}", 0.0) * bone.own_axis(letter)
            start = start + self._carried(bone.parent, slide, motion, frame)
        length = bone.length + moved.get("l", 0.0)
        return start + part * self._carried(name, length * bone.direction, motion, frame)

    def start(self, name, motion):
        return np.array([self._point(name, motion, frame, 0.0) for frame in range(len(motion["root"]))])

    def _carried(self, name, vector, motion, frame):
        """A vector of the rest pose's world, turned by a bone and by all it hangs from."""
        while name != "root":
            bone = self.bones[name]
            for channel, value in zip(bone.dof, motion[name][frame], strict=True):
                if channel[0] == "r":
                    vector = turned(vector, bone.own_axis(channel[1]), value)
            name = bone.parent
        for letter in self.orientation_order.lower():
            vector = turned(vector, np.eye(3)["xyz".index(letter)], self.orientation["xyz".index(letter)])
        for channel, value in zip(self.root_order, motion["root"][frame], strict=True):
            if channel[0] == "r":
                vector = turned(vector, np.eye(3)["xyz".index(channel[1])], value)
        return vector


def person(seed=0, odd=False):
    """A body with CMU's bones; an odd one has frames, orders and subsets of channels of every kind."""
    draws, picks = np.random.default_rng(seed), random.Random(seed)
    lengths = {"femur": 410, "tibia": 400, "radius": 200, "wrist": 100, "humerus": 290}
    bones = {}
    for name, parent in CMU.items():
        side = {"l": 1.0, "r": -1.0}.get(name[0], 0.0) * (name[:2] != "lo")
        legs = name[1:] in ("femur", "tibia", "hipjoint", "foot")
        direction = np.array([side * (0.3 if legs else 1.0), -1.0 if legs else float(side == 0), 0.1])
        direction = direction + draws.uniform(-0.1, 0.1, 3)
        bone = Bone(parent, direction / np.linalg.norm(direction), lengths.get(name[1:], 120.0))
        if odd:
            bone.axis = tuple(draws.uniform(-3, 3, 3))
            bone.order = "".join(picks.sample("XYZ", 3))
            bone.dof = tuple(picks.sample(("rx", "ry", "rz", "tx", "ty", "tz", "l"), picks.randrange(8)))
        bones[name] = bone
    if not odd:
        return Body(bones)
    order = tuple(picks.sample(("tx", "ty", "tz", "rx", "ry", "rz"), 6))
    place, turn = draws.uniform(-900, 900, 3), tuple(draws.uniform(-3, 3, 3))
    return Body(bones, order, place, turn, "".join(picks.sample("XYZ", 3)))


def asf(body, length=0.45, radians=False, shuffle=None, newline="\n"):
    """The skeleton as text; `shuffle` mixes bones and hierarchy by that seed."""
    unit, angle = 25.4 / length, 1.0 if radians else np.pi / 180
    names, picks = list(body.bones), random.Random(shuffle)
    if shuffle is not None:
        picks.shuffle(names)
    lines = [
        "# AST/ASF file, ends of lines and comments # like this",
        ":version 1.10",
        ":name VICON",
        ":units",
    ]
    lines += ["  mass 1.0", f"  length {length}", f"  angle {'rad' if radians else 'deg'}", ":documentation"]
    lines += ["  begin with care: not a keyword", ":root", f"  order {' '.join(body.root_order).upper()}"]
    lines += [f"  axis {body.orientation_order}", f"  position {words(body.position / unit)}"]
    lines += [f"  orientation {words(np.array(body.orientation) / angle)}", ":bonedata"]
    for number, name in enumerate(names, 1):
        bone = body.bones[name]
        lines += ["  begin", f"    id {number}", f"    name {name}", f"    direction {words(bone.direction)}"]
        lines += [
            f"    length {bone.length / unit!r}",
            f"    axis {words(np.array(bone.axis) / angle)} {bone.order}",
        ]
        if bone.dof:
            lines += [f"    dof {' '.join(bone.dof)}", "    limits (-160.0 20.0)"]
            lines += ["           (-inf, inf)"] * (len(bone.dof) - 1)
        lines += ["  end"]
    lines += [":hierarchy", "  begin"]
    parents = [bone.parent for bone in body.bones.values()]
    parents = sorted(set(parents), key=parents.index)
    if shuffle is not None:
        picks.shuffle(parents)
    for parent in parents:
        lines += [f"    {parent} {' '.join(name for name in names if body.bones[name].parent == parent)}"]
    return newline.join([*lines, "  end", ""])


def amc(body, motion, length=0.45, radians=False, shuffle=None, newline="\n", head=None):
    """The motion as text, in the same units."""
    unit, angle, names = 25.4 / length, 1.0 if radians else np.pi / 180, ["root", *body.bones]
    names = [name for name in names if body.channels(name)]
    picks = random.Random(shuffle)
    lines = [
        r"#!OML:ASF F:\VICON\body.ASF",
        ":FULLY-SPECIFIED",
        head or (":RADIANS" if radians else ":DEGREES"),
    ]
    for frame in range(len(motion["root"])):
        lines += [str(frame + 1)]
        if shuffle is not None:
            picks.shuffle(names)
        for name in names:
            scale = np.array([angle if channel[0] == "r" else unit for channel in body.channels(name)])
            lines += [f"{name} {words(motion[name][frame] / scale)}"]
    return newline.join([*lines, ""])


def words(values):
    return " ".join(map(repr, np.asarray(values, dtype=float).tolist()))


#: The joints that CMU's conversions for MotionBuilder have, and what each hangs from.
MOTION_BUILDER = {
    "Hips": None,
    **{"LHipJoint": "Hips", "LeftUpLeg": "LHipJoint", "LeftLeg": "LeftUpLeg", "LeftFoot": "LeftLeg"},
    **{"RHipJoint": "Hips", "RightUpLeg": "RHipJoint", "RightLeg": "RightUpLeg", "RightFoot": "RightLeg"},
    **{"LowerBack": "Hips", "Spine": "LowerBack", "Spine1": "Spine"},
    **{"Neck": "Spine1", "Neck1": "Neck", "Head": "Neck1"},
    **{"LeftShoulder": "Spine1", "LeftArm": "LeftShoulder", "LeftForeArm": "LeftArm"},
    **{"LeftHand": "LeftForeArm", "RightShoulder": "Spine1", "RightArm": "RightShoulder"},
    **{"RightForeArm": "RightArm", "RightHand": "RightForeArm"},
}


@dataclass
class Puppet:
    """Joints as a .bvh has them: offsets, channels in an order of their own, ends of chains.

    `parents` lists them as they are written: after each joint all that hangs from it.
    """

    parents: dict[str, str | None]
    offsets: dict[str, np.ndarray]
    channels: dict[str, tuple[str, ...]]

    @classmethod
    def drawn(cls, parents, seed=0, odd=False, size=100.0):
        draws, picks = np.random.default_rng(seed), random.Random(seed)
        offsets = {name: size * draws.uniform(-1, 1, 3) for name in parents}
        offsets |= {
            f"end of {name}": size * draws.uniform(-1, 1, 3)
            for name in parents
            if name not in parents.values()
        }
        turns, moves = (tuple(f"{axis}{kind}" for axis in "XYZ") for kind in ("rotation", "position"))
        channels = {name: ("Zrotation", "Yrotation", "Xrotation") for name in parents}
        if odd:
            channels = {name: tuple(picks.sample(turns + moves, picks.randrange(7))) for name in parents}
        for name in parents:
            channels[name] = channels[name] if parents[name] or odd else moves + channels[name]
        return cls(parents, offsets, channels)

    def motion(self, frames, seed=0):
        width = sum(map(len, self.channels.values()))
        return np.random.default_rng(seed).uniform(-80, 80, (1, width)) + np.arange(frames)[:, None]

    def place(self, name, row):
        """Where a joint or an end is in one frame: its offset carried up to the root, turn by turn."""
        name, point = (name[7:], self.offsets[name]) if name.startswith("end of ") else (name, np.zeros(3))
        at, columns = 0, {}
        for joint, channels in self.channels.items():
            columns[joint] = dict(zip(channels, row[at : at + len(channels)], strict=True))
            at += len(channels)
        while name:
            for channel in reversed(self.channels[name]):
                if channel.endswith("rotation"):
                    axis = np.eye(3)["XYZ".index(channel[0])]
                    point = turned(point, axis, np.radians(columns[name][channel]))
            moved = [
                columns[name].get(f"{axis}position", own)
                for axis, own in zip("XYZ", self.offsets[name], strict=True)
            ]
            point, name = point + moved, self.parents[name]
        return point

    def text(self, rows, seconds=1 / 120, newline="\n"):
        lines = ["HIERARCHY"]

        def joint(name, indent):
            kind = "JOINT" if self.parents[name] else "ROOT"
            lines.extend(
                [f"{indent}{kind} {name}", f"{indent}{{", f"{indent}\tOFFSET {words(self.offsets[name])}"]
            )
            lines.append(f"{indent}\tCHANNELS {len(self.channels[name])} {' '.join(self.channels[name])}")
            for child in (child for child, parent in self.parents.items() if parent == name):
                joint(child, indent + "\t")
            if f"end of {name}" in self.offsets:
                end = f"\tOFFSET {words(self.offsets[f'end of {name}'])}"
                lines.extend([f"{indent}\tEnd Site", f"{indent}\t{{", indent + "\t" + end, f"{indent}\t}}"])
            lines.append(f"{indent}}}")

        joint(next(iter(self.parents)), "")
        lines += ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {seconds:.7f}".replace(" 0.", " .")]
        return newline.join([*lines, *map(words, rows), ""])
