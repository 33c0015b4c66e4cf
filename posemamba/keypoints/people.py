"""People out of what detectors wrote: who is who from frame to frame, gaps closed, 17 joints for each."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from posemamba.camera import normalise_screen
from posemamba.keypoints.formats import Content, Detection, read_content
from posemamba.keypoints.inspection import inspect
from posemamba.skeleton import JOINT_NAMES, JOINT_SETS, JointSet

# Boxes of one person in two frames share more than this of their union (SORT: Bewley et al., 2016).
_SAME = 0.3
# By the number of joints; 17 may be COCO's or Human3.6M's. The two large ones (COCO-WholeBody, Halpe with face
# and hands) begin with the small ones.
_BY_COUNT = {133: "COCO-17", 136: "Halpe-26"} | {len(s.joints): s.name for s in JOINT_SETS.values()}
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

    The file may be AlphaPose's JSON, a folder of OpenPose's JSON, MMPose's JSON, an .npz of Detectron2 or
    VideoPose3D, MediaPipe's landmarks as JSON, or an array `(frames, joints, 2 or 3)` as .npz or .npy; its
    content tells. Fractions of the image become pixels.

    Args:
        path: the file or folder.
        size: the image's width and height, pixels; asked for where the file does not tell.
        joint_set: a name in `skeleton.JOINT_SETS`, or a set; by default the file's own word or its number of
            joints tells. An array of 17 joints must be told.
        max_gap: in how many frames on end a person or a joint may be missing and is interpolated, linearly.
            After a longer gap a new `Person` begins.
        threshold: a joint whose confidence is not above it is missing.
        tracks: "file" takes the file's word for who is who where it has one; "overlap" links people by the
            overlap of their boxes from frame to frame, as is done where the file says nothing.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: naming the file or argument, what was found and what was expected.

    Warns:
        RuntimeWarning: frames that are left out; joints that look as if they were in another order.
    """
    if tracks not in ("file", "overlap"):
        raise ValueError(f"tracks is {tracks!r}, expected 'file' or 'overlap'")
    if max_gap < 0:
        raise ValueError(f"max_gap is {max_gap}, expected 0 frames or more")
    content = read_content(path)
    joint_set = _joint_set(content, joint_set, path)
    everyone = [
        d._replace(points=d.points[:count], confidence=np.where(sure > threshold, sure, 0))
        for count in [len(joint_set.joints)]
        for d in content.detections
        if ((sure := d.confidence[:count]) > threshold).any()
    ]
    if not everyone:
        raise ValueError(f"{path} has nobody in it above a confidence of {threshold:g}, expected a person")
    width, height = _size(content.size, size, path)
    everyone = _in_pixels(everyone, width, height, path)
    by_track = _tracks(everyone, tracks, max_gap, path)
    people, lost = [], {}
    for track, run in _runs(by_track, max_gap):
        points, confidence, present = joint_set.convert(*_closed(run, max_gap))
        whole = present.all(1)
        if not whole.all():
            where = f"{(~whole).sum()} frames of person {track}"
            lost[where] = ", ".join(
                name for name, fine in zip(JOINT_NAMES, present.all(0), strict=True) if not fine
            )
        for first, last in np.flatnonzero(np.diff(whole, prepend=False, append=False)).reshape(-1, 2):
            part = points[first:last].astype(np.float32), confidence[first:last].astype(np.float32)
            people.append(Person(track, run[0].frame + int(first), *part, width, height))
    if lost:
        where, what = next(iter(lost.items()))
        said = f"{path}: no {what} for more than {max_gap} frames on end (max_gap), left out are {where}"
        said += f" and of {len(lost) - 1} others" * (len(lost) > 1)
        if not people:
            raise ValueError(f"{said}, expected all 17 joints in some frame")
        warnings.warn(said, RuntimeWarning, stacklevel=2)
    people.sort(key=lambda person: (-len(person), person.track, person.start))
    for doubt in _doubts(people[0], by_track[people[0].track], joint_set):
        warnings.warn(f"{path}, person {people[0].track}: {doubt}", RuntimeWarning, stacklevel=2)
    return Detections(tuple(people), width, height, content.fps, joint_set)


def _joint_set(content: Content, wanted: str | JointSet | None, path) -> JointSet:
    counts = {len(d.points): d.frame for d in content.detections}
    if len(counts) != 1:
        found = " and ".join(f"{n} joints in frame {at}" for n, at in sorted(counts.items())[:2]) or "nobody"
        raise ValueError(f"{path} has {found}, expected people with one number of joints")
    (count,) = counts
    name = wanted or content.joint_set or _BY_COUNT.get(count)
    if not isinstance(name, JointSet) and name not in JOINT_SETS:
        found = f"{count} joints, which could be several sets" if name is None else repr(name)
        raise ValueError(f"{path}: joint_set is to tell of {found}, expected one of {', '.join(JOINT_SETS)}")
    joint_set = name if isinstance(name, JointSet) else JOINT_SETS[name]
    if count != len(joint_set.joints) and _BY_COUNT.get(count) != joint_set.name:
        wanted = f"{len(joint_set.joints)}, those of {joint_set.name}"
        raise ValueError(f"{path} has {count} joints, expected {wanted}")
    return joint_set


