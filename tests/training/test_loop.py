"""Training learns, can be stopped anywhere and goes on to the same weights, and refuses what it cannot do."""

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, fields, is_dataclass, replace
from typing import get_type_hints

import pytest
import torch
import yaml

from posemamba import PoseMambaConfig, storage
from posemamba.losses import LOSS_WEIGHTS, LossWeights
from posemamba.model import PoseMamba
from posemamba.motion import save_motion, synthetic_clips
from posemamba.training import Interrupted, TrainingConfig, initial_model, learner, parameter_groups, train
from posemamba.training.config import Schedule

TINY = dict(frames=5, depth=2, channels=8, state=2, batch_size=2, warmup=2, learning_rate=1e-3, drop_path=0.2)


@pytest.fixture(scope="module")
def clips():
    return synthetic_clips(seed=0, train=1, test=1, seconds=4.0)


def weights(model: PoseMamba) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def elsewhere(*arguments) -> subprocess.Popen:
    """A process that trains slowly: configuration, motion, folder."""
    program = (
        "import sys, time; from posemamba.training import *; from posemamba.motion import load_motion\n"
        "config = TrainingConfig.load(sys.argv[1])\n"
        "clips, log = load_motion(sys.argv[2]), lambda step, figures: time.sleep(0.02)\n"
        "train(config, clips, sys.argv[3], save_every=0.0, log=log)"
    )
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)])


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
    run.mkdir()
    process = elsewhere(tmp_path / "alone" / "config.yaml", tmp_path / "motion.safetensors", run)
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


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_two_trainings_do_not_share_a_folder(clips, tmp_path):
    config = TrainingConfig(**TINY, steps=2000)
    save_motion(tmp_path / "motion.safetensors", clips)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(asdict(config)), encoding="utf-8")
    run, inside = tmp_path / "run", []
    process = elsewhere(tmp_path / "config.yaml", tmp_path / "motion.safetensors", run)
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


