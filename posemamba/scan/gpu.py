"""The GPU backend: how the work is cut up, and what each Triton kernel is given."""

import math
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

#: Programs, of one warp, that keep a large GPU busy: 16 on each of the 132 multiprocessors of a H100.
FILL = 2112
#: Programs of the backward pass that run at a time (a multiprocessor has registers for 8), and the bytes that
#: they may use for states between tiles.
TURNS, SCRATCH = 1056, 2**27
#: Places between the states that are kept; more for N > 32, to keep the memory in bounds.
CHUNK = 64
#: Tokens in a tile.
TILE = 8


@dataclass
class Plan:
    """How tokens and channels are cut up. The shapes alone decide, so results do not depend on the machine.

    A block of channels by a tile of tokens is what a program holds in registers. A chunk is some tiles, with
    the state kept at its end. A part is some chunks that one program walks; there are enough to fill a GPU.

    Attributes:
        span: chunks in a part. tiles: tiles in a chunk. block: channels in a block.
    """

    rows: int
    blocks: int
    chunks: int
    parts: int
    span: int
    tiles: int
    block: int

    @property
    def programs(self) -> int:
        return self.rows * self.parts * self.blocks

    @property
    def options(self) -> dict[str, int]:
        # One warp a program: no thread ever waits for another warp.
        return {"TILE": TILE, "BLOCK": self.block, "num_warps": 1, "num_stages": 1}