def _size(told: tuple[int, int] | None, given: tuple[int, int] | None, path) -> tuple[int, int]:
    size = told if given is None else tuple(given)
    if size is None:
        raise ValueError(
            f"{path} does not tell the image's size, expected the argument size: (width, height)"
        )
    if len(size) != 2 or not all(isinstance(side, int | np.integer) and side > 0 for side in size):
        raise ValueError(f"size is {size}, expected the image's width and height in pixels")
    if told not in (None, size):
        raise ValueError(f"size is {size}, but {path} tells {told}, expected them to agree")
    return int(size[0]), int(size[1])


def _in_pixels(everyone: list[Detection], width: int, height: int, path) -> list[Detection]:
    """Fractions of the image as pixels. No person is two pixels large, so the numbers tell."""
    points = np.concatenate([d.points[d.confidence > 0] for d in everyone])
    if np.median(np.abs(points)) > 2:
        middle = np.median(points, axis=0)
        if not ((middle >= 0) & (middle <= (width, height))).all():
            where = f"around ({middle[0]:.0f}, {middle[1]:.0f})"
            raise ValueError(
                f"{path} has its joints {where}, expected them in an image of {width} x {height}"
            )
        return everyone
    if (points < 0).mean() > 0.2:
        raise ValueError(f"{path} has joints around zero, expected pixels or fractions of the image")
    return [d._replace(points=d.points * (width, height)) for d in everyone]


def _tracks(everyone: list[Detection], tracks: str, max_gap: int, path) -> dict[int, list[Detection]]:
    """The detections of each person in the frames' order."""
    frames, by_track = {}, {}
    for d in everyone:
        frames.setdefault(d.frame, []).append(d)
    names = {d.track for d in everyone}
    clash = [d for group in frames.values() if len({d.track for d in group}) < len(group) for d in group]
    # Without its tracker AlphaPose calls everybody 0.
    if tracks == "file" and None not in names and not (clash and len(names) == 1):
        if clash:
            seen = f"frame {clash[0].frame} of {path} has two people of one number"
            raise ValueError(f"{seen}, expected each once (tracks='overlap' ignores the file's numbers)")
        for d in sorted(everyone, key=lambda d: d.frame):
            by_track.setdefault(d.track, []).append(d)
        return by_track
    from scipy.optimize import linear_sum_assignment

    for frame, group in sorted(frames.items()):
        near = [track for track, run in by_track.items() if frame - run[-1].frame <= max_gap + 1]
        shares = _overlap(
            *(
                np.array([_box(d) for d in side]).reshape(-1, 4)
                for side in (group, [by_track[t][-1] for t in near])
            )
        )
        pairs = zip(*linear_sum_assignment(-shares), strict=True)
        same = {row: near[column] for row, column in pairs if shares[row, column] > _SAME}
        for row, d in enumerate(group):
            by_track.setdefault(same.get(row, len(by_track)), []).append(d)
    return by_track


def _box(d: Detection) -> tuple[float, ...]:
    points = d.points[d.confidence > 0]
    return *points.min(0), *points.max(0)


def _overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The shares `(n, m)` that boxes have in common of their unions."""

    def area(low, high):
        return np.clip(high - low, 0, None).prod(-1)

    first, second = first[:, None], second[None]
    common = area(np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:]))
    whole = area(first[..., :2], first[..., 2:]) + area(second[..., :2], second[..., 2:]) - common
    return common / np.maximum(whole, 1e-9)


def _runs(by_track: dict[int, list[Detection]], max_gap: int) -> Iterator[tuple[int, list[Detection]]]:
    """The detections of each person, cut where more than `max_gap` frames are missing."""
    for track, run in by_track.items():
        cuts = [at for at in range(1, len(run)) if run[at].frame - run[at - 1].frame > max_gap + 1]
        for first, last in zip([0, *cuts], [*cuts, len(run)], strict=True):
            yield track, run[first:last]


def _closed(run: list[Detection], max_gap: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, confidence and presence in all frames of a run, gaps of each joint closed where they are short."""
    at = np.array([d.frame for d in run]) - run[0].frame
    frames, joints = np.arange(at[-1] + 1), len(run[0].points)
    points, confidence = np.zeros((len(frames), joints, 2)), np.zeros((len(frames), joints))
    points[at], confidence[at] = [d.points for d in run], [d.confidence for d in run]
    present = confidence > 0
    for joint in np.flatnonzero(present.any(0) & ~present.all(0)):
        times = np.flatnonzero(present[:, joint])
        place = np.searchsorted(times, frames, side="right")
        gap = np.append(times, len(frames))[place] - np.insert(times, 0, -1)[place] - 1
        for axis in range(2):
            points[:, joint, axis] = np.interp(frames, times, points[times, joint, axis])
        present[:, joint] |= gap <= max_gap
    return points, confidence, present


def _doubts(person: Person, run: list[Detection], joint_set: JointSet) -> list[str]:
    """What is odd about the order of the joints. Joints made of each other lie well even where it is wrong."""
    sentences = [finding.sentence for finding in inspect(person.normalised())]
    raw = [d.points for d in run if (d.confidence > 0).all()]
    if joint_set.name == "COCO-17" and raw:
        raw = normalise_screen(np.array(raw), person.width, person.height)
        if not inspect(raw):
            sentences.append(
                "the joints lie as Human3.6M orders them, expected COCO's order (joint_set tells)"
            )
    return sentences
