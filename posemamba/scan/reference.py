"""The definition of the selective scan: a loop over the tokens. Slow; everything is tested against it."""

import torch
from torch import Tensor

from posemamba.scan.arguments import Arguments


def scan(args: Arguments) -> tuple[Tensor, Tensor]:
    """Run the recurrence of Equation 4 with the paper's B-bar = delta B, one token after the other.

    Returns:
        y (b, K, inner, L) and the last state (b, K, inner, N). Differentiable by autograd, any float dtype.
    """
    state = args.u.new_zeros(*args.u.shape[:3], args.A.shape[-1])  # (b, K, inner, N)
    weight = args.weight
    outputs = []
    for i in range(args.u.shape[-1]):
        step = args.delta[..., i, None]  # (b, K, inner, 1)
        write = step * args.u[..., i, None] * args.B[:, :, None, :, i]  # (b, K, inner, N)
        state = torch.exp(step * args.A) * state + write
        seen = state if weight is None else state * weight
        outputs.append((seen * args.C[:, :, None, :, i]).sum(-1))  # (b, K, inner)
    y = torch.stack(outputs, -1) if outputs else torch.zeros_like(args.u)
    if args.D is not None:
        y = y + args.D[..., None] * args.u
    return y, state
