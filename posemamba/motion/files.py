"""Clips on disk.

A motion file is one `.safetensors` file: a float32 tensor `joints` (all frames, 17, 3) that holds the clips
one after another, and text metadata `{"format": "posemamba-motion", "version": "1", "clips": JSON}`, where
the JSON lists each clip's name, action, split, fps and number of frames in order.
"""

import json
from collections.abc import Sequence
from operator import index
from pathlib import Path

import numpy as np

from posemamba.motion.clips import Clip
from posemamba.skeleton import JOINTS
from posemamba.storage import atomic_path, read_arrays
from posemamba.storage.kinds import existing_file

FORMAT, VERSION = "posemamba-motion", "1"


def save_motion(path: str | Path, clips: Sequence[Clip]) -> None:
    """Writes one or more clips to a motion file (`.safetensors`), atomically.

    Raises:
        ValueError: no clips.
        PermissionError: on Windows, where the older file is still mapped (its clips are alive).
    """
    from safetensors.numpy import save

    clips = list(clips)
    if not clips:
        raise ValueError(f"{path}: there are no clips to save, expected at least one")
    facts = ("name", "action", "split", "fps")
    listing = [{name: getattr(clip, name) for name in facts} | {"frames": len(clip)} for clip in clips]
    metadata = {"format": FORMAT, "version": VERSION, "clips": json.dumps(listing, default=float)}
    content = save({"joints": np.concatenate([clip.joints for clip in clips])}, metadata=metadata)
    # Written here and not by safetensors, whose own error on a full disk is no OSError.
    with atomic_path(path) as temporary:
        Path(temporary).write_bytes(content)


def load_motion(path: str | Path) -> list[Clip]:
    """Reads what `save_motion` wrote. The clips' joints are views of one memory map, read when touched.

    The map is copy-on-write: writing into a clip changes memory and never the file.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it is not a motion file, is cut short or newer, or has a clip that `Clip` refuses.
    """
    from safetensors import SafetensorError, safe_open

    path = existing_file(path)
    try:
        # safetensors refuses a tensor that does not fit the file's bytes.
        with safe_open(path, "numpy") as file, path.open("rb") as start:
            metadata, names = file.metadata() or {}, list(file.keys())
            if metadata.get("format") != FORMAT:
                raise ValueError(f"{path} is not a motion file: its metadata names no {FORMAT!r} format")
            joints = file.get_slice("joints")
            shape, kind = tuple(joints.get_shape()), joints.get_dtype()
            offset = 8 + int.from_bytes(start.read(8), "little")
    except SafetensorError as error:
        raise ValueError(f"{path} is not a motion file, or is damaged or cut short: {error}") from error
    version = metadata.get("version", "")
    if version != VERSION:
        newer = ": a newer posemamba wrote it" if version.isdecimal() else ""
        raise ValueError(f"{path} has format version {version[:9]!r}, expected {VERSION!r}{newer}")
    if names != ["joints"] or kind != "F32" or len(shape) != 3 or shape[1:] != (JOINTS, 3):
        found = f"{' and '.join(names[:9])}, its joints of type {kind} and shape {shape}"
        raise ValueError(f"{path} holds {found}, expected joints of type F32 and shape (frames, {JOINTS}, 3)")
    try:
        listing = json.loads(metadata["clips"])
        clips = [(index(c["frames"]), float(c["fps"]), c["name"], c["action"], c["split"]) for c in listing]
    except (LookupError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{path} has a damaged header: its list of clips cannot be read") from error
    # A plain array over the map: the same memory, without memmap's own rules for copies and scalars.
    everything = np.asarray(np.memmap(path, dtype="<f4", mode="c", offset=offset, shape=shape))
    return _cut(path, everything.view(np.ndarray), clips)


def _cut(path: Path, joints: np.ndarray, clips: list[tuple]) -> list[Clip]:
    """The clips that follow each other in `joints`, from their (frames, fps, name, action, split)."""
    lengths = [frames for frames, *_ in clips]
    if min(lengths, default=0) < 1 or joints.shape[:1] != (sum(lengths),):
        raise ValueError(f"{path} lists {sum(lengths)} frames but holds joints of shape {joints.shape}")
    try:
        cuts = np.split(joints, np.cumsum(lengths)[:-1])
        return [Clip(cut, fps, *map(str, names)) for cut, (_, fps, *names) in zip(cuts, clips, strict=True)]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_cmu(path: str | Path) -> list[Clip]:
    """Reads capture of the CMU Motion Capture Database (mocap.cs.cmu.edu) that was reduced to the 17 joints.

    It is an `.npz` with the arrays `joints` (all frames, 17, 3) mm, `length`, `split`, `action`, `name`
    (clips,) and `fps` (), and others that are left alone. The book's measured runs read cmu_mocap_17.npz,
    which is not distributed.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it is not such a file or holds a clip that `Clip` refuses.
    """
    arrays = read_arrays(path)
    kinds = {"joints": "f", "length": "iu", "name": "U", "action": "U", "split": "U", "fps": "fiu"}
    for name, kind in kinds.items():
        found = arrays[name].dtype if name in arrays else None
        if found is None or found.kind not in kind:
            wanted = f"expected plain numbers or text in {', '.join(kinds)}"
            raise ValueError(f"{path}: array {name!r} is {found or 'missing'}, {wanted}")
    joints, *entries, fps = (arrays[name] for name in kinds)
    shapes = [entry.shape for entry in entries]
    if fps.size != 1 or any(shape != (entries[0].size,) for shape in shapes):
        found = f"length, name, action and split of shapes {', '.join(map(str, shapes))}, fps of {fps.shape}"
        raise ValueError(f"{path} holds {found}, expected one entry a clip and one fps")
    lengths, *texts = (entry.tolist() for entry in entries)
    rates = [fps.item()] * len(lengths)
    joints = np.ascontiguousarray(joints, dtype=np.float32)
    return _cut(Path(path), joints, list(zip(lengths, rates, *texts, strict=True)))
