"""The folder of a run keeps to its run, and keeps others out."""

import os
import signal
import sys
import time

import pytest
import torch
import yaml

from posemamba.motion import synthetic_clips
from posemamba.training import Interrupted, TrainingConfig, train
from tests.training.runs import TINY, elsewhere, prepared, weights


@pytest.fixture(scope="module")
def clips():
    return synthetic_clips(seed=0, train=1, test=1, seconds=4.0)


@pytest.fixture(scope="module")
def alone(clips, tmp_path_factory):
    """Twelve steps without a break."""
    return weights(train(TrainingConfig(**TINY, steps=12), clips, tmp_path_factory.mktemp("alone")))


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_two_trainings_do_not_share_a_folder(clips, tmp_path):
    config = TrainingConfig(**TINY, steps=2000)
    run, inside = tmp_path / "run", []
    process = elsewhere(*prepared(tmp_path, clips, config), run)
    try:
        while not (run / "checkpoint.pt").exists():
            assert process.poll() is None
            time.sleep(0.01)
        with pytest.raises(ValueError, match="another training writes into it now"):
            train(config, clips, run)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    # A process that was killed holds nothing, though its lock's file stays: the same command goes on.
    short = TrainingConfig(**TINY, steps=3)
    with pytest.raises(ValueError, match="its run has steps = 2000"):
        train(short, clips, run)

    def again(step, figures):
        with pytest.raises(ValueError, match="another training"):  # nor a second one in this process
            train(short, clips, tmp_path / "own")
        inside.append(step)

    train(short, clips, tmp_path / "own", log=again)
    assert inside == [0, 1, 2]
    assert {"checkpoint.pt", "config.yaml", "logs", "model"} <= set(os.listdir(tmp_path / "own"))


def test_a_finished_run_is_not_trained_further(clips, tmp_path):
    config = TrainingConfig(**TINY, steps=3)
    before = weights(train(config, clips, tmp_path))
    steps = []
    assert torch.equal(weights(train(config, clips, tmp_path, log=lambda s, f: steps.append(s))), before)
    assert steps == []


def test_a_folder_keeps_its_configuration(clips, tmp_path):
    train(TrainingConfig(**TINY, steps=2), clips, tmp_path)
    with pytest.raises(ValueError, match="its run has steps = 2, asked for 3"):
        train(TrainingConfig(**TINY, steps=3), clips, tmp_path)
    with pytest.raises(ValueError, match="holds a run already"):
        train(TrainingConfig(**TINY, steps=2), clips, tmp_path, resume=False)


def test_a_broken_checkpoint_is_named_and_kept(clips, tmp_path):
    config = TrainingConfig(**TINY, steps=2)
    train(config, clips, tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"checkpoint.pt"):
        train(config, clips, tmp_path)
    assert len(path.read_bytes()) == 1000


def test_a_checkpoint_of_another_shape_is_named(clips, tmp_path):
    wide, narrow = TrainingConfig(**TINY, steps=4), TrainingConfig(**{**TINY, "channels": 16}, steps=2)
    train(narrow, clips, tmp_path / "narrow")
    (tmp_path / "wide").mkdir()
    with pytest.raises(Interrupted):
        train(wide, clips, tmp_path / "wide", log=lambda step, figures: signal.raise_signal(signal.SIGINT))
    (tmp_path / "wide" / "checkpoint.pt").write_bytes((tmp_path / "narrow" / "checkpoint.pt").read_bytes())
    with pytest.raises(ValueError, match=r"checkpoint.pt: holds a network of another shape"):
        train(wide, clips, tmp_path / "wide")


def test_data_without_a_training_split_is_named(clips, tmp_path):
    with pytest.raises(ValueError, match="train"):
        train(TrainingConfig(**TINY, steps=1), [c for c in clips if c.split == "test"], tmp_path)


def test_a_run_keeps_to_its_data(clips, tmp_path):
    config = TrainingConfig(**TINY, steps=2)
    train(config, clips, tmp_path)
    others = synthetic_clips(seed=9, train=1, test=1, seconds=4.0)
    with pytest.raises(ValueError, match="trained on other motion"):
        train(config, others, tmp_path)


def test_a_folder_with_something_else_in_it_is_left_alone(clips, tmp_path):
    config = TrainingConfig(**TINY, steps=2)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(ValueError, match="something that this run did not make"):
        train(config, clips, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model", ".lock"}
    noted = tmp_path / "other"
    noted.mkdir()
    (noted / "config.yaml").write_text("# my notes\nsteps: 7\n", encoding="utf-8")
    with pytest.raises(ValueError, match="something that this run did not make"):
        train(config, clips, noted)
    assert "my notes" in (noted / "config.yaml").read_text(encoding="utf-8")


def test_a_checkpoint_past_the_end_is_no_checkpoint_of_the_run(clips, tmp_path):
    config = TrainingConfig(**TINY, steps=2)
    train(config, clips, tmp_path)
    path = tmp_path / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    for wrong in ({"step": 99}, {"step": "2"}, {"seconds": float("nan")}, {"optimizer": None}):
        torch.save({**state, **wrong}, path)
        with pytest.raises(ValueError, match="not a checkpoint of this run"):
            train(config, clips, tmp_path)


def test_a_run_of_an_earlier_version_goes_on(clips, alone, tmp_path):
    config = TrainingConfig(**TINY, steps=12)

    def stop(step, figures):
        if step == 4:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(config, clips, tmp_path, log=stop)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.flat()), encoding="utf-8")
    assert torch.equal(weights(train(config, clips, tmp_path)), alone)
