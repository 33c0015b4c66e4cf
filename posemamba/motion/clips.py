"""A clip of motion: one take of a body, what cameras have of it, and its place in training or test."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field

import numpy as np
from jaxtyping import Bool, Float32

from posemamba.camera import Camera
from posemamba.skeleton import JOINT_NAMES, JOINTS

SPLITS = ("train", "test")
CAMERA_PARTS = ("rotation", "translation", "focal", "center", "radial", "tangential")


@dataclass(frozen=True, eq=False)
class View:
    """What one camera has of a clip. All arrays begin with the clip's frames.

    Attributes:
        name: what the data set calls the camera.
        width, height: the image's size, pixels.
        camera: one camera (no batch) with that image, from the world in mm; None where it is not known.
        keypoints: `(frames, 17, 2)` float32 pixels, as a detector or the set gives them; None without.
        confidence: `(frames, 17)` float32, the detector's; None without.
        valid: `(frames,)` bool, which frames count; None where all do.
        targets: by name what the set itself asks for, float32 `(frames, ...)`. Used so far: MotionBERT's
            "joint3d_image" and "joints_2.5d_image" `(frames, 17, 3)` and "2.5d_factor" `(frames,)`; "camera",
            the joints in the camera's frame, mm; MPI-INF-3DHP's "annot3" and "univ_annot3".
        scan: whether to look for NaN at once; clips from a file leave that to whoever uses their frames.

    Raises:
        ValueError: shapes or types that do not fit, NaN, a camera of another image.
    """

    name: str
    width: int
    height: int
    camera: Camera | None = None
    keypoints: Float32[np.ndarray, "frames 17 2"] | None = None
    confidence: Float32[np.ndarray, "frames 17"] | None = None
    valid: Bool[np.ndarray, " frames"] | None = None
    targets: Mapping[str, Float32[np.ndarray, "frames ..."]] = field(default_factory=dict)
    scan: InitVar[bool] = True

    def __post_init__(self, scan: bool):
        what = f"view {self.name!r}"
        for name, text in (("name", self.name), *(("a target's name", name) for name in self.targets)):
            _check_text(text, f"{what}: {name}")
        size = f"{what} is {self.width} x {self.height} pixels"
        if not (self.width > 0 and self.height > 0) or self.width % 1 or self.height % 1:
            raise ValueError(f"{size}, expected positive sizes, whole pixels")
        if (camera := self.camera) is not None:
            if camera.batch_shape:
                raise ValueError(f"{what} has {camera.batch_shape} cameras, expected one")
            if (camera.width, camera.height) != (self.width, self.height):
                raise ValueError(f"{size} but has a camera of {camera.width} x {camera.height} pixels")
            if scan and not all(getattr(camera, part).isfinite().all() for part in CAMERA_PARTS):
                raise ValueError(f"{what} has a camera that holds NaN or infinity, expected finite numbers")
        ends = {"keypoints": (JOINTS, 2), "confidence": (JOINTS,), "valid": ()}
        for name, array in self.arrays():
            kind = np.bool_ if name == "valid" else np.float32
            _check(array, f"{what}: {name}", kind, ends.get(name), scan)
        if len({len(array) for _, array in self.arrays()}) > 1:
            found = ", ".join(f"{name} {len(array)}" for name, array in self.arrays())
            raise ValueError(f"{what}: its arrays have different numbers of frames: {found}")

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """What the view holds, by name; a target as "targets.NAME"."""
        for name in ("keypoints", "confidence", "valid"):
            if getattr(self, name) is not None:
                yield name, getattr(self, name)
        for name, array in self.targets.items():
            yield f"targets.{name}", array

    def body(self) -> Float32[np.ndarray, "frames 17 3"] | None:
        """The joints in the camera's frame, mm, from the first of the targets that are such; None without."""
        found = (self.targets.get(name) for name in ("camera", "annot3", "univ_annot3"))
        return next((body for body in found if body is not None and body.shape[1:] == (JOINTS, 3)), None)


