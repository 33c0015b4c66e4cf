"""Recipes by name, and what the data decides of them."""

from dataclasses import replace

import pytest
import torch

from posemamba.accounting import count
from posemamba.losses import LOSS_WEIGHTS, LossWeights
from posemamba.motion.synthetic import synthetic_clips
from posemamba.motion.windows import WindowSampler
from posemamba.paper import TABLE_1, TABLE_3, TABLE_4, TABLE_5, TABLE_6
from posemamba.training import TrainingConfig, recipe, resolve
from posemamba.training.config import UNITS
from posemamba.training.data import held_out, sampler, training_clips
from tools import recipes_page


@pytest.fixture(scope="module")
def clips():
    """Three bodies, two actions, 120 frames a second as CMU's motion."""
    made = synthetic_clips(seed=3, train=3, test=1, seconds=4.0, actions=("walking", "waving"), fps=60.0)
    return [replace(clip, subject=f"S{1 + i % 3 * 5}") for i, clip in enumerate(made)]


def loaded(table):
    names = [name for name in recipe.names() if name.startswith(f"{table}/")]
    return {name.partition("/")[2]: TrainingConfig.load(name) for name in names}


def test_each_row_of_the_papers_tables_has_a_recipe():
    sizes = {row.name.removeprefix("PoseMamba-"): row for row in TABLE_1 if row.name.startswith("PoseMamba")}
    first = loaded("table_1")
    assert list(first) == [*sizes, *(f"{name}/gt" for name in sizes)]
    for name, config in first.items():
        row = sizes[name.removesuffix("/gt")]
        assert config.frames == row.frames
        assert count(config.model, 243).paper_parameters / 1e6 == pytest.approx(row.parameters, abs=0.06)
        assert config.data.inputs == ("joint3d_image" if name.endswith("gt") else "detected")
    third = [row for row in TABLE_3 if row[0].startswith("PoseMamba")]
    for (name, config), (method, frames, _) in zip(loaded("table_3").items(), third, strict=True):
        assert name == f"{method.removeprefix('PoseMamba-')}/{frames}" and config.frames == frames
        assert config.model.channels == {"S": 64, "B": 128}[name[0]]
    fourth = loaded("table_4")
    assert len(fourth) == len(TABLE_4) and {config.scan for config in fourth.values()} == set(fourth)
    assert len(loaded("table_5")) == len(TABLE_5)
    sixth = {(config.depth, config.channels) for config in loaded("table_6").values()}
    assert sixth == {(row[0], row[1]) for row in TABLE_6}


def test_paper_and_released_differ_where_the_table_says_and_nowhere_else():
    paper, released = (TrainingConfig.load("table_1/S", base).flat() for base in ("paper", "released"))
    differ = {name for name in paper if paper[name] != released[name]}
    told = {
        row.setting.removeprefix("model.").removeprefix("optimizer.") for row in recipe.rows() if row.differs
    }
    assert {"loss"} | {name for name in told if name and not name.startswith("loss.")} == differ
    assert TrainingConfig.load("table_1/S").loss == LOSS_WEIGHTS["paper"]
    config = TrainingConfig.load("table_1/S", "released")
    assert config.loss == LOSS_WEIGHTS["released"]
    assert (config.gradient, config.drop_path, config.decays) == ("released", 0.2, "all")
    assert (config.epochs, config.batch_size, config.learning_rate) == (120, 4, 2e-4)


def test_what_the_paper_does_not_say_is_marked():
    for row in recipe.rows("paper_3dhp"):
        assert row.source in ("paper", "release", "ours", "MotionAGFormer")
        silent = row.source != "paper" and not row.words
        assert row.words or silent or row.note, row.setting
    assert {row.source for row in recipe.rows()} == {"paper", "release", "ours"}


def test_a_row_can_be_changed():
    config = TrainingConfig.load("table_1/S", loss={"mpjpe": 1}, **{"optimizer.learning_rate": 1e-4})
    assert config.learning_rate == 1e-4 and config.loss == LossWeights(mpjpe=1)
    changed = TrainingConfig.load("table_1/S", **{"schedule.name": "cosine"}, steps=50)
    assert (changed.schedule.name, changed.schedule.decay, changed.steps, changed.epochs) == (
        "cosine",
        None,
        50,
        None,
    )
    terms = (
        TrainingConfig.load("table_5/mpjpe+2d").loss,
        TrainingConfig.load("table_5/mpjpe+2d", "released").loss,
    )
    assert terms == (LossWeights(mpjpe=1, reprojection=0.5), LossWeights(mpjpe=1, n_mpjpe=0.5))


