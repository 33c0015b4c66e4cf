"""Clips on disk.

A motion file is one `.safetensors` file: a float32 tensor `joints` (all frames, 17, 3) that holds the clips
one after another, and text metadata `{"format": "posemamba-motion", "version": "1", "clips": JSON}`, where
the JSON lists each clip's name, action, split, fps and number of frames in order. It is memory-mapped when
it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from operator import index
from pathlib import Path

import numpy as np

from posemamba.motion.clips import Clip
from posemamba.skeleton import JOINTS
from posemamba.storage import atomic_path, read_arrays
from posemamba.storage.kinds import existing_file

FORMAT = "posemamba-motion"
VERSION = 1


def save_motion(path: str | Path, clips: Sequence[Clip]) -> None:
    """Writes clips to one motion file, atomically: an interrupted write leaves an older file whole.

    Args:
        path: the file, commonly ending in `.safetensors`.
        clips: at least one.

    Raises:
        ValueError: no clips.
        PermissionError: on Windows, where the older file is still mapped (its clips are alive).
    """
    from safetensors.numpy import save

    clips = list(clips)
    if not clips:
        raise ValueError(f"{path}: there are no clips to save, expected at least one")
    listing = [
        {"name": c.name, "action": c.action, "split": c.split, "fps": float(c.fps), "frames": len(c)}
        for c in clips
    ]
    metadata = {"format": FORMAT, "version": str(VERSION), "clips": json.dumps(listing)}
    content = save({"joints": np.concatenate([clip.joints for clip in clips])}, metadata=metadata)
    # Written here and not by safetensors, whose own error on a full disk is no OSError.
    with atomic_path(path) as temporary:
        Path(temporary).write_bytes(content)


def load_motion(path: str | Path) -> list[Clip]:
    """Reads a motion file. The clips' joints are views of one memory map: pages are read when touched.

    The map is copy-on-write: writing into a clip changes memory and never the file.

    Args:
        path: a file that `save_motion` wrote.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it is not a motion file, is cut short, was written by a newer version, or holds a clip
            that `Clip` refuses.
    """
    from safetensors import SafetensorError, safe_open

    path = existing_file(path)
    try:
        # safetensors refuses a tensor that does not fit the file's bytes.
        with safe_open(path, "numpy") as file, path.open("rb") as start:
            metadata, names = file.metadata() or {}, list(file.keys())
            held = file.get_slice("joints") if names == ["joints"] else None
            shape, kind = (tuple(held.get_shape()), held.get_dtype()) if held else ((), "")
            offset = 8 + int.from_bytes(start.read(8), "little")
    except SafetensorError as error:
        raise ValueError(f"{path} is not a motion file, or is damaged or cut short: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} is not a motion file: its metadata names no {FORMAT!r} format")
    version = metadata.get("version", "")
    if version != str(VERSION):
        newer = ": a newer posemamba wrote it" if version.isdecimal() else ""
        raise ValueError(f"{path} has format version {version[:9]!r}, expected {str(VERSION)!r}{newer}")
    if kind != "F32" or len(shape) != 3 or shape[1:] != (JOINTS, 3):
        found = f"joints of type {kind} and shape {shape}" if held else f"the tensors {', '.join(names[:9])}"
        raise ValueError(f"{path} holds {found}, expected joints of type F32 and shape (frames, {JOINTS}, 3)")
    try:
        listing = json.loads(metadata["clips"])
        clips = [(index(c["frames"]), float(c["fps"]), c["name"], c["action"], c["split"]) for c in listing]
    except (LookupError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{path} has a damaged header: its list of clips cannot be read") from error
    lengths = [frames for frames, *_ in clips]
    if min(lengths, default=0) < 1 or sum(lengths) != shape[0]:
        raise ValueError(f"{path} lists clips of {sum(lengths)} frames in all but holds {shape[0]} frames")
    # A plain array over the map: the same memory, without memmap's own rules for copies and scalars.
    everything = np.asarray(np.memmap(path, dtype="<f4", mode="c", offset=offset, shape=shape))
    return _cut(path, everything.view(np.ndarray), clips)


def _cut(path: Path, joints: np.ndarray, clips: Iterable[tuple]) -> list[Clip]:
    """The clips that follow each other in `joints`, from their (frames, fps, name, action, split)."""
    result, at = [], 0
    for frames, fps, name, action, split in clips:
        try:
            result.append(Clip(joints[at : at + frames], fps, str(name), str(action), str(split)))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        at += frames
    return result


def read_cmu(path: str | Path) -> list[Clip]:
    """Reads capture of the CMU Motion Capture Database (mocap.cs.cmu.edu) that was reduced to the 17 joints.

    Such a file is an `.npz` with the arrays `joints` (all frames, 17, 3) mm, `length` (clips,), `split`,
    `action`, `name` (clips,) and `fps` (); what else it holds is left alone. The book's measured runs
    read cmu_mocap_17.npz, which is not distributed.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it is not such a file or holds a clip that `Clip` refuses.
    """
    path = Path(path)
    arrays = read_arrays(path)
    kinds = {"joints": "f", "length": "iu", "split": "U", "action": "U", "name": "U", "fps": "fiu"}
    for name, kind in kinds.items():
        if name not in arrays:
            raise ValueError(f"{path} lacks the array {name!r}, expected {', '.join(kinds)}")
        if arrays[name].dtype.kind not in kind:
            found = arrays[name].dtype
            raise ValueError(f"{path}: array {name!r} is of type {found}, expected plain numbers or text")
    joints, length = arrays["joints"], arrays["length"]
    if joints.ndim != 3 or joints.shape[1:] != (JOINTS, 3):
        raise ValueError(f"{path}: joints have shape {joints.shape}, expected (frames, {JOINTS}, 3)")
    texts = [arrays[name] for name in ("name", "action", "split")]
    if length.ndim != 1 or any(text.shape != length.shape for text in texts):
        raise ValueError(f"{path}: length, split, action and name differ in shape, expected one entry a clip")
    lengths = length.tolist()
    if sum(lengths) != len(joints) or min(lengths, default=1) < 1:
        raise ValueError(f"{path}: its lengths sum to {sum(lengths)} frames but it holds {len(joints)}")
    if arrays["fps"].size != 1:
        raise ValueError(f"{path}: fps has shape {arrays['fps'].shape}, expected one number")
    joints, rates = (
        np.ascontiguousarray(joints, dtype=np.float32),
        [float(arrays["fps"].item())] * len(length),
    )
    return _cut(path, joints, zip(lengths, rates, *texts, strict=True))