@dataclass(frozen=True, eq=False)
class Clip:
    """One take of motion.

    Attributes:
        joints: `(frames, 17, 3)` float32, mm, world with z up; None where a set has no joints in a world.
        fps: frames a second.
        name: names the clip in messages and results.
        action: what is done in it; evaluation averages over actions.
        split: "train" or "test".
        subject: whose body it is; empty where that is not known.
        views: what cameras have of it, none for motion alone.
        scan: whether to look for NaN at once, as in `View`.

    Raises:
        ValueError: another shape or type, no frames, NaN, a rate that is not positive, an unknown split,
            views of another length, neither joints nor views.
    """

    joints: Float32[np.ndarray, "frames 17 3"] | None
    fps: float
    name: str
    action: str
    split: str
    subject: str = ""
    views: tuple[View, ...] = ()
    scan: InitVar[bool] = True

    def __post_init__(self, scan: bool):
        clip = f"clip {self.name!r}"
        for name in ("name", "action", "subject"):
            _check_text(getattr(self, name), f"{clip}: {name}")
        if self.joints is not None:
            _check(self.joints, f"{clip}: joints", np.float32, (JOINTS, 3), scan)
        elif not any(True for view in self.views for _ in view.arrays()):
            raise ValueError(f"{clip} has neither joints nor a view with frames, expected one of them")
        names = [view.name for view in self.views]
        if len(set(names)) < len(names):
            raise ValueError(f"{clip} has views {', '.join(names)}, expected each name once")
        for view in self.views:
            for name, array in view.arrays():
                if len(array) != len(self):
                    found = f"{name} of view {view.name!r} has {len(array)} frames"
                    raise ValueError(f"{clip}: {found}, expected {len(self)} as the others")
        expect(0 < self.fps < np.inf, f"{clip}: fps", self.fps, "a positive number")
        expect(self.split in SPLITS, f"{clip}: split", self.split, "'train' or 'test'")

    def __len__(self) -> int:
        """The number of frames."""
        if self.joints is not None:
            return len(self.joints)
        return next(len(array) for view in self.views for _, array in view.arrays())


def expect(fine: bool, name: str, value, wanted: str) -> None:
    """Raises ValueError where an argument is not fine."""
    if not fine:
        raise ValueError(f"{name} is {value!r}, expected {wanted}")


def _check_text(text, what: str) -> None:
    # Control characters would reach terminals, and half a surrogate cannot be written.
    expect(isinstance(text, str) and text.isprintable(), what, text, "text of printable characters")


def _check(array, what: str, kind, end: tuple[int, ...] | None, scan: bool) -> None:
    found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
    if found != kind:
        raise ValueError(f"{what} are {found}, expected a {np.dtype(kind)} array")
    if array.ndim == 0 or len(array) == 0 or (end is not None and array.shape[1:] != end):
        wanted = ", ".join(["1 or more", *map(str, ("...",) if end is None else end)])
        raise ValueError(f"{what} have shape {array.shape}, expected ({wanted})")
    if scan:
        check_finite(array, what)


def check_finite(array: np.ndarray, what: str, frames: Sequence[int] | None = None) -> None:
    """Raises ValueError naming the first frame of `(frames, ...)`, and the joint, that holds NaN or infinity.

    `frames` are the frames' numbers, which count from 0 where left out.
    """
    finite = np.isfinite(array)
    if not finite.all():
        at, *joint = np.argwhere(~finite)[0]
        where = f"frame {at if frames is None else frames[at]}"
        if joint and array.shape[1] == JOINTS:
            where += f", joint {joint[0]} ({JOINT_NAMES[joint[0]]})"
        raise ValueError(f"{what} hold NaN or infinity in {where}, expected finite numbers")


def select_split(clips: Iterable[Clip], split: str) -> list[Clip]:
    """The clips of one split ("train" or "test"), in order.

    Raises:
        ValueError: no clip is in it.
    """
    chosen = [clip for clip in clips if clip.split == split]
    if not chosen:
        raise ValueError(f"the motion has no clip in its {split} split, expected 'train' or 'test'")
    return chosen


def natural_order(name: str) -> tuple[int, str]:
    """A key that sorts names by the number in them: S9 before S11."""
    return int("".join(filter(str.isdecimal, name)) or 0), name