@pytest.mark.parametrize(
    ("name", "base", "said"),
    [
        ("table_1", None, "expected one of the rows S, B, L, X"),
        ("table_1/M", None, "expected one of the rows S, B, L, X"),
        ("table_3/S/27", "released", "the released code has no training on MPI-INF-3DHP"),
        ("table_1/S", "mine", "the base is 'mine', expected paper or released"),
        ("small", "released", "small is one recipe, a base 'released' was asked for"),
        ("small/S", None, "small is one recipe, a row 'S' was asked for"),
    ],
)
def test_recipes_that_are_not_there(name, base, said):
    with pytest.raises(ValueError, match=said):
        TrainingConfig.load(name, base)


def test_the_page_shows_the_recipes():
    text = recipes_page.PAGE.read_text(encoding="utf-8")
    assert recipes_page.page(text) == text, "run python -m tools.recipes_page"


def test_epochs_become_steps_and_cover_every_window_once(clips):
    small = dict(frames=9, depth=2, channels=8, state=2, stride=40, batch_size=4, fps=60.0, targets="metric")
    config = resolve(TrainingConfig.load("table_1/S", epochs=3, **small), clips)
    windows = sampler(config, clips)
    epoch = len(windows) // 4
    assert epoch > 2 and config.steps == 3 * epoch and config.schedule.epoch == epoch
    assert config.validation.every == epoch and (config.data.views, config.data.noise) == (
        "virtual",
        "detector",
    )
    assert config.rate_at(epoch) == pytest.approx(0.99 * config.rate_at(epoch - 1))
    assert resolve(config, clips) == config
    for number in range(2):
        seen = torch.cat([windows._order(number)[4 * step : 4 * step + 4] for step in range(epoch)])
        assert len(set(seen.tolist())) == 4 * epoch
    assert not torch.equal(windows._order(0), windows._order(1))
    # The same windows, whatever was asked before: a run resumes anywhere.
    fresh = WindowSampler(clips[:2], frames=9, batch_size=4, balance="epochs", stride=40)
    last = len(fresh) // 4 + 1
    first = fresh.batch(last)
    fresh.batch(0)
    torch.testing.assert_close(fresh.batch(last), first, rtol=0, atol=0)


def test_windows_of_an_epoch_are_different_ones(clips):
    windows = WindowSampler(
        clips[:2], frames=9, batch_size=4, balance="epochs", stride=40, flip=False, inputs="detected"
    )
    roots = torch.cat([windows.batch(step)[1].flatten(1) for step in range(len(windows) // 4)])
    assert len(torch.unique(roots, dim=0)) == len(roots)


def test_subjects_are_held_out(clips):
    config = TrainingConfig.load("small", **{"validation.subjects": "last"})
    found = resolve(config, clips)
    assert found.validation.subjects == ("S11",)  # and not S6, which sorts after it as text
    assert {clip.subject for clip in held_out(found, clips)} == {"S11"}
    assert {clip.subject for clip in training_clips(found, clips)} == {"S1", "S6"}
    assert {clip.subject for clip in sampler(found, clips).clips} == {"S1", "S6"}
    for subjects, said in (
        (("S5",), r"has 'S5', expected some of the training's: S1, S6, S11"),
        (("S1", "S6", "S11"), "all 6 training clips are held out"),
    ):
        with pytest.raises(ValueError, match=said):
            sampler(replace(found, **{"validation.subjects": subjects}), clips)
    nameless = [replace(clip, subject="") for clip in clips]
    with pytest.raises(ValueError, match="names 0 training subjects"):
        resolve(config, nameless)


def test_units_follow_the_targets(clips):
    for targets, unit in UNITS.items():
        assert TrainingConfig(targets=targets).model.millimetres_per_unit == unit
    with pytest.raises(ValueError, match=r"millimetres_per_unit is 1000.0, expected none: in 2.5D"):
        TrainingConfig(targets="2.5d", millimetres_per_unit=1000.0)
    virtual = resolve(TrainingConfig.load("table_3/S/27"), clips)
    assert (virtual.data.targets, virtual.model.millimetres_per_unit) == ("metric", 1024.0)
    inputs, targets = sampler(
        resolve(TrainingConfig.load("open/S", **{"validation.subjects": ()}), clips), clips
    ).batch(0)
    assert targets.abs().max() < 2 and not targets[:, :, 0].any()
    # In 2.5D x and y of the answer are those of the input, but for the detector's errors.
    apart = (inputs - inputs[:, :, :1] - targets[..., :2]).norm(dim=-1)
    assert 0 < apart.median() < 0.02
