"""Clips on disk.

A motion file is one `.safetensors` file. Its tensors hold, one after another, what the clips and their views
hold: `joints` (frames, 17, 3) of the clips; `keypoints` (frames, 17, 2), `confidence` (frames, 17), `valid`
(frames,) and `targets.NAME` (frames, ...) of the views. `valid` is bool, all others are float32. The text
metadata `{"format": "posemamba-motion", "version": "2", "clips": JSON, "cameras": JSON, "about": JSON}` lists
the clips with their views in order, the cameras, which views name by number, and notes. Version 1 held
`joints` alone.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import index
from pathlib import Path

import numpy as np
import torch

from posemamba.camera import Camera
from posemamba.motion.clips import CAMERA_PARTS as _CAMERA
from posemamba.motion.clips import Clip, View
from posemamba.skeleton import JOINTS
from posemamba.storage import atomic_path, read_arrays
from posemamba.storage.kinds import existing_file, kind_of

FORMAT, VERSION = "posemamba-motion", "2"
_CLIP = ("name", "action", "split", "fps", "subject")
_ENDS = {"joints": (JOINTS, 3), "keypoints": (JOINTS, 2), "confidence": (JOINTS,), "valid": ()}
_TARGET = "targets."
_METADATA = {"1": ("format", "version", "clips"), "2": ("format", "version", "clips", "cameras", "about")}


def save_motion(path: str | Path, clips: Iterable[Clip], about: Mapping[str, str] | None = None) -> None:
    """Writes one or more clips to a motion file (`.safetensors`), atomically and array by array.

    Args:
        path: the file.
        clips: what it shall hold.
        about: notes by name for whoever reads it: credit, licence, the command.

    Raises:
        ValueError: no clips; targets of one name whose shapes differ.
        PermissionError: on Windows, where the older file is still mapped (its clips are alive).
    """
    parts, cameras, listing = defaultdict(list), {}, []
    for clip in clips:
        entry = {name: getattr(clip, name) for name in _CLIP} | dict(frames=len(clip), holds=[], views=[])
        if clip.joints is not None:
            entry["holds"] = ["joints"]
            parts["joints"].append(clip.joints)
        for view in clip.views:
            size, arrays = dict(width=int(view.width), height=int(view.height)), [*view.arrays()]
            camera = None
            if view.camera is not None:
                facts = {name: getattr(view.camera, name).tolist() for name in _CAMERA}
                camera = cameras.setdefault(json.dumps(facts | size), len(cameras))
            holds = [name for name, _ in arrays]
            entry["views"].append(dict(name=view.name, **size, holds=holds, camera=camera))
            for name, array in arrays:
                parts[name].append(array)
        listing.append(entry)
    if not listing:
        raise ValueError(f"{path}: there are no clips to save, expected at least one")
    metadata = dict(format=FORMAT, version=VERSION, clips=json.dumps(listing, default=float))
    metadata |= dict(cameras=f"[{', '.join(cameras)}]", about=json.dumps(dict(about or {})))
    header, at = {"__metadata__": metadata}, 0
    # Bytes after words, so that every float stands at a multiple of four.
    order = sorted(parts, key=lambda name: (name == "valid", name))
    for name in order:
        shapes = sorted({part.shape[1:] for part in parts[name]})
        if len(shapes) > 1:
            raise ValueError(f"{path}: {name} has frames of shapes {shapes}, expected one shape in all views")
        end = at + sum(part.nbytes for part in parts[name])
        kind, shape = "BOOL" if name == "valid" else "F32", [sum(map(len, parts[name])), *shapes[0]]
        header[name] = dict(dtype=kind, shape=shape, data_offsets=[at, end])
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    # Written here and not by safetensors, which would need all of it in memory twice.
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            for part in parts[name]:
                file.write(np.ascontiguousarray(part, part.dtype.newbyteorder("<")))


def load_motion(path: str | Path) -> list[Clip]:
    """Reads what `save_motion` wrote. The clips' arrays are views of one memory map, read when touched.

    The map is copy-on-write: writing into a clip changes memory and never the file. Opening does not look at
    the frames; whoever uses them refuses NaN.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it is not a motion file, is cut short or newer, holds a field that is not known, or a
            clip that `Clip` refuses.
    """
    path, version, metadata, arrays = _open(path)
    what, entries, at = "cameras", [], dict.fromkeys(arrays, 0)
    try:
        cameras = _cameras(json.loads(metadata["cameras"])) if version == "2" else []
        what = "clips"
        for number, found in enumerate(json.loads(metadata["clips"])):
            what = f"clips, number {number},"
            entries.append(_entry(dict(found), version, len(cameras), at))
    except _Unknown as error:
        raise ValueError(f"{path} {error}, expected none such: a newer posemamba wrote it?") from None
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
        told = f"its list of {what} cannot be read: {type(error).__name__}: {error}"
        raise ValueError(f"{path} has a damaged header: {told}") from error
    if not entries:
        raise ValueError(f"{path} lists 0 frames, expected at least one clip")
    for name, count in at.items():
        found = arrays[name].shape if name in arrays else "none"
        if name not in arrays or found[0] != count or min(frames for frames, *_ in entries) < 1:
            raise ValueError(f"{path} lists {count} frames but holds {name} of shape {found}")
    clips = []
    try:
        for _, facts, parts, seen in entries:
            views = []
            for name, size, camera, fields in seen:
                found = {field: arrays[field][part] for field, part in fields.items()}
                targets = {f.removeprefix(_TARGET): found.pop(f) for f in fields if f.startswith(_TARGET)}
                camera = None if camera is None else cameras[camera]
                views.append(View(name, *size, camera, **found, targets=targets, scan=False))
            joints = arrays["joints"][parts["joints"]] if parts else None
            clips.append(Clip(joints, **facts, views=tuple(views), scan=False))
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path}: {error}") from error
    return clips


def read_about(path: str | Path) -> dict[str, str]:
    """The notes of a motion file, as `save_motion` was given them; raises as `load_motion` does."""
    path, _, metadata, _ = _open(path)
    try:
        return {str(name): str(note) for name, note in json.loads(metadata.get("about", "{}")).items()}
    except (AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} has a damaged header: its notes cannot be read") from error


def _open(path: str | Path) -> tuple[Path, str, dict[str, str], dict[str, np.ndarray]]:
    """The path, version and metadata of a motion file, and its tensors as parts of one map."""
    from safetensors import SafetensorError, safe_open

    path = existing_file(path)
    try:
        # safetensors refuses a tensor that does not fit the file's bytes.
        with path.open("rb") as start, safe_open(path, "numpy") as file:
            if not os.path.samestat(os.fstat(start.fileno()), path.stat()):
                return _open(path)  # a writer replaced it meanwhile: these two may be different files
            metadata, names = file.metadata() or {}, list(file.keys())
            begin = 8 + int.from_bytes(start.read(8), "little")
            header = json.loads(start.read(begin - 8))
            content = np.asarray(np.memmap(start, dtype=np.uint8, mode="c")).view(np.ndarray)
    except SafetensorError as error:
        with path.open("rb") as start:
            head = start.read(512)
        # Behind the length of its header, a motion file has that of JSON.
        foreign = head[8:9] not in (b"", b"{")
        found = f" but {kind_of(head)}" if foreign else ", or is damaged or cut short"
        raise ValueError(f"{path} is not a motion file{found}: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} is not a motion file: its metadata names no {FORMAT!r} format")
    version = metadata.get("version", "")
    if version not in ("1", VERSION):
        newer = ": a newer posemamba wrote it" if version.isdecimal() else ""
        raise ValueError(f"{path} has format version {version[:9]!r}, expected {VERSION!r} or '1'{newer}")
    if unknown := [name for name in metadata if name not in _METADATA[version]]:
        raise ValueError(f"{path} has metadata {unknown[0][:80]!r}, expected {', '.join(_METADATA[version])}")
    arrays = {}
    for name in names:
        kind, shape = header[name]["dtype"], tuple(header[name]["shape"])
        target = name.startswith(_TARGET)
        if (name not in _ENDS and not target) or (version == "1" and name != "joints"):
            known = ", ".join(_ENDS) if version == VERSION else "joints"
            raise ValueError(f"{path} holds {name[:80]!r}, which is no field of a motion file: {known}")
        wanted = "BOOL" if name == "valid" else "F32"
        if kind != wanted or not shape or (not target and shape[1:] != _ENDS[name]):
            end = "..." if target else ", ".join(map(str, _ENDS[name]))
            found = f"its {name} of type {kind} and shape {shape}"
            raise ValueError(f"{path} holds {found}, expected type {wanted} and shape (frames, {end})")
        first, last = (begin + offset for offset in header[name]["data_offsets"])
        if wanted == "BOOL" and (content[first:last] > 1).any():
            raise ValueError(f"{path}: {name} holds bytes over 1, expected 0 and 1")
        arrays[name] = content[first:last].view(bool if wanted == "BOOL" else "<f4").reshape(shape)
    return path, version, metadata, arrays


class _Unknown(Exception):
    """A field that is not known here."""


def _entry(found: dict, version: str, cameras: int, at: dict[str, int]) -> tuple[int, dict, dict, list]:
    """A clip of the list: its frames, its facts, its part of `joints`, its views with their parts."""
    frames, views = index(found.pop("frames")), []
    seen, holds = (found.pop("views"), found.pop("holds")) if version == "2" else ([], ["joints"])
    facts = {name: found.pop(name) for name in _CLIP if name != "subject" or version == "2"}
    facts["fps"] = float(facts["fps"])
    _refuse([*found, *(field for field in holds if field != "joints")])
    for view in map(dict, seen):
        size, camera = (index(view.pop("width")), index(view.pop("height"))), view.pop("camera")
        fields, name = [str(field) for field in view.pop("holds")], view.pop("name")
        if camera is not None and not 0 <= index(camera) < cameras:
            raise IndexError(f"view {name!r} names camera {camera}, out of range: there are {cameras}")
        _refuse([*view, *(f for f in fields if f not in _ENDS and not f.startswith(_TARGET))])
        views.append((name, size, camera, _parts(fields, frames, at)))
    return frames, facts, _parts(holds, frames, at), views


def _parts(fields: list[str], frames: int, at: dict[str, int]) -> dict[str, slice]:
    """Which frames of their tensors these fields are: the next ones after `at`, which moves on."""
    if len(set(fields)) < len(fields):
        raise ValueError(f"it holds {', '.join(fields)}, expected each once")
    at |= {field: at.get(field, 0) + frames for field in fields}
    return {field: slice(at[field] - frames, at[field]) for field in fields}


def _refuse(unknown: list[str]) -> None:
    if unknown:
        raise _Unknown(f"has a clip with {str(unknown[0])[:80]!r}")


def _cameras(listed: list[dict]) -> list[Camera]:
    if not listed:
        return []
    sizes = [(index(camera.pop("width")), index(camera.pop("height"))) for camera in listed]
    _refuse([name for camera in listed for name in camera if name not in _CAMERA])
    # One tensor for all: a tensor for each number of each camera would take the time of all the rest.
    double = torch.float64
    tensors = {name: torch.tensor([camera[name] for camera in listed], dtype=double) for name in _CAMERA}
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise ValueError("cameras hold NaN or infinity")
    each = zip(*(tensors[name].unbind() for name in _CAMERA), sizes, strict=True)
    return [Camera(*parts, *size) for *parts, size in each]


def read_cmu(path: str | Path) -> list[Clip]:
    """Reads capture of the CMU Motion Capture Database (mocap.cs.cmu.edu) that was reduced to the 17 joints.

    It is an `.npz` with the arrays `joints` (all frames, 17, 3) mm, `length`, `split`, `action`, `name`
    (clips,) and `fps` (), commonly `subject` (clips,), and others that are left alone.

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
    entries.append(arrays.get("subject", np.full(entries[0].shape, "")))
    shapes = [entry.shape for entry in entries]
    if fps.size != 1 or any(shape != (entries[0].size,) for shape in shapes):
        found = f"length, name, action, split and subject of shapes {', '.join(map(str, shapes))}"
        raise ValueError(f"{path} holds {found}, fps of {fps.shape}, expected one entry a clip and one fps")
    lengths, *texts = (entry.tolist() for entry in entries)
    if min(lengths, default=0) < 1 or joints.shape[:1] != (sum(lengths),):
        raise ValueError(f"{path} lists {sum(lengths)} frames but holds joints of shape {joints.shape}")
    cuts = np.split(np.ascontiguousarray(joints, dtype=np.float32), np.cumsum(lengths)[:-1])
    try:
        return [Clip(cut, fps.item(), *map(str, each)) for cut, *each in zip(cuts, *texts, strict=True)]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
