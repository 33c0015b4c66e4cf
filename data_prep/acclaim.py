"""Acclaim skeletons and motion (.asf, .amc): what a file declares, and where its bones go.

A skeleton lists its bones by direction and length, in the world of its rest pose. A bone's `axis` is a frame
C in which its motion M turns it: what its parent does in the world is followed by C M C^-1. Its `dof` say
which numbers the motion has: rx, ry, rz turn about the frame's fixed axes, the first listed first; tx, ty, tz
move its start in that frame; l lengthens it. A bone without `dof` is stiff. The root takes its numbers in its
`order`; `position` and `orientation` (turns in the order of its `axis`) place it before it moves. Limits are
what a joint should keep to, not what was measured, so they are not applied.
"""

from collections import deque
from dataclasses import dataclass
from math import pi
from pathlib import Path

import numpy as np
from jaxtyping import Float

from data_prep.skeleton_text import TextFile, rotation

INCH = 25.4
_CHANNELS = ("tx", "ty", "tz", "rx", "ry", "rz", "l")
_ANGLES = {"deg": pi / 180, "degrees": pi / 180, "rad": 1.0, "radians": 1.0}


@dataclass(frozen=True, eq=False)
class Bone:
    """One bone of an Acclaim skeleton.

    Attributes:
        name, parent: names; the root's parent is None.
        direction: (3,) at rest, of length 1 but for the digits it is written with.
        length: in the file's unit.
        frame: (3, 3) what its motion is given in.
        channels: which of tx, ty, tz, rx, ry, rz and l its motion has, in the motion's order.
    """

    name: str
    parent: str | None
    direction: Float[np.ndarray, "3"]
    length: float
    frame: Float[np.ndarray, "3 3"]
    channels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class AcclaimSkeleton:
    """What an .asf declares.

    Attributes:
        path: the file.
        bones: by name, parents before children; the first is "root" and has no length.
        position: (3,) where the root is before it moves, in the file's unit.
        unit: millimetres: an inch divided by the `length` of the file's `:units`, as CMU's files mean it.
        angle: radians in one of the file's angles.
    """

    path: Path
    bones: dict[str, Bone]
    position: Float[np.ndarray, "3"]
    unit: float
    angle: float


@dataclass(frozen=True, eq=False)
class AcclaimMotion:
    """What an .amc holds.

    Attributes:
        path: the file.
        values: by bone (frames, channels), as written.
        angle: radians in one of its angles.
        fps: its rate where it names one (`:SAMPLES-PER-SECOND`), else None.
    """

    path: Path
    values: dict[str, Float[np.ndarray, "frames channels"]]
    angle: float
    fps: float | None

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.values["root"])


