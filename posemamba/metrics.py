"""What evaluation reports: position and velocity errors, per frame first and averaged after.

Poses are `(..., frames, joints, 3)` with any leading batch shape, root-relative millimetres unless a caller
decides otherwise. A metric gives `(..., frames)` in the poses' unit, or with `by_joint` each joint's error,
`(..., frames, joints)`; a ValueError names NaN and shapes that do not fit. All is computed in float64 on the
CPU, without gradients. Training minimises the functions of `losses`, which share the names. `METRICS` lists
what evaluation reports; a new metric is a function and a line there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from posemamba.losses import Bodies, Poses, check_poses, fit_scale
from posemamba.skeleton import JOINT_NAMES

# Where MPI-INF-3DHP's own evaluation takes PCK for its AUC, mm.
AUC_THRESHOLDS = tuple(range(0, 151, 5))
# The joints that it counts there: 14, without the root, which is right by definition, spine and face.
PCK_JOINTS = tuple(j for j, name in enumerate(JOINT_NAMES) if name not in ("pelvis", "spine", "nose"))

Errors = Float[Tensor, "*batch frames"] | Float[Tensor, "*batch frames joints"]


def check_finite(poses: Tensor, name: str) -> None:
    """Raises ValueError naming the first frame and joint of `(..., frames, joints, d)` that is not finite."""
    if math.isfinite(poses.detach().sum()):  # a sum costs less than to look at each
        return
    for *batch, frame, joint in (~torch.isfinite(poses).all(-1)).nonzero()[:1].tolist():
        which = f"{joint} ({JOINT_NAMES[joint]})" if poses.shape[-2] == len(JOINT_NAMES) else joint
        where = f"{frame} of sequence {', '.join(map(str, batch))}" if batch else frame
        found = f"found NaN or infinity in frame {where}, joint {which}"
        raise ValueError(f"{name} must be finite numbers, {found}")


def _double(poses: Tensor | np.ndarray) -> Tensor:
    tensor = poses if isinstance(poses, Tensor) else torch.tensor(np.asarray(poses))
    return tensor.detach().to("cpu", torch.float64)


def _pair(prediction, target) -> tuple[Tensor, Tensor]:
    prediction, target = _double(prediction), _double(target)
    check_poses(prediction, target)
    check_finite(prediction, "prediction")
    check_finite(target, "target")
    return prediction, target


def _errors(found: Tensor, wanted: Tensor, by_joint: bool) -> Tensor:
    distance = torch.linalg.vector_norm(found - wanted, dim=-1)
    return distance if by_joint else distance.mean(-1)


def mpjpe(prediction: Poses, target: Poses, by_joint: bool = False) -> Errors:
    """Mean per-joint position error of each frame (P1 where both are root-relative), in the poses' unit."""
    return _errors(*_pair(prediction, target), by_joint)


def n_mpjpe(prediction: Poses, target: Poses, by_joint: bool = False) -> Errors:
    """MPJPE of each frame after its prediction is scaled by `fit_scale`, in the target's unit."""
    prediction, target = _pair(prediction, target)
    return _errors(fit_scale(prediction, target) * prediction, target, by_joint)


def p_mpjpe(prediction: Poses, target: Poses, by_joint: bool = False) -> Errors:
    """MPJPE of each frame after `align` (P2), in the target's unit. The paper calls that rigid; what it and
    its peers compute includes the scale, as here."""
    prediction, target = _pair(prediction, target)
    return _errors(align(prediction, target), target, by_joint)


