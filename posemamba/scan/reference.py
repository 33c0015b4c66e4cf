"""The definition of the selective scan: a loop over the tokens. Slow; everything is tested against it."""

import torch
from torch import Tensor

from posemamba.scan.operands import Operands


def scan(operands: Operands) -> tuple[Tensor, Tensor]:
    """Run the recurrence of Equation 4 with the paper's B-bar = delta B, one token after the other.

    Returns:
        y (b, sources, L, inner) and the last state (b, K, inner, N). Differentiable by autograd.
    """
    o = operands.ordered().widened()
    outputs, state = [], o.initial
    if state is None:
        state = o.x.new_zeros(*o.x.shape[:2], *o.A.shape[1:])  # (b, K, inner, N)
    for i in range(o.x.shape[2]):
        B, C = o.B[:, :, i, None], o.C[:, :, i, None]  # (b, K, 1, N)
        if o.B_scale is not None:
            B, C = B * o.B_scale, C * o.C_scale
        step, u = o.delta[:, :, i, :, None], o.x[:, :, i, :, None]  # (b, K, inner, 1)
        state = torch.exp(step * o.A) * state + step * u * B  # (b, K, inner, N)
        outputs.append((state * C).sum(-1))  # (b, K, inner)
    y = torch.stack(outputs, 2) if outputs else torch.zeros_like(o.x)
    if o.D is not None:
        y = y + o.D[:, None] * o.x
    return operands.merged(y), state
