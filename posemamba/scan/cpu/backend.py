"""The CPU backend: Numba kernels, their tasks dealt out to threads, under the two operators of ops.py."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from posemamba.scan.checks import check_tables
from posemamba.scan.cpu import compiled
from posemamba.scan.cpu.compiled import LANES, TILE
from posemamba.scan.operands import Operands

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def _deal(kernel, tasks: int, *arrays, own=tuple) -> None:
    """Run kernel(*arrays, *own(), counter, grain, tasks) on as many threads as torch uses.

    Plain Python threads, since the kernels do not hold the interpreter's lock: unlike Numba's own thread
    layers they survive fork (a child makes its own pool) and calls from several threads at once. Each takes
    the next tasks when it is done with its last: a thread that has to wait for a processor, where those of
    torch still spin, holds up nobody. Tasks share no output, so results do not depend on who did what.
    """
    arrays = [value.numpy() if isinstance(value, Tensor) else value for value in arrays]
    threads = min(torch.get_num_threads(), tasks)
    shared = np.zeros(1, np.int64), -(-tasks // (4 * threads)) if threads > 1 else tasks, tasks
    waiting = []
    if threads > 1:
        pool = _pools.get((os.getpid(), threads))
        if pool is None:
            pool = _pools[os.getpid(), threads] = ThreadPoolExecutor(threads - 1, "posemamba-scan")
        waiting = [pool.submit(kernel, *arrays, *own(), *shared) for _ in range(1, threads)]
    try:
        kernel(*arrays, *own(), *shared)
    finally:  # the arrays must outlive every thread that writes to them, also after Ctrl-C
        for task in waiting:
            if not task.cancel():  # a thread that has not begun has nothing left to do
                task.result()


class _Call:
    """One call's operands as kernels.py wants them. States come in pairs there, so N is made even."""

    def __init__(self, o: Operands):
        self.batch, self.sources, self.L, self.inner, self.K, self.states = o.sizes
        self.dtype, self.N = o.wide, self.states + self.states % 2
        self.tiles, self.blocks = -(-self.L // TILE), -(-self.inner // LANES)
        self.padded = self.blocks * LANES
        self.empty, self.zeros = (partial(made, dtype=self.dtype) for made in (torch.empty, torch.zeros))
        self.low, self.scaled = o.projection is not None, o.B_scale is not None
        self.x, self.x_turned = self.rows(o.x, o.reads is None and o.mixes is None and self.sources == self.K)
        self.delta, self.delta_turned = o.delta.to(self.dtype), False
        if not self.low:
            self.delta, self.delta_turned = self.rows(o.delta, o.reads is None)
        W = self._pad(o.projection.mT) if self.low else self.empty(self.K, 0, self.padded)
        B, C = (pad(v.to(self.dtype), (0, 1)) if self.states % 2 else v.to(self.dtype) for v in (o.B, o.C))
        initial = self.empty(0, 0, 0, 0) if o.initial is None else self._pad(o.initial, True)
        scales = [self._pad(v, True) if self.scaled else None for v in (o.B_scale, o.C_scale)]
        nothing = torch.empty(0, 0, dtype=torch.int32)
        self.reads, mixes = (nothing if v is None else v.int().contiguous() for v in (o.reads, o.mixes))
        self.arrays = [self.x, self.x_turned, self.delta, self.delta_turned, W, self._pad(o.A, True), B, C]
        self.arrays += [self._pad(o.D), self._pad(o.bias), initial, *scales, self.reads, mixes, o.softplus]

    def rows(self, values: Tensor, may_turn: bool) -> tuple[Tensor, bool]:
        """The values with tokens or, turned, channels as rows; copied if neither is at hand."""
        values = values.to(self.dtype)
        if values.stride(-1) == 1 or values.shape[-1] == 1:
            return values, False
        if may_turn and values.stride(-2) == 1:
            return values.mT, True
        return values.contiguous(), False

    def _pad(self, values: Tensor | None, states: bool = False) -> Tensor:
        """(..., inner), or (..., inner, N) turned over, with channels of nothing to fill the last vector."""
        if values is None:
            return self.zeros(self.K, self.padded)
        values = values.to(self.dtype)
        values = pad(values, (0, self.N - self.states)).mT if states else values
        return pad(values, (0, self.padded - self.inner)).contiguous()

    def unpad(self, values: Tensor, like: Tensor | None) -> Tensor | None:
        """The way back from `_pad`, in the dtype of `like`; None for None."""
        if like is None:
            return None
        values = values[..., : self.inner].to(like.dtype)
        return values[..., : self.states, :].mT if values.ndim > 2 else values

    def run(self, kernel, per: int, *arrays) -> None:
        """Run a kernel, `per` blocks a task."""
        tasks = self.batch * self.sources * -(-self.blocks // per)
        own = partial(compiled.own_memory, self.blocks, self.N, self.dtype)
        _deal(kernel(self.dtype, self.scaled), tasks, *arrays, per, own=own)


def kept(batch: int, sources: int, L: int, inner: int, K: int, N: int) -> tuple[int, ...]:
    """The shape of what the forward pass keeps for the backward pass: the states before each tile."""
    return batch, K, -(-L // TILE), -(-inner // LANES) * (N + N % 2), LANES


def forward(o: Operands, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The outputs, like x; the last states (b, K, inner, N); and with `keep` what the backward pass wants."""
    check_tables(o.reads, o.mixes)
    call = _Call(o)
    starts = call.empty(*kept(*o.sizes)) if keep else call.empty(call.batch, call.K, 0, 0, 0)
    y = torch.empty_like(call.x, memory_format=torch.contiguous_format)
    last = call.empty(call.batch, call.K, call.N, call.padded)
    call.run(compiled.forward, 1, *call.arrays, y, starts, last)
    y = y.mT if call.x_turned else y
    last = last[..., : call.states, : call.inner].mT.contiguous()
    return y.to(o.x.dtype), last, starts if keep else starts.view(0)


def backward(dy: Tensor, starts: Tensor, o: Operands) -> tuple[Tensor | None, ...]:
    """The gradients of the real operands from that of y and what `forward` kept; None for None."""
    call = _Call(o)
    dy = dy.mT.to(call.dtype) if call.x_turned else dy.to(call.dtype)
    dy = dy if dy.stride(-1) == 1 else dy.contiguous()
    each, states = (call.batch, call.K), (call.batch, call.K, call.N, call.padded)
    added = call.sources < call.K or (o.through_mix and o.mixes is not None)
    dx = call.zeros(*call.x.shape) if added else call.empty(*call.x.shape)
    dA, dinitial = call.zeros(*states), call.empty(*states)
    # The gradients of B and C are added up over the channels: within a task, then over tasks. The shape alone
    # decides how many there are, so that sums are the same on every machine; not so many that their shares,
    # N numbers a token each, outgrow the inputs.
    most = max(2, call.inner // call.N)
    per = max(1, -(-call.blocks // most), min(call.blocks, call.batch * call.sources * call.blocks // 8))
    parts = -(-call.blocks // per)
    dB, dC = (call.empty(*each, parts, call.tiles * call.N, TILE) for _ in range(2))
    rank = o.delta.shape[-1] if call.low else 0
    ddelta = call.empty(*each, 0, 0) if call.low else call.empty(*call.delta.shape)
    dlow = call.empty(*each, parts, call.tiles * rank, TILE)
    dW = call.zeros(*each, rank, call.padded)
    dD, dbias = (call.zeros(*each, call.padded) for _ in range(2))
    scales = [call.zeros(*(states if call.scaled else (0, 0, 0, 0))) for _ in range(2)]
    found = (dx, ddelta, dlow, dW, dA, dB, dC, dD, dbias, dinitial, *scales)
    call.run(compiled.backward, per, dy, *call.arrays, starts, o.through_mix, *found)

    def placed(shares: Tensor, like: Tensor) -> Tensor:
        turned = like.stride(-1) != 1 and like.stride(-2) == 1
        total = call.empty(*each, *(like.shape[:1:-1] if turned else like.shape[2:]))
        total = total.mT if turned else total
        _deal(compiled.collect(call.dtype), call.batch * call.K, shares, call.reads, total)
        return total.to(like.dtype)

    ddelta = placed(dlow, o.delta) if call.low else ddelta.mT if call.delta_turned else ddelta
    dA, dD, dbias, *scales = (value.sum(0) for value in (dA, dD, dbias, *scales))
    likes = (o.A, o.D, o.bias, o.initial, o.B_scale, o.C_scale)
    few = zip((dA, dD, dbias, dinitial, *scales), likes, strict=True)
    dA, *few = (call.unpad(value, like) for value, like in few)
    dx, ddelta = (dx.mT if call.x_turned else dx).to(o.x.dtype), ddelta.to(o.delta.dtype)
    dW = dW.sum(0)[..., : call.inner].mT.to(o.projection.dtype) if call.low else None
    return dx, ddelta, dA, placed(dB, o.B), placed(dC, o.C), *few, dW
