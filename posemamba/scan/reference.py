"""The definition of the selective scan: a loop over the tokens. Slow; everything is tested against it."""

import torch
from torch import Tensor

from posemamba.scan.arguments import Arguments


def scan(args: Arguments, backend: str = "reference") -> tuple[Tensor, Tensor]:
    """Run the recurrence of Equation 4 with the paper's B-bar = delta B, one token after the other.

    Returns:
        y (b, K, inner, L) and the last state (b, K, inner, N). Differentiable by autograd, any float dtype.
    """
    args = args.widened()
    state = args.initial
    if state is None:
        state = args.u.new_zeros(*args.u.shape[:3], args.A.shape[-1])  # (b, K, inner, N)
    outputs = []
    for i in range(args.u.shape[-1]):
        B, C = args.B[:, :, None, :, i], args.C[:, :, None, :, i]  # (b, K, 1, N)
        if args.B_scale is not None:
            B, C = B * args.B_scale, C * args.C_scale
        step = args.delta[..., i, None]  # (b, K, inner, 1)
        state = torch.exp(step * args.A) * state + step * args.u[..., i, None] * B  # (b, K, inner, N)
        outputs.append((state * C).sum(-1))  # (b, K, inner)
    y = torch.stack(outputs, -1) if outputs else torch.zeros_like(args.u)
    if args.D is not None:
        y = y + args.D[..., None] * args.u
    return y, state
