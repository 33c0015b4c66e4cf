"""Answers that cost nothing: what a network must beat."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from posemamba import metrics
from posemamba.motion.clips import Clip
from posemamba.motion.rig import CameraRig
from posemamba.motion.windows import WindowSampler, evaluation_windows

Inputs = Float[Tensor, "n frames 17 2"]
Targets = Float[Tensor, "n frames 17 3"]

#: Candidates for ridge regression's penalty; the best on held-out training clips is taken.
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


class MeanPose:
    """Always answers with the mean of the training windows: what is known without looking."""

    def __init__(self, targets: Targets):
        self.mean = targets.mean(0)

    def __call__(self, inputs: Inputs) -> Targets:
        return self.mean.expand(len(inputs), *self.mean.shape)


class RidgeRegression:
    """The whole window of 2D joints mapped linearly to that of 3D joints, with a penalty on the weights."""

    def __init__(self, inputs: Inputs, targets: Targets, penalty: float):
        x, y = inputs.flatten(1).double(), targets.flatten(1).double()
        self.input_mean, self.target_mean, self.shape = x.mean(0), y.mean(0), targets.shape[1:]
        x, y = x - self.input_mean, y - self.target_mean
        self.penalty = penalty
        self.weight = torch.linalg.solve(x.T @ x + penalty * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)

    def __call__(self, inputs: Inputs) -> Targets:
        y = (inputs.flatten(1).double() - self.input_mean) @ self.weight + self.target_mean
        return y.float().view(-1, *self.shape)

    @classmethod
    def fit(cls, clips: Sequence[Clip], *rules, **named) -> "RidgeRegression":
        """Fit on training clips; arguments and errors are those of `fit`."""
        return fit(clips, *rules, **named)["ridge"]


def fit(
    clips: Sequence[Clip],
    frames: int,
    fps: float,
    seed: int,
    rig: CameraRig,
    windows: int,
    *,
    views: int | str = 1,
    **seen,
) -> dict[str, Callable[[Inputs], Targets]]:
    """The baselines "ridge" and "mean pose", fitted on the same draw of windows from training clips.

    Ridge regression takes the one of `PENALTIES` that does best on every fourth clip, fitted on the others.

    Args:
        frames, fps, seed, rig: of the windows.
        windows: how many are drawn, or a few more: they come in batches of up to 64.
        views: 1 virtual camera a window, or "given" for those of the clips.
        seen: inputs, targets and noise of the windows.

    Raises:
        ValueError: fewer than 4 clips.
    """
    order = sorted(clips, key=lambda clip: (clip.action, clip.name))
    if len(order) < 4:
        needs = "at least 4 training clips to choose its penalty"
        raise ValueError(f"ridge regression needs {needs}, found {len(order)}")
    held_out, kept = order[3::4], [clip for i, clip in enumerate(order) if i % 4 != 3]

    def draw(clips: Sequence[Clip]) -> tuple[Inputs, Targets]:
        of = dict(seed=seed, rig=rig, views="given" if views == "given" else "virtual", **seen)
        sampler = WindowSampler(clips, frames, fps, min(windows, 64), **of)
        batches = [sampler.batch(step) for step in range(-(-windows // sampler.batch_size))]
        inputs, targets = zip(*batches, strict=True)
        return torch.cat(inputs), torch.cat(targets)

    drawn, check = draw(kept), evaluation_windows(held_out, frames, fps, views, seed, rig, **seen)

    def error(penalty: float) -> float:
        predicted = RidgeRegression(*drawn, penalty)(check.inputs)
        return float(metrics.mpjpe(predicted, check.targets)[check.scored].mean())

    penalty = min(PENALTIES, key=error)
    inputs, targets = draw(clips)
    return {"ridge": RidgeRegression(inputs, targets, penalty), "mean pose": MeanPose(targets)}
