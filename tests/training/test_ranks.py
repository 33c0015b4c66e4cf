"""Several processes do what one does; one that dies leaves no other hanging."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from posemamba import storage
from posemamba.model import PoseMamba
from posemamba.training import Interrupted, TrainingConfig, train
from tests.training.runs import PROGRAM, TINY, curve, elsewhere, people, prepared, ranks_of, weights

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")

FOUR = {**TINY, "batch_size": 4, "depth": 4, "drop_path": 0.5}
SPLITS = {"validation.every": 5, "validation.test": True, "validation.windows": 70}


@pytest.fixture(scope="module")
def clips():
    return people(actions=("walking", "waving"))


@pytest.fixture(autouse=True)
def one_thread():
    """Sums that are divided among threads are rounded otherwise; each of two processes has one here."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def apart(one, other) -> float:
    return float((weights(one) - weights(other)).norm() / weights(other).norm())


def test_micro_batches_are_one_batch_to_rounding(clips, tmp_path):
    """Drop path included, which skips the same windows however the batch is divided."""
    models = {
        parts: train(TrainingConfig(**FOUR, steps=10, accumulate=parts), clips, tmp_path / str(parts))
        for parts in (1, 2, 4)
    }
    assert all(0 < apart(models[parts], models[1]) < 1e-6 for parts in (2, 4))
    losses = [float(curve(tmp_path / parts)[9]["loss"]) for parts in ("1", "4")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_two_processes_are_one_with_the_same_batch(clips, tmp_path):
    """Bit for bit where one process divides its batch alike, and to rounding where it does not."""
    config = TrainingConfig(**FOUR, **SPLITS, steps=10)
    two = train(config, clips, tmp_path / "two", devices=2, device="cpu")
    divided = train(TrainingConfig(**FOUR, **SPLITS, steps=10, accumulate=2), clips, tmp_path / "divided")
    whole = train(config, clips, tmp_path / "whole", device="cpu")
    assert torch.equal(weights(two), weights(divided))
    assert apart(two, whole) < 1e-6
    states = [storage.read_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("two", "divided")]
    rows = [[(row["step"], row["mpjpe"], row["p_mpjpe"]) for row in state["validation"]] for state in states]
    assert rows[0] == rows[1] and len(rows[0]) == 2
    assert not torch.distributed.is_initialized() and "LOCAL_RANK" not in os.environ


def test_torchrun_does_the_same(clips, tmp_path):
    config = TrainingConfig(**FOUR, steps=6, accumulate=2)
    files = prepared(tmp_path, clips, TrainingConfig(**FOUR, steps=6))
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0"]
    run = [str(tmp_path / "program.py"), *map(str, files), str(tmp_path / "run"), "1", "30", "0"]
    subprocess.run([*launcher, "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", *run], check=True)
    alone = train(config, clips, tmp_path / "alone", device="cpu")
    assert torch.equal(weights(PoseMamba.from_pretrained(tmp_path / "run" / "model")), weights(alone))


def begun(tmp_path, clips, **more):
    """Two processes at work, and their folder."""
    files = prepared(tmp_path, clips, TrainingConfig(**FOUR, steps=5000))
    process = elsewhere(*files, tmp_path / "run", devices=2, stderr=subprocess.PIPE, **more)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "checkpoint.pt").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return process, ranks_of(process)[0], tmp_path / "run"


def test_when_one_dies_the_other_says_so_and_ends(clips, tmp_path):
    process, other, run = begun(tmp_path, clips)
    other.send_signal(signal.SIGKILL)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert said == "process 1 of 2 ended by signal 9; what was saved stays, the same command goes on\n"
    assert 0 < storage.read_checkpoint(run / "checkpoint.pt")["step"] < 5000


def test_when_the_first_dies_the_other_ends(clips, tmp_path):
    process, other, _ = begun(tmp_path, clips)
    process.kill()
    other.wait(60)
    assert process.communicate(timeout=60)[1] == ""


def test_a_stop_that_one_is_asked_for_stops_all_at_the_same_step(clips, tmp_path):
    process, other, run = begun(tmp_path, clips)
    other.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    step = storage.read_checkpoint(run / "checkpoint.pt")["step"]
    assert f"Interrupted: stopped after step {step}, everything is saved" in said
    other.wait(60)


def test_a_fault_of_all_is_said_once(clips, tmp_path):
    """Rank 0 refuses, or every process does; the others are silent and gone."""
    config = TrainingConfig(**FOUR, steps=4)
    train(config, clips, tmp_path)
    with pytest.raises(ValueError, match="its run has steps = 4, asked for 5"):
        train(TrainingConfig(**FOUR, steps=5), clips, tmp_path, devices=2, device="cpu")
    with pytest.raises(ValueError, match="a batch has 4 windows, expected a multiple of 3 processes times"):
        train(config, clips, tmp_path / "three", devices=3, device="cpu")
    with pytest.raises(ValueError, match=r"multiple of 1 processes times optimizer.accumulate = 3"):
        train(TrainingConfig(**FOUR, accumulate=3), clips, tmp_path / "parts")


def test_ctrl_c_stops_all_and_the_same_command_goes_on(clips, tmp_path):
    config, steps = TrainingConfig(**FOUR, steps=8), []

    def stop(step, figures):
        steps.append(step)
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    for _ in range(2):
        if steps:
            two = train(config, clips, tmp_path / "run", devices=2, device="cpu", log=stop)
        else:
            with pytest.raises(Interrupted):
                train(config, clips, tmp_path / "run", devices=2, device="cpu", log=stop)
    assert steps == list(range(8))
    divided = train(TrainingConfig(**FOUR, steps=8, accumulate=2), clips, tmp_path / "divided")
    assert torch.equal(weights(two), weights(divided))
