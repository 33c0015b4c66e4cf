"""The scan as two operators of torch, `posemamba::scan` and its backward pass.

As operators they have shapes without values (so torch.compile and torch.export can trace through them), a
derivative, a count of floating-point operations, and a kernel for each kind of device: Numba on CPU, Triton
on CUDA. `selective_scan` and `directional_scan` are two ways to call them.

Shapes: b batch, K directions or groups, inner channels, N states, L tokens;
    x (b, sources, L, inner), where sources is 1 (all directions read the same tokens) or K;
    delta (b, K, L, inner), the step before bias and softplus, or (b, K, L, R) of low rank, with projection
    (K, inner, R) to make it whole; A, B_scale, C_scale (K, inner, N);
    B, C (b, K, L, N); D, bias (K, inner); initial (b, K, inner, N); reads, mixes (K, L) int32.
Direction k reads at place i of its sequence token reads[k, i], plus token mixes[k, i] where that is not -1;
delta, B, C and the output are in token order. The directions of one source are summed. Dtypes may differ; the
state is float32, or float64 where x, delta or A is.
"""

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula


def _kernels(x: Tensor, backend: str):
    """The module that runs the kernels: by device, or Triton's interpreter where it is asked for on CPU."""
    if x.device.type == "cpu" and backend != "triton":
        from posemamba.scan import cpu as kernels
    else:
        from posemamba.scan import gpu as kernels
    return kernels


def _wide(*tensors: Tensor) -> torch.dtype:
    wide = torch.float32
    for tensor in tensors:
        wide = torch.promote_types(wide, tensor.dtype)
    return wide


def _turned(values: Tensor) -> bool:
    """Whether the last dimension but one is the one whose numbers lie side by side, and results' too."""
    return values.stride(-1) != 1 and values.stride(-2) == 1 and not values.is_cuda


def _laid(values: Tensor, like: Tensor) -> Tensor:
    """The values in memory as `_empty` would lay them, so that they are what was promised when tracing."""
    return values.mT.contiguous().mT if _turned(like) else values.contiguous()


def _empty(like: Tensor) -> Tensor:
    turned = _turned(like)
    made = torch.empty_like(like.mT if turned else like, memory_format=torch.contiguous_format)
    return made.mT if turned else made


@torch.library.custom_op("posemamba::scan", mutates_args=())
def scan(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, bias: Tensor | None,
    initial: Tensor | None, B_scale: Tensor | None, C_scale: Tensor | None, projection: Tensor | None,
    reads: Tensor | None, mixes: Tensor | None, softplus: bool, through_mix: bool, keep: bool, backend: str,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """y like x, the last states (b, K, inner, N), and what the backward pass needs where `keep` is set."""
    tensors = (x, delta, A, B, C, D, bias, initial, B_scale, C_scale, projection, reads, mixes)
    y, last, starts = _kernels(x, backend).forward(*tensors, softplus, keep)
    return _laid(y, x), last, starts


@scan.register_fake
def _(
    x,
    delta,
    A,
    B,
    C,
    D,
    bias,
    initial,
    B_scale,
    C_scale,
    projection,
    reads,
    mixes,
    softplus,
    through_mix,
    keep,
    backend,
):
    K, inner, N = A.shape
    last = torch.empty(x.shape[0], K, inner, N, dtype=_wide(x, delta, A), device=x.device)
    shape = _kernels(x, backend).kept(*x.shape, K, N) if keep else (0,)
    return _empty(x), last, torch.empty(shape, dtype=last.dtype, device=x.device)


@torch.library.custom_op("posemamba::scan_backward", mutates_args=())
def scan_backward(
    dy: Tensor, x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
    bias: Tensor | None, initial: Tensor | None, B_scale: Tensor | None, C_scale: Tensor | None,
    projection: Tensor | None, reads: Tensor | None, mixes: Tensor | None, starts: Tensor, softplus: bool,
    through_mix: bool, backend: str,
) -> list[Tensor]:  # fmt: skip
    """The gradients of x, delta, A, B, C, D, bias, initial, the scales and projection; empty for None."""
    tensors = (x, delta, A, B, C, D, bias, initial, B_scale, C_scale, projection)
    gradients = _kernels(x, backend).backward(dy, *tensors, reads, mixes, starts, softplus, through_mix)
    return [
        x.new_empty(0) if like is None else _laid(gradient, like)
        for gradient, like in zip(gradients, tensors, strict=True)
    ]


@scan_backward.register_fake
def _(dy, x, delta, A, B, C, D, bias, initial, B_scale, C_scale, projection, *rest):
    tensors = (x, delta, A, B, C, D, bias, initial, B_scale, C_scale, projection)
    return [x.new_empty(0) if like is None else _empty(like) for like in tensors]


def _remember(ctx, inputs, output):
    *tensors, softplus, through_mix, _, backend = inputs
    ctx.save_for_backward(*tensors, output[2])
    ctx.options = (softplus, through_mix, backend)
    ctx.mark_non_differentiable(*output[1:])


def _differentiate(ctx, dy, *_):
    tensors = ctx.saved_tensors
    gradients = torch.ops.posemamba.scan_backward(dy, *tensors, *ctx.options)
    given = [None if like is None else gradient for gradient, like in zip(gradients, tensors, strict=False)]
    return *given, None, None, None, None, None, None


def _refuse(ctx, *_):
    raise NotImplementedError(
        "selective_scan: its gradient cannot be differentiated once more; use backend='reference' for that"
    )


scan.register_autograd(_differentiate, setup_context=_remember)
scan_backward.register_autograd(_refuse)


def scan_flops(batch: int, K: int, L: int, inner: int, N: int) -> int:
    """Floating-point operations of a scan: 9 for each state of each token, by the convention of VMamba.

    step A, its exponential, step B u (2), times and plus the state (2), times C and added up (2), and the
    share of what is done once a token.
    """
    return 9 * batch * K * L * inner * N


def _projection_flops(x_shape, K: int, inner: int, projection_shape) -> int:
    return 0 if projection_shape is None else 2 * x_shape[0] * x_shape[2] * K * inner * projection_shape[2]


@register_flop_formula(torch.ops.posemamba.scan)
def _(x, delta, A, B, C, D, bias, initial, B_scale, C_scale, projection, *_, **__) -> int:
    K, inner, N = A
    return scan_flops(x[0], K, x[2], inner, N) + _projection_flops(x, K, inner, projection)


@register_flop_formula(torch.ops.posemamba.scan_backward)
def _(dy, x, delta, A, B, C, D, bias, initial, B_scale, C_scale, projection, *_, **__) -> int:
    # The states once more, with their decays (6 of the 9), and 14 for what g adds to all gradients.
    K, inner, N = A
    flops = 20 * scan_flops(x[0], K, x[2], inner, N) // 9
    return flops + 3 * _projection_flops(x, K, inner, projection)
