"""The GPU backend: how the work is cut up, and what each Triton kernel is given."""

import math
from collections import namedtuple
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from posemamba.scan.checks import found_right
from posemamba.scan.operands import Operands

#: Programs, of one warp, that keep a large GPU busy: 16 on each of the 132 multiprocessors of a H100.
FILL = 2112
#: Programs of the backward pass that run at a time (a multiprocessor has registers for 8), and the bytes that
#: they may use for states between tiles.
TURNS, SCRATCH = 1056, 2**27
#: Places between the states that are kept (more for N > 32, to keep the memory in bounds); tokens in a tile.
CHUNK, TILE = 64, 8
#: By table of mixes: for which sources, version and stream its lists (see `_mixed_in`) were made, and these.
_lists = WeakIdKeyDictionary()


class Plan(namedtuple("Plan", "rows blocks chunks parts span tiles block")):
    """How tokens and channels are cut up. The shapes alone decide, so results do not depend on the machine.

    A block of channels by a tile of tokens is what a program holds in registers. A chunk is some tiles, with
    the state kept at its end. A part is some chunks that one program walks; there are enough to fill a GPU.

    Attributes:
        rows: directions of all batch items, each of so many blocks, chunks and parts.
        span: chunks in a part. tiles: tiles in a chunk. block: channels in a block.
    """

    @property
    def programs(self) -> int:
        return self.rows * self.parts * self.blocks

    def options(self, N: int, registers: int | None = None, **more) -> dict[str, int]:
        """What a kernel is compiled for. Fewer registers a thread make room for more programs."""
        if registers and torch.version.cuda:  # only CUDA's compiler has the option
            more["maxnreg"] = registers
        # One warp a program: no thread ever waits for another warp.
        return dict(N=N, TILE=TILE, BLOCK=self.block, num_warps=1, num_stages=1) | more