def align(prediction: Bodies, target: Bodies) -> Bodies:
    """Moves, turns and scales each predicted pose as near to the target as it gets, in least squares.

    In closed form (Umeyama, 1991): the rotation from the singular vectors of the 3 x 3 covariance, without
    a reflection, then scale and translation. A prediction whose joints all coincide has no orientation; it is
    put into the target's centre. Poses are finite, in any units; float64 gives accurate rotations.
    """
    middle, centre = prediction.mean(-2, keepdim=True), target.mean(-2, keepdim=True)
    shape, wanted = prediction - middle, target - centre
    U, singular, Vh = torch.linalg.svd(shape.mT @ wanted)
    # A determinant of -1 would mirror the body; turning the weakest axis round is the best proper rotation.
    signs = torch.ones_like(singular)
    signs[..., 2] = torch.where(torch.linalg.det(U @ Vh) < 0, -1.0, 1.0).to(singular)
    rotation = (U * signs[..., None, :]) @ Vh
    size = shape.square().sum((-2, -1))
    scale = (singular * signs).sum(-1) / torch.where(size > 0, size, torch.inf)
    return scale[..., None, None] * (shape @ rotation) + centre


def mpjve(prediction: Poses, target: Poses, by_joint: bool = False) -> Errors:
    """Mean per-joint velocity error of each of the frames - 1 steps, in the poses' unit per frame."""
    prediction, target = _pair(prediction, target)
    return _errors(torch.diff(prediction, dim=-3), torch.diff(target, dim=-3), by_joint)


def pck(prediction: Poses, target: Poses, threshold: float = 150.0, by_joint: bool = False) -> Errors:
    """Percentage of correct keypoints of each frame (Mehta et al., 2017): joints nearer to their true place
    than the threshold, which is in the poses' unit. More is better; by joint it is 0 or 100."""
    return auc(prediction, target, [threshold], by_joint)


def auc(
    prediction: Poses, target: Poses, thresholds: Sequence[float] = AUC_THRESHOLDS, by_joint: bool = False
) -> Errors:
    """The area under the curve of `pck` over its threshold: the mean of PCK at each of the thresholds, in %.

    They are in the poses' unit, by default the 31 of MPI-INF-3DHP's own evaluation, 0 to 150 mm in steps of
    5. No distance is less than 0, so that a perfect answer gets 30/31 of 100% there.
    """
    distance = _errors(*_pair(prediction, target), by_joint=True)
    steps = torch.as_tensor(thresholds, dtype=torch.float64).sort().values
    if steps.ndim != 1 or not len(steps) or not (torch.isfinite(steps) & (steps >= 0)).all():
        raise ValueError(f"thresholds are {thresholds}, expected one or more finite distances, 0 or more")
    # Sorted thresholds that are more than the distance.
    above = len(steps) - torch.searchsorted(steps, distance, right=True)
    share = 100 * above.double() / len(steps)
    return share if by_joint else share.mean(-1)


def scored_steps(scored: Bool[Tensor, "*batch frames"]) -> Bool[Tensor, "*batch steps"]:
    """A step between frames counts where both of its frames do."""
    return scored[..., 1:] & scored[..., :-1]


@dataclass(frozen=True)
class Metric:
    """A metric that evaluation reports.

    Attributes:
        of: takes predictions and targets, and `by_joint`, as `mpjpe` does.
        label: its name in tables.
        unit: of its numbers, for poses in millimetres.
        steps: whether it is of the steps between frames, and not of frames.
        joints: over which joints its mean is taken; None for all.
    """

    of: Callable[..., Tensor]
    label: str
    unit: str
    steps: bool = False
    joints: tuple[int, ...] | None = None


#: Every measure by its short name.
METRICS = {
    "mpjpe": Metric(mpjpe, "MPJPE", "mm"),
    "n_mpjpe": Metric(n_mpjpe, "N-MPJPE", "mm"),
    "p_mpjpe": Metric(p_mpjpe, "P-MPJPE", "mm"),
    "mpjve": Metric(mpjve, "MPJVE", "mm a frame", steps=True),
    "pck": Metric(pck, "PCK at 150 mm", "%", joints=PCK_JOINTS),
    "auc": Metric(auc, "AUC to 150 mm", "%", joints=PCK_JOINTS),
}


@dataclass(frozen=True)
class ActionMeans:
    """Mean errors in the errors' unit.

    Attributes:
        actions: each action's mean.
        frames: how many frames each action has.
        over_actions: the mean of the actions' means, Human3.6M's protocol, in which a rare action counts as
            much as a common one.
        over_frames: the mean of all frames.
    """

    actions: dict[str, float]
    frames: dict[str, int]
    over_actions: float
    over_frames: float


