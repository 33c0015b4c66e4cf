"""What training minimises: Equation 11 of the paper, as its code computes it.

Predictions and targets are poses `(..., frames, joints, 3)` with any leading batch shape, root-relative and
in one unit; a ValueError names shapes that do not fit. Each loss averages over everything and comes as a
scalar. Its gradient is finite everywhere, also where a predicted joint meets the true one: there it is 0. A
single frame has no velocity, and its losses of steps are 0.

Paper and released code differ in three things:
- Equation 12 sums over frames and joints; the code averages, as here. The weights of Equation 11 belong to
  the averages.
- The paper's "2D re-projection loss" (a comment in the code says so too) is N-MPJPE in the code, the error
  after the best scale, which projects nothing. `reprojection` is what the words say.
- The consistency term sees the prediction alone: it asks for small movements whatever the target does. It is
  quadratic, so that its weight means something in the released units only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Bodies = Float[Tensor, "*batch joints 3"]
Poses = Float[Tensor, "*batch frames joints 3"]
Value = Float[Tensor, ""]
JointWeights = tuple[float, ...] | Float[Tensor, " joints"]

# How much each joint's movement counts in the released consistency term: elbows and wrists most.
JOINT_WEIGHTS = (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4)


def check_poses(prediction: Tensor, target: Tensor | None = None) -> None:
    """Raises ValueError unless these are poses `(..., frames, joints, 3)` of one shape, none of it 0."""
    shape = tuple(prediction.shape)
    if len(shape) < 3 or shape[-1] != 3 or 0 in shape:
        raise ValueError(f"prediction has shape {shape}, expected (..., frames, joints, 3) without zeros")
    if target is not None and target.shape != prediction.shape:
        raise ValueError(f"target has shape {tuple(target.shape)}, expected that of the prediction, {shape}")


def mpjpe(prediction: Poses, target: Poses) -> Value:
    """Mean distance of predicted from true joints, in the poses' unit (Equation 12, averaged)."""
    check_poses(prediction, target)
    return torch.linalg.vector_norm(prediction - target, dim=-1).mean()


def fit_scale(prediction: Bodies, target: Bodies) -> Float[Tensor, "*batch 1 1"]:
    """For each pose the factor s = <prediction, target> / <prediction, prediction> that makes the sum of
    |s prediction - target|^2 least. Where a prediction is zero, or a million times smaller than the target,
    s would blow up: there the denominator is held."""
    products = (prediction * target, prediction.square(), target.square())
    product, square, wanted = (each.sum(dim=(-2, -1), keepdim=True) for each in products)
    held = torch.maximum(square, 1e-12 * wanted)
    return product / torch.where(held > 0, held, torch.ones_like(held))


def n_mpjpe(prediction: Poses, target: Poses) -> Value:
    """MPJPE after each frame's prediction is scaled by `fit_scale`, in the target's unit."""
    check_poses(prediction, target)
    return mpjpe(fit_scale(prediction, target) * prediction, target)


def reprojection(prediction: Poses, target: Poses) -> Value:
    """Mean distance in x and y, in the poses' unit: the 2D error where the image is a plan of the pose, as in
    2.5D, whose x and y are the image's. For metric poses it is the error across the line of sight."""
    check_poses(prediction, target)
    return torch.linalg.vector_norm((prediction - target)[..., :2], dim=-1).mean()


def mpjve(prediction: Poses, target: Poses) -> Value:
    """MPJPE of the steps from frame to frame, in the poses' unit a frame (Pavllo et al., 2019)."""
    check_poses(prediction, target)
    distance = torch.linalg.vector_norm(torch.diff(prediction - target, dim=-3), dim=-1)
    # The sum of nothing, unlike its mean, is zero and has a gradient.
    return distance.sum() / max(distance.numel(), 1)


def temporal_consistency(prediction: Poses, joint_weights: JointWeights = JOINT_WEIGHTS) -> Value:
    """The TC loss (Hossain and Little, 2018): the mean of w_j (x_{t+1} - x_t)^2 over all coordinates, in the
    square of the poses' unit. `joint_weights` has a w for each joint."""
    check_poses(prediction)
    weights = torch.as_tensor(joint_weights, dtype=prediction.dtype, device=prediction.device)
    if weights.shape != prediction.shape[-2:-1]:
        joints = prediction.shape[-2]
        raise ValueError(f"joint_weights has shape {tuple(weights.shape)}, expected ({joints},)")
    square = weights[:, None] * torch.diff(prediction, dim=-3).square()
    return square.sum() / max(square.numel(), 1)