def read_asf(path: str | Path) -> AcclaimSkeleton:
    """Reads a skeleton.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: naming the file, the line where that helps, what was found and what was expected.
    """
    text = TextFile(path, "an Acclaim skeleton (.asf)")
    section, bone = "", None
    units = {"length": (0, ["1"]), "angle": (0, ["deg"])}
    root, bones, children = {}, {}, {}
    for number, words in text:
        key = words[0].lower()
        if bone and (key.startswith(":") or key == "begin"):
            break
        if key.startswith(":"):
            section = key[1:]
        elif section == "units":
            units[key] = number, words[1:]
        elif section == "root":
            root[key] = number, words[1:]
        elif section == "bonedata" and key == "begin":
            bone = {"begin": (number, [])}
        elif section == "bonedata" and key == "end" and bone:
            name = " ".join(bone.get("name", (0, []))[1])
            if not name or name in bones or name == "root":
                expected = "a name of its own in each begin ... end"
                raise text.fault(number, f"this bone is named {name!r}, expected {expected}")
            bones[name], bone = bone, None
        elif section == "bonedata" and bone is not None:
            bone.setdefault(key, (number, words[1:]))
        elif section == "hierarchy" and key not in ("begin", "end"):
            children.setdefault(words[0], []).extend((number, child) for child in words[1:])
    if bone:
        raise text.fault(
            bone["begin"][0], "this bone has no end, expected begin ... end; is the file cut short?"
        )
    for wanted, found in (("root", root), ("bonedata", bones), ("hierarchy", children)):
        if not found:
            raise ValueError(f"{path} has no :{wanted} section, expected :root, :bonedata and :hierarchy")
    number, words = units["angle"]
    if not words or words[0].lower() not in _ANGLES:
        raise text.fault(number, f"angle is {' '.join(words) or 'nothing'}, expected deg or rad")
    angle = _ANGLES[words[0].lower()]
    (length,) = text.numbers(*units["length"], 1, "length")
    if length <= 0:
        raise text.fault(units["length"][0], f"length is {length:g}, expected a positive number")
    orientation, position = (root.get(key, (0, ["0"] * 3)) for key in ("orientation", "position"))
    number, axis = root.get("axis", (0, ["XYZ"]))
    frame = _frame(text, number, [*orientation[1], *axis], angle, "the root's orientation and axis")
    channels = _channels(text, *root.get("order", (0, ["TX", "TY", "TZ", "RX", "RY", "RZ"])))
    if not channels:
        raise text.fault(
            root["order"][0], f"the root's order is empty, expected some of {' '.join(_CHANNELS)}"
        )
    declared = {"root": Bone("root", None, np.zeros(3), 0.0, frame, channels)}
    waiting = deque(["root"])
    while waiting:
        parent = waiting.popleft()
        for number, name in children.pop(parent, []):
            if name in declared or name not in bones:
                fault = "hangs from two bones or from itself" if name in declared else "has no :bonedata"
                raise text.fault(number, f"bone {name!r} {fault}, expected each bone of :bonedata once")
            declared[name] = _bone(text, name, parent, bones[name], angle)
            waiting.append(name)
    if left := [name for name in bones if name not in declared]:
        raise ValueError(
            f"{path}: {', '.join(left)} hang from no bone that hangs from the root in :hierarchy"
        )
    return AcclaimSkeleton(
        text.path, declared, np.array(text.numbers(*position, 3, "position")), INCH / length, angle
    )


def read_amc(path: str | Path, skeleton: AcclaimSkeleton) -> AcclaimMotion:
    """Reads the motion of a skeleton.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: a bone that the skeleton lacks, a frame that lacks a bone, too few or too many numbers,
            NaN: naming file, line, what was found and what was expected.
    """
    text = TextFile(path, "Acclaim motion (.amc)")
    sizes = {name: len(bone.channels) for name, bone in skeleton.bones.items() if bone.channels}
    values, last = {name: [] for name in sizes}, dict.fromkeys(sizes, 0)
    angle, fps, frame, seen, start = skeleton.angle, None, 0, 0, 0

    def whole(number: int) -> None:
        if frame and seen != len(sizes):
            lacking = ", ".join(name for name in sizes if last[name] != frame)
            expected = f"expected numbers for all {len(sizes)} bones in each; is the file cut short?"
            raise text.fault(number, f"frame {frame} (from line {start}) lacks {lacking}, {expected}")

    number = 0
    for number, words in text:
        name, size = words[0], len(words) - 1
        if name.startswith(":"):
            angle = _ANGLES.get(name[1:].lower(), angle)
            if name.lower() == ":samples-per-second":
                (fps,) = text.numbers(number, words[1:], 1, name)
        elif name.isdecimal() and not size:
            whole(number)
            frame, seen, start = frame + 1, 0, number
        elif name not in sizes and (name not in skeleton.bones or size):
            raise text.fault(
                number, f"{skeleton.path.name} has no moving bone {name!r}, expected {', '.join(sizes)}"
            )
        elif name in sizes:
            if not frame or last[name] == frame:
                found = f"comes twice in frame {frame}" if frame else "stands before the first frame's number"
                raise text.fault(number, f"{name} {found}, expected once a frame")
            try:
                values[name] += map(float, words[1:])
            except ValueError:
                size = -1
            if size != sizes[name]:
                text.numbers(number, words[1:], sizes[name], name)
            last[name], seen = frame, seen + 1
    whole(number)
    if not frame:
        raise ValueError(
            f"{path} holds no frames, expected a line with a number and one for each bone after it"
        )
    arrays = {name: np.array(values[name]).reshape(frame, size) for name, size in sizes.items()}
    if not all(np.isfinite(array).all() for array in arrays.values()):
        for number, words in text:
            if words[0] in sizes:
                text.numbers(number, words[1:], sizes[words[0]], words[0])
    return AcclaimMotion(text.path, arrays, angle, fps)


