"""The scan as a tree: a recurrence is an associative product, and can be joined in any grouping."""

import torch
from jaxtyping import Float
from torch import Tensor

from posemamba.scan.operands import Operands


def associative_scan(
    a: Float[Tensor, "*batch tokens"], b: Float[Tensor, "*batch tokens"]
) -> Float[Tensor, "*batch tokens"]:
    """All states of h_i = a_i h_{i-1} + b_i with h_0 = 0, in about 2 log2(tokens) parallel steps.

    The pair (a, b) stands for the map h -> a h + b. Maps compose associatively, (a2, b2) after (a1, b1) =
    (a2 a1, a2 b1 + b2), so neighbours can be joined first: join pairs, scan the half-length sequence of
    pairs, and fill in the states between (Ladner and Fischer, 1980). The work is about 2 * tokens joins,
    where joining at all distances (Hillis and Steele, 1986) needs tokens * log2(tokens).

    Args:
        a: decay of each token.
        b: what each token writes.

    Returns:
        The states h, same shape. Differentiable by autograd, which keeps every level of the tree in memory.
    """
    tokens = a.shape[-1]
    if tokens < 2:
        return b.clone()
    even_a, odd_a = a[..., 0 : tokens - 1 : 2], a[..., 1::2]
    even_b, odd_b = b[..., 0 : tokens - 1 : 2], b[..., 1::2]
    odd = associative_scan(odd_a * even_a, torch.addcmul(odd_b, odd_a, even_b))  # states at 1, 3, 5, ...
    rest = torch.addcmul(b[..., 2::2], a[..., 2::2], odd[..., : (tokens - 1) // 2])  # states at 2, 4, 6, ...
    even = torch.cat([b[..., :1], rest], -1)
    h = even.new_empty(b.shape)
    h[..., 0::2], h[..., 1::2] = even, odd
    return h


def scan(operands: Operands) -> tuple[Tensor, Tensor]:
    """The selective scan through `associative_scan`, at the price of (b, K, inner, N, L) tensors."""
    o = operands.ordered().widened()
    u, step, B, C = o.x.mT, o.delta.mT, o.B.mT, o.C.mT  # (b, K, inner or N, L)
    decay = torch.exp(step[..., None, :] * o.A[..., None])  # (b, K, inner, N, L)
    write = (step * u)[..., None, :] * B[:, :, None]
    if o.B_scale is not None:
        write = write * o.B_scale[..., None]
    start = u.new_zeros(write.shape[:-1]) if o.initial is None else o.initial
    if o.initial is not None and write.shape[-1]:  # the first token meets the state it finds
        write = torch.cat([write[..., :1] + decay[..., :1] * start[..., None], write[..., 1:]], -1)
    h = associative_scan(decay, write)
    last = h[..., -1] if h.shape[-1] else start
    if o.C_scale is not None:
        h = h * o.C_scale[..., None]
    y = (h * C[:, :, None]).sum(-2)  # (b, K, inner, L)
    if o.D is not None:
        y = y + o.D[..., None] * u
    return operands.merged(y.mT), last
