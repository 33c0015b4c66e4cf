"""What a run's folder tells: its curves, the errors of the network that it kept, and what to look out for."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from posemamba.evaluation import BLOCKED, MeanPose, Report, in_millimetres, score
from posemamba.evaluation.baselines import fit
from posemamba.evaluation.protocols import subjects_of
from posemamba.inference import predict_windows
from posemamba.model import PoseMamba
from posemamba.motion.clips import Clip, select_split
from posemamba.motion.rig import CameraRig
from posemamba.training.config import TrainingConfig
from posemamba.training.data import sampler, training_clips, window_rules
from posemamba.training.validation import SPLITS, Row, Validator, choices, read_rows

#: What a folder may hold, and how it was chosen; the first that is there is measured.
NETWORKS = {
    "best_on_subjects": "the step that did best on the held-out subjects",
    "model": "the last step",
    "best_on_test": "the step that did best on the test split itself, whose error is no test any more",
}
NAMES = {"model": "network", "ridge": "ridge regression", "mean pose": "mean pose"}
CURVES = {"step", "loss", "mpjpe_mm", "gradient_norm", "learning_rate"}
# What the baselines' windows have in common with the run's.
_SEEN = ("inputs", "targets", "noise", "view", "focal_error", "variety")
FIT_WINDOWS, RIDGE_FRAMES = 3000, 81  # of the baselines; of longer windows a linear map is slow to fit


class Example(NamedTuple):
    """The "best", "median" or "worst" window of the test split: the clip's frame at which it starts, the mean
    MPJPE of its frames that count, the 2D input, the network's and the true pose in mm about the root."""

    name: str
    clip: Clip
    start: int
    error: float
    inputs: Float[Tensor, "frames 17 2"]
    answer: Float[Tensor, "frames 17 3"]
    truth: Float[Tensor, "frames 17 3"]


@dataclass(eq=False)
class RunReport:
    """A run as its folder has it.

    Attributes:
        folder, config: where it is and what it was asked for.
        curve: numbers by column of `curve.csv`, a row a logged step; "step" counts from 0.
        rows: its validations.
        network: which of `NETWORKS` was measured; empty for none.
        report: errors on the test split of "model" and of the baselines; None where nothing was measured.
        examples: the best, the median and the worst window.
        missing: why a part is not there, a sentence each: "curve", "validation", "errors", "ridge".
    """

    folder: Path
    config: TrainingConfig
    curve: dict[str, Float[np.ndarray, " rows"]]
    rows: list[Row]
    network: str = ""
    report: Report | None = None
    examples: list[Example] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """Steps that are done, as far as the folder says."""
        if (self.folder / "model").exists():
            return self.config.steps
        logged = [int(step) + 1 for step in self.curve.get("step", ())[-1:]]
        return max([0, *logged, *(row.step for row in self.rows)])


def examine(folder: str | Path, clips: Sequence[Clip] = (), windows: int = 400) -> RunReport:
    """Read a run's folder, finished or not, and measure its network on the test split.

    Args:
        folder: of `train`.
        clips: the run's motion, both splits; without it errors are left out.
        windows: of the test split, at most so many, spread evenly, seen as the run's own.

    Raises:
        FileNotFoundError, ValueError: no folder of a run, or clips that do not fit it.
    """
    folder = Path(folder)
    if not (folder / "config.yaml").is_file():
        raise FileNotFoundError(f"{folder}: has no config.yaml, expected the folder of a run")
    config = TrainingConfig.load(folder / "config.yaml")
    run = RunReport(folder, config, read_curve(folder), read_rows(folder))
    run.network = next((name for name in NETWORKS if (folder / name).exists()), "")
    if not run.curve.keys() >= CURVES or not len(run.curve["step"]):
        run.missing["curve"] = "The folder holds no figures of its steps."
    if not run.rows:
        run.missing["validation"] = "Nothing was validated on the way."
    if not run.network:
        run.missing["errors"] = "The folder holds no network yet, so that no error was measured."
    elif not any(clip.split == "test" for clip in clips):
        run.missing["errors"] = "No motion of a test split was given, so that no error was measured."
    else:
        _measure(run, clips, windows)
    return run


