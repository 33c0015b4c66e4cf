"""The GPU kernels of the selective scan, in Triton: forward; gradients.py has the backward pass.

A program works on a block of channels and walks its tokens in tiles of (BLOCK, TILE). Inside a tile it takes
the N states one after the other, so that its registers hold a few (BLOCK, TILE) arrays whatever N is, and no
tensor of the shape (L, inner, N) ever exists. A thread holds whole rows of a tile: the recurrence runs along
one thread's registers, while neighbouring threads load neighbouring channels.

Long sequences are cut into parts that run at the same time. A part takes the state h to a h + b, where a is
exp(A * the sum of its steps), so three launches do: `part_ends` finds the b of all parts, `carry` hands the
state on from part to part, and `outputs` (or `gradients`) walks all parts, each from its right start. The
shapes alone decide in which order numbers are added: there are no atomics.

Sequences are read through index tables, as by the CPU kernels: place i of direction k is token reads[k, i],
with token mixes[k, i] added to it where that is not -1.

Shapes: x, dy (b, sources, L, inner), delta (b, K, L, inner), B, C (b, K, L, N), with any strides. All else is
contiguous, of the computing dtype, channels last: rate (A / ln 2, for powers of 2), B_scale, C_scale (K, N,
inner); D, bias (K, inner); initial (b, K, N, inner). A row is a direction of a batch item, b * K + k.
"""

import triton
import triton.language as tl

from posemamba.scan.cuda.tiles import VARYING, advance, after, find_part, load_tile, sum_after


@triton.jit(do_not_specialize=VARYING)
def part_ends(
    x, x_b, x_s, x_l, x_c, delta, d_b, d_k, d_l, d_c, M, m_b, m_k, m_l, m_n, rate, scale, bias, reads, mixes,
    states, sums, K, each, L, inner, slots, apart, parts, span, one,
    SOFTPLUS: tl.constexpr, REVERSE: tl.constexpr, N: tl.constexpr, TILES: tl.constexpr, TILE: tl.constexpr,
    BLOCK: tl.constexpr):
    """The state that each part reaches from zero, and the sum of its steps: one program a part and block.

    Args:
        x: the input, M: B, scale: B_scale. REVERSE finds what reaches the part's start in the backward pass,
            of which x is dy, M is C and scale is C_scale.
        states: (rows, slots, N, inner), zeros; the result of a part goes to slot part * apart.
        sums: (rows, parts, inner), filled.
        each: directions that share a source. span: chunks in a part. TILES: tiles in a chunk.
    """
    real: tl.constexpr = rate.dtype.element_ty
    channels, exists, part, row, b, k = find_part(tl.program_id(0), inner, K, parts, one, BLOCK)
    x, delta = x + b * x_b + k // each * x_s, delta + b * d_b + k * d_k
    M += b * m_b + k * m_k
    rate += k * N * inner
    if scale is not None:
        scale += k * N * inner
    state = states + (row * slots + part * apart) * N * inner + channels
    total = tl.zeros((BLOCK,), real)
    left = span * TILES
    tile = part * left + (left - 1 if REVERSE else 0)
    while left > 0:
        tokens, there, _mask, value, step, _raw = load_tile(
            tile * TILE, x, x_l, x_c, delta, d_l, d_c, bias, reads, mixes, k, L, inner, one, channels, exists,
            real, SOFTPLUS, TILE)
        if REVERSE:
            distance = tl.cumsum(step, 1)
        else:
            value *= step
            distance = sum_after(step)
        tile_sum = tl.sum(step, 1)
        advance(state, state, inner, value, distance, tile_sum, M + tokens * m_l, m_n, rate, scale, inner,
                there, channels, exists, real, N)
        total += tile_sum
        tile += -1 if REVERSE else 1
        left -= 1
        tl.debug_barrier()  # the states just written are read by the next tile
    tl.store(sums + (row * parts + part) * inner + channels, total, mask=exists)


