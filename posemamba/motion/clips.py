"""A clip of motion: one take of a body, with its rate, its action and its place in training or test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from jaxtyping import Float32

from posemamba.skeleton import JOINTS

SPLITS = ("train", "test")

# Names that lived here once, and the modules that they moved to.
_MOVED = {"load_motion": "files", "open_motion": "sources", "read_cmu": "files", "save_motion": "files"}


def __getattr__(name: str):
    if name in _MOVED:
        return getattr(import_module(f"posemamba.motion.{_MOVED[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True, eq=False)
class Clip:
    """One take of motion.

    Attributes:
        joints: `(frames, 17, 3)` float32, mm, world with z up.
        fps: frames a second.
        name: names the clip in messages and results.
        action: what is done in it; evaluation averages over actions.
        split: "train" or "test".

    Raises:
        ValueError: another shape or type, no frames at all, a number that is not finite (the message names
            the clip and the frame), a rate that is not positive, an unknown split.
    """

    joints: Float32[np.ndarray, "frames 17 3"]
    fps: float
    name: str
    action: str
    split: str

    def __post_init__(self):
        joints, clip = self.joints, f"clip {self.name!r}"
        if not isinstance(joints, np.ndarray) or joints.dtype != np.float32:
            found = getattr(joints, "dtype", type(joints).__name__)
            raise ValueError(f"{clip}: joints are {found}, expected a float32 array")
        if joints.ndim != 3 or joints.shape[1:] != (JOINTS, 3):
            raise ValueError(f"{clip}: joints have shape {joints.shape}, expected (frames, {JOINTS}, 3)")
        if len(joints) == 0:
            raise ValueError(f"{clip} has no frames, expected at least one")
        finite = np.isfinite(joints).all(axis=(1, 2))
        if not finite.all():
            frame = int(finite.argmin())
            raise ValueError(f"{clip}: frame {frame} holds NaN or infinity, expected finite millimetres")
        if not np.isfinite(self.fps) or self.fps <= 0:
            raise ValueError(f"{clip}: fps is {self.fps}, expected a positive number")
        if self.split not in SPLITS:
            raise ValueError(f"{clip}: split is {self.split!r}, expected 'train' or 'test'")

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.joints)

    @property
    def seconds(self) -> float:
        """How long the clip lasts."""
        return len(self.joints) / self.fps


def select_split(clips: Iterable[Clip], split: str) -> list[Clip]:
    """The clips of one split ("train" or "test"), in order.

    Raises:
        ValueError: an unknown split, or no clip in it.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, expected 'train' or 'test'")
    chosen = [clip for clip in clips if clip.split == split]
    if not chosen:
        raise ValueError(f"the motion has no clip in its {split} split")
    return chosen
