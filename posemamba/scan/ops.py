"""The scan as two operators of torch, `posemamba::scan` and its backward pass.

As operators they have shapes without values (so torch.compile and torch.export can trace through them), a
derivative, a count of floating-point operations, and a kernel for each kind of device: Numba on CPU, Triton
on CUDA. They take the fields of `Operands` one by one, as operators must; all else takes an `Operands`.
"""

from functools import partial
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
    # torch.jit.trace runs the trace without gradients to check it, and must find the same there.
    keep = any(v is not None and v.requires_grad for v in operands.real)
    keep = keep and (torch.is_grad_enabled() or torch.jit.is_tracing())
    y, last, _ = _apply(_Scan, torch.ops.posemamba.scan, *operands.flat, keep, backend)
    return y, last


def derivatives() -> int:
    """How many derivatives torch.func is taking, 2 in forward mode: the kernels know one, in reverse."""
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
        raise _refused("operator has no forward-mode derivative", "associative")
    return kernels


def _refused(what: str, other: str) -> NotImplementedError:
    return NotImplementedError(f"selective_scan: its {what}; use backend={other!r} for that")


def _turned(values: Tensor) -> bool:
    """Whether the last dimension but one is the one whose numbers lie side by side, and results' too."""
    return values.stride(-1) != 1 and values.stride(-2) == 1 and not values.is_cuda


def _laid(values: Tensor, like: Tensor) -> Tensor:
    """The values in memory as results for `like` are promised to be when tracing."""
    return values.mT.contiguous().mT if _turned(like) else values.contiguous()


def _empty(like: Tensor) -> Tensor:
    return _laid(torch.empty_like(like, memory_format=torch.contiguous_format), like)


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
    raise _refused("gradient cannot be differentiated once more", "reference")


def _one_by_one(operator, info, in_dims, *args):
    """The rule of torch.vmap: the kernels have their own batch, so each item is a call."""
    items = [
        operator(*(v if dim is None else v.select(dim, i) for v, dim in zip(args, in_dims, strict=True)))
        for i in range(info.batch_size)
    ]
    results = tuple(torch.stack(values) for values in zip(*items, strict=True))
    return results, (0,) * len(results)


def _function(operator, setup, backward) -> type[torch.autograd.Function]:
    """Give an operator its derivative, and make a function of it for torch.func, which takes no operators."""
    operator.register_autograd(backward, setup_context=setup)
    operator.register_vmap(partial(_one_by_one, operator))
    members = dict(forward=operator.__call__, setup_context=setup, backward=backward)
    members = {name: staticmethod(member) for name, member in members.items()}
    return type("Scan", (torch.autograd.Function,), members | dict(generate_vmap_rule=True))


flops.register()
_Scan = _function(scan, _remember, _differentiate)
_Backward = _function(scan_backward, lambda ctx, inputs, output: None, _refuse)


def _apply(function: type[torch.autograd.Function], operator, *flat):
    return (operator if torch.compiler.is_compiling() or not derivatives() else function.apply)(*flat)
