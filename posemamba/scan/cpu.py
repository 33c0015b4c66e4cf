"""The CPU backend: Numba kernels under an autograd function, their tasks dealt out to threads."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from posemamba.scan.arguments import Arguments

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def _deal(kernel, tasks: int, *arrays) -> None:
    """Run kernel(*arrays, first, end) over all tasks, on as many threads as torch uses.

    Plain Python threads, since the kernels do not hold the interpreter's lock: unlike Numba's own thread
    layers they survive fork (a child makes its own pool) and calls from several threads at once. Tasks share
    no output, so results do not depend on how many threads there are.
    """
    threads = min(torch.get_num_threads(), tasks)
    if threads < 2:
        kernel(*arrays, 0, tasks)
        return
    pool = _pools.get((os.getpid(), threads))
    if pool is None:
        pool = _pools[os.getpid(), threads] = ThreadPoolExecutor(threads - 1, "posemamba-scan")
    edges = [tasks * i // threads for i in range(threads + 1)]
    waiting = [pool.submit(kernel, *arrays, edges[i], edges[i + 1]) for i in range(1, threads)]
    try:
        kernel(*arrays, edges[0], edges[1])
    finally:  # the arrays must outlive every thread that writes to them, also after Ctrl-C
        for task in waiting:
            task.result()


def _array(tensor: Tensor | None) -> np.ndarray | None:
    return None if tensor is None else tensor.detach().numpy()


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _split(x: Tensor) -> tuple[int, int, int]:
    """Blocks of channels in x, blocks in a task, and tasks a source.

    Tasks are few where the batch alone keeps many cores busy. The shape alone decides, so that sums over
    blocks are added in the same order on every machine.
    """
    from posemamba.scan.kernels import LANES

    blocks = x.shape[3] // LANES
    per = max(1, min(blocks, x.shape[0] * x.shape[1] * blocks // 32))
    return blocks, per, -(-blocks // per)


class Scan(torch.autograd.Function):
    """Kernel shapes (see kernels.py) in, the step before its softplus where that is asked for; y like x, and
    the last states (b, K, N, inner) out.
    """

    @staticmethod
    def forward(ctx, x, delta, A, B, C, D, weight, reads, mixes, through_mix, softplus):
        from posemamba.scan import kernels

        batch, sources, L, inner = x.shape
        K, N, _ = A.shape
        blocks, per, parts = _split(x)
        if softplus:
            delta = torch.nn.functional.softplus(delta)
        # The states before each tile: N / TILE times x's size, kept only when a gradient will be asked for.
        tiles = -(-L // kernels.TILE) if any(ctx.needs_input_grad) else 0
        starts = x.new_empty(batch, K, blocks, tiles * N, kernels.LANES)
        y, last = x.new_zeros(x.shape), x.new_empty(batch, K, N, inner)
        arrays = map(_array, (x, delta, A, B, C, D, weight, reads, mixes, y, starts, last))
        _deal(kernels.forward(_dtype(x), weight is not None), batch * sources * parts, *arrays, per)
        ctx.save_for_backward(x, delta, A, B, C, D, weight, reads, mixes, starts)
        ctx.through_mix, ctx.softplus = through_mix, softplus
        ctx.mark_non_differentiable(last)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, _):
        from posemamba.scan import kernels

        saved = ctx.saved_tensors
        x, delta, A, weight, starts = saved[0], saved[1], saved[2], saved[6], saved[-1]
        batch, sources, L, inner = x.shape
        K, N, _ = A.shape
        _, per, parts = _split(x)
        dx, ddelta = x.new_zeros(x.shape), x.new_empty(delta.shape)
        dA, dweight = x.new_zeros(batch, K, N, inner), x.new_zeros(batch, K, N, inner)
        dB, dC = x.new_zeros(batch, K, parts, L, N), x.new_zeros(batch, K, parts, L, N)
        dD = x.new_empty(batch, K, inner)
        results = (dx, ddelta, dA, dB, dC, dD, dweight)
        arrays = [
            *map(_array, saved[:-1]),
            ctx.through_mix,
            *map(_array, (starts, dy.contiguous(), *results)),
        ]
        _deal(kernels.backward(_dtype(x), weight is not None), batch * sources * parts, *arrays, per)
        if ctx.softplus:  # its slope, 1 - exp(-softplus), needs what was kept anyway
            ddelta.mul_(torch.expm1(-saved[1]).neg_())
        dB, dC = (share[:, :, 0] if parts == 1 else share.sum(2) for share in (dB, dC))
        dweight = None if weight is None else dweight.sum(0)
        return dx, ddelta, dA.sum(0), dB, dC, dD.sum(0), dweight, None, None, None, None


def _run(
    x, delta, A, B, C, D, weight, reads, mixes, through_mix=True, softplus=False
) -> tuple[Tensor, Tensor]:
    """`Scan` for any number of channels, with A, weight and the last states as (..., inner, N)."""
    from posemamba.scan.kernels import LANES

    inner = x.shape[3]
    if x.numel() == 0:
        return x * 0, x.new_zeros(len(x), A.shape[0], inner, A.shape[2])
    if more := -inner % LANES:  # channels of nothing fill up the last vector
        x, delta, D = (torch.nn.functional.pad(t, (0, more)) for t in (x, delta, D))
        A, weight = (None if t is None else torch.nn.functional.pad(t, (0, 0, 0, more)) for t in (A, weight))
    A, weight = (None if t is None else t.mT.contiguous() for t in (A, weight))
    y, last = Scan.apply(
        x.contiguous(),
        delta.contiguous(),
        A,
        B,
        C,
        D.contiguous(),
        weight,
        reads,
        mixes,
        through_mix,
        softplus,
    )
    return y[..., :inner], last.mT[..., :inner, :]


def scan(args: Arguments) -> tuple[Tensor, Tensor]:
    """`selective_scan` on the CPU, float32 or float64, without ever an (L, inner, N) tensor."""
    K, inner, L = args.u.shape[1:]
    D = args.u.new_zeros(K, inner) if args.D is None else args.D
    # The kernels want channels innermost: the vector lanes are then loaded side by side.
    x, delta = args.u.mT, args.delta.permute(1, 0, 3, 2)
    reads = torch.arange(L, dtype=torch.int32).repeat(K, 1)
    y, last = _run(x, delta, args.A, args.B.mT, args.C.mT, D, args.weight, reads, torch.full_like(reads, -1))
    return y.mT, last


def directional(x, delta, A, B, C, D, reads, mixes, through_mix: bool, softplus: bool) -> Tensor:
    """`directional_scan` on the CPU: read, scanned and summed in place, without reordered copies."""
    y, _ = _run(x[:, None], delta.transpose(0, 1), A, B, C, D, None, reads, mixes, through_mix, softplus)
    return y[:, 0]
