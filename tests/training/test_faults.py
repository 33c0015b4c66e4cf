"""What goes wrong while a run is at work is said in a sentence, and what was saved stays."""

import math
import os
import re
import shutil
import sys

import pytest
import torch

from posemamba import storage
from posemamba.losses import PoseLoss
from posemamba.motion import load_motion, save_motion, synthetic_clips
from posemamba.training import TrainingConfig, initial_model, learner, train
from tests.training.runs import TINY, weights


@pytest.fixture(scope="module")
def clips():
    return synthetic_clips(seed=0, train=1, test=1, seconds=4.0)


def poison(monkeypatch, change):
    """Trainings begin with weights that `change` has spoilt."""

    def spoilt(config):
        model = initial_model(config)
        with torch.no_grad():
            change(model)
        return model

    monkeypatch.setattr(learner, "initial_model", spoilt)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.temporal_blocks[0].ssm.A_log.fill_(90), "way back .* temporal_blocks.0, .* A -inf"),
        (lambda m: m.spatial_blocks[1].ssm.step_bias.fill_(3e38), "spatial_blocks.1, whose steps reach 3e"),
        (lambda m: m.temporal_blocks[1].mlp[0].weight.fill_(math.nan), "output .* temporal_blocks.1, whose"),
        (lambda m: m.temporal_norm.weight.fill_(math.nan), "what enters spatial_blocks.1 is not finite"),
        (lambda m: m.embed.weight.fill_(math.inf), "what enters spatial_blocks.0 is not finite"),
        (lambda m: m.head[1].weight.fill_(math.nan), "breaks in head"),
    ],
)
def test_a_gradient_that_is_not_finite_names_its_block(clips, tmp_path, monkeypatch, change, message):
    poison(monkeypatch, change)
    config = TrainingConfig(**{**TINY, "depth": 4}, steps=2)
    with pytest.raises(
        FloatingPointError, match=rf"gradient of step 0 is not finite: .*{message}"
    ) as stopped:
        train(config, clips, tmp_path)
    assert str(stopped.value).endswith("; try a smaller learning rate")
    assert not (tmp_path / "checkpoint.pt").exists()


def at(step, action, *arguments):
    """A log that does something after one step."""
    return lambda now, figures: action(*arguments) if now == step else None


def assert_goes_on(config, clips, run, step, expected):
    """What is saved is the state after so many steps, and it leads to the same end."""
    state = storage.read_checkpoint(run / "checkpoint.pt")
    assert state["step"] == step
    assert not [path for path in run.iterdir() if path.name.startswith(".checkpoint")]
    assert torch.equal(weights(train(config, clips, run)), expected)


def test_a_loss_that_is_not_a_number_leaves_the_last_good_state(clips, tmp_path, monkeypatch):
    config, steps = TrainingConfig(**TINY, steps=8), []
    expected = weights(train(config, clips, tmp_path / "alone"))
    true = learner.pose_loss

    def broken(*arguments):
        loss = true(*arguments)
        return PoseLoss(loss.total * (math.nan if len(steps) >= 5 else 1.0), loss.terms)

    monkeypatch.setattr(learner, "pose_loss", broken)
    with pytest.raises(
        FloatingPointError, match=r"gradient of step 5 is not finite: on the way back .* head"
    ):
        train(config, clips, tmp_path / "run", save_every=0.0, log=lambda step, figures: steps.append(step))
    monkeypatch.undo()
    assert_goes_on(config, clips, tmp_path / "run", 5, expected)


@pytest.mark.skipif(sys.platform == "win32", reason="limits are POSIX's")
def test_a_full_disk_is_said_and_the_last_checkpoint_is_whole(clips, tmp_path):
    """For real: from step 4 on the system lets no file grow beyond a few kilobytes."""
    import resource

    config, limits = TrainingConfig(**TINY, steps=8), resource.getrlimit(resource.RLIMIT_FSIZE)
    expected = weights(train(config, clips, tmp_path / "alone"))
    full = at(4, resource.setrlimit, resource.RLIMIT_FSIZE, (20_000, limits[1]))
    said = r"run: step 5 could not be saved \(.*\); the state after step 4 is saved; with room to write"
    try:
        with pytest.raises(OSError, match=said):
            train(config, clips, tmp_path / "run", save_every=0.0, log=full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_goes_on(config, clips, tmp_path / "run", 4, expected)


def test_a_full_disk_at_the_first_save(clips, tmp_path, monkeypatch):
    def full(state, path):
        path.write_bytes(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 128 vs 22\nstack")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"step 1 could not be saved \(.*pos 128 vs 22\); nothing was saved"):
        train(TrainingConfig(**TINY, steps=8), clips, tmp_path, save_every=0.0)
    assert not list(tmp_path.glob("*checkpoint*"))


@pytest.mark.parametrize("fault", ["is gone", "was changed"])
def test_motion_that_vanishes_under_way_is_said(clips, tmp_path, fault):
    config, path, kept = TrainingConfig(**TINY, steps=8), tmp_path / "m.safetensors", tmp_path / "kept"
    save_motion(path, clips)
    shutil.copy(path, kept)
    expected = weights(train(config, clips, tmp_path / "alone"))

    def spoil():
        if fault == "is gone":
            path.unlink()
        else:
            with path.open("r+b") as file:  # in place, under the map that training reads
                file.seek(-path.stat().st_size * 3 // 4, os.SEEK_END)
                file.write(b"\0" * (path.stat().st_size // 2))
            os.utime(path, (1, 1))

    said = rf"{re.escape(str(path))}: this motion {fault} while training read it; what was saved before stays"
    with pytest.raises(ValueError, match=said):
        train(config, load_motion(path), tmp_path / "run", save_every=0.0, log=at(4, spoil))
    if fault == "was changed":  # and it is not taken for the same
        with pytest.raises(ValueError, match="was trained on other motion"):
            train(config, load_motion(path), tmp_path / "run")
    shutil.copy(kept, path)
    # The step after which it happened was not saved any more: nobody knows what it read.
    assert_goes_on(config, load_motion(path), tmp_path / "run", 4, expected)
