"""What `posemamba train --dry-run` says."""

import re

import pytest

from posemamba.accounting import count
from posemamba.training import TrainingConfig, forecast, resolve
from posemamba.training.data import sampler
from posemamba.training.learner import Learner
from tests.motion.views import seen
from tests.training.runs import people

SMALL = dict(depth=2, channels=8, state=2, frames=9, stride=40, batch_size=4)


@pytest.fixture(scope="module")
def clips():
    return people(actions=("walking",))


def test_it_says_what_on_what_and_how_long(clips):
    config = TrainingConfig.load("table_1/S", epochs=2, **SMALL, **{"validation.subjects": "last"})
    found = resolve(config, clips)
    said = dict(line.split(": ", 1) for line in forecast(config, clips, "cpu", tries=2) if ": " in line)
    assert f"{count(found.model, 9).parameters:,} parameters" in said["network"]
    windows = sampler(found, clips)
    frames = sum(len(clip) for clip in windows.clips)
    assert f"{len(windows.clips)} clips" in said["trained on"]
    assert f"{frames:,} frames, {len(windows):,} windows" in said["trained on"]
    assert said["held out"].startswith(found.validation.subjects[0])
    assert said["steps"].startswith(f"{found.steps:,} of 4 windows")
    assert f"steps {found.steps}" in said["decided by the data"]
    assert said["loss"] == "1 mpjpe + 0.5 reprojection + 20 mpjve + 0.5 temporal_consistency"
    hours, unit, seconds = re.match(
        r"([\d.]+) (\w+) at ([\d.e-]+) s a step, the median of 2", said["time"]
    ).groups()
    size = {"hours": 3600, "minutes": 60, "seconds": 1}[unit]
    assert float(hours) * size == pytest.approx(found.steps * float(seconds), rel=0.1, abs=0.06 * size)


def test_without_tries_it_times_nothing(clips, monkeypatch):
    monkeypatch.setattr(Learner, "step", None)  # must not be called
    assert not [line for line in forecast(TrainingConfig(**SMALL), clips, tries=0) if line.startswith("time")]


@pytest.mark.parametrize(("views", "told"), [("virtual", "projected"), ("given", "detected")])
def test_it_names_what_the_network_gets(clips, views, told):
    watched = [seen(clip, 60, fps=60) for clip in clips]
    said = forecast(TrainingConfig(**SMALL, views=views, inputs="detected"), watched, tries=0)
    assert f"views {views}, inputs {told}, noise none" in "\n".join(said)


def test_it_refuses_what_the_run_would(clips):
    with pytest.raises(ValueError, match=r"a batch has 4 windows, expected a multiple of .*accumulate = 3"):
        forecast(TrainingConfig(**SMALL, accumulate=3), clips, "cpu")