def plan(x: tuple[int, ...], A: tuple[int, ...]) -> Plan:
    """The plan for x and A of the shapes (b, sources, L, inner) and (K, inner, N)."""
    batch, _, L, inner = x
    K, _, N = A
    # Two channels a thread, where there are enough, halve the work of summing over channels.
    block = 64 if inner > 32 else 32
    rows, blocks = batch * K, -(-inner // block)
    places = CHUNK * max(1, 2 ** math.ceil(math.log2(N / 32)))
    tiles = -(-min(L, places) // TILE)
    chunks = -(-L // (tiles * TILE))
    span = -(-chunks // -(-FILL // (rows * blocks)))
    return Plan(rows, blocks, chunks, -(-chunks // span), span, tiles, block)


def _prepared(x, delta, A, D, bias, initial, B_scale, C_scale):
    """The arguments that do not grow with L, in the computing dtype, channels last; A for powers of 2."""
    real = torch.float64 if torch.float64 in (x.dtype, delta.dtype, A.dtype) else torch.float32
    D, bias = (None if t is None else t.to(real).contiguous() for t in (D, bias))
    wide = (A.to(real) / math.log(2), initial, B_scale, C_scale)
    return real, D, bias, *(None if t is None else t.to(real).mT.contiguous() for t in wide)


def _at_most(registers: int) -> dict[str, int]:
    """Fewer registers a thread make room for more programs; only CUDA's compiler has the option."""
    return {"maxnreg": registers} if torch.version.cuda else {}


def _device(x: Tensor):
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


def _set_starts(cut, states, apart, first, x, delta, M, rate, scale, bias, reads, mixes, softplus, reverse):
    """Put the start of each part into states (b, K, slots, N, inner), zeros, at slot part * apart.

    The first part starts from `first` (b, K, N, inner) or zero; M and scale are B and B_scale. In reverse,
    where the parts start at their ends, x, M and scale are dy, C and C_scale.
    """
    from posemamba.scan import triton_kernels

    if cut.parts == 1:
        if first is not None:
            states[:, :, 0] = first
        return
    (_, sources, L, inner), (K, N, _) = x.shape, rate.shape
    slots = states.shape[2]
    sums = states.new_empty(cut.rows, cut.parts, inner)
    triton_kernels.part_ends[(cut.programs,)](
        x, *x.stride(), delta, *delta.stride(), M, *M.stride(), rate, scale, bias, reads, mixes, states, sums,
        K, K // sources, L, inner, slots, apart, cut.parts, cut.span, 1,
        SOFTPLUS=softplus, REVERSE=reverse, N=N, TILES=cut.tiles, **cut.options, **_at_most(128),
    )  # fmt: skip
    triton_kernels.carry[(cut.rows * N * cut.blocks,)](
        states, sums, rate, first, K, inner, slots, apart, cut.parts, 1,
        REVERSE=reverse, N=N, **cut.options,
    )  # fmt: skip


def _whole(delta: Tensor, projection: Tensor | None) -> Tensor:
    """The step of all channels, (b, K, L, inner), of which a low-rank form may be given."""
    return delta if projection is None else delta @ projection.to(delta.dtype).mT


def kept(batch: int, sources: int, L: int, inner: int, K: int, N: int) -> tuple[int, ...]:
    """The shape of what the forward pass keeps for the backward pass: the states at the end of each chunk."""
    return batch, K, plan((batch, sources, L, inner), (K, inner, N)).chunks, N, inner


def forward(
    x, delta, A, B, C, D, bias, initial, B_scale, C_scale, projection, reads, mixes, softplus: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The scan of x (b, sources, L, inner) along K directions; see `posemamba.scan.ops` for all arguments.

    Returns:
        y, like x but contiguous; the last states (b, K, inner, N); with `keep` the states at the end of each
        chunk, (b, K, chunks, N, inner), else an empty tensor.
    """
    from posemamba.scan import triton_kernels

    batch, sources, L, inner = x.shape
    K, _, N = A.shape
    cut, each = plan(x.shape, A.shape), K // sources
    delta = _whole(delta, projection)
    reads, mixes = (None if t is None else t.contiguous() for t in (reads, mixes))
    with _device(x):
        real, D, bias, rate, initial, B_scale, C_scale = _prepared(
            x, delta, A, D, bias, initial, B_scale, C_scale
        )
        states = x.new_zeros(batch, K, cut.chunks, N, inner, dtype=real)
        _set_starts(
            cut, states, cut.span, initial, x, delta, B, rate, B_scale, bias, reads, mixes, softplus, False
        )  # fmt: skip
        # Directions that share a source are summed, before y is rounded to its dtype.
        y = x.new_empty(batch, K, L, inner, dtype=x.dtype if each == 1 else real)
        triton_kernels.outputs[(cut.programs,)](
            x, *x.stride(), delta, *delta.stride(), B, *B.stride(), C, *C.stride(),
            rate, D, bias, B_scale, C_scale, reads, mixes, states, y,
            K, each, L, inner, cut.chunks, cut.parts, cut.span, 1,
            SOFTPLUS=softplus, N=N, TILES=cut.tiles, **cut.options, **_at_most(128),
        )  # fmt: skip
        if each > 1:
            y = y.view(batch, sources, each, L, inner).sum(2).to(x.dtype)
        # A copy, even where it is contiguous as it stands: outputs of an operator may not share memory.
        last = states[:, :, -1].mT.clone(memory_format=torch.contiguous_format)
    return y, last, states if keep else states.new_empty(0)


def backward(
    dy, x, delta, A, B, C, D, bias, initial, B_scale, C_scale, projection, reads, mixes, starts,
    softplus: bool, through_mix: bool,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """The gradients of `forward`'s arguments from that of y; `starts` is what it kept.

    Returns:
        dx, ddelta, dA, dB, dC, dD, dbias, dinitial, dB_scale, dC_scale and dprojection, contiguous, each in
        the dtype of what it belongs to; None for what is None.
    """
    from posemamba.scan import triton_gradients

    low, delta = delta, _whole(delta, projection)
    given = (x, delta, A, B, C, D, bias, initial, B_scale, C_scale)
    batch, sources, L, inner = x.shape
    K, _, N = A.shape
    cut, each = plan(x.shape, A.shape), K // sources
    reads, mixes = (None if t is None else t.contiguous() for t in (reads, mixes))
    through_mix = through_mix and mixes is not None
    with _device(x):
        real, D, bias, rate, initial, B_scale, C_scale = _prepared(
            x, delta, A, D, bias, initial, B_scale, C_scale
        )

        def zeros(*shape):
            return x.new_zeros(batch, K, *shape, dtype=real)

        reaching = zeros(cut.parts, N, inner)
        _set_starts(cut, reaching, 1, None, dy, delta, C, rate, C_scale, bias, reads, None, softplus, True)

        size = cut.tiles * N * cut.block * reaching.element_size()
        turns = min(cut.programs, TURNS, max(FILL // 16, SCRATCH // size))
        scratch = x.new_empty(turns, cut.tiles, N, cut.block, dtype=real)
        du = x.new_empty(batch, K, L, inner, dtype=x.dtype if each == 1 and not through_mix else real)
        ddelta = torch.empty_like(delta, memory_format=torch.contiguous_format)
        dB, dC = (x.new_empty(cut.blocks, batch, K, L, N, dtype=real) for _ in range(2))
        dA = zeros(cut.parts, N, inner)
        dD, dbias = (None if t is None else zeros(cut.parts, inner) for t in (D, bias))
        dB_scale, dC_scale = (None if t is None else zeros(cut.parts, N, inner) for t in (B_scale, C_scale))
        triton_gradients.gradients[(turns,)](
            dy, *dy.stride(), x, *x.stride(), delta, *delta.stride(), B, *B.stride(), C, *C.stride(),
            rate, D, bias, initial, B_scale, C_scale, reads, mixes, starts, reaching, scratch,
            du, ddelta, dA, dB, dC, dD, dbias, dB_scale, dC_scale,
            K, each, cut.rows, L, inner, cut.chunks, cut.parts, cut.span, 1,
            SOFTPLUS=softplus, N=N, TILES=cut.tiles, **cut.options,
        )  # fmt: skip
        del scratch
        dx = (
            _merge(du, reads, mixes, sources)
            if through_mix
            else du.view(batch, sources, each, L, inner).sum(2)
        )
        dA, dB_scale, dC_scale = (None if t is None else t.sum((0, 2)).mT for t in (dA, dB_scale, dC_scale))
        dD, dbias = (None if t is None else t.sum((0, 2)) for t in (dD, dbias))
        dinitial = None if initial is None else reaching[:, :, 0].mT
        found = (dx, ddelta, dA, dB.sum(0), dC.sum(0), dD, dbias, dinitial, dB_scale, dC_scale)
        found = [None if t is None else g.to(t.dtype).contiguous() for t, g in zip(given, found, strict=True)]
        if projection is None:
            return *found, None
        dprojection = torch.einsum("bklc,bklr->kcr", found[1], low).to(projection.dtype)
        return found[0], found[1] @ projection.to(low.dtype), *found[2:], dprojection


def _merge(du: Tensor, reads: Tensor | None, mixes: Tensor, sources: int) -> Tensor:
    """dx (b, sources, L, inner) from du (b, K, L, inner), where tokens were mixed into others."""
    from posemamba.scan import triton_gradients

    batch, K, L, inner = du.shape
    each = K // sources
    if reads is None:
        reads = torch.arange(L, dtype=torch.int32, device=du.device).repeat(K, 1)
    # A token may be mixed in many times. Sorting makes lists of where, which are added in their order.
    mixed, entries = mixes.view(sources, each * L).sort(dim=1, stable=True)
    tokens = torch.arange(L + 1, dtype=mixed.dtype, device=du.device).repeat(sources, 1)
    edges = torch.searchsorted(mixed, tokens, out_int32=True)
    dx = du.new_empty(batch, sources, L, inner)
    block = min(1024, max(32, 2 ** math.ceil(math.log2(inner))))
    triton_gradients.merge[(batch * sources * L * -(-inner // block),)](
        du, reads, edges, entries.int(), dx, K, sources, L, inner, 1,
        each=each, BLOCK=block, num_warps=max(1, block // 256),
    )  # fmt: skip
    return dx