@triton.jit(do_not_specialize=VARYING)
def carry(
    states, sums, rate, initial, K, inner, slots, apart, parts, one,
    REVERSE: tl.constexpr, N: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr):
    """Replace, in place, each part's end from zero by its start: one program a row, state and block.

    Args:
        states, sums: as `part_ends` left them. REVERSE goes from the last part to the first.
        initial: the state before the first part, or None for zero.
    """
    real: tl.constexpr = rate.dtype.element_ty
    channels, exists, n, row, _b, k = find_part(tl.program_id(0), inner, K, N, one, BLOCK)
    slope = tl.load(rate + (k * N + n) * inner + channels, mask=exists, other=0)
    states += row * slots * N * inner + n * inner
    sums += row * parts * inner
    start = tl.zeros((BLOCK,), real)
    if initial is not None:
        start += tl.load(initial + (row * N + n) * inner + channels, mask=exists, other=0)
    lines = tl.arange(0, TILE) * one
    done = 0
    while done < parts:
        order = done + lines
        # The start of a part is the end of the one before it, so each line loads its predecessor.
        before = order - 1
        mask = ((lines > 0) & (order < parts))[None, :] & exists[:, None]
        last = tl.minimum(done + TILE, parts) - 1
        if REVERSE:
            order, before, last = parts - 1 - order, parts - 1 - before, parts - 1 - last
        lane = channels[:, None]
        end = tl.load(states + (before.to(tl.int64) * apart * N * inner)[None, :] + lane, mask=mask, other=0)
        summed = tl.load(sums + (before.to(tl.int64) * inner)[None, :] + lane, mask=mask, other=0)
        last_end = tl.load(states + last.to(tl.int64) * apart * N * inner + channels, mask=exists, other=0)
        last_sum = tl.load(sums + last.to(tl.int64) * inner + channels, mask=exists, other=0)
        end += tl.where(lines[None, :] == 0, start[:, None], 0)
        _, starts = tl.associative_scan((tl.exp2(summed * slope[:, None]), end), 1, after)
        tl.debug_barrier()  # all ends of this tile are read before any is overwritten
        mask = ((order >= 0) & (order < parts))[None, :] & exists[:, None]
        tl.store(states + (order.to(tl.int64) * apart * N * inner)[None, :] + lane, starts, mask=mask)
        final = tl.sum(tl.where((order == last)[None, :], starts, 0), 1)
        start = tl.exp2(last_sum * slope) * final + last_end
        done += TILE


@triton.jit(do_not_specialize=VARYING)
def outputs(
    x, x_b, x_s, x_l, x_c, delta, d_b, d_k, d_l, d_c, B, B_b, B_k, B_l, B_n, C, C_b, C_k, C_l, C_n,
    rate, D, bias, B_scale, C_scale, reads, mixes, states, y, K, each, L, inner, chunks, parts, span, one,
    SOFTPLUS: tl.constexpr, N: tl.constexpr, TILES: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr):
    """The forward pass of each part from its start: one program a part and block.

    Args:
        states: (rows, chunks, N, inner), with the start of each part in its first chunk. On return each chunk
            has the state at its own end, the start of the next.
        y: (rows, L, inner), filled, in token order.
    """
    real: tl.constexpr = rate.dtype.element_ty
    channels, exists, part, row, b, k = find_part(tl.program_id(0), inner, K, parts, one, BLOCK)
    x, delta = x + b * x_b + k // each * x_s, delta + b * d_b + k * d_k
    B, C = B + b * B_b + k * B_k, C + b * C_b + k * C_k
    y += row * L * inner
    states += row * chunks * N * inner + channels
    per_state = k * N * inner + channels
    first, last = tl.arange(0, TILE)[None, :] == 0, tl.arange(0, TILE)[None, :] == TILE - 1
    here = part * span
    i = 0
    while i < tl.minimum(span, chunks - here) * TILES:
        tokens, there, mask, u, step, _raw = load_tile(
            (here * TILES + i) * TILE, x, x_l, x_c, delta, d_l, d_c, bias, reads, mixes, k, L, inner, one,
            channels, exists, real, SOFTPLUS, TILE)
        write = step * u
        out = tl.zeros((BLOCK, TILE), real)
        if D is not None:
            out += u * tl.load(D + k * inner + channels, mask=exists, other=0)[:, None]
        start = states + (here + tl.maximum(i - 1, 0) // TILES).to(tl.int64) * N * inner
        end = states + (here + i // TILES).to(tl.int64) * N * inner
        for n in range(N):
            a = tl.exp2(step * tl.load(rate + per_state + n * inner, mask=exists, other=0)[:, None])
            written = write * tl.load(B + tokens * B_l + n * B_n, mask=there, other=0).to(real)[None, :]
            c = tl.load(C + tokens * C_l + n * C_n, mask=there, other=0).to(real)[None, :]
            if B_scale is not None:
                written *= tl.load(B_scale + per_state + n * inner, mask=exists, other=0)[:, None]
            # The state before the tile enters as something that its first token writes.
            h = tl.load(start + n * inner, mask=exists, other=0)[:, None]
            _, h = tl.associative_scan((a, written + tl.where(first, a * h, 0)), 1, after)
            tl.store(end + n * inner, tl.sum(tl.where(last, h, 0), 1), mask=exists)
            if C_scale is not None:
                h *= tl.load(C_scale + per_state + n * inner, mask=exists, other=0)[:, None]
            out += h * c
        tl.store(y + tokens[None, :] * inner + channels[:, None], out, mask=mask)
        i += 1
        tl.debug_barrier()  # the states just written are read by the next tile