def read_curve(folder: Path) -> dict[str, Float[np.ndarray, " rows"]]:
    """The columns of a folder's `curve.csv`, nothing without one; half a row, left by a kill, is none."""
    path, read = folder / "curve.csv", dict(names=True, deletechars="", invalid_raise=False)
    if not path.is_file() or not path.stat().st_size:
        return {}
    with warnings.catch_warnings(action="ignore"):
        table = np.atleast_1d(np.genfromtxt(path, delimiter=",", encoding="utf-8", **read))
    return {name: table[name] for name in table.dtype.names}


def smooth(values: Float[np.ndarray, " rows"], share: float = 0.03) -> Float[np.ndarray, " rows"]:
    """The median around each row, over a share of all rows; what is not finite does not count."""
    half = round(share * len(values) / 2)
    padded = np.pad(np.where(np.isfinite(values), values, np.nan), half, constant_values=np.nan)
    with warnings.catch_warnings(action="ignore"):  # nothing but NaN around a row
        return np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=-1)


def _measure(run: RunReport, clips: Sequence[Clip], most: int) -> None:
    """Fill in the report and the examples."""
    config, path, frames = run.config, run.folder / run.network, run.config.model.frames
    asked = {"validation.test": True, "validation.subjects": (), "validation.windows": most}
    windows = Validator(replace(config, **asked), clips).windows["test"]
    test = [clip for clip in select_split(clips, "test") if clip.name not in BLOCKED]
    model = PoseMamba.from_pretrained(path).to("cuda" if torch.cuda.is_available() else "cpu")
    train = training_clips(config, clips)
    if frames <= RIDGE_FRAMES and len(train) >= 4:
        seen = {name: window_rules(config)[name] for name in _SEEN}
        rig = window_rules(config)["rig"] or CameraRig()
        seen["views"] = "given" if config.data.views == "given" else 1
        others = fit(train, frames, config.data.fps, config.seed, rig, FIT_WINDOWS, **seen)
    else:
        limits = f"windows of up to {RIDGE_FRAMES} frames and 4 or more training clips"
        run.missing["ridge"] = f"Ridge regression is left out: here it is for {limits}."
        draws = sampler(config, clips)
        steps = range(-(-min(FIT_WINDOWS, len(draws)) // draws.batch_size))
        others = {"mean pose": MeanPose(torch.cat([draws.batch(step)[1] for step in steps]))}
    answers = {"model": predict_windows(model, windows.inputs)}
    answers |= {name: other(windows.inputs) for name, other in others.items()}
    if windows.factor is not None:
        answers = {name: in_millimetres(poses, windows) for name, poses in answers.items()}
        windows = replace(windows, targets=in_millimetres(windows.targets, windows))
    told = dict(name="report", mean="over_actions", windows=len(windows), frames=frames, fps=config.data.fps)
    told |= dict(scored_frames=int(windows.scored.sum()), flip_averaging=True)
    scores = {name: score(poses, windows) for name, poses in answers.items()}
    run.report = Report(scores, told, subjects_of(test, windows))
    table, counts = scores["model"].tables["mpjpe"], windows.scored.sum(1)
    mean = torch.where(table.scored, table.errors.mean(-1), 0).sum(1) / counts
    rows = (2 * counts >= counts.max()).nonzero()[:, 0]  # no scraps of a clip's end
    rows = rows[mean[rows].argsort()]
    for name, row in (("best", rows[0]), ("median", rows[len(rows) // 2]), ("worst", rows[-1])):
        clip, start = test[int(windows.clip[row])], int(windows.frame[row, 0])
        poses = (part[row] - part[row, :, :1] for part in (answers["model"], windows.targets))
        run.examples.append(Example(name, clip, start, float(mean[row]), windows.inputs[row], *poses))


def notes(run: RunReport) -> list[str]:
    """What to look out for in a run, a sentence each, told from its numbers."""
    found, kept, near = [], choices(run.rows), np.inf
    if run.done < run.config.steps:
        found.append(f"The run is not finished: {run.done:,} of {run.config.steps:,} steps.")
    if "curve" not in run.missing:
        found, errors = found + _of_curve(run), run.curve["mpjpe_mm"]
        near = np.median(errors[-(len(errors) // 10 + 1) :])
    for split, choice in kept.items():
        last, least = [row.mpjpe for row in run.rows if row.split == split][-1], choice["mpjpe"]
        if last > 1.02 * least:
            came = f"{least:.1f} mm after step {choice['step']:,}"
            found.append(f"The error on the {SPLITS[split]} was {came} and is {last:.1f} mm in the end.")
        if last > 1.25 * near:
            told = f"Training windows end at {near:.1f} mm, the {SPLITS[split]} at {last:.1f} mm"
            found.append(f"{told}, {last / near:.1f} times as much.")
    if "test" in kept:
        step, least = kept["test"]["step"], kept["test"]["mpjpe"]
        told = f"Step {step:,} was chosen by the test split, with {least:.1f} mm there"
        fair = kept.get("subjects", {}).get("test_mpjpe")
        if fair is None:
            found.append(f"{told}: that is no test any more.")
        elif fair - least >= 0.05:
            found.append(f"{told}; what the held-out subjects chose has {fair - least:.1f} mm more.")
    return found + (_of_errors(run.report) if run.report else [])


def _of_curve(run: RunReport) -> list[str]:
    """Gradients that are not finite, spikes, clipping, plateaus."""
    steps, loss = run.curve["step"], run.curve["loss"]
    norm, limit = run.curve["gradient_norm"], run.config.optimizer.clip_norm
    found, fine = [], np.isfinite(loss) & np.isfinite(norm)
    if not fine.all():
        count = f"{(~fine).sum():,} of {len(fine):,} logged steps, first in step {steps[~fine][0]:,.0f}"
        found.append(f"Loss or gradient is NaN or infinite in {count}.")
    steps, loss, norm = steps[fine], loss[fine], norm[fine]
    if len(loss) < 40:
        return found
    times, share = norm / (np.median(norm) or 1.0), float((norm > (limit or np.inf)).mean())
    if times.max() > 20:
        at = f"{steps[times.argmax()]:,.0f}"
        found.append(f"In step {at} the gradient was {times.max():.0f} times as long as in the median.")
    if share > 0.5:
        found.append(f"In {share:.0%} of the steps the gradient was longer than {limit:g} and was clipped.")
    course, (*_, before, last) = smooth(loss), map(np.median, np.array_split(loss, 4))
    left = course < 0.95 * course[0]
    if not left[: len(left) // 10 + 1].any():
        until = f"until step {steps[left.argmax()]:,.0f}" if left.any() else "all along"
        found.append(f"A first plateau: the loss stayed within 5% of where it began {until}.")
    if (change := (last - before) / (before or 1.0)) > -0.01:
        found.append(f"A plateau: over the last quarter of the steps the loss changed by {change:+.1%}.")
    elif change < -0.05:
        found.append(f"Over the last quarter of the steps the loss still fell, by {-change:.0%}.")
    return found


def _of_errors(report: Report) -> list[str]:
    """Baselines that are as good; joints, and sides, that stand out."""
    found, own, parts = [], report.scores["model"].mpjpe.actions, report.by_part()["mpjpe"]
    for name in list(report.scores)[1:]:
        other = report.scores[name].mpjpe.actions
        if lost := [action for action in own if own[action] >= other[action]]:
            where = f"{len(lost)} of {len(own)} actions: {', '.join(lost)}"
            found.append(f"The network is no better than {NAMES[name]} in {where}.")
    mean, joint = np.mean(list(parts["joints"].values())), max(parts["joints"], key=parts["joints"].get)
    if (error := parts["joints"][joint]) > 1.8 * mean:
        found.append(f"The {joint} is off by {error:.1f} mm, {error / mean:.1f} times the joints' mean.")
    return found
