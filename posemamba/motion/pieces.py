"""Where a window's frames are: pieces of clips, at the windows' rate, which are read when a window asks."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from posemamba.motion.clips import Clip, View, check_finite
from posemamba.skeleton import JOINTS


def resample(joints: Float[np.ndarray, "frames ..."], from_fps: float, to_fps: float, phase: int = 0):
    """Motion at another rate: every n-th frame, or where that ratio is not whole, linear between two.

    Args:
        joints: `(frames, ...)`.
        from_fps, to_fps: the rates, frames a second; to 0.5% a whole ratio counts as whole.
        phase: where to start, in frames of `joints`; only for whole ratios.

    Raises:
        ValueError: rates that are not positive.
    """
    if not (from_fps > 0 and to_fps > 0):
        raise ValueError(f"cannot resample from {from_fps} to {to_fps} fps, expected positive rates")
    ratio = frames_apart(from_fps, to_fps)
    if isinstance(ratio, int):
        return joints[phase::ratio]
    return _between(joints, np.arange(_count(len(joints), ratio)) * ratio)


def frames_apart(from_fps: float, to_fps: float) -> int | float:
    """A frame's length at the second rate in frames of the first; an int if whole to 0.5% (59.94 is 60)."""
    ratio = from_fps / to_fps
    whole = round(ratio)
    return whole if whole >= 1 and abs(ratio - whole) <= 0.005 * whole else ratio


def _count(frames: int, ratio: float) -> int:
    """How many frames there are at a rate that is `ratio` times lower."""
    return max(0, math.floor((frames - 1) / ratio + 1e-9) + 1)


def _between(array: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The rows at numbers that need not be whole, by linear interpolation."""
    before, after = (np.minimum(at.astype(int) + step, len(array) - 1) for step in (0, 1))
    weight = (at - before).astype(array.dtype).reshape(-1, *(1,) * (array.ndim - 1))
    return array[before] * (1 - weight) + array[after] * weight


def spread(length: int, frames: int, generator: np.random.Generator) -> Int[np.ndarray, " frames"]:
    """`frames` places in a sequence that is shorter, each rounded down or up by chance, in order.

    The distribution of MotionBERT's and PoseMamba's released data code: places `i * length / frames`, without
    the end, and none beyond the last frame.
    """
    even = np.linspace(0, length, frames, endpoint=False)
    chosen = np.where(generator.integers(2, size=frames) == 1, np.floor(even), np.ceil(even))
    return np.sort(chosen).astype(int).clip(max=length - 1)


@dataclass(eq=False)
class Piece:
    """A sequence that windows are cut from; of a view, up to its last valid frame.

    Attributes:
        index, clip: the clip, and its place in the list it came in.
        number: which of the clip's views it is; None for the motion alone.
        phase, ratio: the clip's frame that comes first, and how many of its frames are one of the windows.
    """

    index: int
    clip: Clip
    number: int | None
    phase: int
    ratio: int | float

    def __post_init__(self):
        end, valid = len(self.clip), None if self.number is None else self.view.valid
        if valid is not None:
            end = end - int(valid[::-1].argmax()) if valid.any() else 0
        self._length = _count(end - self.phase, self.ratio)

    def __len__(self) -> int:
        """The number of frames at the windows' rate."""
        return self._length

    @property
    def view(self) -> View:
        """The view; there is none where `number` is None."""
        return self.clip.views[self.number]

    @property
    def name(self) -> str:
        """For messages."""
        return f"clip {self.clip.name!r}" + ("" if self.number is None else f", view {self.view.name!r}")

    def source(self, at: slice | np.ndarray) -> Int[np.ndarray, " frames"]:
        """The clip's frames that these are, or that come before them."""
        return (self.phase + np.arange(len(self))[at] * self.ratio).astype(int)

    def take(self, array: Float[np.ndarray, "clip ..."], at: slice | np.ndarray) -> np.ndarray:
        """These frames of one of the clip's arrays, and where nothing must be computed no copy of them."""
        if isinstance(self.ratio, int):
            return array[self.phase :: self.ratio][at]
        return _between(array, np.arange(len(self))[at] * self.ratio)

    def target(self, name: str, at: slice | np.ndarray, end: tuple[int, ...] = (JOINTS, 3)) -> np.ndarray:
        """These frames of a target that the view has, each of shape `end`."""
        array = self.view.targets[name]
        if array.shape[1:] != end:
            raise self.lacks(f"its target {name!r} of shape ({', '.join(map(str, ('frames', *end)))})")
        return self.take(array, at)

    def lacks(self, what: str) -> ValueError:
        """The error that says so."""
        return ValueError(f"{self.name} lacks what is asked for, expected {what}")

    def refuse_nan(self, rows: Float[np.ndarray, "frames 17 ..."], at: slice | np.ndarray, what: str) -> None:
        """Raises ValueError naming the first frame and joint of these rows that is not finite, if one is."""
        # A sum of squares is finite where all numbers are; it costs less than to look at each.
        if not math.isfinite(np.vdot(rows, rows)):
            check_finite(rows, f"{self.name}: {what}", self.source(at))
