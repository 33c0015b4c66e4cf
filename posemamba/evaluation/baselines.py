"""Answers that cost nothing: what a network must beat."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from posemamba import metrics
from posemamba.motion.clips import Clip
from posemamba.motion.rig import CameraRig
from posemamba.motion.windows import WindowSampler, evaluation_windows

#: Candidates for ridge regression's penalty; the best on held-out training clips is taken.
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


def draw(
    clips: Sequence[Clip], frames: int, fps: float, seed: int, rig: CameraRig, windows: int
) -> tuple[Float[Tensor, "n frames 17 2"], Float[Tensor, "n frames 17 3"]]:
    """Training windows to fit a baseline on: at least `windows` of them, in batches of up to 64."""
    sampler = WindowSampler(clips, frames, fps, batch_size=min(windows, 64), seed=seed, rig=rig)
    batches = [sampler.batch(step) for step in range(-(-windows // sampler.batch_size))]
    inputs, targets = zip(*batches, strict=True)
    return torch.cat(inputs), torch.cat(targets)


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
        """Fit on windows drawn from training clips, with the penalty of `choose_penalty`."""
        penalty = choose_penalty(clips, frames, fps, seed, rig, windows)
        return cls(*draw(clips, frames, fps, seed, rig, windows), penalty)


def choose_penalty(
    clips: Sequence[Clip], frames: int, fps: float, seed: int, rig: CameraRig, windows: int
) -> float:
    """Ridge regression's penalty: the one of `PENALTIES` that does best on every fourth training clip.

    Raises:
        ValueError: fewer than 4 clips.
    """
    order = sorted(clips, key=lambda clip: (clip.action, clip.name))
    held_out = [clip for i, clip in enumerate(order) if i % 4 == 3]
    kept = [clip for i, clip in enumerate(order) if i % 4 != 3]
    if not held_out:
        raise ValueError(
            f"ridge regression needs at least 4 training clips to choose its penalty, found {len(clips)}"
        )
    inputs, targets = draw(kept, frames, fps, seed, rig, windows)
    check = evaluation_windows(held_out, frames, fps, views=1, seed=seed, rig=rig)

    def error(penalty: float) -> float:
        predicted = RidgeRegression(inputs, targets, penalty)(check.inputs)
        return float(metrics.mpjpe(predicted, check.targets)[check.scored].mean())

    return min(PENALTIES, key=error)