def plan(batch: int, sources: int, L: int, inner: int, K: int, N: int) -> Plan:
    """The plan for operands of these sizes."""
    # Two channels a thread, where there are enough, halve the work of summing over channels.
    block = 64 if inner > 32 else 32
    rows, blocks = batch * K, -(-inner // block)
    places = CHUNK * max(1, 2 ** math.ceil(math.log2(N / 32)))
    tiles = -(-torch.sym_min(L, places) // TILE)
    chunks = -(-L // (tiles * TILE))
    span = -(-chunks // -(-FILL // (rows * blocks)))
    return Plan(rows, blocks, chunks, -(-chunks // span), span, tiles, block)


def _prepared(o: Operands) -> Operands:
    """Delta whole; and what does not grow with L in the computing dtype, channels last, A for powers of 2."""

    N = o.A.shape[-1]
    delta = o.delta if o.projection is None else o.delta @ o.projection.to(o.delta.dtype).mT
    changes = {name: _readable(value) for name, value in dict(x=o.x, delta=delta, B=o.B, C=o.C).items()}
    for name in ("D", "bias", "initial", "B_scale", "C_scale", "reads", "mixes"):
        if (value := getattr(o, name)) is not None:
            value = value.int() if name in ("reads", "mixes") else value.to(o.wide)
            changes[name] = (value.mT if value.ndim > 2 else value).contiguous()
    for name in "BC":  # the kernels count the states in 32 bits, and so where they stand
        if N * changes[name].stride(-1) >= 2**31:
            changes[name] = changes[name].contiguous()
    A = (o.A.to(o.wide) / math.log(2)).mT.contiguous()
    return replace(o, **changes, A=A, projection=None)


def _readable(value: Tensor) -> Tensor:
    """In float32 where a GPU has no bfloat16 (those before Ampere), for which Triton 3.2 does not make up."""
    old = value.is_cuda and torch.cuda.get_device_capability(value.device) < (8, 0)
    return value.float() if old and value.dtype == torch.bfloat16 else value


def _device(x: Tensor):
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


def _parts(*values: Tensor) -> list:
    """Each value and its strides, as the kernels take them."""
    return [part for value in values for part in (value, *value.stride())]


def _set_starts(cut: Plan, states: Tensor, apart: int, o: Operands, dy: Tensor | None = None) -> None:
    """Put the start of each part into states (b, K, slots, N, inner), zeros, at slot part * apart.

    The first part starts from the initial state or zero. With dy it is the backward pass, where the parts
    start at their ends: it has dy, C and C_scale where the other has x, B and B_scale.
    """
    from posemamba.scan.cuda import kernels

    reverse = dy is not None
    x, M, scale, mixes, first = o.x, o.B, o.B_scale, o.mixes, o.initial
    if reverse:
        x, M, scale, mixes, first = dy, o.C, o.C_scale, None, None
    if cut.parts == 1:
        if first is not None:
            states[:, :, 0] = first
        return
    _, sources, L, inner, K, N = *x.shape, *o.A.shape[:2]
    slots, sums = states.shape[2], states.new_empty(cut.rows, cut.parts, inner)
    arrays = (*_parts(x, o.delta, M), o.A, scale, o.bias, o.reads, mixes, states, sums)
    shape = (K, K // sources, L, inner, slots, apart, cut.parts, cut.span, 1)
    options = cut.options(N, 128, SOFTPLUS=o.softplus, TILES=cut.tiles, REVERSE=reverse)
    kernels.part_ends[(cut.programs,)](*arrays, *shape, **options)
    shape, options = (K, inner, slots, apart, cut.parts, 1), cut.options(N, REVERSE=reverse)
    kernels.carry[(cut.rows * N * cut.blocks,)](states, sums, o.A, first, *shape, **options)


def kept(batch: int, sources: int, L: int, inner: int, K: int, N: int) -> tuple[int, ...]:
    """The shape of what the forward pass keeps for the backward pass: the states at the end of each chunk."""
    return batch, K, plan(batch, sources, L, inner, K, N).chunks, N, inner


def forward(given: Operands, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The scan: y, like x but contiguous; the last states (b, K, inner, N); and with `keep` the states at the
    end of each chunk, (b, K, chunks, N, inner), else an empty tensor.

    Raises:
        ValueError: what the kernels count in 32 bits would overflow: a direction's tokens and states, a
            token's channels and states, programs. (Where a number stands, of all, they count in 64.)
    """
    from posemamba.scan.cuda import kernels

    x, (batch, sources, L, inner, K, N) = given.x, given.sizes
    cut, each = plan(*given.sizes), K // sources
    merging = 0 if given.mixes is None else batch * sources * L * -(-inner // _merge_block(inner))
    if max(L * max(K, N, TILE), inner * N, cut.programs + TURNS, merging) >= 2**31:
        found = f"{batch} sequences of {L} tokens of {inner} channels of {N} states"
        raise ValueError(f"selective_scan: {found} are too many for the backend 'triton'")
    with _device(x):
        o = _prepared(given)
        states = x.new_zeros(batch, K, cut.chunks, N, inner, dtype=given.wide)
        _set_starts(cut, states, cut.span, o)
        # Directions that share a source are summed, before y is rounded to its dtype.
        y = x.new_empty(batch, K, L, inner, dtype=o.x.dtype if each == 1 else given.wide)
        arrays = (*_parts(o.x, o.delta, o.B, o.C), o.A, o.D, o.bias, o.B_scale, o.C_scale, o.reads, o.mixes)
        shape = (K, each, L, inner, cut.chunks, cut.parts, cut.span, 1)
        options = cut.options(N, 128, SOFTPLUS=o.softplus, TILES=cut.tiles)
        kernels.outputs[(cut.programs,)](*arrays, states, y, *shape, **options)
        if each > 1:
            y = y.view(batch, sources, each, L, inner).sum(2)
        y = y.to(x.dtype)
        # A copy, even where it is contiguous as it stands: outputs of an operator may not share memory.
        last = states[:, :, -1].mT.clone(memory_format=torch.contiguous_format)
    return y, last, states if keep else states.new_empty(0)


def backward(dy: Tensor, starts: Tensor, given: Operands) -> tuple[Tensor | None, ...]:
    """The gradients of the real operands from that of y and what `forward` kept, contiguous and in their
    dtypes; None for None."""
    from posemamba.scan.cuda import gradients

    x, wide, (batch, sources, L, inner, K, N) = given.x, given.wide, given.sizes
    cut, each = plan(*given.sizes), K // sources
    through_mix = given.through_mix and given.mixes is not None
    with _device(x):
        o, dy = _prepared(given), _readable(dy)

        def zeros(like: Tensor | None, *shape: int) -> Tensor | None:
            return None if like is None else x.new_zeros(batch, K, cut.parts, *shape, dtype=wide)

        reaching = zeros(x, N, inner)
        _set_starts(cut, reaching, 1, o, dy)
        size = cut.tiles * N * cut.block * reaching.element_size()
        turns = min(cut.programs, TURNS, max(FILL // 16, SCRATCH // size))
        scratch = x.new_empty(turns, cut.tiles, N, cut.block, dtype=wide)
        du = x.new_empty(batch, K, L, inner, dtype=o.x.dtype if each == 1 and not through_mix else wide)
        ddelta = torch.empty_like(o.delta, memory_format=torch.contiguous_format)
        dB, dC = (x.new_empty(cut.blocks, batch, K, L, N, dtype=wide) for _ in range(2))
        dA, dB_scale, dC_scale = (zeros(like, N, inner) for like in (o.A, o.B_scale, o.C_scale))
        dD, dbias = (zeros(like, inner) for like in (o.D, o.bias))
        arrays = (*_parts(dy, o.x, o.delta, o.B, o.C), o.A, o.D, o.bias, o.initial, o.B_scale, o.C_scale)
        states = (o.reads, o.mixes, starts, reaching, scratch)
        filled = (du, ddelta, dA, dB, dC, dD, dbias, dB_scale, dC_scale)
        shape = (K, each, cut.rows, L, inner, cut.chunks, cut.parts, cut.span, 1)
        options = cut.options(N, SOFTPLUS=o.softplus, TILES=cut.tiles)
        gradients.gradients[(turns,)](*arrays, *states, *filled, *shape, **options)
        del scratch, states
        dx = _merge(du, o, given.mixes) if through_mix else du.view(batch, sources, each, L, inner).sum(2)
        sums = [None if v is None else v.sum((0, 2)) for v in (dD, dbias, dA, dB_scale, dC_scale)]
        dD, dbias, dA, dB_scale, dC_scale = *sums[:2], *(None if v is None else v.mT for v in sums[2:])
        dlow, dW = ddelta, None
        if given.projection is not None:
            dlow = ddelta @ given.projection.to(ddelta.dtype)
            dW = torch.einsum("bklc,bklr->kcr", ddelta, given.delta.to(ddelta.dtype))
        found = (dx, dlow, dA, dB.sum(0), dC.sum(0), dD, dbias, reaching[:, :, 0].mT, dB_scale, dC_scale, dW)
        return tuple(
            None if like is None else value.to(like.dtype).contiguous()
            for value, like in zip(found, given.real, strict=True)
        )


def _merge_block(inner: int) -> int:
    return min(1024, max(32, 2 ** math.ceil(math.log2(inner))))


def _mixed_in(mixes: Tensor, sources: int) -> tuple[Tensor, Tensor]:
    """The edges and entries of `gradients.merge`: once for a table from the front door and a stream.

    Those of another stream may not be ready, and those of a CUDA graph are its own.
    """
    stream = torch.cuda.current_stream(mixes.device) if mixes.is_cuda else None
    keep = found_right(mixes, "mixes")
    keep = keep and not (mixes.is_cuda and torch.cuda.is_current_stream_capturing())
    known, lists = _lists.get(mixes, (None, None))
    if not keep or known != (key := (sources, mixes._version, stream)):
        # A token may be mixed in many times. The lists are added in their order.
        mixed, entries = mixes.int().reshape(sources, -1).sort(dim=1, stable=True)
        tokens = torch.arange(mixes.shape[1] + 1, dtype=mixed.dtype, device=mixes.device).repeat(sources, 1)
        lists = torch.searchsorted(mixed, tokens, out_int32=True), entries.int()
        if keep:
            _lists[mixes] = key, lists
    return lists


def _merge(du: Tensor, o: Operands, mixes: Tensor) -> Tensor:
    """dx (b, sources, L, inner) from du (b, K, L, inner), where tokens were mixed into others."""
    from posemamba.scan.cuda import gradients

    (batch, K, L, inner), sources, reads = du.shape, o.x.shape[1], o.reads
    if reads is None:
        reads = torch.arange(L, dtype=torch.int32, device=du.device).repeat(K, 1)
    dx, block = du.new_empty(batch, sources, L, inner), _merge_block(inner)
    arrays, options = (du, reads, *_mixed_in(mixes, sources), dx), dict(num_warps=max(1, block // 256))
    programs = batch * sources * L * -(-inner // block)
    gradients.merge[(programs,)](*arrays, K, sources, L, inner, 1, each=K // sources, BLOCK=block, **options)
    return dx
