"""The files that 2D detectors write, told apart by their content and read as detections, frame by frame."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import count, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from posemamba.storage import read_arrays, read_json
from posemamba.storage.kinds import ZIP, existing_file, kind_of
from posemamba.storage.pickles import read_plain

# Where files keep frames, a frame its people, a person the joints and who it is, and a frame its number.
_LISTS, _PEOPLE = ("instance_info", "frames"), ("people", "bodies", "instances", "instance_info")
_POINTS = ("pose_keypoints_2d", "keypoints", "joints", "pose_landmarks", "landmarks")
_TRACKS, _NUMBERS = ("idx", "track_id", "person_id"), ("frame_id", "frame", "frame_index", "frame_number")
# What MMPose and VideoPose3D call the sets.
_LAYOUTS = {"coco": "COCO-17", "coco_wholebody": "COCO-17", "halpe": "Halpe-26", "halpe26": "Halpe-26"}
_LAYOUTS |= {"h36m": "H36M-17", "mpii": "MPII-16"}


class Content(NamedTuple):
    """What a file holds: a row for each person in each frame, ordered by frames; None where it does not tell.

    Points are pixels or fractions of the image. Who is of no known track has -1.
    """

    frames: Int[np.ndarray, " rows"]
    points: Float[np.ndarray, "rows joints 2"]
    confidence: Float[np.ndarray, "rows joints"]
    tracks: Int[np.ndarray, " rows"]
    size: tuple[int, int] | None = None
    fps: float | None = None
    joint_set: str | None = None


def read_content(path: str | Path) -> Content:
    """Reads a JSON file, a folder of JSON files (one a frame), .npz or .npy; raises as `read` does."""
    path = Path(path)
    if path.is_dir():
        files = {file.name: read_json(file) for file in sorted(path.glob("*.json"))}
        if not files:
            raise ValueError(f"{path} holds no .json files, expected one for each frame")
        return _json(path, files)
    with open(existing_file(path), "rb") as file:
        head = file.read(512)
    if head.startswith(ZIP):
        return _archive(path, read_arrays(path, objects=read_plain))
    if head.startswith(b"\x93NUMPY"):
        try:
            # A map of a file that is cut short is refused; reading one allocates first.
            array = np.load(path, mmap_mode="r")
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(f"{path} is cut short, or no array of numbers, as was expected") from error
        return _array(array, path)
    if kind_of(head) != "a text file":
        raise ValueError(f"{path} is {kind_of(head)}, expected keypoints as JSON, .npz or .npy")
    return _json(path, read_json(path))


def _json(path: Path, content) -> Content:
    about = _dict(content)
    size, fps = _size(about, "width", "height"), about.get("fps")
    layout = _layout(_dict(about.get("meta_info")).get("dataset_name"), path)
    found = _content(_rows(content, path), path)
    layout = layout or {17: "COCO-17"}.get(found.points.shape[1])
    return found._replace(size=size, fps=fps if type(fps) in (int, float) else None, joint_set=layout)


def _rows(content, path: Path) -> Iterator[tuple]:
    names, people = {}, defaultdict(count)
    for name, frame in _frames(content, path):
        digits = [str(name)] if type(name) is int else re.findall(r"\d+", Path(name).stem)
        if not digits:
            raise ValueError(f"{path}: {name[:40]!r} holds no number, expected the frame's as in 12.jpg")
        number, where = int(digits[-1][-18:]), f"{path}: frame {name}"
        if names.setdefault(number, name) != name:
            both = f"{names[number]!s:.40} and {name!s:.40}"
            raise ValueError(f"{path} has {both}, expected one image for each number")
        for person in _people(frame, where):
            row = _person(person, f"{where}, person {next(people[number])}")
            if len(row[0]):
                yield number, *row


def _frames(content, path: Path) -> Iterator[tuple[int | str, object]]:
    """The frames or single people of JSON, each with the image's name or the frame's number."""
    about, numbers = _dict(content), set()
    content = about.get(_key(about, _LISTS), {0: about} if _key(about, _PEOPLE + _POINTS) else content)
    if isinstance(content, dict):
        yield from content.items()
        return
    if not isinstance(content, list):
        raise ValueError(f"{path} is of type {type(content).__name__}, expected people or frames of people")
    entries = [_dict(entry) for entry in content]
    named = any("image_id" in entry for entry in entries)
    if not named and any("keypoint_scores" in entry for entry in entries):
        content, entries = [content], [{}]  # MMPose's people of one image
    for at, entry in enumerate(entries):
        name = entry.get("image_id") if named else entry.get(_key(entry, _NUMBERS), at)
        if type(name) not in (int, str) or name in numbers:
            wanted = "an image_id" if named else "a number of its own"
            raise ValueError(f"{path}, entry {at} is of frame {str(name)[:40]!r}, expected {wanted}")
        numbers |= set() if named else {name}
        yield name, content[at]


def _people(frame, where: str) -> list:
    """The people of a frame of JSON: dicts, or the bare points of each."""
    key = _key(frame, _PEOPLE + _POINTS, where) if isinstance(frame, dict) else None
    inner = frame[key] if key else frame
    if inner and key not in _PEOPLE and not _several(inner):
        return [frame]
    if inner is not None and not isinstance(inner, list):
        raise ValueError(f"{where} is of type {type(inner).__name__}, expected a list of people")
    return inner or []


def _several(points) -> bool:
    """Whether a list holds people, and not the landmarks, rows or numbers of one."""
    first = points[0] if isinstance(points, list) and points else None
    if isinstance(first, dict):
        return "x" not in first
    return isinstance(first, list) and bool(first) and isinstance(first[0], list | dict)


def _person(person, where: str) -> tuple[np.ndarray, np.ndarray, int]:
    """A person's points, confidence and track."""
    points, scores, tracks = person, None, set()
    if isinstance(person, dict):
        key = _key(person, _POINTS, where)
        points, scores, where = person[key] or [], person.get("keypoint_scores"), f"{where}: {key}"
        tracks = _track(person.get(_key(person, _TRACKS)))
    if isinstance(points, list) and all(isinstance(joint, dict) and "x" in joint for joint in points):
        points = [[joint.get("x"), joint.get("y"), joint.get("visibility", 1)] for joint in points]
    array = _numbers(points, where)
    if array.ndim == 1 and array.size % 3 == 0:
        array = array.reshape(-1, 3)
    # AlphaPose takes several detections for one person, and names all of them.
    return *_columns(array, scores, where, 2), tracks.pop() if len(tracks) == 1 else -1