def test_scalars_are_kept_for_tensorboard(clips, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(TrainingConfig(**TINY, steps=3), clips, tmp_path)
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    assert [event.step for event in events.Scalars("mpjpe_mm")] == [0, 1, 2]
    terms = {name: events.Scalars(f"loss/{name}")[2].value for name in asdict(LossWeights(mpjpe=1))}
    weighted = sum(weight * terms[name] for name, weight in asdict(LOSS_WEIGHTS["metres"]).items())
    assert events.Scalars("loss")[2].value == pytest.approx(weighted, rel=1e-5)


# Loss, gradient norm and error of the first steps, as the loop gave them before its settings were nested.
BEFORE = {
    "plain": [
        (0.432233423, 2.713727951, 390.540003777),
        (0.333060980, 3.395447731, 295.979380608),
        (0.483625770, 3.927271366, 430.428445339),
        (0.380469024, 2.705678940, 294.149070978),
    ],
    "dropped": [
        (0.446156085, 2.612591028, 397.607773542),
        (0.335345507, 3.122617245, 296.815127134),
        (0.460089952, 3.846494436, 408.059567213),
        (0.377461553, 2.884791851, 293.404847383),
    ],
}


@pytest.mark.parametrize("name", ["small", "orders"])
@pytest.mark.parametrize("case", BEFORE)
def test_shipped_configurations_train_as_before(clips, tmp_path, name, case):
    changes = {} if case == "plain" else {"drop_path": 0.2, "scan": "bidirectional"}
    rows = []
    shared = dict(steps=6, warmup=3, seed=4, balance="frames")  # as both drew when this was measured
    config = TrainingConfig.load(name, **shared, **changes)

    def log(step, figures):
        rows.append((figures["loss"], figures["gradient_norm"], figures["mpjpe_mm"]))
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(config, clips, tmp_path, log=log)
    for found, before in zip(rows, BEFORE[case], strict=True):
        assert found == pytest.approx(before, rel=1e-4)


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


def test_only_weights_of_maps_decay():
    model = PoseMamba(TrainingConfig(**TINY).model)
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
    assert rates[40] == 1.0 * (0.5 + 0.5 * math.cos(math.pi * 40 / 100))


def test_schedules_by_name():
    flat = TrainingConfig(schedule="constant", learning_rate=3.0, warmup=4, steps=10)
    assert [flat.rate_at(step) for step in range(6)] == [0.75, 1.5, 2.25, 3, 3, 3]
    released = {"name": "exponential", "warmup": 0, "decay": 0.99, "epoch": 5}
    fading = TrainingConfig(schedule=released, learning_rate=2.0, steps=20)
    assert [fading.rate_at(step) for step in (0, 4, 5, 19)] == [2, 2, 2 * 0.99, 2 * 0.99**3]
    for wrong, message in [
        (
            dict(name="falling"),
            "schedule.name must be one of constant, cosine, exponential, one_cycle, found 'falling'",
        ),
        (
            dict(name="exponential", epoch=5),
            r"schedule 'exponential' needs \['decay', 'epoch'\] beside its name, found \['epoch'\]",
        ),
        (dict(decay=0.9), r"schedule 'cosine' needs \[\] beside its name, found \['decay'\]"),
        (dict(name="exponential", decay=2, epoch=5), "schedule.decay must be above 0"),
        (dict(name="exponential", decay=0.9, epoch=0.5), "schedule.epoch must be a positive whole number"),
        (dict(warmup=1.5), "schedule.warmup must be a whole number"),
    ]:
        with pytest.raises(ValueError, match=message):
            Schedule(**wrong)


def test_a_setting_has_a_place_a_path_and_a_short_name(tmp_path):
    nested = TrainingConfig(model={"depth": 4, "channels": 8}, optimizer={"learning_rate": 1e-4}, steps=7)
    assert nested == TrainingConfig(depth=4, channels=8, learning_rate=1e-4, steps=7)
    paths = {"model.depth": 4, "model.channels": 8, "optimizer.learning_rate": 1e-4}
    assert nested == TrainingConfig(**paths, steps=7)
    assert (nested.depth, nested.model.depth, nested.learning_rate, nested.frames) == (4, 4, 1e-4, 27)
    assert TrainingConfig(**nested.flat()) == TrainingConfig(**asdict(nested)) == nested
    network = PoseMambaConfig(frames=9, depth=2, channels=8, state=2)
    config = replace(nested, model=network, seed=3)
    assert config.model == replace(network, millimetres_per_unit=1000.0) and config.seed == 3
    assert replace(nested, depth=8).model == replace(nested.model, depth=8)
    # Changes are laid over a file's groups; what they do not name stays.
    small = TrainingConfig.load("small")
    changed = TrainingConfig.load("small", model={"depth": 2}, schedule="constant", **{"loss.n_mpjpe": 0.5})
    assert changed.model == replace(small.model, depth=2)
    assert changed.schedule == Schedule("constant", small.schedule.warmup)
    assert changed.loss == replace(small.loss, n_mpjpe=0.5)


def test_no_short_name_stands_for_two_settings():
    groups = [group for name, group in get_type_hints(TrainingConfig).items() if is_dataclass(group)]
    names = [each.name for group in groups for each in fields(group)]
    flat = [name for name in TrainingConfig().flat() if "." not in name and name in names]
    assert len(groups) == 6 and "depth" in flat
    assert all(names.count(name) == 1 for name in flat)


def test_settings_of_earlier_versions_are_read(tmp_path):
    """Files without groups, and the figures of measured runs, which hold their configuration so."""
    small, path = TrainingConfig.load("small"), tmp_path / "flat.yaml"
    path.write_text(yaml.safe_dump(small.flat()), encoding="utf-8")
    assert TrainingConfig.load(path) == small
    measured = storage.read_json(storage.asset("measured/first_run.json"))["config"]
    assert TrainingConfig(**measured) == small
    sweep = storage.read_json(storage.asset("measured/order_sweep.json"))
    own = {name: sweep["runs"][0][name] for name in ("scan", "gradient", "joint_order", "seed")}
    assert TrainingConfig(**sweep["config"], **own) == TrainingConfig.load("orders", **own)
    assert small.loss == LossWeights(mpjpe=1, mpjve=5)


def test_a_run_of_an_earlier_version_goes_on(clips, alone, tmp_path):
    config = TrainingConfig(**TINY, steps=12)

    def stop(step, figures):
        if step == 4:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(config, clips, tmp_path, log=stop)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.flat()), encoding="utf-8")
    assert torch.equal(weights(train(config, clips, tmp_path)), alone)


