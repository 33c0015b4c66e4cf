"""Motion in Biovision's format (.bvh): joints with offsets and channels, and a line of numbers a frame.

A joint's turns apply as its channels list them, the first outermost (R = R1 R2 R3); where it has positions
among its channels they replace its OFFSET. Any order and any number of channels will do, degrees always.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from data_prep.skeleton_text import TextFile, rotation

_CHANNELS = {f"{axis}{kind}": (kind, axis) for axis in "xyz" for kind in ("position", "rotation")}


@dataclass(frozen=True, eq=False)
class BvhMotion:
    """What a .bvh holds.

    Attributes:
        path: the file.
        parents: by joint the joint it hangs from, None for a root; parents before children. The end of a
            chain (`End Site`) is called "end of " and its joint.
        offsets: by joint (3,), in the file's unit.
        channels: by joint such as ("xposition", "zrotation"), in the file's order.
        values: (frames, channels) of all joints in order.
        fps: frames a second, a whole number where the file's time is one but for its digits.
    """

    path: Path
    parents: dict[str, str | None]
    offsets: dict[str, Float[np.ndarray, "3"]]
    channels: dict[str, tuple[str, ...]]
    values: Float[np.ndarray, "frames channels"]
    fps: float


def read_bvh(path: str | Path) -> BvhMotion:
    """Reads skeleton and motion; names become lower case.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: naming the file, the line where that helps, what was found and what was expected.
    """
    text = TextFile(path, "Biovision motion (.bvh)")
    lines = iter(text)
    number, words = next(lines, (1, []))
    if words != ["HIERARCHY"]:
        raise text.fault(number, f"found {' '.join(words)[:40]!r}, expected HIERARCHY, as a .bvh begins")
    parents, offsets, channels = {}, {}, {}
    chain, name = [], None
    for number, words in lines:
        key = words[0].upper()
        if key in ("ROOT", "JOINT", "END"):
            # Of an End Site the word "Site" is no name.
            name = f"end of {chain[-1]}" if key == "END" and chain else " ".join(words[1:]).lower()
            if name in parents or not name or (key == "JOINT") > bool(chain):
                raise text.fault(
                    number, f"found {' '.join(words)!r}, expected joints with names of their own"
                )
            parents[name], channels[name] = chain[-1] if chain else None, ()
        elif key == "{" and name not in chain and name is not None:
            chain.append(name)
        elif key == "}" and chain:
            if chain[-1] not in offsets:
                raise text.fault(number, f"joint {chain[-1]!r} has no OFFSET, expected one")
            name = chain.pop()
        elif key == "OFFSET" and chain:
            offsets[chain[-1]] = np.array(text.numbers(number, words[1:], 3, f"the offset of {chain[-1]}"))
        elif key == "CHANNELS" and chain:
            named = tuple(word.lower() for word in words[2:])
            if (
                words[1:2] != [str(len(named))]
                or not set(named) <= set(_CHANNELS)
                or len(set(named)) < len(named)
            ):
                expected = "their number and then Xposition, Zrotation and so on, each once"
                raise text.fault(number, f"found {' '.join(words)!r}, expected CHANNELS, {expected}")
            channels[chain[-1]] = named
        elif key == "MOTION" and not chain:
            break
        else:
            raise text.fault(
                number, f"found {' '.join(words)[:40]!r}, expected a hierarchy of joints, then MOTION"
            )
    else:
        raise ValueError(f"{path} ends before its MOTION section, expected one; is it cut short?")
    width = sum(map(len, channels.values()))
    if bare := [name for name in parents if name not in offsets]:
        raise ValueError(
            f"{path}: joint {bare[0]!r} has no {{ OFFSET ... }}, expected each joint to have one"
        )
    count, seconds = _header(text, lines, "frames:"), _header(text, lines, "frame time:")
    if seconds <= 0:
        raise ValueError(f"{path} has a Frame Time of {seconds:g}, expected a positive number of seconds")
    rows, numbers = [], []
    for number, words in lines:
        if len(words) != width:
            raise text.fault(number, f"found {len(words)} numbers, expected {width}, one a channel")
        rows.append(words)
        numbers.append(number)
    if len(rows) != count or not rows:
        raise ValueError(f"{path} holds {len(rows)} frames, expected the {count:g} that it announces")
    try:
        values = np.array(rows, dtype=np.float64)
    except ValueError:
        values = np.full((1, 1), np.nan)
    if not np.isfinite(values).all():
        for number, words in zip(numbers, rows, strict=True):
            text.numbers(number, words, width, "this frame")
    fps = 1 / seconds
    fps = float(round(fps)) if abs(fps - round(fps)) < 1e-3 * fps else fps
    return BvhMotion(text.path, parents, offsets, channels, values, fps)


def joint_places(motion: BvhMotion) -> dict[str, Float[np.ndarray, "frames 3"]]:
    """Where the joints and the ends of chains are, over all frames at once, in the file's unit.

    Also "beyond NAME" for each joint: as far beyond it as it is from the one it hangs from, turned with it.
    """
    places, turns, at = {}, {}, 0
    for name, parent in motion.parents.items():
        named = [_CHANNELS[channel] for channel in motion.channels[name]]
        columns = motion.values[:, at : at + len(named)]
        at += len(named)
        place = np.tile(motion.offsets[name], (len(columns), 1))
        for column, (kind, axis) in zip(columns.T, named, strict=True):
            if kind == "position":
                place[:, "xyz".index(axis)] = column
        turning = [index for index, (kind, _) in enumerate(named) if kind == "rotation"][::-1]
        turn = rotation("".join(named[index][1] for index in turning), np.radians(columns[:, turning]))
        if parent is None:
            places[name], turns[name] = place, turn
        else:
            places[name] = places[parent] + (turns[parent] @ place[..., None])[..., 0]
            turns[name] = turns[parent] @ turn
        places[f"beyond {name}"] = places[name] + turns[name] @ motion.offsets[name]
    return places


def _header(text: TextFile, lines, key: str) -> float:
    number, words = next(lines, (0, []))
    found = " ".join(words).lower()
    if not found.startswith(key):
        raise ValueError(f"{text.path}, line {number}: found {found[:40]!r}, expected {key!r} and a number")
    (value,) = text.numbers(number, found.removeprefix(key).split(), 1, key)
    return value