def _track(name) -> set[int]:
    if isinstance(name, list):
        return {number for part in name for number in _track(part)}
    return {int(name)} if type(name) in (int, float) and name >= 0 else set()  # OpenPose: -1 is nobody


def _archive(path: Path, arrays: dict[str, np.ndarray]) -> Content:
    about = _dict(arrays.get("metadata", np.zeros(()))[()])
    if "positions_2d" in arrays:
        # VideoPose3D's own: {video: {"custom": [one camera's (frames, 17, 2)]}}
        try:
            ((video, actions),) = arrays["positions_2d"][()].items()
            ((points,),) = actions.values()
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"{path}: positions_2d holds no or several sequences, expected one") from None
        size = _size(_dict(_dict(about.get("video_metadata")).get(video)), "w", "h")
        layout = _layout(about.get("layout_name"), path)
        return _array(points, path)._replace(size=size, joint_set=layout)
    if {"boxes", "keypoints"} <= set(arrays):
        found = _content(_detectron(arrays["keypoints"], path), path)
        return found._replace(size=_size(about, "w", "h"), joint_set="COCO-17")
    name = next(iter(arrays)) if len(arrays) == 1 else _key(arrays, ("keypoints",), path)
    return _array(arrays[name], path, arrays.get("confidence"))


def _detectron(keypoints: np.ndarray, path: Path) -> Iterator[tuple]:
    """A frame is [other classes, people], a person `(4, 17)`: x, y, logit, probability."""
    for frame, classes in enumerate(np.atleast_1d(keypoints)):
        where = f"{path}: keypoints of frame {frame}"
        try:
            people = list(classes[1])
        except (TypeError, LookupError):
            raise ValueError(f"{where} are no Detectron lists of classes, expected [[], people]") from None
        for at, person in enumerate(people):
            rows = _numbers(person, f"{where}, person {at}")
            if rows.ndim != 2 or len(rows) != 4:
                raise ValueError(f"{where}, person {at} has shape {rows.shape}, expected (4, joints)")
            yield frame, rows[:2].T, rows[3], -1


