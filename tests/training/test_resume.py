"""A run that is killed at any moment ends as one that was left alone, whatever it is made of."""

import math
import random
import signal
import sys
import time

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from posemamba import storage
from posemamba.model import PoseMamba
from posemamba.training import Interrupted, TrainingConfig, read_rows, train
from tests.training.runs import TINY, curve, elsewhere, people, prepared, ranks_of, weights

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")

#: All that a checkpoint may have to keep: running mean, micro-batches, validation on both splits.
WHOLE = {**TINY, "batch_size": 4, "accumulate": 2, "ema": 0.9}
WHOLE |= {"validation.every": 15, "validation.test": True, "validation.subjects": "last"}
WHOLE |= {"validation.windows": 20}


@pytest.fixture(scope="module")
def clips():
    return people(actions=("walking", "waving"))


def same(one, other) -> bool:
    """Whether two states hold the same numbers."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def assert_same_run(run, alone):
    """Two folders hold the same run, but for what the clock says."""
    found, expected = (storage.read_checkpoint(folder / "checkpoint.pt") for folder in (run, alone))
    for state in (found, expected):
        del state["seconds"]
        state["validation"] = [{**row, "seconds": 0} for row in state["validation"]]
    assert found.keys() == expected.keys()
    assert all(same(found[name], expected[name]) for name in found)
    for name in ("model", "best_on_test", "best_on_subjects"):
        if (alone / name).exists():
            one, other = (weights(PoseMamba.from_pretrained(folder / name)) for folder in (run, alone))
            assert torch.equal(one, other), name
        assert (run / name).exists() == (alone / name).exists()
    assert curve(run) == curve(alone)
    assert [(r.step, r.split, r.mpjpe) for r in read_rows(run)] == [
        (r.step, r.split, r.mpjpe) for r in read_rows(alone)
    ]
    one, other = (EventAccumulator(str(folder / "logs"), {"scalars": 0}).Reload() for folder in (run, alone))
    for name in other.Tags()["scalars"]:
        if name != "seconds":
            values = [[(event.step, event.value) for event in each.Scalars(name)] for each in (one, other)]
            assert values[0] == values[1], name


def killed(folder, files, times, devices, seed, pause=0.005):
    """Begin a run in a process of its own so many times, and kill it in the midst of things each time. With
    several processes, any one of them or all."""
    draws, reached = random.Random(seed), []
    for _ in range(times):
        at = storage.read_checkpoint(folder / "checkpoint.pt")["step"] if reached else 0
        process = elsewhere(*files, folder, devices, save_every=0.05, pause=pause)
        deadline, before = time.monotonic() + 300, _stamp(folder)
        while _stamp(folder) == before:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(draws.uniform(0, 0.4))
        others = ranks_of(process)
        victims = (
            [process, *others] if devices == 1 or draws.random() < 0.4 else [draws.choice([process, *others])]
        )
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
        process.wait(60)
        for other in others:
            other.wait(60)  # none is left hanging
        reached.append(storage.read_checkpoint(folder / "checkpoint.pt")["step"])
        assert reached[-1] > at
    assert not (folder / "model").exists()
    return reached


def _stamp(folder):
    path = folder / "checkpoint.pt"
    return path.stat().st_mtime_ns if path.exists() else None


@pytest.mark.parametrize(
    ("times", "devices", "steps"),
    [
        pytest.param(2, 1, 150, id="two kills"),
        pytest.param(10, 1, 700, id="ten kills", marks=pytest.mark.long),
        pytest.param(10, 2, 700, id="ten kills, two processes", marks=pytest.mark.long),
    ],
)
def test_killed_at_random_and_resumed_it_is_the_same_run(clips, tmp_path, times, devices, steps):
    config = TrainingConfig(**WHOLE, steps=steps)
    files = prepared(tmp_path, clips, config)
    alone, run = tmp_path / "alone", tmp_path / "run"
    run.mkdir()
    process = elsewhere(*files, alone, devices, save_every=30, pause=0)
    reached = killed(run, files, times, devices, seed=times + devices)
    assert process.wait() == 0
    assert len(reached) == times and reached[-1] < steps
    assert elsewhere(*files, run, devices, pause=0).wait() == 0
    assert_same_run(run, alone)
    assert not list(run.glob(".checkpoint-*"))


def test_stopped_in_16_bit_floats_it_goes_on_with_the_same_scale(clips, tmp_path):
    """The first scales are too large: steps are left out, and this is no failure."""
    config = TrainingConfig(**WHOLE, steps=16, precision="16-mixed")
    alone, run = tmp_path / "alone", tmp_path / "run"
    norms = []
    train(
        config, clips, alone, log=lambda step, figures: norms.append(figures["gradient_norm"]), device="cpu"
    )

    def stop(step, figures):
        if step in (1, 6):
            signal.raise_signal(signal.SIGTERM)

    for _ in range(2):
        with pytest.raises(Interrupted):
            train(config, clips, run, log=stop, device="cpu")
    train(config, clips, run, log=stop, device="cpu")
    assert_same_run(run, alone)
    left_out = sum(map(math.isinf, norms))
    assert 1 < left_out < 16  # the first stop is among them
    assert storage.read_checkpoint(run / "checkpoint.pt")["scaler"]["scale"] == 2.0 ** (16 - left_out)
