"""The settings of a run: groups, paths, short names, schedules, and what is refused."""

import math
from dataclasses import asdict, fields, is_dataclass, replace
from typing import get_type_hints

import pytest
import torch
import yaml

from posemamba import PoseMambaConfig, storage
from posemamba.losses import LOSS_WEIGHTS, LossWeights
from posemamba.training import TrainingConfig
from posemamba.training.settings import Schedule, Validation


def test_the_rate_rises_and_falls():
    config = TrainingConfig(steps=100, warmup=10, learning_rate=1.0)
    rates = [config.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0, abs=0.03)
    assert rates[-1] < 0.001
    assert rates[40] == 1.0 * (0.5 + 0.5 * math.cos(math.pi * 40 / 100))


@pytest.mark.parametrize("steps", [1, 2, 4, 10, 200])
def test_one_cycle_is_torchs(steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    options = dict(max_lr=1.0, total_steps=steps, cycle_momentum=False)
    rates, theirs = [], torch.optim.lr_scheduler.OneCycleLR(optimizer, **options)
    config = TrainingConfig(schedule="one_cycle", learning_rate=1.0, warmup=0, steps=steps)
    for step in range(steps):
        rates.append((config.rate_at(step), optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if step + 1 < steps:
            theirs.step()
    # With fewer than four steps there is no rise, where torch has a first step below nothing.
    assert all(ours == pytest.approx(torchs, abs=1e-9) for ours, torchs in rates) or steps < 4
    assert all(0 < ours <= 1 for ours, _ in rates)


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
    # Validation's settings are given by their paths alone.
    names = [each.name for group in groups if group is not Validation for each in fields(group)]
    flat = [name for name in TrainingConfig().flat() if "." not in name and name in names]
    assert len(groups) == 7 and "depth" in flat
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
        ("data: {frames: 9}", "unknown setting 'data.frames', expected some of fps, rates, batch_size"),
        ("optimiser.learning_rate: 1", "unknown setting 'optimiser.learning_rate'"),
        ("model:", "model is None, expected settings by name"),
        ("data: 60", "data is 60, expected settings by name"),
        ("depth: 4\nmodel: {depth: 6}", "model.depth is given twice, as 6 and as 4"),
        ("balance: evenly", "data.balance must be one of frames, actions, epochs, found 'evenly'"),
        ("model: {millimetres_per_unit: 0}", "millimetres_per_unit must be None or a positive number"),
        ("targets: 2.5d\nmillimetres_per_unit: 1", "millimetres_per_unit is 1, expected none: in 2.5D"),
        ("flip: 1", "data.flip must be true or false, found 1"),
        ("ema: 1", "optimizer.ema must be above 0 and below 1, found 1"),
        ("decays: none", "optimizer.decays must be one of matrices, all, found 'none'"),
        ("validation: {subjects: first}", 'validation.subjects must be "last" or a list of names'),
        ("epochs: 0", "epochs must be a positive whole number"),
        ("- 3", "expected settings by name"),
        ("a: [", "not readable as YAML"),
        ("loss: far", "loss weights are 'far', expected one of released, paper, millimetres, metres"),
        ("loss: {mpjpe: 1, far: 2}", "unknown loss term 'far', expected some of mpjpe"),
        ("loss: {mpjpe: much}", "weight of mpjpe must be 0 or more, found 'much'"),
        ("loss:", "loss weights are None"),
        ("depth: 3", "must be even"),
        ("learning_rate: fast", "learning_rate must be a positive number"),
        ("clip_norm: .inf", "clip_norm must be a positive number"),
        ("steps: true", "steps must be a positive whole number"),
        ("warmup: -3", "warmup must be a whole number, 0 or more"),
        ("weight_decay: -1", "weight_decay must be 0 or a positive number"),
        ("precision: 64-true", "precision must be one of 32-true, bf16-mixed, 16-mixed, found '64-true'"),
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
