"""Which inputs moved one prediction: by the network's gradient, and by the map that holds its choices."""

from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from posemamba.attention.depth import linearise
from posemamba.model import PoseMamba


@dataclass(frozen=True)
class Relevance:
    """Each input's share in one predicted coordinate, in the output's unit.

    Attributes:
        frame, joint, coordinate: of the prediction.
        value: the prediction.
        gradient: gradient times input, summed over x and y. The first-order effect of the input's distance
            from the baseline; the shares need not add up to anything.
        map: the map's weight times input. With `constant` the shares add up to `value`.
        constant: what the map gives for the baseline itself.
    """

    frame: int
    joint: int
    coordinate: int
    value: float
    gradient: Float[Tensor, "frames joints"]
    map: Float[Tensor, "frames joints"]
    constant: float


def relevance(
    model: PoseMamba,
    keypoints: Float[Tensor, "frames joints 2"],
    frame: int,
    joint: int,
    coordinate: int = 2,
    baseline: Float[Tensor, "*frames joints 2"] | None = None,
) -> Relevance:
    """Which input joints and frames moved a prediction, told in two ways.

    Args:
        model: any PoseMamba; one with `gradient="released"` is asked for its exact gradient.
        keypoints: one sequence.
        frame, joint, coordinate: the prediction; coordinate 2 is depth.
        baseline: an input that counts as nothing, (joints, 2) or of the keypoints' shape; shares belong to
            the difference from it. None is zero, all joints in the image's middle.

    Raises:
        ValueError: no such frame, joint or coordinate, or a shape that does not fit.
    """
    line = linearise(model, keypoints)
    frames, joints, _ = line.keypoints.shape
    given = ("frame", frame, frames), ("joint", joint, joints), ("coordinate", coordinate, 3)
    for name, value, limit in given:
        if not 0 <= value < limit:
            raise ValueError(f"{name} is {value}, expected 0 to {limit - 1}")
    if baseline is None:
        baseline = torch.zeros_like(line.keypoints)
    if baseline.shape not in (line.keypoints.shape, line.keypoints.shape[1:]):
        wanted = f"{(joints, 2)} or {(frames, joints, 2)}"
        raise ValueError(f"baseline has shape {tuple(baseline.shape)}, expected {wanted}")
    away = line.keypoints - baseline
    inputs, network = line.keypoints[None].clone().requires_grad_(), deepcopy(model).eval()
    for module in network.modules():
        if hasattr(module, "config"):
            module.config = replace(model.config, gradient="exact")
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(network(inputs)[0, frame, joint, coordinate], inputs)
    value = line.output[frame, joint, coordinate].item()
    share = (line.row(frame, joint)[coordinate] * away).sum(-1)
    moved, rest = (gradient[0] * away).sum(-1), value - share.sum().item()
    return Relevance(frame, joint, coordinate, value, moved, share, rest)
