"""The sweep of scan orders: what its arms are, and that it stops and goes on."""

import runpy
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from posemamba import record
from posemamba.model import PoseMamba
from posemamba.motion import open_motion, save_motion, synthetic_clips
from posemamba.training import TrainingConfig, train

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "figures" / "order_sweep.py"
SWEEP = runpy.run_path(str(SCRIPT))


def test_arms_differ_in_what_they_are_named_for_alone():
    for seed in (0, 9):
        configs = {
            arm: TrainingConfig.load("orders", seed=seed, **change(seed))
            for arm, change in SWEEP["ARMS"].items()
        }
        own = ("scan", "gradient", "joint_order")
        assert len({tuple(getattr(c, name) for name in own) for c in configs.values()}) == 10
        flat = [c.flat() for c in configs.values()]
        shared = {tuple((k, str(v)) for k, v in c.items() if k not in own) for c in flat}
        assert len(shared) == 1
    mixes = {SWEEP["ARMS"]["global-random"](seed)["scan"] for seed in range(8)}
    orders = {SWEEP["ARMS"]["shuffled joints"](seed)["joint_order"] for seed in range(8)}
    assert len(mixes) == len(orders) == 8


def test_seeds_come_whole_before_more_of_them():
    given = Namespace(arms=list(SWEEP["ARMS"]), seeds=2, more=1)
    runs = SWEEP["planned"](given)
    assert [seed for _, seed in runs] == [0] * 10 + [1] * 10 + [2] * len(SWEEP["LIMB_ARMS"])
    assert len(set(runs)) == len(runs)


@pytest.mark.long
def test_a_sweep_that_was_stopped_goes_on_to_the_same_result(tmp_path):
    clips = synthetic_clips(train=1, test=1, seconds=4, actions=["walking"])
    save_motion(tmp_path / "walk.safetensors", clips)
    size = "--steps 40 --seeds 1 --more 0 --arms bidirectional global-self --keep best"
    command = [sys.executable, str(SCRIPT), *size.split(), "--data", str(tmp_path / "walk.safetensors")]
    command += ["--folder", str(tmp_path / "runs"), "--out", str(tmp_path / "assets")]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    logs = tmp_path / "runs" / "bidirectional" / "seed_0" / "logs"
    while not logs.exists():
        assert started.poll() is None
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    said, _ = started.communicate(timeout=120)
    assert started.returncode == 130
    assert "Stopped; what was done is kept" in said
    assert not (tmp_path / "assets").exists()

    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    again = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "left" not in again.stdout  # nothing was left to run

    kept = record.read(tmp_path / "assets" / "measured" / "order_sweep.json")
    assert [(run["arm"], run["seed"]) for run in kept["runs"]] == [("bidirectional", 0), ("global-self", 0)]
    assert kept["config"]["steps"] == 40 and kept["seeds"] == [0]
    own = {name: kept["runs"][0][name] for name in ("scan", "gradient", "joint_order", "seed")}
    assert TrainingConfig(**kept["config"], **own) == TrainingConfig.load("orders", steps=40, **own)
    assert all(run["mpjpe"]["walking"] == run["mpjpe"]["over_actions"] for run in kept["runs"])
    assert all(len(run["by_joint"]) == 17 for run in kept["runs"])
    assert PoseMamba.from_pretrained(tmp_path / "assets" / "best").config.millimetres_per_unit == 1000

    config = TrainingConfig.load("orders", steps=40, scan="bidirectional")
    train(config, open_motion(str(tmp_path / "walk.safetensors")), tmp_path / "alone")
    found = load_file(tmp_path / "runs" / "bidirectional" / "seed_0" / "model" / "model.safetensors")
    for name, weight in load_file(tmp_path / "alone" / "model" / "model.safetensors").items():
        assert (found[name] - weight).abs().max() < 1e-6, name
