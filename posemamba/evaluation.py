"""How good is a lifting model? Scored on windows seen by virtual cameras, beside two baselines that cost
nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from posemamba import inference, metrics
from posemamba.motion.clips import Clip
from posemamba.motion.rig import CameraRig
from posemamba.motion.windows import EvaluationWindows, WindowSampler, evaluation_windows

#: Candidates for ridge regression's penalty; the best on held-out training clips is taken.
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass(frozen=True)
class Scores:
    """Errors of one predictor: positions in mm, velocities in mm per frame; each by action and averaged."""

    mpjpe: metrics.ActionMeans
    p_mpjpe: metrics.ActionMeans
    mpjve: metrics.ActionMeans

    def rows(self) -> dict[str, dict[str, float]]:
        """{metric: {"over_actions", "over_frames", and each action's mean}}, plain numbers."""
        found = {}
        for name in ("mpjpe", "p_mpjpe", "mpjve"):
            means = getattr(self, name)
            found[name] = {
                "over_actions": means.over_actions,
                "over_frames": means.over_frames,
                **means.actions,
            }
        return found


def score(prediction: Float[Tensor, "n frames 17 3"], windows: EvaluationWindows) -> Scores:
    """Score predictions for evaluation windows, mm, camera frame, root-relative.

    The predictions' own root is set to 0 first, as the protocol of Human3.6M does.
    """
    prediction = prediction - prediction[:, :, :1]

    def means(errors: Tensor, scored: Tensor) -> metrics.ActionMeans:
        return metrics.per_action(errors, windows.action, scored, windows.actions)

    return Scores(
        mpjpe=means(metrics.mpjpe(prediction, windows.targets), windows.scored),
        p_mpjpe=means(metrics.p_mpjpe(prediction, windows.targets), windows.scored),
        mpjve=means(metrics.mpjve(prediction, windows.targets), metrics.scored_steps(windows.scored)),
    )


class MeanPose:
    """Always answers with the mean of the training windows: what is known without looking."""

    def __init__(self, targets: Float[Tensor, "n frames 17 3"]):
        self.mean = targets.mean(0)

    def __call__(self, inputs: Float[Tensor, "n frames 17 2"]) -> Float[Tensor, "n frames 17 3"]:
        return self.mean.expand(len(inputs), *self.mean.shape)


class RidgeRegression:
    """The whole window of 2D joints mapped linearly to the whole window of 3D joints, with a penalty on the
    weights."""

    def __init__(
        self, inputs: Float[Tensor, "n frames 17 2"], targets: Float[Tensor, "n frames 17 3"], penalty: float
    ):
        x, y = inputs.flatten(1).double(), targets.flatten(1).double()
        self.input_mean, self.target_mean, self.shape = x.mean(0), y.mean(0), targets.shape[1:]
        x, y = x - self.input_mean, y - self.target_mean
        self.penalty = penalty
        self.weight = torch.linalg.solve(x.T @ x + penalty * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)

    def __call__(self, inputs: Float[Tensor, "n frames 17 2"]) -> Float[Tensor, "n frames 17 3"]:
        y = (inputs.flatten(1).double() - self.input_mean) @ self.weight + self.target_mean
        return y.float().view(-1, *self.shape)

    @classmethod
    def fit(
        cls, clips: Sequence[Clip], frames: int, fps: float, seed: int, rig: CameraRig, windows: int
    ) -> "RidgeRegression":
        """Choose the penalty on every fourth training clip of each action, then fit on all of them."""
        order = sorted(clips, key=lambda clip: (clip.action, clip.name))
        held_out = [clip for i, clip in enumerate(order) if i % 4 == 3]
        kept = [clip for i, clip in enumerate(order) if i % 4 != 3]
        if not held_out:
            raise ValueError(
                f"ridge regression needs at least 4 training clips to choose its penalty, found {len(clips)}"
            )
        inputs, targets = _draw(kept, frames, fps, seed, rig, windows)
        check = evaluation_windows(held_out, frames, fps, views=1, seed=seed, rig=rig)
        errors = {}
        for penalty in PENALTIES:
            predicted = cls(inputs, targets, penalty)(check.inputs)
            errors[penalty] = metrics.mpjpe(predicted, check.targets)[check.scored].mean()
        return cls(*_draw(clips, frames, fps, seed, rig, windows), min(errors, key=errors.get))


def _draw(clips, frames, fps, seed, rig, windows) -> tuple[Tensor, Tensor]:
    sampler = WindowSampler(clips, frames, fps, batch_size=min(windows, 64), seed=seed, rig=rig)
    batches = [sampler.batch(step) for step in range(-(-windows // sampler.batch_size))]
    return tuple(torch.cat(parts) for parts in zip(*batches, strict=True))


@dataclass(frozen=True)
class Report:
    """What `evaluate` found: `scores` by predictor ("model", "ridge", "mean pose") and how it was
    measured."""

    scores: dict[str, Scores]
    protocol: dict

    def to_json(self) -> dict:
        """Plain values, ready to be written."""
        return {
            "protocol": self.protocol,
            "scores": {name: found.rows() for name, found in self.scores.items()},
        }


def evaluate(
    model: torch.nn.Module | None,
    clips: Sequence[Clip],
    frames: int = 27,
    fps: float = 60,
    views: int = 4,
    seed: int = 0,
    rig: CameraRig | None = None,
    baselines: bool = True,
    fit_windows: int = 20_000,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Score a model on the test split through virtual cameras, beside the mean pose and ridge regression.

    Args:
        model: lifts (n, frames, 17, 2) to mm (see `PoseMambaConfig.millimetres_per_unit`); None for the
            baselines alone.
        clips: of both splits; the training clips are only used by the baselines.
        frames, fps: length and rate of the windows.
        views: cameras a window.
        seed: of the cameras and of the baselines' training windows.
        fit_windows: how many training windows the baselines are fitted on.

    Raises:
        ValueError: a split has no clips.
    """
    rig = rig or CameraRig()
    split = {name: [clip for clip in clips if clip.split == name] for name in ("train", "test")}
    for name, found in split.items():
        if not found and (baselines or name == "test"):
            raise ValueError(f"the data has no clips of the {name} split")
    windows = evaluation_windows(split["test"], frames, fps, views, seed, rig)
    scores = {}
    protocol = dict(
        frames=frames, fps=fps, views=views, seed=seed, windows=len(windows), test_clips=len(split["test"]),
        scored_frames=int(windows.scored.sum()), flip_averaging=True,
    )  # fmt: skip
    if model is not None:
        scores["model"] = score(
            inference.predict_windows(model, windows.inputs, flip=True, progress=progress), windows
        )
    if baselines:
        ridge = RidgeRegression.fit(split["train"], frames, fps, seed, rig, fit_windows)
        scores["ridge"] = score(ridge(windows.inputs), windows)
        _, targets = _draw(split["train"], frames, fps, seed, rig, fit_windows)
        scores["mean pose"] = score(MeanPose(targets)(windows.inputs), windows)
        protocol |= dict(
            ridge_penalty=ridge.penalty, fit_windows=fit_windows, train_clips=len(split["train"])
        )
    return Report(scores, protocol)
