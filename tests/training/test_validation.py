"""Validation: who is measured, that the best are kept, and that training takes no notice."""

from dataclasses import replace

import pytest
import torch

from posemamba import storage
from posemamba.evaluation import h36m, views
from posemamba.model import PoseMamba
from posemamba.training import TrainingConfig, choices, read_rows, train
from posemamba.training.data import held_out, sampler
from posemamba.training.validation import Row, Validator, _some, best, write_rows
from tests.data_prep import human36m_layouts as layouts
from tests.evaluation import test_human36m
from tests.training.runs import TINY, people, weights

BOTH = {"validation.every": 4, "validation.test": True, "validation.subjects": ("S3",)}


@pytest.fixture(scope="module")
def clips():
    return people(actions=("walking", "waving"))


def test_it_is_the_evaluations_own_figure(clips):
    """On the test split the figure is that of `evaluate`; on the subjects, that of a test of these alone."""
    config = TrainingConfig(**TINY, **BOTH)
    torch.manual_seed(0)
    model = PoseMamba(config.model)
    state = torch.get_rng_state()
    found = Validator(config, clips).measure(model, 7, 1.5)
    assert torch.equal(torch.get_rng_state(), state) and model.training
    alone = [replace(clip, split="test") for clip in held_out(config, clips)]
    for split, motion in (("test", clips), ("subjects", alone)):
        report = views(model, motion, 5, 60, views=1, baselines=False).scores["model"]
        expected = Row(
            7, split, report.mpjpe.over_actions, report.p_mpjpe.over_actions, report.mpjpe.actions, 1.5
        )
        assert found[split] == expected


class Right(torch.nn.Module):
    """Knows the truth of windows, and errs by a hundredth of half the image's width; the root never errs."""

    def __init__(self, windows):
        super().__init__()
        self.windows = windows

    def forward(self, inputs):
        rows = [(self.windows.inputs - one).abs().sum((1, 2, 3)).argmin() for one in inputs]
        answer = self.windows.targets[torch.stack(rows)].clone()
        answer[:, :, 1:, 0] += 0.01
        return answer


def test_2d5_is_measured_in_millimetres(clips):
    validator = Validator(TrainingConfig(**TINY, **BOTH, targets="2.5d"), clips)
    windows, validator.flip = validator.windows["test"], False
    validator.windows = {"test": windows}
    row = validator.measure(Right(windows))["test"]
    of = {
        name: windows.factor[windows.action == n][windows.scored[windows.action == n]]
        for n, name in enumerate(windows.actions)
    }
    for action, factor in of.items():  # pixels times mm per pixel, and one joint in seventeen is right
        assert row.actions[action] == pytest.approx(0.01 * 500 * float(factor.mean()) * 16 / 17, rel=1e-4)


def test_on_the_views_of_human36m_it_is_that_sets_protocol(tmp_path):
    """A random network's pelvis is anywhere; the protocol takes no notice of it."""
    clips = test_human36m.written(tmp_path, layouts.rows(test_human36m.motion(), noise=3.0))
    rules = dict(frames=test_human36m.T, fps=None, views="given", targets="2.5d", short="resample")
    config = TrainingConfig(**{**TINY, **rules}, **{"validation.every": 4, "validation.test": True})
    torch.manual_seed(0)
    model = PoseMamba(config.model)
    row, report = Validator(config, clips).measure(model)["test"], h36m(model, clips)
    assert row.mpjpe == pytest.approx(report.figure("mpjpe"), rel=1e-5)
    assert row.p_mpjpe == pytest.approx(report.figure("p_mpjpe"), rel=1e-5)


def test_frames_whose_factor_no_set_tells_are_given_one(clips):
    windows = Validator(TrainingConfig(**TINY, **BOTH, targets="2.5d"), clips).windows["test"]
    lost = _some(replace(windows, factor=torch.full_like(windows.factor, float("nan"))), None)
    assert torch.equal(lost.factor, torch.full_like(lost.factor, 4.4))  # mm a pixel, of 1000


def test_some_windows_are_spread_over_all(clips):
    config = TrainingConfig(**TINY, **BOTH)
    all_, some = (Validator(replace(config, **{"validation.windows": n}), clips).windows for n in (None, 20))
    for split in ("test", "subjects"):
        assert len(some[split]) == 20 < len(all_[split])
        assert set(some[split].clip.tolist()) == set(all_[split].clip.tolist())


def test_training_takes_no_notice_of_it(clips, tmp_path):
    """With and without validation the weights are the same, and those of a run without who is held out."""
    held = TrainingConfig(**TINY, steps=10, **BOTH)
    assert {clip.subject for clip in sampler(held, clips).clips} == {"S1", "S2"}
    bare = replace(held, **{"validation.test": False, "validation.subjects": (), "validation.every": None})
    others = [clip for clip in clips if clip.subject != "S3"]
    one, other = train(held, clips, tmp_path / "one"), train(bare, others, tmp_path / "other")
    assert torch.equal(weights(one), weights(other))
    assert not (tmp_path / "other" / "validation.csv").exists()


def test_the_best_by_each_split_is_kept(clips, tmp_path):
    figures = {}
    config = TrainingConfig(**{**TINY, "learning_rate": 0.05}, steps=30, **{**BOTH, "validation.windows": 12})
    train(config, clips, tmp_path, log=lambda step, found: figures.update({step: found}))
    rows = read_rows(tmp_path)
    assert [(row.step, row.split) for row in rows[:4]] == [
        (4, "test"),
        (4, "subjects"),
        (8, "test"),
        (8, "subjects"),
    ]
    assert rows[-1].step == 30  # the end is measured too
    for row in rows:
        assert figures[row.step - 1][f"validation/{row.split}/mpjpe_mm"] == row.mpjpe
        assert sum(row.actions.values()) / 2 == pytest.approx(row.mpjpe)
    for split in ("test", "subjects"):
        chosen = best(rows, split)
        assert chosen.mpjpe == min(row.mpjpe for row in rows if row.split == split)
        model = PoseMamba.from_pretrained(tmp_path / f"best_on_{split}")
        assert Validator(config, clips).measure(model)[split].mpjpe == pytest.approx(chosen.mpjpe, rel=1e-6)
        about = storage.read_json(tmp_path / f"best_on_{split}" / "config.json")["about"]["validation"]
        assert (about["step"], about["mpjpe"]) == (chosen.step, chosen.mpjpe)


def test_what_choosing_on_the_test_split_is_worth(tmp_path):
    told = [("test", 1, 50.0), ("subjects", 1, 40.0), ("test", 2, 45.0), ("subjects", 2, 44.0)]
    told += [("test", 3, 45.0), ("subjects", 3, 40.0)]
    rows = [Row(step, split, error, error - 9, {"walking": error}, 2.0 * step) for split, step, error in told]
    assert choices(rows) == {
        "test": dict(step=2, mpjpe=45.0, test_mpjpe=45.0),
        "subjects": dict(step=1, mpjpe=40.0, test_mpjpe=50.0),
    }
    assert choices(rows[1:2]) == {"subjects": dict(step=1, mpjpe=40.0, test_mpjpe=None)}
    write_rows(tmp_path, rows)
    assert read_rows(tmp_path) == rows and read_rows(tmp_path / "nowhere") == []


def test_a_split_that_is_not_there_is_named_at_once(clips, tmp_path):
    only = [clip for clip in clips if clip.split == "train"]
    with pytest.raises(ValueError, match="no clip in its test split"):
        train(TrainingConfig(**TINY, **BOTH), only, tmp_path)
