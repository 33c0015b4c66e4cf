"""Motion clips in memory and on disk.

A motion file is one `.safetensors` file: a float32 tensor `joints` (all frames, 17, 3) that holds the clips
one after another, and text metadata `{"format": "posemamba-motion", "version": "1", "clips": JSON}`, where
the JSON lists each clip's name, action, split, fps and number of frames in order. It is memory-mapped when
it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from posemamba.skeleton import JOINTS
from posemamba.storage import atomic_path, read_arrays

FORMAT = "posemamba-motion"
VERSION = 1
SPLITS = ("train", "test")
# A safetensors header may not be longer than this (the format's own limit).
_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True, eq=False)
class Clip:
    """One take of motion.

    Arguments:
        joints: `(frames, 17, 3)` float32, mm, world with z up.
        fps: frames a second.
        name: names the clip in messages and results.
        action: what is done in it; evaluation averages over actions.
        split: "train" or "test".

    Raises ValueError for another shape or type, for no frames at all, for a number that is not finite (the
    message names the clip and the frame), for a rate that is not positive and for an unknown split.
    """

    joints: Float32[np.ndarray, "frames 17 3"]
    fps: float
    name: str
    action: str
    split: str

    def __post_init__(self):
        joints = self.joints
        if not isinstance(joints, np.ndarray) or joints.dtype != np.float32:
            found = joints.dtype if hasattr(joints, "dtype") else type(joints).__name__
            raise ValueError(f"clip {self.name!r}: joints are {found}, expected a float32 array")
        if joints.ndim != 3 or joints.shape[1:] != (JOINTS, 3):
            raise ValueError(
                f"clip {self.name!r}: joints have shape {joints.shape}, expected (frames, {JOINTS}, 3)"
            )
        if len(joints) == 0:
            raise ValueError(f"clip {self.name!r} has no frames, expected at least one")
        finite = np.isfinite(joints).all(axis=(1, 2))
        if not finite.all():
            frame = int(finite.argmin())
            raise ValueError(
                f"clip {self.name!r}: frame {frame} holds NaN or infinity, expected finite millimetres"
            )
        if not np.isfinite(self.fps) or self.fps <= 0:
            raise ValueError(f"clip {self.name!r}: fps is {self.fps}, expected a positive number")
        if self.split not in SPLITS:
            raise ValueError(f"clip {self.name!r}: split is {self.split!r}, expected 'train' or 'test'")

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.joints)

    @property
    def seconds(self) -> float:
        """How long the clip lasts."""
        return len(self.joints) / self.fps


def select_split(clips: Iterable[Clip], split: str) -> list[Clip]:
    """The clips of one split, in order.

    Arguments: clips; split, "train" or "test". Raises ValueError for an unknown split and where no clip is
        left.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, expected 'train' or 'test'")
    chosen = [clip for clip in clips if clip.split == split]
    if not chosen:
        raise ValueError(f"the motion has no clip in its {split} split")
    return chosen


def save_motion(path: str | Path, clips: Sequence[Clip]) -> None:
    """Writes clips to one motion file, atomically: an interrupted write leaves an older file whole.

    Arguments: path of the file, commonly ending in `.safetensors`; clips, at least one.

    Raises ValueError where there are no clips. On Windows a file that is still mapped (its clips are alive)
    cannot be replaced, and the system's PermissionError is raised.
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
    joints = np.concatenate([clip.joints for clip in clips])
    content = save({"joints": joints}, metadata=metadata)
    # Written here and not by safetensors, whose own error on a full disk is no OSError.
    with atomic_path(path) as temporary:
        Path(temporary).write_bytes(content)


def load_motion(path: str | Path) -> list[Clip]:
    """Reads a motion file. The clips' joints are views of one memory map: pages are read when they are
    touched.

    The map is copy-on-write: writing into a clip changes memory and never the file.

    Arguments: path of a file that `save_motion` wrote.

    Raises FileNotFoundError where there is no file, ValueError where it is not a motion file, is cut short,
    was written by a newer version, or holds a clip that `Clip` refuses.
    """
    path = Path(path)
    header, start = _read_header(path)
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path} is a safetensors file but not a motion file: its metadata names no {FORMAT!r} format"
        )
    version = str(metadata.get("version", ""))
    if not version.isdecimal():
        raise ValueError(f"{path} has format version {version!r}, expected a whole number")
    if int(version) > VERSION:
        raise ValueError(
            f"{path} has format version {version}, expected at most {VERSION}: a newer posemamba wrote it"
        )
    joints = header.get("joints")
    try:
        kind, shape, (first, last) = joints["dtype"], tuple(joints["shape"]), joints["data_offsets"]
        listing = json.loads(metadata["clips"])
        clips = [(c["name"], c["action"], c["split"], float(c["fps"]), int(c["frames"])) for c in listing]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} has a damaged header: its tensor or its list of clips cannot be read"
        ) from error
    if kind != "F32" or len(shape) != 3 or shape[1:] != (JOINTS, 3):
        raise ValueError(
            f"{path} holds joints of type {kind} and shape {shape}, expected F32 (frames, {JOINTS}, 3)"
        )
    total = sum(frames for *_, frames in clips)
    if not clips or min(frames for *_, frames in clips) < 1 or total != shape[0]:
        raise ValueError(f"{path} lists clips of {total} frames in all but holds {shape[0]} frames")
    if first != 0 or last != shape[0] * JOINTS * 3 * 4:
        raise ValueError(
            f"{path} has a damaged header: {shape[0]} frames do not fit bytes {first} to {last} of the data"
        )
    size = path.stat().st_size
    if size < start + last:
        raise ValueError(f"{path} is cut short: it has {size} bytes, expected {start + last}")
    mapped = np.memmap(path, dtype="<f4", mode="c", offset=start, shape=shape)
    # A plain array over the map: same memory, without memmap's own rules for copies and scalars.
    everything = np.asarray(mapped).view(np.ndarray)
    result, at = [], 0
    for name, action, split, fps, frames in clips:
        try:
            result.append(Clip(everything[at : at + frames], fps, str(name), str(action), split))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        at += frames
    return result


def _read_header(path: Path) -> tuple[dict, int]:
    """A safetensors file's header and the byte at which its data starts."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected a motion file")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            text = file.read(length) if 0 < length <= min(_LONGEST_HEADER, size - 8) else None
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist, expected a motion file") from None
    if size == 0:
        raise ValueError(f"{path} is empty, expected a motion file")
    if text is None:
        raise ValueError(f"{path} is not a motion file, or is cut short: it has no whole safetensors header")
    try:
        header = json.loads(text.decode("utf-8"))
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise ValueError(f"{path} is not a motion file: its header is not safetensors' JSON")
    return header, 8 + length


