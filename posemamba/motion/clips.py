"""A clip of motion: one take of a body, with its rate, its action and its place in training or test."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from jaxtyping import Float32

from posemamba.skeleton import JOINTS

SPLITS = ("train", "test")


def __getattr__(name: str):  # what lived here once
    if name in ("load_motion", "open_motion", "read_cmu", "save_motion"):
        return getattr(import_module("posemamba.motion"), name)
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
        ValueError: another shape or type, no frames, NaN, a rate that is not positive, an unknown split.
    """

    joints: Float32[np.ndarray, "frames 17 3"]
    fps: float
    name: str
    action: str
    split: str

    def __post_init__(self):
        joints, clip = self.joints, f"clip {self.name!r}"
        found = joints.dtype if isinstance(joints, np.ndarray) else type(joints).__name__
        if found != np.float32:
            raise ValueError(f"{clip}: joints are {found}, expected a float32 array")
        if joints.shape[1:] != (JOINTS, 3) or len(joints) == 0:
            raise ValueError(f"{clip}: joints have shape {joints.shape}, expected (1 or more, {JOINTS}, 3)")
        finite = np.isfinite(joints).all(axis=(1, 2))
        if not finite.all():
            raise ValueError(f"{clip}: frame {finite.argmin()} holds NaN or infinity, expected finite mm")
        if not 0 < self.fps < np.inf:
            raise ValueError(f"{clip}: fps is {self.fps}, expected a positive number")
        if self.split not in SPLITS:
            raise ValueError(f"{clip}: split is {self.split!r}, expected 'train' or 'test'")

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.joints)


def select_split(clips: Iterable[Clip], split: str) -> list[Clip]:
    """The clips of one split ("train" or "test"), in order.

    Raises:
        ValueError: no clip is in it.
    """
    chosen = [clip for clip in clips if clip.split == split]
    if not chosen:
        raise ValueError(f"the motion has no clip in its {split} split, expected 'train' or 'test'")
    return chosen