def _array(array, path: Path, scores: np.ndarray | None = None) -> Content:
    points, sure = _columns(_numbers(array, f"{path}: keypoints"), scores, f"{path}: keypoints", 3)
    return _content(zip(range(len(points)), points, sure, repeat(0)), path)


def _content(rows: Iterable[tuple], path: Path) -> Content:
    """Of rows of a frame's number, a person's points and confidence, and who it is."""
    rows = sorted(rows, key=lambda row: row[0])
    counts = {len(points): frame for frame, points, *_ in rows}
    if len(counts) != 1:
        found = " and ".join(f"{n} joints in frame {at}" for n, at in sorted(counts.items())[:2]) or "nobody"
        raise ValueError(f"{path} has {found}, expected people with one number of joints")
    return Content(*map(np.array, zip(*rows, strict=True)))


def _columns(array: np.ndarray, scores, where, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and confidence out of rows x, y; x, y, confidence; or x, y, z, visibility."""
    if array.ndim != dims or not 2 <= array.shape[-1] <= 4:
        wanted = "(joints, 2 or 3)" if dims == 2 else "(frames, joints, 2 or 3)"
        raise ValueError(f"{where} has shape {array.shape}, expected {wanted}: x, y and confidence")
    sure = array[..., -1] if array.shape[-1] > 2 else np.ones(array.shape[:-1])
    sure = sure if scores is None else _numbers(scores, f"{where}'s scores")
    if sure.shape != array.shape[:-1]:
        raise ValueError(f"{where} has scores of shape {sure.shape}, expected {array.shape[:-1]}")
    return array[..., :2], sure


def _numbers(values, where) -> np.ndarray:
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError):
        array = np.asarray("")
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{where} holds something else than numbers, or rows of several lengths")
    array = array.astype(float)
    odd = np.argwhere(~(np.abs(array) < 1e6)).tolist()
    if odd:
        wanted = "expected numbers below a million, and confidence 0 for a joint that was not found"
        raise ValueError(f"{where} holds {array[tuple(odd[0])]:g} at {odd[0]}, {wanted}")
    return array


def _layout(name, path: Path) -> str | None:
    if name is not None and str(name).lower() not in _LAYOUTS:
        raise ValueError(f"{path} orders its joints as {str(name)[:40]!r}, expected {', '.join(_LAYOUTS)}")
    return _LAYOUTS.get(str(name).lower())


def _size(about: dict, *keys: str) -> tuple[int, int] | None:
    sides = [about.get(key) for key in keys]
    return tuple(map(int, sides)) if all(isinstance(side, int | np.integer) for side in sides) else None


def _key(item: dict, names: tuple[str, ...], where=None) -> str | None:
    """The first of the names that is a key; where there must be one, `where` is its place in the file."""
    found = next((name for name in names if name in item), None)
    if where and not found:
        there = ", ".join(str(key)[:40] for key in list(item)[:5]) or "none"
        raise ValueError(f"{where} has the keys {there}, expected {', '.join(names)}")
    return found


def _dict(item) -> dict:
    return item if isinstance(item, dict) else {}
