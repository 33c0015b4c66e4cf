"""The demonstration clip: what ships, and the command that cuts it."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posemamba.motion import load_motion, read_about, save_motion, synthetic_clips
from posemamba.storage import asset

TOOL = Path(__file__).parents[2] / "tools" / "demo_clip.py"


def load_tool():
    spec = importlib.util.spec_from_file_location("demo_clip", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_ships_is_of_a_person_kept_for_testing():
    (clip,) = load_motion(asset("demo.safetensors"))
    assert (len(clip), clip.fps, clip.split, clip.subject) == (240, 60.0, "test", "2")
    assert "CMU Graphics Lab" in read_about(asset("demo.safetensors"))["credit"]
    height = clip.joints[:, 0, 2]
    assert height.max() - height[0] > 400 and abs(height[-1] - height[0]) < 20  # up and down again


def test_the_command_cuts_the_trial_from_a_motion_file(tmp_path):
    clips = synthetic_clips(seed=0, train=0, test=1, seconds=5, actions=["jumping"])
    motion, out = tmp_path / "motion.safetensors", tmp_path / "demo.safetensors"
    save_motion(motion, [replace(clips[0], name="02_04", subject="2")])
    load_tool().main([str(motion), "--out", str(out)])
    (clip,) = load_motion(out)
    assert np.array_equal(clip.joints, clips[0].joints[:240]) and clip.name == "CMU 02_04, frames 0 to 239"
    save_motion(motion, [replace(clips[0], name="02_04", split="train")])
    with pytest.raises(SystemExit, match="no test clip 02_04"):
        load_tool().main([str(motion), "--out", str(out)])
