"""Training learns, can be stopped anywhere and goes on to the same weights, and refuses what it cannot do."""

import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml

from posemamba.model import PoseMamba
from posemamba.motion.clips import save_motion
from posemamba.motion.synthetic import synthetic_clips
from posemamba.training import Interrupted, TrainingConfig, parameter_groups, train

TINY = dict(frames=5, depth=2, channels=8, state=2, batch_size=2, warmup=2, learning_rate=1e-3, drop_path=0.2)


@pytest.fixture(scope="module")
def clips():
    return synthetic_clips(seed=0, train=1, test=1, seconds=4.0)


def weights(model: PoseMamba) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.fixture(scope="module")
def alone(clips, tmp_path_factory):
    """Twelve steps without a break."""
    return weights(train(TrainingConfig(**TINY, steps=12), clips, tmp_path_factory.mktemp("alone")))


def test_training_brings_the_error_down(clips, tmp_path):
    errors = []
    config = TrainingConfig(**{**TINY, "batch_size": 8, "learning_rate": 1e-2, "drop_path": 0.0}, steps=60)
    train(config, clips, tmp_path, log=lambda step, figures: errors.append(figures["mpjpe_mm"]))
    assert len(errors) == 60
    assert sum(errors[-10:]) < 0.5 * sum(errors[:10])


def test_the_same_seed_gives_the_same_weights(clips, alone, tmp_path):
    again = weights(train(TrainingConfig(**TINY, steps=12), clips, tmp_path / "a"))
    other = weights(train(TrainingConfig(**TINY, steps=12, seed=1), clips, tmp_path / "b"))
    assert torch.equal(again, alone)
    assert not torch.equal(other, alone)


def test_stopped_by_ctrl_c_and_resumed_it_ends_with_the_same_weights(clips, alone, tmp_path):
    config = TrainingConfig(**TINY, steps=12)

    def stop(step, figures):
        if step == 4:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted) as stopped:
        train(config, clips, tmp_path, log=stop)
    assert stopped.value.step == 5
    steps = []
    model = train(config, clips, tmp_path, log=lambda step, figures: steps.append(step))
    assert steps == list(range(5, 12))
    assert torch.equal(weights(model), alone)
    assert torch.equal(weights(PoseMamba.from_pretrained(tmp_path / "model")), alone)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_killed_without_warning_and_resumed_it_ends_with_the_same_weights(clips, tmp_path):
    """A process is killed in the middle of a step, or of a save; what is left resumes to the same end."""
    config = TrainingConfig(**TINY, steps=60)
    expected = weights(train(config, clips, tmp_path / "alone"))
    save_motion(tmp_path / "motion.safetensors", clips)
    run = tmp_path / "killed"
    program = (
        "import sys, time; from posemamba.training import *; from posemamba.motion.clips import load_motion\n"
        "config = TrainingConfig.load(sys.argv[1])\n"
        "clips, log = load_motion(sys.argv[2]), lambda step, figures: time.sleep(0.02)\n"
        "train(config, clips, sys.argv[3], save_every=0.0, log=log)"
    )
    run.mkdir()
    (tmp_path / "config.yaml").write_text(
        (tmp_path / "alone" / "config.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    command = [sys.executable, "-c", program, tmp_path / "config.yaml", tmp_path / "motion.safetensors", run]
    process = subprocess.Popen(list(map(str, command)))
    while not (run / "checkpoint.pt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (run / "model").exists()
    steps = []
    model = train(config, clips, run, log=lambda step, figures: steps.append(step))
    assert 0 < steps[0] < 60
    assert torch.equal(weights(model), expected)


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


def test_scalars_are_kept_for_tensorboard(clips, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(TrainingConfig(**TINY, steps=3), clips, tmp_path)
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    assert [event.step for event in events.Scalars("mpjpe_mm")] == [0, 1, 2]


def test_only_weights_of_maps_decay():
    model = PoseMamba(TrainingConfig(**TINY).model_config())
    decayed, free = (set(map(id, group["params"])) for group in parameter_groups(model, 0.1))
    names = {id(p): name.split(".")[-1] for name, p in model.named_parameters()}
    assert {names[p] for p in decayed} == {"weight", "select", "step"}
    assert {"A_log", "skip", "step_bias", "bias", "joint_position", "frame_position"} <= {
        names[p] for p in free
    }
    assert len(decayed) + len(free) == len(names)


def test_the_rate_rises_and_falls():
    config = TrainingConfig(steps=100, warmup=10, learning_rate=1.0)
    rates = [config.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0, abs=0.03)
    assert rates[-1] < 0.001


def test_configurations_are_read_and_checked(tmp_path):
    assert TrainingConfig.load("small").frames == 27
    assert TrainingConfig.load("small", steps=7).steps == 7
    path = tmp_path / "mine.yaml"
    for content, message in [
        ("steps: 0", "steps must be a positive whole number"),
        ("stepz: 3", "unknown setting 'stepz'"),
        ("- 3", "expected settings by name"),
        ("a: [", "not readable as YAML"),
        ("loss: far", "unknown loss 'far'"),
        ("loss: {mpjpe: 1, far: 2}", "expected numbers for some of mpjpe"),
        ("depth: 3", "must be even"),
        ("learning_rate: fast", "learning_rate must be a positive number"),
        ("clip_norm: .inf", "clip_norm must be a positive number"),
        ("steps: true", "steps must be a positive whole number"),
        ("warmup: -3", "warmup must be a whole number, 0 or more"),
        ("weight_decay: -1", "weight_decay must be 0 or a positive number"),
        ("precision: 64-true", "precision is '64-true'"),
        ("loss: {mpjpe: 0, n_mpjpe: 0, mpjve: 0, temporal_consistency: 0}", "every term the weight 0"),
    ]:
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            TrainingConfig.load(path)
    with pytest.raises(FileNotFoundError, match=r"nor one of the shipped ones: .*small"):
        TrainingConfig.load(tmp_path / "nothing.yaml")
    path.write_text(yaml.safe_dump({"seed": 3}), encoding="utf-8")
    assert TrainingConfig.load(path).seed == 3
    path.write_text("learning_rate: 1e-3", encoding="utf-8")  # which YAML 1.1 reads as text
    assert TrainingConfig.load(path).learning_rate == 1e-3


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
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
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


def test_half_precision_trains(clips, tmp_path):
    errors = []
    config = TrainingConfig(**TINY, steps=3, precision="bf16-mixed")
    train(config, clips, tmp_path, log=lambda step, figures: errors.append(figures["mpjpe_mm"]))
    assert len(errors) == 3
