"""The scan as two operators of torch, `posemamba::scan` and its backward pass.

As operators they have shapes without values (so torch.compile and torch.export can trace through them), a
derivative, a count of floating-point operations, and a kernel for each kind of device: Numba on CPU, Triton
on CUDA. They take the fields of `Operands` one by one, as operators must; all else takes an `Operands`.
"""

from types import ModuleType

import torch
from torch import Tensor
from torch.autograd import forward_ad

from posemamba.scan import flops
from posemamba.scan.flops import scan_flops  # noqa: F401 (once it was defined here)
from posemamba.scan.operands import FIELDS, REAL, SCHEMA, Operands

_COUNT = len(FIELDS)


def run(operands: Operands, backend: str) -> tuple[Tensor, Tensor]:
    """y (b, sources, L, inner), like x, and the last states (b, K, inner, N), without a gradient."""
    wanted = torch.is_grad_enabled() and any(v is not None and v.requires_grad for v in operands.real)
    y, last, _ = _apply(_Scan, torch.ops.posemamba.scan, *operands.flat, wanted, backend)
    return y, last


def derivatives() -> int:
    """How many derivatives are being taken by torch.func, and 2 for those in forward mode: the operators'
    kernels know one, in reverse.
    """
    if forward_ad._current_level >= 0:
        return 2
    stack = torch._C._functorch.get_interpreter_stack() or ()
    return sum(level.key() == torch._C._functorch.TransformType.Grad for level in stack)


def _kernels(x: Tensor, backend: str) -> ModuleType:
    """The module that runs the kernels: by device, or Triton's interpreter where it is asked for on CPU."""
    if x.device.type in ("cpu", "meta") and backend != "triton":
        from posemamba.scan import cpu as kernels
    else:
        from posemamba.scan import cuda as kernels
    if forward_ad._current_level >= 0:  # tangents do not come this far: they would be lost without a word
        raise NotImplementedError(
            "selective_scan: its operator has no forward-mode derivative; use backend='associative' for that"
        )
    return kernels


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


_scan = f"({SCHEMA}, bool keep, str backend) -> (Tensor, Tensor, Tensor)"
_backward = f"(Tensor dy, Tensor starts, {SCHEMA}, str backend) -> ({', '.join(['Tensor'] * REAL)})"


@torch.library.custom_op("posemamba::scan", mutates_args=(), schema=_scan)
def scan(*flat):
    """y like x, the last states (b, K, inner, N), and what the backward pass needs where `keep` is set."""
    operands, (keep, backend) = Operands(*flat[:_COUNT]), flat[_COUNT:]
    y, last, starts = _kernels(operands.x, backend).forward(operands, keep)
    return _laid(y, operands.x), last, starts


@scan.register_fake
def _(*flat):
    operands, (keep, backend) = Operands(*flat[:_COUNT]), flat[_COUNT:]
    x, (batch, _, _, inner, K, N) = operands.x, operands.sizes
    last = x.new_empty(batch, K, inner, N, dtype=operands.wide)
    kernels = _kernels(x, backend)
    return _empty(x), last, last.new_empty(kernels.kept(*operands.sizes) if keep else (0,))


@torch.library.custom_op("posemamba::scan_backward", mutates_args=(), schema=_backward)
def scan_backward(dy, starts, *flat):
    """The gradients of the real operands; empty for those that are None."""
    operands = Operands(*flat[:_COUNT])
    gradients = _kernels(operands.x, flat[_COUNT]).backward(dy, starts, operands)
    return tuple(
        dy.new_empty(0) if like is None else _laid(gradient, like)
        for gradient, like in zip(gradients, operands.real, strict=True)
    )


@scan_backward.register_fake
def _(dy, starts, *flat):
    _kernels(flat[0], flat[_COUNT])
    return tuple(dy.new_empty(0) if like is None else _empty(like) for like in flat[:REAL])


def _remember(ctx, inputs, output):
    ctx.save_for_backward(output[2], *(v for v in inputs[:_COUNT] if not isinstance(v, bool)))
    ctx.options = *(v for v in inputs[:_COUNT] if isinstance(v, bool)), inputs[-1]
    ctx.mark_non_differentiable(*output[1:])


def _differentiate(ctx, dy, *_):
    starts, *tensors = ctx.saved_tensors
    gradients = _apply(_Backward, torch.ops.posemamba.scan_backward, dy, starts, *tensors, *ctx.options)
    given = [None if like is None else gradient for gradient, like in zip(gradients, tensors, strict=False)]
    return *given, *[None] * (_COUNT - REAL + 2)


def _refuse(ctx, *_):
    raise NotImplementedError(
        "selective_scan: its gradient cannot be differentiated once more; use backend='reference' for that"
    )


def _one_by_one(operator):
    """The rule of torch.vmap: the kernels have their own batch, so each item is a call."""

    def rule(info, in_dims, *args):
        items = [
            operator(*(v if dim is None else v.select(dim, i) for v, dim in zip(args, in_dims, strict=True)))
            for i in range(info.batch_size)
        ]
        results = tuple(torch.stack(values) for values in zip(*items, strict=True))
        return results, (0,) * len(results)

    return rule


flops.register()
scan.register_autograd(_differentiate, setup_context=_remember)
scan_backward.register_autograd(_refuse)
scan.register_vmap(_one_by_one(torch.ops.posemamba.scan))
scan_backward.register_vmap(_one_by_one(torch.ops.posemamba.scan_backward))


class _Scan(torch.autograd.Function):
    """The operator for torch.func, which does not take those of torch.library."""

    generate_vmap_rule = True
    setup_context, backward = staticmethod(_remember), staticmethod(_differentiate)

    @staticmethod
    def forward(*flat):
        return torch.ops.posemamba.scan(*flat)


class _Backward(torch.autograd.Function):
    generate_vmap_rule = True
    setup_context, backward = staticmethod(lambda ctx, inputs, output: None), staticmethod(_refuse)

    @staticmethod
    def forward(*flat):
        return torch.ops.posemamba.scan_backward(*flat)


def _apply(function: type[torch.autograd.Function], operator, *flat):
    if torch.compiler.is_compiling() or not derivatives():
        return operator(*flat)
    return function.apply(*flat)
