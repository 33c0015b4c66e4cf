"""The GPU kernels of the backward pass. Shapes and words are those of kernels.py."""

import triton
import triton.language as tl

from posemamba.scan.cuda.tiles import VARYING, advance, find_part, load_from, load_tile, sum_after


@triton.jit
def after_and_before(a1, p1, b1, q1, a2, p2, b2, q2):
    """`after`, and with it h -> p h + q: the same without the last token of the second map."""
    return a2 * a1, p2 * a1, a2 * b1 + b2, p2 * b1 + q2


@triton.jit
def add_to(pointers, value, exists):
    tl.store(pointers, tl.load(pointers, mask=exists, other=0) + value, mask=exists)


@triton.jit(do_not_specialize=VARYING)
def gradients(
    dy, y_b, y_s, y_l, y_c, x, x_b, x_s, x_l, x_c, delta, d_b, d_k, d_l, d_c,
    B, B_b, B_k, B_l, B_n, C, C_b, C_k, C_l, C_n, rate, D, bias, initial, B_scale, C_scale, reads, mixes,
    states, reaching, scratch, du, ddelta, dA, dB, dC, dD, dbias, dB_scale, dC_scale,
    K, each, rows, L, inner, chunks, parts, span, one,
    SOFTPLUS: tl.constexpr, N: tl.constexpr, TILES: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr):
    """The backward pass of each part: programs take turns at the parts and blocks, each with its own scratch.

    A chunk is walked forward once, to find the state before each of its tiles, and then backward.

    Args:
        states: as `outputs` left them.
        reaching: (rows, parts, N, inner), the gradient that reaches the end of each part from later ones; on
            return, what leaves its start.
        scratch: (programs, tiles, N, BLOCK).
        du, ddelta: (rows, L, inner), filled, in token order; du is the gradient of u.
        dB, dC: (blocks, rows, L, N), each block's share, filled.
        dA, dB_scale, dC_scale: (rows, parts, N, inner), zeros, added to.
        dD, dbias: (rows, parts, inner), filled.
    """
    real: tl.constexpr = rate.dtype.element_ty
    ln2 = tl.full((1, 1), 0.6931471805599453, real)
    blocks = tl.cdiv(inner, BLOCK)
    kept = scratch + tl.program_id(0).to(tl.int64) * TILES * N * BLOCK + tl.arange(0, BLOCK) + (one - 1)
    first, last = tl.arange(0, TILE)[None, :] == 0, tl.arange(0, TILE)[None, :] == TILE - 1
    zeros, ones = tl.zeros((BLOCK, TILE), real), tl.full((BLOCK, TILE), 1, real)
    item = tl.program_id(0)
    while item < rows * parts * blocks:
        channels, exists, part, row, b, k = find_part(item, inner, K, parts, one, BLOCK)
        xs, dys = x + b * x_b + k // each * x_s, dy + b * y_b + k // each * y_s
        deltas = delta + b * d_b + k * d_k
        Bs, Cs = B + b * B_b + k * B_k, C + b * C_b + k * C_k
        rates = rate + k * N * inner
        scale_B = None if B_scale is None else B_scale + k * N * inner
        scale_C = None if C_scale is None else C_scale + k * N * inner
        per_part = (row * parts + part) * N * inner + channels
        share = (item % blocks * rows + row) * L * N
        sum_D, sum_bias = tl.zeros((BLOCK,), real), tl.zeros((BLOCK,), real)
        chunk = tl.minimum((part + 1) * span, chunks) - 1  # the last part may be shorter
        while chunk >= part * span:
            for n in range(N):
                begin = tl.zeros((BLOCK,), real)
                if initial is not None:
                    given = initial + (row * N + n) * inner + channels
                    begin += tl.load(given, mask=exists & (chunk == 0), other=0)
                former = states + ((row * chunks + chunk - 1) * N + n) * inner + channels
                begin += tl.load(former, mask=exists & (chunk > 0), other=0)
                tl.store(kept + n * BLOCK, begin)
            tl.debug_barrier()
            for i in range(TILES - 1):
                tokens, there, mask, u, step, raw = load_tile(
                    (chunk * TILES + i) * TILE, xs, x_l, x_c, deltas, d_l, d_c, bias, reads, mixes, k, L,
                    inner, one, channels, exists, real, SOFTPLUS, TILE)
                advance(kept + i * N * BLOCK, kept + (i + 1) * N * BLOCK, BLOCK, step * u, sum_after(step),
                        tl.sum(step, 1), Bs + tokens * B_l, B_n, rates, scale_B, inner, there, channels,
                        exists, real, N)
                tl.debug_barrier()

            for i in range(TILES - 1, -1, -1):
                tokens, there, mask, u, step, raw = load_tile(
                    (chunk * TILES + i) * TILE, xs, x_l, x_c, deltas, d_l, d_c, bias, reads, mixes, k, L,
                    inner, one, channels, exists, real, SOFTPLUS, TILE)
                out, write = load_from(dys, y_l, y_c, tokens, channels, mask, real), step * u
                from_write, from_decay = zeros, zeros  # gradients of write and of step * rate
                for n in range(N):
                    per_state = n * inner + channels
                    slope = tl.load(rates + per_state, mask=exists, other=0)[:, None]
                    a = tl.exp2(step * slope)
                    Bn = tl.load(Bs + tokens * B_l + n * B_n, mask=there, other=0).to(real)[None, :]
                    Cn = tl.load(Cs + tokens * C_l + n * C_n, mask=there, other=0).to(real)[None, :]
                    B_seen, C_seen = Bn, Cn
                    if B_scale is not None:
                        B_by = tl.load(scale_B + per_state, mask=exists, other=0)[:, None]
                        C_by = tl.load(scale_C + per_state, mask=exists, other=0)[:, None]
                        B_seen, C_seen = Bn * B_by, Cn * C_by
                    # The states h, and before each its predecessor.
                    state = tl.load(kept + (i * N + n) * BLOCK, mask=exists, other=0)
                    start = tl.where(first, state[:, None], zeros)
                    _, _, h, before = tl.associative_scan(
                        (a, ones, write * B_seen + a * start, start), 1, after_and_before)
                    # The gradient that reaches a state, and what of it leaves for the state's predecessor.
                    later = reaching + per_part + n * inner
                    local = out * C_seen
                    local += tl.where(last, tl.load(later, mask=exists, other=0)[:, None], 0)
                    a, local = tl.flip(a, 1), tl.flip(local, 1)
                    _, _, leaves, reaches = tl.associative_scan(
                        (a, ones, a * local, local), 1, after_and_before)
                    leaves, reaches = tl.flip(leaves, 1), tl.flip(reaches, 1)
                    tl.store(later, tl.sum(tl.where(first, leaves, 0), 1), mask=exists)

                    decayed = leaves * before
                    from_decay += decayed * slope
                    from_write += reaches * B_seen
                    to_B, to_C = reaches * write, out * h
                    add_to(dA + per_part + n * inner, tl.sum(decayed * step, 1), exists)
                    if B_scale is not None:
                        add_to(dB_scale + per_part + n * inner, tl.sum(to_B * Bn, 1), exists)
                        add_to(dC_scale + per_part + n * inner, tl.sum(to_C * Cn, 1), exists)
                        to_B, to_C = to_B * B_by, to_C * C_by
                    tl.store(dB + share + tokens * N + n, tl.sum(to_B, 0), mask=there)
                    tl.store(dC + share + tokens * N + n, tl.sum(to_C, 0), mask=there)
                gstep = from_decay * ln2 + from_write * u
                gu = from_write * step
                if D is not None:
                    gu += out * tl.load(D + k * inner + channels, mask=exists, other=0)[:, None]
                if SOFTPLUS:
                    gstep *= tl.sigmoid(raw)
                sum_D += tl.sum(out * u, 1)
                sum_bias += tl.sum(tl.where(mask, gstep, 0), 1)
                here = (row * L + tokens)[None, :] * inner + channels[:, None]
                tl.store(du + here, gu, mask=mask)
                tl.store(ddelta + here, gstep, mask=mask)
                tl.debug_barrier()
            chunk -= 1
        per_channel = (row * parts + part) * inner + channels
        if D is not None:
            tl.store(dD + per_channel, sum_D, mask=exists)
        if bias is not None:
            tl.store(dbias + per_channel, sum_bias, mask=exists)
        item += tl.num_programs(0)