@dataclass(frozen=True)
class LossWeights:
    """The weights of Equation 11, by term. A term that is not named weighs 0 and so does not train.

    The released weights are `LOSS_WEIGHTS["released"]`: 1, 0.5, 20 and 0.5. `LOSS_WEIGHTS["paper"]` gives the
    second to `reprojection`, where the paper's words place it.

    Attributes:
        mpjpe: 1 in the paper.
        n_mpjpe: lambda_2D, as the code has it.
        reprojection: lambda_2D, as the paper's words have it.
        mpjve: the paper's lambda_m.
        temporal_consistency: the paper's lambda_t.

    Raises:
        ValueError: a weight that is negative or no finite number, none above 0; an unknown term or set.
    """

    mpjpe: float = 0.0
    n_mpjpe: float = 0.0
    reprojection: float = 0.0
    mpjve: float = 0.0
    temporal_consistency: float = 0.0

    def __post_init__(self):
        for name, weight in vars(self).items():
            if not isinstance(weight, int | float) or not 0 <= weight < math.inf:
                raise ValueError(f"the loss's weight of {name} must be 0 or more, found {weight!r}")
        if not any(vars(self).values()):
            raise ValueError("the loss gives every term the weight 0, expected at least one that counts")

    @classmethod
    def of(cls, given: Weights) -> LossWeights:
        """Weights from the name of a set in `LOSS_WEIGHTS` or a mapping, whose missing terms weigh 0."""
        given = LOSS_WEIGHTS.get(given, given) if isinstance(given, str) else given
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            known = ", ".join(LOSS_WEIGHTS)
            raise ValueError(f"loss weights are {given!r}, expected one of {known}, or weights by term")
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise ValueError(f"unknown loss term {name!r}, expected some of {', '.join(known)}")
        return cls(**given)

    def in_unit(self, per_unit: float) -> LossWeights:
        """The weights that pull the same way when the poses are given in a unit `per_unit` times smaller: the
        distances grow by it (it must be positive) and the squares by its square, so their weight shrinks."""
        if not per_unit > 0:
            raise ValueError(f"per_unit must be more than 0, found {per_unit}")
        return replace(self, temporal_consistency=self.temporal_consistency / per_unit)


Weights = str | Mapping[str, float] | LossWeights

#: Equation 11's weights, the released code's and the paper's, for poses in the released unit, in mm and in m.
#: A released unit is half of the image's width, 500 pixels. With Human3.6M's focal length of 1145 pixels and
#: a person about 5 m away, a pixel is 4.4 mm: a unit is 2200 mm.
LOSS_WEIGHTS = {
    "released": LossWeights(mpjpe=1.0, n_mpjpe=0.5, mpjve=20.0, temporal_consistency=0.5),
    "paper": LossWeights(mpjpe=1.0, reprojection=0.5, mpjve=20.0, temporal_consistency=0.5),
}
for _unit, _size in (("millimetres", 2200.0), ("metres", 2.2)):
    LOSS_WEIGHTS[_unit] = LOSS_WEIGHTS["released"].in_unit(_size)


class PoseLoss(NamedTuple):
    """The weighted sum to minimise, and its terms by name, before weighting."""

    total: Value
    terms: dict[str, Value]


def pose_loss(
    prediction: Poses,
    target: Poses,
    weights: Weights = "released",
    joint_weights: JointWeights = JOINT_WEIGHTS,
) -> PoseLoss:
    """Equation 11: MPJPE + 0.5 N-MPJPE + 20 MPJVE + 0.5 TC in the released units.

    Args:
        prediction, target: root-relative poses in one unit.
        weights: "released" or "paper" for poses in the released units (the image's width spans [-1, 1], depth
            in the same scale), "millimetres" or "metres" for poses in these, or your own, as `LossWeights.of`
            takes them. On the same poses the three totals differ by the unit alone.
        joint_weights: as in `temporal_consistency`; other joint sets need their own.

    Raises:
        ValueError: unknown weights, or shapes that do not fit.
    """
    weights = LossWeights.of(weights)
    terms = {loss.__name__: loss(prediction, target) for loss in (mpjpe, n_mpjpe, reprojection, mpjve)}
    terms["temporal_consistency"] = temporal_consistency(prediction, joint_weights)
    return PoseLoss(torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum(), terms)
