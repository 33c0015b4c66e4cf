"""Motion: clips on disk and in memory, windows seen through virtual cameras, and a synthetic generator."""

from posemamba.motion.clips import Clip, load_motion, open_motion, read_cmu, save_motion, select_split
from posemamba.motion.synthetic import synthetic_clips
from posemamba.motion.windows import (
    CameraRig,
    EvaluationWindows,
    WindowSampler,
    evaluation_windows,
    resample,
    see,
)

__all__ = [
    "CameraRig",
    "Clip",
    "EvaluationWindows",
    "WindowSampler",
    "evaluation_windows",
    "load_motion",
    "open_motion",
    "read_cmu",
    "resample",
    "save_motion",
    "see",
    "select_split",
    "synthetic_clips",
]
