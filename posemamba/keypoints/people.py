"""People out of what detectors wrote: who is who from frame to frame, gaps closed, 17 joints for each."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from posemamba.camera import normalise_screen
from posemamba.keypoints.formats import Content, read_content
from posemamba.keypoints.inspection import inspect
from posemamba.skeleton import JOINT_NAMES, JOINT_SETS, JointSet

# Boxes of one person in two frames share more than this of their union (SORT: Bewley et al., 2016).
_SAME = 0.3
# By the number of joints; 17 may be COCO's or ours. The two large ones begin with the small ones.
_BY_COUNT = {len(s.joints): s.name for s in JOINT_SETS.values()} | {133: "COCO-17", 136: "Halpe-26"}
del _BY_COUNT[17]


@dataclass(frozen=True, eq=False)
class Person:
    """One person in consecutive frames, each with all 17 joints.

    Attributes:
        track: who it is: the file's number where it has one, else counted from 0. A person who was lost for
            longer than the gap that was allowed comes back as another `Person` of the same track.
        start: the file's number of the first frame.
        keypoints: pixels, in Human3.6M's order, finite.
        confidence: the least of the joints that a joint was made of; 0 where it was interpolated.
        width, height: the image's size, pixels.
    """

    track: int
    start: int
    keypoints: Float[np.ndarray, "frames 17 2"] = field(repr=False)
    confidence: Float[np.ndarray, "frames 17"] = field(repr=False)
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def found(self) -> Bool[np.ndarray, "frames 17"]:
        """Which joints the detector found; the others are interpolated."""
        return self.confidence > 0

    def normalised(self) -> Float[np.ndarray, "frames 17 2"]:
        """The network's input: the image's width spans [-1, 1]."""
        return normalise_screen(self.keypoints, self.width, self.height)


@dataclass(frozen=True, eq=False)
class Detections:
    """The people in a video.

    Attributes:
        people: who is seen in most frames comes first.
        width, height: the image's size, pixels.
        fps: frames a second, None where the file does not tell.
        joint_set: the set that the file's joints belong to.
    """

    people: tuple[Person, ...]
    width: int
    height: int
    fps: float | None
    joint_set: JointSet = field(repr=False)


def read(
    path: str | Path,
    size: tuple[int, int] | None = None,
    joint_set: str | JointSet | None = None,
    max_gap: int = 10,
    threshold: float = 0.0,
    tracks: str = "file",
) -> Detections:
    """Reads the 2D keypoints that a detector wrote, as the 17 joints of each person.

    AlphaPose's JSON, OpenPose's folder of JSON, MMPose's JSON, the .npz of Detectron2 or VideoPose3D,
    MediaPipe's landmarks as JSON, an array `(frames, joints, 2 or 3)` as .npz or .npy: its content tells.
    Fractions of the image become pixels.

    Args:
        size: the image's width and height, pixels, where the file does not tell.
        joint_set: a name in `skeleton.JOINT_SETS`, or a set; by default the file's word or its number of
            joints tells. An array of 17 joints needs it.
        max_gap: for how many frames on end a person or a joint may be missing; they are interpolated
            linearly. After a longer gap a new `Person` begins.
        threshold: a joint whose confidence is not above it is missing.
        tracks: "file": who is who is taken from the file where it tells, and else from the overlap of boxes
            from frame to frame; "overlap": always from that.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: naming the file or argument, what was found and what was expected.

    Warns:
        RuntimeWarning: frames are left out; joints look as if they were in another order.
    """
    if tracks not in ("file", "overlap") or max_gap < 0:
        wanted = "expected 'file' or 'overlap', and 0 frames or more"
        raise ValueError(f"tracks is {tracks!r} and max_gap is {max_gap}, {wanted}")
    content = read_content(path)
    joint_set = _joint_set(content, joint_set, path)
    width, height = _size(content.size, size, path)
    content = _in_pixels(content, len(joint_set.joints), threshold, (width, height), path)
    by_track = _tracks(content, tracks, max_gap, path)
    people, lost = [], []
    for track, rows in by_track.items():
        for run in np.split(rows, np.flatnonzero(np.diff(content.frames[rows]) > max_gap + 1) + 1):
            points, confidence, present = joint_set.convert(*_closed(content, run, max_gap))
            whole = present.all(1)
            if not whole.all():
                missing = ", ".join(JOINT_NAMES[joint] for joint in np.flatnonzero(~present.all(0)))
                lost.append(f"{missing} in {(~whole).sum()} frames of person {track}")
            for first, last in np.flatnonzero(np.diff(whole, prepend=False, append=False)).reshape(-1, 2):
                part = points[first:last].astype(np.float32), confidence[first:last].astype(np.float32)
                people.append(Person(track, int(content.frames[run[0]] + first), *part, width, height))
    said = f"{path} lacks {'; '.join(lost[:2])}{'; ...' * (len(lost) > 2)}: longer than max_gap = {max_gap}"
    if not people:
        raise ValueError(f"{said}, expected a frame with all 17 joints")
    if lost:
        warnings.warn(f"{said}, these frames are left out", RuntimeWarning, stacklevel=2)
    people.sort(key=lambda person: (-len(person), person.track, person.start))
    for doubt in _doubts(people[0], content, by_track[people[0].track], joint_set):
        warnings.warn(f"{path}, person {people[0].track}: {doubt}", RuntimeWarning, stacklevel=2)
    return Detections(tuple(people), width, height, content.fps, joint_set)


def _joint_set(content: Content, wanted: str | JointSet | None, path) -> JointSet:
    count = content.points.shape[1]
    name = wanted or content.joint_set or _BY_COUNT.get(count)
    found = name if isinstance(name, JointSet) else JOINT_SETS.get(name)
    if found is None:
        said = f"joint_set is {name!r}" if name else f"{path} does not tell which {count} joints it has"
        raise ValueError(f"{said}, expected joint_set to be one of {', '.join(JOINT_SETS)}")
    if count != len(found.joints) and _BY_COUNT.get(count) != found.name:
        raise ValueError(f"{path} has {count} joints, expected {len(found.joints)}: {found.name}")
    return found


def _size(told: tuple[int, int] | None, given: tuple[int, int] | None, path) -> tuple[int, int]:
    size = told if given is None else given
    if size is None:
        raise ValueError(f"{path} does not tell the image's size, expected the argument size=(width, height)")
    sides = list(size) if isinstance(size, tuple | list) else []
    if len(sides) != 2 or not all(isinstance(side, int | np.integer) and 0 < side < 1e6 for side in sides):
        raise ValueError(f"{path}: size is {size!r}, expected the image's width and height in pixels")
    if told not in (None, tuple(sides)):
        raise ValueError(f"size is {size}, but {path} tells {told}, expected them to agree")
    return int(sides[0]), int(sides[1])


def _in_pixels(content: Content, joints: int, threshold: float, size: tuple[int, int], path) -> Content:
    """The first joints of whoever has one, in pixels; confidence is 0 where it is not above the threshold."""
    sure = content.confidence[:, :joints]
    sure = np.where(sure > threshold, sure, 0)
    rows = sure.any(1)
    if not rows.any():
        raise ValueError(f"{path} has nobody in it above a confidence of {threshold:g}, expected a person")
    points, sure = content.points[rows, :joints], sure[rows]
    seen = points[sure > 0]
    x, y = np.median(seen, axis=0)
    # Nobody is two pixels large: these are fractions of the image.
    if np.median(np.abs(seen)) <= 2:
        if (seen < 0).mean() > 0.2:
            raise ValueError(f"{path} has joints around zero, expected pixels or fractions of the image")
        points = points * size
    elif not (0 <= x <= size[0] and 0 <= y <= size[1]):
        where = f"({x:.0f}, {y:.0f})"
        raise ValueError(f"{path} has joints around {where}, expected an image of {size[0]} x {size[1]}")
    content = content._replace(frames=content.frames[rows], tracks=content.tracks[rows])
    return content._replace(points=points, confidence=sure)


def _tracks(content: Content, tracks: str, max_gap: int, path) -> dict[int, list[int]]:
    """The rows of each person."""
    by_frame, by_track = {}, {}
    for row, (frame, track) in enumerate(zip(content.frames.tolist(), content.tracks.tolist(), strict=True)):
        by_frame.setdefault(frame, []).append(row)
        by_track.setdefault(track, []).append(row)
    twice = [frame for frame, rows in by_frame.items() if len(set(content.tracks[rows])) < len(rows)]
    # Without its tracker AlphaPose calls everybody 0.
    if tracks == "file" and -1 not in by_track and not (twice and len(by_track) == 1):
        if twice:
            hint = "tracks='overlap' ignores the file's numbers"
            raise ValueError(f"{path} has two people of one number in frame {twice[0]}, expected one: {hint}")
        return by_track
    from scipy.optimize import linear_sum_assignment

    seen = content.confidence[..., None] > 0
    low, high = np.where(seen, content.points, np.inf), np.where(seen, content.points, -np.inf)
    boxes = np.stack([low.min(1), high.max(1)], axis=1)
    by_track, recent = {}, {}
    for frame, rows in by_frame.items():
        recent = {track: row for track, row in recent.items() if frame - content.frames[row] <= max_gap + 1}
        known, shares = list(recent), _shared(boxes[rows], boxes[list(recent.values())])
        pairs = zip(*linear_sum_assignment(-shares), strict=True)
        same = {at: known[column] for at, column in pairs if shares[at, column] > _SAME}
        for at, row in enumerate(rows):
            track = same.get(at, len(by_track))
            by_track.setdefault(track, []).append(row)
            recent[track] = row
    return by_track


def _shared(boxes: Float[np.ndarray, "n 2 2"], others: Float[np.ndarray, "m 2 2"]) -> np.ndarray:
    """The shares `(n, m)` that boxes, given by two corners, have in common of their unions."""
    boxes, others = boxes[:, None], others[None]
    low, high = np.maximum(boxes, others)[..., 0, :], np.minimum(boxes, others)[..., 1, :]
    common = np.clip(high - low, 0, None).prod(-1)
    areas = [np.diff(side, axis=-2).prod((-1, -2)) for side in (boxes, others)]
    return common / np.maximum(sum(areas) - common, 1e-9)


def _closed(content: Content, run: np.ndarray, max_gap: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, confidence and presence in all frames of a run, the short gaps of each joint closed."""
    at = content.frames[run] - content.frames[run[0]]
    frames, joints = np.arange(at[-1] + 1), content.points.shape[1]
    points, confidence = np.zeros((len(frames), joints, 2)), np.zeros((len(frames), joints))
    points[at], confidence[at] = content.points[run], content.confidence[run]
    present = confidence > 0
    last = np.maximum.accumulate(np.where(present, frames[:, None], -1))
    following = np.minimum.accumulate(np.where(present, frames[:, None], len(frames))[::-1])[::-1]
    for joint in np.flatnonzero(present.any(0) & ~present.all(0)):
        seen = present[:, joint]
        for axis in range(2):
            points[:, joint, axis] = np.interp(frames, frames[seen], points[seen, joint, axis])
    return points, confidence, present.any(0) & (following - last - 1 <= max_gap)


def _doubts(person: Person, content: Content, rows: list[int], joint_set: JointSet) -> list[str]:
    """What is odd about the order. Joints that are made of others lie well even where that is wrong."""
    doubts = [finding.sentence for finding in inspect(person.normalised())]
    whole = content.points[rows][content.confidence[rows].all(1)]
    size = person.width, person.height
    if joint_set.name == "COCO-17" and len(whole) and not inspect(normalise_screen(whole, *size)):
        doubts.append("the joints lie as Human3.6M orders them, expected COCO's order (see joint_set)")
    return doubts