def test_the_loss_of_a_configuration_is_complete(tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text("loss: {mpjpe: 1}", encoding="utf-8")
    for config in (
        TrainingConfig.load(path),
        TrainingConfig(loss={"mpjpe": 1}),
        TrainingConfig.load("small", loss={"mpjpe": 1}),
    ):
        assert config.loss == LossWeights(mpjpe=1, n_mpjpe=0, mpjve=0, temporal_consistency=0)
    assert TrainingConfig().loss == TrainingConfig(loss="metres").loss == LOSS_WEIGHTS["metres"]


def test_configurations_are_read_and_checked(tmp_path):
    assert TrainingConfig.load("small").frames == 27
    assert TrainingConfig.load("small", steps=7).steps == 7
    path = tmp_path / "mine.yaml"
    for content, message in [
        ("steps: 0", "steps must be a positive whole number"),
        ("stepz: 3", "unknown setting 'stepz'"),
        ("model: {dept: 4}", "unknown setting 'model.dept', expected some of frames, joints, depth"),
        ("data: {frames: 9}", "unknown setting 'data.frames', expected some of fps, batch_size, balance"),
        ("optimiser.learning_rate: 1", "unknown setting 'optimiser.learning_rate'"),
        ("model:", "model is None, expected settings by name"),
        ("data: 60", "data is 60, expected settings by name"),
        ("depth: 4\nmodel: {depth: 6}", "model.depth is given twice, as 6 and as 4"),
        ("balance: evenly", "data.balance must be one of frames, actions, found 'evenly'"),
        ("model: {millimetres_per_unit: 1}", "millimetres_per_unit is 1, expected 1000"),
        ("- 3", "expected settings by name"),
        ("a: [", "not readable as YAML"),
        ("loss: far", "loss weights are 'far', expected one of released, millimetres, metres"),
        ("loss: {mpjpe: 1, far: 2}", "unknown loss term 'far', expected some of mpjpe"),
        ("loss: {mpjpe: much}", "weight of mpjpe must be 0 or more, found 'much'"),
        ("loss:", "loss weights are None"),
        ("depth: 3", "must be even"),
        ("learning_rate: fast", "learning_rate must be a positive number"),
        ("clip_norm: .inf", "clip_norm must be a positive number"),
        ("steps: true", "steps must be a positive whole number"),
        ("warmup: -3", "warmup must be a whole number, 0 or more"),
        ("weight_decay: -1", "weight_decay must be 0 or a positive number"),
        ("precision: 64-true", "precision must be one of 32-true, bf16-mixed, found '64-true'"),
        ("loss: {mpjpe: 0, n_mpjpe: 0, mpjve: 0, temporal_consistency: 0}", "every term the weight 0"),
    ]:
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            TrainingConfig.load(path)
    with pytest.raises(FileNotFoundError, match=r"nor one of the shipped: .*small"):
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


def test_half_precision_trains(clips, tmp_path):
    errors = []
    config = TrainingConfig(**TINY, steps=3, precision="bf16-mixed")
    train(config, clips, tmp_path, log=lambda step, figures: errors.append(figures["mpjpe_mm"]))
    assert len(errors) == 3