def read_cmu(path: str | Path) -> list[Clip]:
    """Reads `cmu_mocap_17.npz`: real capture of the CMU Motion Capture Database (mocap.cs.cmu.edu) on the
    17 joints.

    Its arrays are `joints` (all frames, 17, 3) mm, `length` (clips,), `split`, `action`, `name` (clips,),
    `fps` ().

    Arguments: path of the file.

    Raises FileNotFoundError where there is no file, ValueError where it is not such a file or holds a clip
    that `Clip` refuses.
    """
    path, names = Path(path), ("joints", "length", "split", "action", "name", "fps")
    arrays = read_arrays(path)
    if missing := [name for name in names if name not in arrays]:
        raise ValueError(f"{path} lacks the arrays {', '.join(missing)}, expected {', '.join(names)}")
    kinds = {"joints": "f", "length": "iu", "split": "U", "action": "U", "name": "U", "fps": "fiu"}
    if wrong := [name for name in names if arrays[name].dtype.kind not in kinds[name]]:
        found = arrays[wrong[0]].dtype
        raise ValueError(f"{path}: array {wrong[0]!r} is of type {found}, expected plain numbers or text")
    joints, length = arrays["joints"], arrays["length"]
    if joints.ndim != 3 or joints.shape[1:] != (JOINTS, 3):
        raise ValueError(f"{path}: joints have shape {joints.shape}, expected (frames, {JOINTS}, 3)")
    if length.ndim != 1 or any(arrays[name].shape != length.shape for name in ("split", "action", "name")):
        raise ValueError(
            f"{path}: length, split, action and name differ in shape, expected one entry a clip each"
        )
    if length.sum() != len(joints) or (length < 1).any():
        raise ValueError(f"{path}: its lengths sum to {length.sum()} frames but it holds {len(joints)}")
    if arrays["fps"].size != 1:
        raise ValueError(f"{path}: fps has shape {arrays['fps'].shape}, expected one number")
    fps = float(arrays["fps"].reshape(()))
    ends = np.cumsum(length)
    joints = np.ascontiguousarray(joints, dtype=np.float32)
    clips = []
    for index, (end, frames) in enumerate(zip(ends, length, strict=True)):
        name, action, split = (str(arrays[key][index]) for key in ("name", "action", "split"))
        try:
            clips.append(Clip(joints[end - frames : end], fps, name, action, split))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return clips


def open_motion(source: str | Path, seed: int = 0) -> list[Clip]:
    """Motion from wherever it comes.

    Arguments:
        source: "synthetic" for the generator, or the path of a motion file or of cmu_mocap_17.npz; which of
            the two it is is told from its content and not from its name.
        seed: the generator's seed; files ignore it.

    Raises FileNotFoundError and ValueError as the reader of the file does.
    """
    if str(source) == "synthetic":
        from posemamba.motion.synthetic import synthetic_clips

        return synthetic_clips(seed=seed)
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist, expected 'synthetic' or the path of a motion file")
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected a motion file")
    with path.open("rb") as file:
        first = file.read(4)
    return read_cmu(path) if first == b"PK\x03\x04" else load_motion(path)
