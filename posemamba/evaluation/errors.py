"""Errors first: a table over window, frame and joint; its means come after."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from posemamba import metrics
from posemamba.motion.windows import EvaluationWindows


@dataclass(frozen=True, eq=False)
class ErrorTable:
    """One metric's error of every joint in every frame of every window.

    Attributes:
        errors: in the metric's unit; for a metric of steps there is one frame less.
        scored: whether a frame counts.
        frame: which frame of which clip and view it is; windows that overlap have numbers in common.
        action: index into `actions`.
        actions: the actions' names.
    """

    errors: Float[Tensor, "n frames joints"]
    scored: Bool[Tensor, "n frames"]
    frame: Int[Tensor, "n frames"]
    action: Int[Tensor, " n"]
    actions: tuple[str, ...]

    def means(self, joint: int | None = None, of: Sequence[str] | None = None) -> metrics.ActionMeans:
        """Means over the joints, or of one joint. A frame counts once, however many windows cover it.

        Args:
            joint: which one; all by default.
            of: a label for each window, such as its subject; its action by default.
        """
        errors = self.errors.mean(-1) if joint is None else self.errors[..., joint]
        labels, names = (self.action, self.actions) if of is None else (of, None)
        return metrics.per_action(errors, labels, self.scored, names, self.frame)


def error_table(
    prediction: Float[Tensor, "n frames joints 3"], windows: EvaluationWindows, metric: str = "mpjpe"
) -> ErrorTable:
    """One metric of predictions for windows, both in mm, camera frame, root-relative.

    Args:
        prediction: its root is set to 0 first, as the protocol of Human3.6M does.
        windows: they say what is right, what counts, and of which clip, view and frame it is.
        metric: one of `metrics.METRICS`.

    Raises:
        ValueError: an unknown metric, a shape that does not fit, or NaN.
    """
    if metric not in metrics.METRICS:
        raise ValueError(f"unknown metric {metric!r}, expected one of {', '.join(metrics.METRICS)}")
    kind = metrics.METRICS[metric]
    errors = kind.of(prediction - prediction[:, :, :1], windows.targets, by_joint=True)
    scored, at = windows.scored, windows.start[:, None] + torch.arange(windows.scored.shape[1])
    sequence = windows.clip * (int(windows.view.max()) + 1) + windows.view
    frame = sequence[:, None] * (int(at.max()) + 1) + at  # the same in all windows that cover it
    if kind.steps:  # a step goes by the frame that it starts from
        scored, frame = metrics.scored_steps(scored), frame[:, :-1]
    return ErrorTable(errors, scored, frame, windows.action, windows.actions)


@dataclass(frozen=True, eq=False)
class Scores:
    """One predictor's errors, as `tables` by metric. `scores.mpjpe` (and so on) are its `ActionMeans`."""

    tables: dict[str, ErrorTable]

    @cached_property
    def means(self) -> dict[str, metrics.ActionMeans]:
        """Means by metric, in the order of the tables."""
        return {name: table.means() for name, table in self.tables.items()}

    def __getattr__(self, name: str) -> metrics.ActionMeans:
        if name in metrics.METRICS and name in self.means:
            return self.means[name]
        raise AttributeError(f"'Scores' object has no attribute {name!r}")

    def rows(self) -> dict[str, dict[str, float]]:
        """{metric: {"over_actions", "over_frames", and each action's mean}}, plain numbers."""
        return {
            name: {"over_actions": means.over_actions, "over_frames": means.over_frames, **means.actions}
            for name, means in self.means.items()
        }


def score(prediction: Float[Tensor, "n frames joints 3"], windows: EvaluationWindows) -> Scores:
    """Score predictions for windows by all metrics; arguments and errors are those of `error_table`."""
    return Scores({name: error_table(prediction, windows, name) for name in metrics.METRICS})
