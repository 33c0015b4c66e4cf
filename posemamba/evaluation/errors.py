"""Errors first: a table over window, frame and joint; its means come after."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from posemamba import metrics
from posemamba.motion.windows import EvaluationWindows
from posemamba.skeleton import JOINT_NAMES, JOINTS, LIMBS

# Windows at once: what is made of them in between stays in a processor's cache.
_CHUNK = 16_384  # frames


@dataclass(frozen=True, eq=False)
class ErrorTable:
    """One metric's error of every joint in every frame of every window.

    Attributes:
        errors: in the metric's unit; for a metric of steps there is one frame less.
        scored: whether a frame counts.
        frame: which frame of which clip and view it is; windows that overlap have numbers in common.
        action: index into `actions`.
        actions: the actions' names.
        joints: over which joints the mean of a frame is taken.
    """

    errors: Float[Tensor, "n frames joints"]
    scored: Bool[Tensor, "n frames"]
    frame: Int[Tensor, "n frames"]
    action: Int[Tensor, " n"]
    actions: tuple[str, ...]
    joints: tuple[int, ...] = tuple(range(JOINTS))

    def means(self, joint: int | None = None, of: Sequence[str] | None = None) -> metrics.ActionMeans:
        """Means over `joints`, or of one joint. A frame counts once, however many windows cover it.

        Args:
            joint: which one; all of `joints` by default.
            of: a label for each window, such as its subject; its action by default.
        """
        joints = self.errors if len(self.joints) == JOINTS else self.errors[..., list(self.joints)]
        errors = joints.mean(-1) if joint is None else self.errors[..., joint]
        labels, names = (self.action, self.actions) if of is None else (of, None)
        return metrics.per_action(errors, labels, self.scored, names, self.frame)

    def by_part(self, mean: str = "over_actions") -> dict[str, dict[str, float]]:
        """Each joint's mean, and each limb's over its joints, "over_actions" or "over_frames":
        {"joints": {name: mean}, "limbs": {name of `skeleton.LIMBS`: mean}}."""
        _, count, found = metrics.action_means(
            self.errors, self.action, self.scored, self.actions, self.frame
        )
        joints = np.average(found, axis=0, weights=None if mean == "over_actions" else count)
        limbs = {limb: float(joints[list(of)].mean()) for limb, of in LIMBS.items()}
        return {"joints": dict(zip(JOINT_NAMES, joints.tolist(), strict=True)), "limbs": limbs}


def error_table(
    prediction: Float[Tensor, "n frames joints 3"], windows: EvaluationWindows, metric: str = "mpjpe"
) -> ErrorTable:
    """One metric of predictions for windows, both in mm, camera frame; relative to the root.

    Args:
        prediction: its root is subtracted first.
        windows: they say what is right, what counts, and of which clip, view and frame it is.
        metric: one of `metrics.METRICS`.

    Raises:
        ValueError: an unknown metric, a shape that does not fit, or NaN.
    """
    return score(prediction, windows, (metric,)).tables[metric]


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


def score(
    prediction: Float[Tensor, "n frames joints 3"],
    windows: EvaluationWindows,
    names: Sequence[str] | None = None,
) -> Scores:
    """Score predictions for windows by some metrics of `metrics.METRICS`, by default all; otherwise as
    `error_table`."""
    kinds = metrics.METRICS if names is None else {name: metrics.METRICS.get(name) for name in names}
    for name, kind in kinds.items():
        if kind is None:
            raise ValueError(f"unknown metric {name!r}, expected one of {', '.join(metrics.METRICS)}")
    metrics.check_poses(prediction, windows.targets)
    for poses, what in ((prediction, "prediction"), (windows.targets, "target")):
        metrics.check_finite(poses, what)
    parts = {name: [] for name in kinds}
    size = max(1, _CHUNK // prediction.shape[1])
    for bodies, truth in zip(prediction.split(size), windows.targets.split(size), strict=True):
        bodies, truth = bodies.double(), truth.double()
        bodies = bodies - bodies[:, :, :1]
        for name, kind in kinds.items():
            parts[name].append(kind.of(bodies, truth, by_joint=True))
    sequence = windows.clip * (int(windows.view.max()) + 1) + windows.view
    frame = sequence[:, None] * (int(windows.place.max()) + 1) + windows.place  # the same in all windows
    tables = {}
    for name, kind in kinds.items():
        # A step goes by the frame that it starts from.
        scored, number = windows.scored, frame[:, :-1] if kind.steps else frame
        scored = metrics.scored_steps(scored) if kind.steps else scored
        joints = tuple(range(JOINTS)) if kind.joints is None else kind.joints
        table = torch.cat(parts.pop(name)), scored, number, windows.action, windows.actions, joints
        tables[name] = ErrorTable(*table)
    return Scores(tables)