def bone_ends(
    skeleton: AcclaimSkeleton, motion: AcclaimMotion
) -> tuple[dict[str, Float[np.ndarray, "frames 3"]], dict[str, Float[np.ndarray, "frames 3"]]]:
    """Where the bones are, by forward kinematics over all frames at once.

    Returns:
        Their starts and their ends by name, mm, in the skeleton's world.
    """
    starts, ends, turns = {}, {}, {}
    for name, bone in skeleton.bones.items():
        values = motion.values.get(name, np.zeros((len(motion), 0)))
        column = {channel: values[:, [at]] for at, channel in enumerate(bone.channels)}
        nothing = np.zeros((len(motion), 1))
        move = np.hstack([column.get(channel, nothing) for channel in ("tx", "ty", "tz")])
        about = [channel for channel in bone.channels if channel[0] == "r"]
        turn = rotation(
            "".join(channel[1] for channel in about),
            np.hstack([nothing[:, :0], *map(column.get, about)]) * motion.angle,
        )
        if bone.parent is None:
            # Its numbers are the world's: where it is, and how its rest pose, `frame`, is turned.
            starts[name], turns[name] = skeleton.position + move, turn @ bone.frame
        else:
            starts[name] = ends[bone.parent] + _turned(turns[bone.parent], move @ bone.frame.T)
            turns[name] = turns[bone.parent] @ (bone.frame @ turn @ bone.frame.T)
        length = bone.length + column.get("l", nothing)
        ends[name] = starts[name] + _turned(turns[name], length * bone.direction)
    scaled = [{name: skeleton.unit * where for name, where in places.items()} for places in (starts, ends)]
    return scaled[0], scaled[1]


def _turned(turns, vectors):
    return (turns @ vectors[..., None])[..., 0]


def _channels(text: TextFile, number: int, words: list[str]) -> tuple[str, ...]:
    channels = tuple(word.lower() for word in words)
    if len(set(channels)) != len(channels) or not set(channels) <= set(_CHANNELS):
        raise text.fault(
            number, f"found {' '.join(words)}, expected some of {' '.join(_CHANNELS)}, each once"
        )
    return channels


def _frame(text: TextFile, number: int, words: list[str], angle: float, what: str) -> np.ndarray:
    """A frame from three angles and the order of their turns, such as "0 0 20 XYZ"."""
    order = "".join(words[3:]).lower() or "xyz"
    if sorted(order) != ["x", "y", "z"]:
        raise text.fault(number, f"{what} ends in {' '.join(words[3:])!r}, expected an order such as XYZ")
    angles = dict(zip("xyz", text.numbers(number, words[:3], 3, what), strict=True))
    return rotation(order, angle * np.array([[angles[axis] for axis in order]]))[0]


def _bone(text: TextFile, name: str, parent: str, lines: dict, angle: float) -> Bone:
    number = lines["begin"][0]
    for key in ("direction", "length"):
        if key not in lines:
            raise text.fault(number, f"bone {name!r} has no {key}, expected direction, length and axis")
    direction = np.array(text.numbers(*lines["direction"], 3, f"the direction of {name}"))
    (length,) = text.numbers(*lines["length"], 1, f"the length of {name}")
    size = np.linalg.norm(direction)
    if length and abs(size - 1) > 1e-3:
        # As written where it is one: the files' own digits are part of the motion that is made of them.
        if size == 0:
            raise text.fault(number, f"bone {name!r} has direction 0 0 0, expected one other than that")
        direction = direction / size
    frame = _frame(text, *lines.get("axis", (number, ["0"] * 3)), angle, f"the axis of {name}")
    channels = _channels(text, *lines.get("dof", (number, [])))
    return Bone(name, parent, direction, length, frame, channels)
