"""What choosing a step of training on the test set is worth: the measured runs of the chapter "Measuring".

    python figures/choosing.py

The plan, written before any result:

- The shape of the recipe "small" (27 frames, 4 blocks, 32 channels), its loss and its windows; 1,600 steps of
  4 windows; a peak rate of 4e-3, taken and not tuned, for both schedules.
- "exponential", the paper's kind: times 0.99 after each of 120 parts of the run, so that the rate is still
  0.29 of its peak at the end, and the error goes up and down from one measurement to the next. "cosine",
  which ends at nothing, beside it. Three seeds each; a seed's schedules see the same batches.
- 40 measurements on the way, evenly spread, of the test people and of three training people who are held
  out of training: MPJPE without flip averaging, of each person on at most 60 of their windows, evenly
  spread, each seen by one virtual camera, the same in all runs. An error of several people is the mean over
  people.
- Told are the test error at the step that the test people choose, at the one that the held-out people
  choose, and at the last. The choice's own gain: the six test people are divided in halves in all ten ways; a
  step is chosen on one half, and on the other half its error is compared with the least one there. A number
  that was chosen on the people whom it is reported for is too low by that much.

Stopped, the command goes on with the runs that are missing. The runs that the book shows were made so:

    python figures/choosing.py --data cmu.safetensors --folder runs/choosing --out posemamba/assets
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from posemamba import metrics, record, storage
from posemamba.inference import predict_windows
from posemamba.losses import pose_loss
from posemamba.model import PoseMamba
from posemamba.motion import evaluation_windows, open_motion, select_split
from posemamba.motion.clips import Clip
from posemamba.training import TrainingConfig, initial_model, parameter_groups
from posemamba.training.data import resolve, sampler

WHAT = "errors of test people and of held-out training people along training runs, for two schedules"
SEEDS = (0, 1, 2)
SCHEDULES = ("exponential", "cosine")
HELD_OUT = ("5", "16", "35")
STEPS, CHECKS, PARTS = 1600, 40, 120
MOST = 60  # windows a person


def settings(schedule: str, seed: int, steps: int, held_out: tuple[str, ...]) -> TrainingConfig:
    """One run's configuration."""
    rate = {"schedule.name": schedule}
    if schedule == "exponential":
        rate |= {"schedule.decay": 0.99, "schedule.epoch": max(1, steps // PARTS)}
    changes = {"learning_rate": 4e-3, "warmup": min(100, steps // 4), "validation.subjects": held_out}
    return TrainingConfig.load("small", seed=seed, steps=steps, **changes, **rate)


class People:
    """Some people's windows, on which a network's error is measured by person."""

    def __init__(self, clips: list[Clip], config: TrainingConfig, most: int = MOST):
        windows = evaluation_windows(clips, config.model.frames, config.data.fps, views=1)
        whose = np.array([clips[clip].subject for clip in windows.clip.tolist()])
        rows = []
        for person in sorted(set(whose)):
            own = np.flatnonzero(whose == person)
            rows += own[np.linspace(0, len(own) - 1, min(most, len(own))).round().astype(int)].tolist()
        self.whose = whose[rows].tolist()
        self.inputs, self.targets, self.scored = (
            part[rows] for part in (windows.inputs, windows.targets, windows.scored)
        )

    def errors(self, model: PoseMamba) -> dict[str, float]:
        """Each person's MPJPE, mm."""
        answers = predict_windows(model, self.inputs, flip=False)
        errors = metrics.mpjpe(answers - answers[:, :, :1], self.targets)
        return metrics.per_action(errors, self.whose, self.scored).actions


def run(config: TrainingConfig, clips: list[Clip], checks: int) -> dict:
    """Train, and measure at `checks` steps: {"steps", "test": {person: errors}, "subjects", "seconds"}."""
    config = resolve(config, clips)
    out = [c for c in select_split(clips, "train") if c.subject in config.validation.subjects]
    people = {"test": People(select_split(clips, "test"), config), "subjects": People(out, config)}
    model, windows, settings = initial_model(config), sampler(config, clips), config.optimizer
    groups = parameter_groups(model, settings.weight_decay, settings.decays)
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, settings.beta2))
    at = [round(config.steps * (k + 1) / checks) for k in range(checks)]
    found: dict = dict(steps=at, test={}, subjects={})
    began = time.monotonic()
    model.train()
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.rate_at(step)
        inputs, targets = windows.batch(step)
        unit = config.model.millimetres_per_unit
        pose_loss(model(inputs), targets / unit, config.loss).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        if step + 1 in at:
            for split, of in people.items():
                for person, error in of.errors(model).items():
                    found[split].setdefault(person, []).append(round(error, 3))
            told = {split: statistics.mean(e[-1] for e in found[split].values()) for split in people}
            print(f"step {step + 1}: test {told['test']:.2f} mm, held out {told['subjects']:.2f}", flush=True)
    windows_of = {split: len(of.whose) for split, of in people.items()}
    return found | dict(windows=windows_of, seconds=round(time.monotonic() - began, 1))


def mean_over(people: dict[str, list[float]], names=None) -> np.ndarray:
    """The mean over people at each measurement."""
    return np.mean([people[name] for name in (names or people)], axis=0)


def worth(found: dict) -> dict[str, float]:
    """What the choice of a step is worth in one run, mm; names as in the plan."""
    test, held = mean_over(found["test"]), mean_over(found["subjects"])
    names, gains = list(found["test"]), []
    for half in combinations(names, len(names) // 2):
        chooser, scored = mean_over(found["test"], half), mean_over(found["test"], set(names) - set(half))
        gains.append(scored[chooser.argmin()] - scored.min())
    told = dict(on_test=test.min(), on_held_out=test[held.argmin()], last=test[-1], halves=np.mean(gains))
    return {name: float(value) for name, value in told.items()}


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="synthetic", help="'synthetic', or a file of motion")
    parser.add_argument("--folder", default="runs/choosing", help="where each run's figures are kept")
    parser.add_argument("--out", help="the folder of assets to write to; FOLDER/assets by default")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--checks", type=int, default=CHECKS, help="measurements on the way")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--schedules", nargs="+", default=SCHEDULES, choices=SCHEDULES)
    parser.add_argument("--held-out", nargs="+", help="training people; three by default")
    given = parser.parse_args(arguments)

    command = ["python", "figures/choosing.py", "--data", Path(given.data).name]
    head, clips = record.head(WHAT, command, list(given.seeds)), open_motion(given.data)
    # Motion without names, such as the package's own, has a body of its own in each clip.
    clips = [replace(clip, subject=clip.subject or clip.name) for clip in clips]
    known = sorted({clip.subject for clip in select_split(clips, "train")})
    held_out = tuple(given.held_out or (HELD_OUT if set(HELD_OUT) < set(known) else known[-3:]))
    runs = []
    for seed in given.seeds:
        for schedule in given.schedules:
            config = settings(schedule, seed, given.steps, held_out)
            path = Path(given.folder) / schedule / f"seed_{seed}.json"
            if not path.exists():
                print(f"{schedule}, seed {seed}", flush=True)
                found = dict(schedule=schedule, seed=seed, **run(config, clips, given.checks))
                path.parent.mkdir(parents=True, exist_ok=True)
                storage.write_json(path, found | dict(commit=head["commit"]))
            runs.append(storage.read_json(path))
            told = ", ".join(f"{name} {value:.2f}" for name, value in worth(runs[-1]).items())
            print(f"{schedule}, seed {seed}: {told} mm", flush=True)
    out = Path(given.out or Path(given.folder) / "assets") / "measured"
    out.mkdir(parents=True, exist_ok=True)
    commits = sorted({str(each.pop("commit")) for each in runs})
    config = settings(given.schedules[0], given.seeds[0], given.steps, held_out).flat()
    own = dict(runs=runs, held_out=held_out, windows_a_person=MOST, commit=", ".join(commits))
    record.write(out / "choosing.json", head | own | dict(config=config))


if __name__ == "__main__":
    sys.exit(main())
