"""What evaluation reports: position and velocity errors, per frame first and averaged after.

Poses are `(..., frames, joints, 3)` with any leading batch shape, root-relative millimetres unless a caller
decides otherwise; errors come in the poses' unit. All is computed in float64 on the CPU, without gradients.
Training minimises the functions of `losses`, which share the names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from posemamba.losses import check_poses, fit_scale
from posemamba.skeleton import JOINT_NAMES


def check_finite(poses: Tensor, name: str) -> None:
    """Raises ValueError naming the first frame and joint of `(..., frames, joints, d)` that is not finite."""
    finite = torch.isfinite(poses).all(-1)
    if finite.all():
        return
    *batch, frame, joint = (int(i) for i in (~finite).nonzero()[0])
    which = f"{joint} ({JOINT_NAMES[joint]})" if finite.shape[-1] == len(JOINT_NAMES) else str(joint)
    where = f" of sequence {', '.join(map(str, batch))}" if batch else ""
    raise ValueError(
        f"{name} must be finite numbers, found NaN or infinity in frame {frame}{where}, joint {which}"
    )


def _double(*poses: Tensor | np.ndarray) -> list[Tensor]:
    tensors = (p if isinstance(p, Tensor) else torch.tensor(np.asarray(p)) for p in poses)
    return [tensor.detach().to("cpu", torch.float64) for tensor in tensors]


def _pair(prediction, target) -> list[Tensor]:
    prediction, target = _double(prediction, target)
    check_poses(prediction, target)
    check_finite(prediction, "prediction")
    check_finite(target, "target")
    return [prediction, target]


def _distance(
    a: Float[Tensor, "*batch joints 3"], b: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch"]:
    return torch.linalg.vector_norm(a - b, dim=-1).mean(-1)


def mpjpe(
    prediction: Float[Tensor, "*batch frames joints 3"], target: Float[Tensor, "*batch frames joints 3"]
) -> Float[Tensor, "*batch frames"]:
    """Mean per-joint position error of each frame (P1 where both are root-relative), in the poses' unit.

    Raises ValueError for shapes that do not fit and for NaN.
    """
    return _distance(*_pair(prediction, target))


def n_mpjpe(
    prediction: Float[Tensor, "*batch frames joints 3"], target: Float[Tensor, "*batch frames joints 3"]
) -> Float[Tensor, "*batch frames"]:
    """MPJPE of each frame after its prediction is scaled by the factor that fits best in least squares.

    In the target's unit. Raises ValueError for shapes that do not fit and for NaN.
    """
    prediction, target = _pair(prediction, target)
    return _distance(fit_scale(prediction, target) * prediction, target)


def p_mpjpe(
    prediction: Float[Tensor, "*batch frames joints 3"], target: Float[Tensor, "*batch frames joints 3"]
) -> Float[Tensor, "*batch frames"]:
    """MPJPE of each frame after `align` (P2), in the target's unit.

    The paper speaks of a rigid transformation; what it and its peers compute includes the scale, as here.
    Raises ValueError for shapes that do not fit and for NaN.
    """
    prediction, target = _pair(prediction, target)
    return _distance(align(prediction, target), target)


def align(
    prediction: Float[Tensor, "*batch joints 3"], target: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch joints 3"]:
    """Moves, turns and scales each predicted pose as near to the target as it gets, in least squares.

    The closed form of Umeyama (1991): the rotation from the singular vectors of the 3 x 3 covariance, without
    a reflection, then scale and translation. A prediction whose joints all coincide has no orientation; it is
    put into the target's centre.

    Arguments:
        prediction, target: poses in any units, finite; float64 gives accurate rotations.

    Returns the predictions in the targets' frame and unit.
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


def mpjve(
    prediction: Float[Tensor, "*batch frames joints 3"], target: Float[Tensor, "*batch frames joints 3"]
) -> Float[Tensor, "*batch steps"]:
    """Mean per-joint velocity error of each step from one frame to the next, in the poses' unit per frame.

    Returns `(..., frames - 1)`; `scored_steps` says which of them count. Raises ValueError for shapes that do
    not fit and for NaN.
    """
    prediction, target = _pair(prediction, target)
    return _distance(torch.diff(prediction, dim=-3), torch.diff(target, dim=-3))


def scored_steps(scored: Bool[Tensor, "*batch frames"]) -> Bool[Tensor, "*batch steps"]:
    """A step between frames counts where both of its frames do."""
    return scored[..., 1:] & scored[..., :-1]


@dataclass(frozen=True)
class ActionMeans:
    """Mean errors in the errors' unit.

    `actions` and `frames` give each action's mean and how many frames it has. `over_actions` is the mean of
    the actions' means, Human3.6M's protocol, in which a rare action counts as much as a common one;
    `over_frames` is the mean of all frames.
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
) -> ActionMeans:
    """Averages errors per frame over each action, then over actions and over frames.

    Arguments:
        errors: errors of n windows, `(n, frames)` or `(n, steps)`.
        actions: each window's action, as a name or as an index into `names`.
        scored: which errors count; all by default. What does not count may be NaN.
        names: the actions' names, where `actions` are indices.

    An action of which nothing is scored is left out. Raises ValueError for shapes that do not fit, for an
    unknown action, for NaN in what counts and where nothing counts.
    """
    (errors,) = _double(errors)
    scored = torch.ones_like(errors, dtype=torch.bool) if scored is None else torch.as_tensor(scored).cpu()
    if errors.dim() != 2 or scored.shape != errors.shape or len(actions) != len(errors):
        raise ValueError(
            f"errors have shape {tuple(errors.shape)}, scored {tuple(scored.shape)} and actions "
            f"({len(actions)},), expected (n, frames) twice and (n,)"
        )
    labels = [action if isinstance(action, str) else int(action) for action in actions]
    if names is not None:
        unknown = [label for label in labels if isinstance(label, str) or not 0 <= label < len(names)]
        if unknown:
            raise ValueError(f"actions hold {unknown[0]!r}, expected indices into {len(names)} names")
        labels = [names[label] for label in labels]
    if not scored.any():
        raise ValueError("scored marks no frame, expected some to average")
    if not torch.isfinite(errors[scored]).all():
        raise ValueError("errors hold NaN or infinity where they are scored")
    found, index = np.unique([str(label) for label in labels], return_inverse=True)
    index = torch.from_numpy(index)
    total = torch.zeros(len(found), dtype=torch.float64).index_add(0, index, errors.where(scored, 0.0).sum(1))
    count = torch.zeros(len(found), dtype=torch.int64).index_add(0, index, scored.sum(1))
    means = {str(name): float(t / n) for name, t, n in zip(found, total, count, strict=True) if n}
    frames = {str(name): int(n) for name, n in zip(found, count, strict=True) if n}
    return ActionMeans(means, frames, float(np.mean(list(means.values()))), float(total.sum() / count.sum()))