@triton.jit(do_not_specialize=VARYING)
def merge(du, reads, edges, entries, dx, K, sources, L, inner, one, each: tl.constexpr, BLOCK: tl.constexpr):
    """dx (b, sources, L, inner): what each direction passes to a token as read, and as mixed in.

    Args:
        du: (b, K, L, inner), what each direction passes to the tokens it reads, in token order.
        entries: (sources, each * L), the places i of a source's directions, the j-th's as j * L + i, sorted
            by the token mixed in.
        edges: (sources, L + 1), where the entries of each token begin, and the end.
    """
    channels, exists, token, line, b, source = find_part(tl.program_id(0), inner, sources, L, one, BLOCK)
    du += (b * K + source * each) * L * inner
    reads += source * each * L
    total = tl.zeros((BLOCK,), du.dtype.element_ty)
    for k in range(each):
        total += tl.load(du + (k * L + token).to(tl.int64) * inner + channels, mask=exists, other=0)
    begin = tl.load(edges + source * (L + 1) + token)
    end = tl.load(edges + source * (L + 1) + token + 1)
    while begin < end:
        entry = tl.load(entries + source * each * L + begin)
        place = (entry // L * L + tl.load(reads + entry)).to(tl.int64)
        total += tl.load(du + place * inner + channels, mask=exists, other=0)
        begin += 1
    tl.store(dx + (line * L + token) * inner + channels, total, mask=exists)
