"""Motion: clips in memory and on disk, windows seen through virtual cameras, and a synthetic generator."""

from posemamba.motion.clips import Clip, View, select_split
from posemamba.motion.files import load_motion, read_about, read_cmu, save_motion
from posemamba.motion.noise import DetectorNoise
from posemamba.motion.pieces import resample
from posemamba.motion.rig import CameraRig, see
from posemamba.motion.sources import open_motion
from posemamba.motion.synthetic import synthetic_clips
from posemamba.motion.windows import EvaluationWindows, WindowSampler, evaluation_windows

__all__ = ["CameraRig", "Clip", "EvaluationWindows", "WindowSampler", "evaluation_windows", "load_motion"]
__all__ += [
    "DetectorNoise",
    "View",
    "open_motion",
    "read_about",
    "read_cmu",
    "resample",
    "save_motion",
    "see",
    "select_split",
    "synthetic_clips",
]
