"""Motion: clips in memory and on disk, windows seen through virtual cameras, and a synthetic generator."""

from posemamba.motion.clips import Clip, View, select_split
from posemamba.motion.files import load_motion, read_about, read_cmu, save_motion
from posemamba.motion.noise import DetectorNoise
from posemamba.motion.pieces import resample
from posemamba.motion.rig import CameraRig, see
from posemamba.motion.sources import open_motion
from posemamba.motion.synthetic import synthetic_clips
from posemamba.motion.windows import EvaluationWindows, WindowSampler, evaluation_windows

__all__ = ["CameraRig", "Clip", "DetectorNoise", "EvaluationWindows", "View", "WindowSampler"]
__all__ += ["evaluation_windows", "load_motion", "open_motion", "read_about", "read_cmu", "resample"]
__all__ += ["save_motion", "see", "select_split", "synthetic_clips"]
