"""The CPU backend: Numba kernels, their tasks dealt out to threads, under the two operators of ops.py."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import Tensor

from posemamba.scan.checks import check_tables

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def _deal(kernel, tasks: int, *arrays, own=tuple) -> None:
    """Run kernel(*arrays, *own(), counter, grain, tasks) on as many threads as torch uses.

    Plain Python threads, since the kernels do not hold the interpreter's lock: unlike Numba's own thread
    layers they survive fork (a child makes its own pool) and calls from several threads at once. Each takes
    the next tasks when it is done with its last: a thread that has to wait for a processor, where those of
    torch still spin, holds up nobody. Tasks share no output, so results do not depend on who did what.
    """
    threads = min(torch.get_num_threads(), tasks)
    shared = np.zeros(1, np.int64), -(-tasks // (4 * threads)) if threads > 1 else tasks, tasks
    if threads < 2:
        kernel(*arrays, *own(), *shared)
        return
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


def _views(*arrays) -> list:
    return [value.numpy() if isinstance(value, Tensor) else value for value in arrays]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


class _Call:
    """One call's arguments as kernels.py wants them. States come in pairs there, so N is made even."""

    def __init__(
        self, x, delta, A, B, C, D, bias, initial, B_scale, C_scale, projection, reads, mixes, softplus
    ):
        from posemamba.scan.compiled import LANES, TILE

        self.batch, self.sources, self.L, self.inner = x.shape
        self.K, _, self.states = A.shape
        self.N = self.states + self.states % 2
        wide = torch.promote_types(torch.promote_types(x.dtype, delta.dtype), A.dtype)
        self.dtype = torch.promote_types(wide, torch.float32)  # a state cannot live in 8 bits of mantissa
        self.tiles, self.blocks = -(-self.L // TILE), -(-self.inner // LANES)
        self.padded = self.blocks * LANES
        plain = reads is None and mixes is None
        self.x, self.x_turned = self.rows(x, plain and self.sources == self.K)
        self.low = projection is not None
        self.delta, self.delta_turned = (
            (delta.to(self.dtype), False) if self.low else self.rows(delta, reads is None)
        )
        W = self._pad(projection.mT) if self.low else self.empty(self.K, 0, self.padded)
        self.scaled = B_scale is not None
        nothing = torch.empty(0, 0, dtype=torch.int32)
        self.arrays = [
            self.x, self.x_turned, self.delta, self.delta_turned, W, self._pad(A, True),
            self._even(B.to(self.dtype)), self._even(C.to(self.dtype)), self._pad(D), self._pad(bias),
            self.empty(0, 0, 0, 0) if initial is None else self._pad(initial, True),
            *(self._pad(scale, True) if self.scaled else None for scale in (B_scale, C_scale)),
            *(nothing if table is None else table.int().contiguous() for table in (reads, mixes)), softplus,
        ]  # fmt: skip

    def rows(self, values: Tensor, may_turn: bool) -> tuple[Tensor, bool]:
        """The values with tokens or, turned, channels as rows, whichever is at hand; copied if neither."""
        values = values.to(self.dtype)
        if values.stride(-1) == 1 or values.shape[-1] == 1:
            return values, False
        if may_turn and values.stride(-2) == 1:
            return values.mT, True
        return values.contiguous(), False

    def _even(self, values: Tensor) -> Tensor:
        return torch.nn.functional.pad(values, (0, 1)) if self.states % 2 else values

    def _pad(self, values: Tensor | None, states: bool = False) -> Tensor:
        """(..., inner), or (..., inner, N) turned over, with channels of nothing to fill the last vector."""
        if values is None:
            return torch.zeros(self.K, self.padded, dtype=self.dtype)
        values = values.to(self.dtype)
        if states:
            values = self._even(values).mT
        return torch.nn.functional.pad(values, (0, self.padded - self.inner)).contiguous()

    def unpad(self, values: Tensor, like: Tensor | None) -> Tensor | None:
        """The way back from `_pad`, in the dtype of `like`; None for None."""
        if like is None:
            return None
        values = values[..., : self.inner].to(like.dtype)
        return values[..., : self.states, :].mT if values.ndim > 2 else values

    def empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.dtype)

    def zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self.dtype)

    def run(self, kernel, per: int, *arrays) -> None:
        """Run a kernel with tasks of so many blocks each."""
        tasks = self.batch * self.sources * -(-self.blocks // per)
        from posemamba.scan.compiled import own_memory

        own = partial(own_memory, self.blocks, self.N, self.dtype)
        _deal(kernel(_name(self.dtype), self.scaled), tasks, *_views(*arrays), per, own=own)


def kept(batch: int, sources: int, L: int, inner: int, K: int, N: int) -> tuple[int, ...]:
    """The shape of what the forward pass keeps for the backward pass: the states before each tile."""
    from posemamba.scan.compiled import LANES, TILE

    return batch, K, -(-L // TILE), -(-inner // LANES) * (N + N % 2), LANES


def forward(
    x, delta, A, B, C, D, bias, initial, B_scale, C_scale, projection, reads, mixes, softplus: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The scan, shapes as in ops.py: the outputs, the last states, and what the backward pass will want."""
    from posemamba.scan import compiled

    check_tables(reads, mixes)
    call = _Call(x, delta, A, B, C, D, bias, initial, B_scale, C_scale, projection, reads, mixes, softplus)
    starts = call.empty(*kept(*x.shape, *A.shape[::2])) if keep else call.empty(call.batch, call.K, 0, 0, 0)
    y = torch.empty_like(call.x, memory_format=torch.contiguous_format)
    last = call.empty(call.batch, call.K, call.N, call.padded)
    call.run(compiled.forward, 1, *call.arrays, y, starts, last)
    y = y.mT if call.x_turned else y
    last = last[..., : call.states, : call.inner].mT.contiguous()
    return y.to(x.dtype), last, starts if keep else starts.view(0)


def backward(
    dy, x, delta, A, B, C, D, bias, initial, B_scale, C_scale, projection, reads, mixes, starts,
    softplus, through_mix,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """The gradients of x, delta, A, B, C, D, bias, initial, the scales and projection; None for None."""
    from posemamba.scan import compiled

    call = _Call(x, delta, A, B, C, D, bias, initial, B_scale, C_scale, projection, reads, mixes, softplus)
    dy = dy.to(call.dtype)
    dy = dy.mT if call.x_turned else dy
    dy = dy if dy.stride(-1) == 1 else dy.contiguous()
    states = call.batch, call.K, call.N, call.padded
    scales = states if call.scaled else (0, 0, 0, 0)
    added = call.sources < call.K or (through_mix and mixes is not None)
    dx = call.zeros(*call.x.shape) if added else call.empty(*call.x.shape)
    dA, dinitial = call.zeros(*states), call.empty(*states)
    # The gradients of B and C are added up over the channels: within a task, then over tasks. The shape alone
    # decides how many there are, so that sums are the same on every machine; not so many that their shares,
    # N numbers a token each, outgrow the inputs.
    most = max(2, call.inner // call.N)
    per = max(1, -(-call.blocks // most), min(call.blocks, call.batch * call.sources * call.blocks // 8))
    parts = -(-call.blocks // per)
    dB, dC = (call.empty(*states[:2], parts, call.tiles * call.N, compiled.TILE) for _ in range(2))
    rank = delta.shape[-1] if call.low else 0
    ddelta = call.empty(*states[:2], 0, 0) if call.low else call.empty(*call.delta.shape)
    dlow = call.empty(*states[:2], parts, call.tiles * rank, compiled.TILE)
    dW = call.zeros(*states[:2], rank, call.padded)
    dD, dbias = (call.zeros(call.batch, call.K, call.padded) for _ in range(2))
    dB_scale, dC_scale = call.zeros(*scales), call.zeros(*scales)
    call.run(
        compiled.backward, per, dy, *call.arrays, starts, through_mix, dx, ddelta, dlow, dW, dA, dB, dC, dD,
        dbias, dinitial, dB_scale, dC_scale,
    )  # fmt: skip

    def placed(shares: Tensor, like: Tensor) -> Tensor:
        turned = like.stride(-1) != 1 and like.stride(-2) == 1
        total = call.empty(*like.shape[:2], *(like.shape[:1:-1] if turned else like.shape[2:]))
        total = total.mT if turned else total
        table = call.arrays[13]
        _deal(compiled.collect(_name(call.dtype)), call.batch * call.K, *_views(shares, table, total))
        return total.to(like.dtype)

    return (
        (dx.mT if call.x_turned else dx).to(x.dtype),
        placed(dlow, delta) if call.low else (ddelta.mT if call.delta_turned else ddelta).to(delta.dtype),
        call.unpad(dA.sum(0), A),
        placed(dB, B),
        placed(dC, C),
        call.unpad(dD.sum(0), D),
        call.unpad(dbias.sum(0), bias),
        call.unpad(dinitial, initial),
        call.unpad(dB_scale.sum(0), B_scale),
        call.unpad(dC_scale.sum(0), C_scale),
        dW.sum(0)[..., : call.inner].mT.to(projection.dtype) if call.low else None,
    )
