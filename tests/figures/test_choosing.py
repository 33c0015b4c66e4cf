"""What choosing a step on the test set is worth: small runs, and the summary on curves made by hand."""

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posemamba import record
from posemamba.motion import save_motion, select_split, synthetic_clips
from posemamba.training.data import sampler

SCRIPT = Path(__file__).resolve().parents[2] / "figures" / "choosing.py"
CHOOSING = runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def clips():
    made = synthetic_clips(train=3, test=2, seconds=4.0, actions=["walking", "waving"])
    return [replace(clip, subject=f"{clip.split} {clip.name[-1]}") for clip in made]


def test_the_held_out_are_not_trained_on_and_the_schedules_end_as_planned(clips):
    for schedule in CHOOSING["SCHEDULES"]:
        config = CHOOSING["settings"](schedule, 0, 1600, ("train 2",))
        assert {clip.subject for clip in sampler(config, clips).clips} == {"train 0", "train 1"}
        last = config.rate_at(1599) / config.optimizer.learning_rate
        assert last == pytest.approx(0.99**123 if schedule == "exponential" else 0, abs=1e-5)


def test_a_persons_error_is_that_of_their_windows(clips):
    config = CHOOSING["settings"]("cosine", 0, 8, ())
    people = CHOOSING["People"](select_split(clips, "test"), config, most=2)
    assert people.whose == ["test 0"] * 2 + ["test 1"] * 2
    assert people.inputs.shape == (4, 27, 17, 2)

    class Off:
        def __init__(self, truth):
            self.truth = truth

        def __call__(self, *_, **__):
            moved = self.truth.clone()
            moved[:2, :, 1:, 2] += 34  # the first person's windows, all joints but the pelvis
            return moved

    lift = CHOOSING["People"].errors.__globals__
    before, lift["predict_windows"] = lift["predict_windows"], Off(people.targets)
    try:
        found = people.errors(None)
    finally:
        lift["predict_windows"] = before
    assert found == pytest.approx({"test 0": 32, "test 1": 0}, abs=1e-3)


def test_the_worth_of_a_choice_on_curves_made_by_hand():
    rng = np.random.default_rng(0)
    test = {str(k): (50 + k + rng.normal(size=6)).tolist() for k in range(4)}
    found = dict(test=test, subjects={"a": [9, 8, 7, 1, 5, 5], "b": [9, 9, 9, 2, 9, 9]})
    told, mean = CHOOSING["worth"](found), np.mean(list(test.values()), axis=0)
    assert told["on_test"] == pytest.approx(mean.min())
    assert told["on_held_out"] == pytest.approx(mean[3]) and told["last"] == pytest.approx(mean[-1])
    gains = []
    for one in range(4):
        for two in range(one + 1, 4):
            rest = [k for k in range(4) if k not in (one, two)]
            own = [(test[str(one)][s] + test[str(two)][s]) / 2 for s in range(6)]
            other = [(test[str(rest[0])][s] + test[str(rest[1])][s]) / 2 for s in range(6)]
            gains.append(other[own.index(min(own))] - min(other))
    assert told["halves"] == pytest.approx(np.mean(gains)) and told["halves"] > 0
    still = dict(test={k: [50.0, 40.0] for k in "abcd"}, subjects={"e": [9.0, 8.0]})
    assert CHOOSING["worth"](still) == dict(on_test=40, on_held_out=40, last=40, halves=0)


def test_runs_are_written_and_not_made_twice(clips, tmp_path, monkeypatch, capsys):
    save_motion(tmp_path / "some.safetensors", clips)
    given = ["--data", str(tmp_path / "some.safetensors"), "--folder", str(tmp_path / "runs")]
    given += ["--steps", "4", "--checks", "2", "--seeds", "3", "--held-out", "train 2"]
    monkeypatch.setattr(sys, "argv", ["choosing.py"])
    CHOOSING["main"](given)
    written = tmp_path / "runs" / "assets" / "measured" / "choosing.json"
    report = record.read(written)
    assert [(run["schedule"], run["seed"]) for run in report["runs"]] == [("exponential", 3), ("cosine", 3)]
    for run in report["runs"]:
        assert run["steps"] == [2, 4] and set(run["subjects"]) == {"train 2"}
        assert {name: len(errors) for name, errors in run["test"].items()} == {"test 0": 2, "test 1": 2}
        assert run["test"]["test 0"][0] != run["test"]["test 0"][1]
    assert report["config"]["steps"] == 4 and str(tmp_path) not in written.read_text(encoding="utf-8")
    before = report["runs"]
    CHOOSING["main"](given)
    assert (
        record.read(written)["runs"] == before
        and "step 2" not in capsys.readouterr().out.split("cosine, seed 3:")[-1]
    )
