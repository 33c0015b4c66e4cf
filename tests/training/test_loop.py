"""Training learns, and every step of it depends on the seed and the step alone."""

import signal
import weakref
from contextlib import nullcontext
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch

from posemamba import orders
from posemamba.losses import LOSS_WEIGHTS, LossWeights
from posemamba.model import PoseMamba
from posemamba.motion import synthetic_clips
from posemamba.training import Interrupted, TrainingConfig, initial_model, learner, parameter_groups, train
from tests.training.runs import TINY, weights


@pytest.fixture(scope="module")
def clips():
    return synthetic_clips(seed=0, train=1, test=1, seconds=4.0)


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


def test_a_run_goes_on_from_another_networks_weights(clips, tmp_path):
    first = train(TrainingConfig(**TINY, steps=2), clips, tmp_path / "first")
    onward = {"initial.network": str(tmp_path / "first" / "model"), "seed": 5}
    assert torch.equal(weights(initial_model(TrainingConfig(**TINY, **onward))), weights(first))
    further = train(TrainingConfig(**TINY, steps=2, **onward), clips, tmp_path / "further")
    assert not torch.equal(weights(further), weights(first))
    with pytest.raises(ValueError, match=r"has channels = \d+, expected the run's, 24"):
        initial_model(TrainingConfig(**TINY | {"channels": 24}, **onward))


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
    for step, (found, before) in enumerate(zip(rows, BEFORE[case], strict=True)):
        # Adam makes whole steps of gradients that are hardly more than rounding: from the third loss on
        # processors differ by a thousandth.
        assert found == pytest.approx(before, rel=1e-4 if step < 2 else 5e-3)


def test_only_weights_of_maps_decay():
    model = PoseMamba(TrainingConfig(**TINY).model)
    decayed, free = (set(map(id, group["params"])) for group in parameter_groups(model, 0.1))
    names = {id(p): name.split(".")[-1] for name, p in model.named_parameters()}
    assert {names[p] for p in decayed} == {"weight", "select", "step"}
    assert {"A_log", "skip", "step_bias", "bias", "joint_position", "frame_position"} <= {
        names[p] for p in free
    }
    assert len(decayed) + len(free) == len(names)


def test_half_precision_trains(clips, tmp_path):
    errors = []
    config = TrainingConfig(**TINY, steps=3, precision="bf16-mixed")
    train(config, clips, tmp_path, log=lambda step, figures: errors.append(figures["mpjpe_mm"]))
    assert len(errors) == 3


@pytest.mark.long
def test_compiled_it_trains_as_before(clips, alone, tmp_path):
    """But for drop path, whose draws are the compiler's own; they depend on seed and step all the same."""
    still = {**TINY, "drop_path": 0.0}
    eager, compiled = (
        weights(
            train(TrainingConfig(**still, steps=5), clips, tmp_path / str(way), device="cpu", compile=way)
        )
        for way in (False, True)
    )
    torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-6)
    config = TrainingConfig(**{**TINY, "batch_size": 4}, steps=5)
    halves = replace(config, accumulate=2)
    one, two = (
        weights(train(each, clips, tmp_path / name, device="cpu", compile=True))
        for name, each in (("one", config), ("two", halves))
    )
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need CUDA")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_cuda_graphs_change_nothing(clips, tmp_path, precision):
    config = TrainingConfig(**{**TINY, "batch_size": 4, "accumulate": 2}, steps=8, precision=precision)
    one, other = (
        weights(train(config, clips, tmp_path / str(way), device="cuda", graphs=way)) for way in (False, True)
    )
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_the_tables_that_a_graph_reads_outlive_what_orders_remembers(monkeypatch):
    """A graph reads addresses. (Where CUDA is, PyTorch makes the graph, and here nobody does.)"""
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *shape, device=None, **more: zeros(*shape, **more))
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", lambda model, inputs: model(*inputs))
    model = initial_model(TrainingConfig(**TINY, steps=1))
    kinds = SimpleNamespace(device=torch.device("cuda"), world_size=1, autocast=nullcontext)
    learner._graph(model, torch.arange(2), kinds, False)
    size = model.config.frames, model.config.joints
    read = [weakref.ref(table) for table in orders.tables(model.config.scan, *size, torch.device("cpu"))]
    for frames in range(100, 200):
        orders.tables("bidirectional", frames, 17)
    assert all(table() is not None for table in read)
    again = orders.tables(model.config.scan, *size, torch.device("cpu"))
    assert again[0] is not read[0]() and torch.equal(again[0], read[0]())


@pytest.mark.parametrize("more", [{}, {"compile": True}])
def test_graphs_are_refused_where_they_cannot_be(clips, tmp_path, more):
    with pytest.raises(ValueError, match=r"graphs needs one CUDA device and no compile, found 1 of cpu"):
        train(TrainingConfig(**TINY, steps=1), clips, tmp_path, device="cpu", graphs=True, **more)