def per_action(
    errors: Float[Tensor, "n frames"],
    actions: Sequence[str] | Int[Tensor, " n"],
    scored: Bool[Tensor, "n frames"] | None = None,
    names: Sequence[str] | None = None,
    frame: Int[Tensor, "n frames"] | None = None,
) -> ActionMeans:
    """Average errors per frame over each action, then over actions and over frames.

    An action of which nothing is scored is left out.

    Args:
        errors: errors of n windows, `(n, frames)` or `(n, steps)`.
        actions: each window's action, as a name or as an index into `names`.
        scored: which errors count; all by default. What does not count may be NaN.
        names: the actions' names, where `actions` are indices.
        frame: a number for each error, the same where windows overlap and speak of the same frame: it then
            counts once, with the mean of its errors, as the released evaluation does it. By default all
            frames are different ones.

    Raises:
        ValueError: shapes that do not fit, an unknown action, NaN in what counts, or nothing counts.
    """
    found, count, mean = action_means(errors[..., None], actions, scored, names, frame)
    mean = mean[:, 0]
    over = float(mean.mean()), float((mean * count).sum() / count.sum())
    return ActionMeans(
        dict(zip(found, mean.tolist(), strict=True)), dict(zip(found, count.tolist(), strict=True)), *over
    )


def action_means(
    errors: Float[Tensor, "n frames k"],
    actions: Sequence[str] | Int[Tensor, " n"],
    scored: Bool[Tensor, "n frames"] | None = None,
    names: Sequence[str] | None = None,
    frame: Int[Tensor, "n frames"] | None = None,
) -> tuple[list[str], Int[np.ndarray, " actions"], Float[np.ndarray, "actions k"]]:
    """The actions' sorted names, how many frames each has, and its mean of k errors a frame, such as the
    joints'; arguments and errors are those of `per_action`."""
    errors = _double(errors).numpy()
    shape = errors.shape[:2]
    scored = np.ones(shape, bool) if scored is None else torch.as_tensor(scored).cpu().numpy()
    given = np.arange(scored.size).reshape(shape) if frame is None else torch.as_tensor(frame).cpu().numpy()
    sizes = *(shape, scored.shape, given.shape), (len(actions),)
    if errors.ndim != 3 or sizes != (shape,) * 3 + (shape[:1],):
        wanted = "(n, frames) thrice, and (n,)"
        raise ValueError(f"errors, scored, frame, actions have shapes {sizes}, expected {wanted}")
    labels = [action if isinstance(action, str) else int(action) for action in actions]
    if names is not None:
        for label in labels:
            if isinstance(label, str) or not 0 <= label < len(names):
                raise ValueError(f"actions hold {label!r}, expected indices into {len(names)} names")
        labels = [names[label] for label in labels]
    if not scored.any():
        raise ValueError("scored marks no frame, expected some to average")
    counts = errors if scored.all() else errors[scored]
    counts = counts.reshape(-1, errors.shape[-1])
    if not math.isfinite(counts.sum()):
        raise ValueError("errors hold NaN or infinity where they are scored")
    found, index = np.unique([str(label) for label in labels], return_inverse=True)
    action = np.broadcast_to(index[:, None], shape)[scored]
    if frame is not None:
        # One row for each frame of each action, however many windows speak of it.
        number = given[scored]
        number = action * (number.max() + 1) + number
        rows, place, times = np.unique(number, return_inverse=True, return_counts=True)
        if len(rows) < len(number):
            action = rows // (given[scored].max() + 1)
            sums = [np.bincount(place, column) for column in counts.T]
            counts = np.stack(sums, axis=-1) / times[:, None]
    each = [np.bincount(action, column, len(found)) for column in counts.T]
    count = np.bincount(action, minlength=len(found))
    there = count > 0
    mean = np.stack(each, axis=-1)[there] / count[there, None]
    return found[there].tolist(), count[there], mean
