"""What each step is shown, brought to the device while the step before is at work."""

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from posemamba.motion.clips import Clip
from posemamba.motion.windows import WindowSampler

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Feed:
    """The rows of each step's batch that this process works on.

    Attributes:
        ahead: whether a thread prepares the next step's batch meanwhile.
    """

    def __init__(
        self, windows: WindowSampler, clips: Sequence[Clip], rows: slice, fabric: "Fabric", ahead: bool
    ):
        self.windows, self.rows, self.fabric, self.ahead = windows, rows, fabric, ahead
        self._files = {name: _state(name) for name in _mapped(clips)}
        self._next: tuple[int, Future] | None = None
        self._pool = ThreadPoolExecutor(1, "posemamba-feed")  # makes its thread when it is first asked

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *_) -> None:
        self._pool.shutdown(cancel_futures=True)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a step, on the device; raises as `check` and `WindowSampler.batch`."""
        kept, self._next = self._next, None
        found = kept[1].result() if kept is not None and kept[0] == step else self._make(step)
        if self.ahead:
            self._next = step + 1, self._pool.submit(self._make, step + 1)
        return tuple(self.fabric.to_device(part) for part in found)

    def check(self) -> None:
        """Raises ValueError where a file that clips are mapped from is not what it was."""
        for name, before in self._files.items():
            if (now := _state(name)) != before:
                found = "is gone" if now is None else "was changed"
                advice = "what was saved before stays; bring it back as it was, and run the same command"
                raise ValueError(f"{name}: this motion {found} while training read it; {advice}")

    def _make(self, step: int) -> tuple[Tensor, ...]:
        self.check()
        parts = (part[self.rows] for part in self.windows.batch(step))
        pinned = self.fabric.device.type == "cuda"
        return tuple(part.pin_memory() if pinned else part for part in parts)


def _mapped(clips: Sequence[Clip]) -> set[str]:
    """The files that the clips' arrays are maps of."""
    found = set()
    for clip in clips:
        for array in (clip.joints, *(array for view in clip.views for _, array in view.arrays())):
            while array is not None and not isinstance(array, np.memmap):
                array = getattr(array, "base", None)
            if array is not None and array.filename is not None:
                found.add(str(array.filename))
    return found


def _state(name: str) -> tuple[int, ...] | None:
    try:
        now = os.stat(name)
    except OSError:
        return None
    return now.st_ino, now.st_size, now.st_mtime_ns
