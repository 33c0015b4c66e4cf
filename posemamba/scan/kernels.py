"""The CPU kernels of the selective scan, in Numba: forward, and backward by recomputation.

Channels do not depend on each other, so they are walked in blocks of LANES, one vector wide; tokens in tiles
of TILE. A tile's inputs are brought into the first-level cache (tiles.py), and there each of the N states
takes its turn: while it runs through the tile it stays in a register, together with its decay rate. No
tensor of the shape (L, inner, N) ever exists. The forward pass can keep the states at the start of each
tile, from which the backward pass recomputes the tile's states before it walks the tile in reverse.

Sequences are read through index tables: place i of direction k is token reads[k, i], with token mixes[k, i]
added to it where that is not -1. So a reordered copy of the input is never made, and the directions' outputs
are summed where they are written. A task is some neighbouring blocks of one source: it owns all it writes.
The caller deals tasks out to threads.

Shapes: x (b, sources, L, inner); delta (b, K, L, inner), or low-rank (b, K, L, R) and W (K, R, padded) makes
it whole; B, C (b, K, L, N). With one source all K directions
read it; with K sources each reads its own. An array that is `turned` has its last two axes swapped. The rest
has its channels padded to whole blocks, `padded` in all: A (K, N, padded), D and bias (K, padded), initial
(b, K, N, padded) or empty, the scales of B and C (K, N, padded) or None.
"""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numba import boolean, int32, int64, njit, types

from posemamba.scan.exponentials import LOG2E, SAFE, decay, exp2, sigmoid, softplus
from posemamba.scan.lanes import (
    LANES,
    at,
    called,
    flush_denormals,
    get,
    larger,
    largest,
    load,
    put,
    spread,
    store,
    totals,
)
from posemamba.scan.tiles import TILE, expect, gather, helper, locate, mix, scatter

# The tiles in a kernel's cache, by their first rows; after the last come rows for the states.
U, STEP, WRITE, OUT, DECAY, DU, DSTEP, STATE, FOR_B, FOR_C = (
    TILE * i for i in (0, 1, 2, 3, 4, 6, 7, 8, 10, 12)
)
FORWARD_ROWS, BACKWARD_ROWS = 6 * TILE, 14 * TILE


@helper
def _project(delta, delta_turned, W, places, size, c0, width, cache, tile):
    """Bring one tile of delta into the cache: as it is, or the product of its low-rank form with W."""
    called()
    if len(W) == 0:
        gather(delta, delta_turned, places, size, c0, width, cache, tile)
        return
    for i in range(size):
        row = spread(cache.dtype.type(0))
        for r in range(len(W)):
            row = row + load(W, r, c0) * at(delta, places[4, i], r)
        put(cache, tile + i, row)


@helper
def _read(x, x_turned, delta, delta_turned, W, bias, soften, k, size, c0, width, mixing, places, cache):
    """Bring one tile of u and of the step, finished, into the cache; return the largest step's magnitude."""
    called()
    gather(x, x_turned, places, size, c0, width, cache, U)
    _project(delta, delta_turned, W, places, size, c0, width, cache, STEP)
    if mixing:
        mix(x, places, size, c0, width, cache, U, False)
    most, shift = spread(cache.dtype.type(0)), load(bias, k, c0)
    for i in range(size):
        step = get(cache, STEP + i) + shift
        if soften:
            step = softplus(step)
        put(cache, STEP + i, step)
        put(cache, WRITE + i, step * get(cache, U + i))
        most = larger(most, step)
    return largest(most)


@helper
def _rates(A, c0, cache, rate, peak):
    """The rates of 2^(step rate) for one block of channels, and each pair's largest magnitude."""
    called()
    for n in range(0, len(A), 2):
        r1, r2 = load(A, n, c0) * cache.dtype.type(LOG2E), load(A, n + 1, c0) * cache.dtype.type(LOG2E)
        put(cache, rate + n, r1)
        put(cache, rate + n + 1, r2)
        peak[n // 2] = largest(larger(r1, r2))


@helper
def _decays(cache, rate, size, calm):
    """The decays of a tile for two states, whose rates are given by the first's row."""
    called()
    r1, r2 = get(cache, rate), get(cache, rate + 1)
    if calm:
        for i in range(size):
            step = get(cache, STEP + i)
            put(cache, DECAY + i, decay(step, r1))
            put(cache, DECAY + TILE + i, decay(step, r2))
    else:
        for i in range(size):
            step = get(cache, STEP + i)
            put(cache, DECAY + i, exp2(step * r1))
            put(cache, DECAY + TILE + i, exp2(step * r2))


def _forward(
    x, x_turned, delta, delta_turned, W, A, B, C, D, bias, initial, B_scale, C_scale, reads, mixes, soften,
    y, starts, last, per, cache, peak, places, first, end,
):  # fmt: skip
    """Tasks first..end of the forward pass.

    Args:
        y: like x; written by the first direction of a source, added to by the others.
        starts: (b, K, tiles, blocks * N, LANES), filled with the states before each tile, if there are any.
        last: (b, K, N, padded), filled with the last states.
        per: blocks of channels in a task.
        cache, peak, places: a thread's own memory, see `own_memory`.
    """
    sources = x.shape[1]
    L, inner = (x.shape[3], x.shape[2]) if x_turned else (x.shape[2], x.shape[3])
    K, N, padded = A.shape
    each, blocks = K // sources, padded // LANES
    parts, low = (blocks + per - 1) // per, W.shape[1] > 0
    rates, states = FORWARD_ROWS, FORWARD_ROWS + blocks * N
    mode = flush_denormals(-1)
    while first < end:
        # Neighbouring tasks of one source are done together: their channels lie side by side in memory.
        b, source, part = first // (sources * parts), first // parts % sources, first % parts
        some = 1 if x_turned else min(end - first, parts - part)
        first += some
        begin, stop = part * per, min(blocks, (part + some) * per)
        for k in range(source * each, (source + 1) * each):
            xs, steps, ys, Bk, Ck, saved = (
                x[b, source],
                delta[b, k],
                y[b, source],
                B[b, k],
                C[b, k],
                starts[b, k],
            )
            for block in range(begin, stop):
                _rates(A[k], block * LANES, cache, rates + block * N, peak[block])
                for n in range(N):
                    h = spread(x.dtype.type(0))
                    if len(initial) > 0:
                        h = load(initial[b, k], n, block * LANES)
                    put(cache, states + block * N + n, h)
            for l0 in range(0, L, TILE):
                size = min(TILE, L - l0)
                ahead = min(TILE, L - l0 - TILE), begin * LANES, min(inner, stop * LANES) - begin * LANES
                expect(xs, x_turned, reads, k, l0 + TILE, *ahead)
                if not low:
                    expect(steps, delta_turned, reads, k, l0 + TILE, *ahead)
                expect(ys, x_turned, reads, k, l0 + TILE, *ahead)
                locate(reads, mixes, Bk, Ck, steps, k, l0, size, places)
                for block in range(begin, stop):
                    c0, rate, own = block * LANES, rates + block * N, states + block * N
                    width = min(LANES, inner - c0)
                    most = _read(
                        xs, x_turned, steps, delta_turned, W[k], bias, soften,
                        k, size, c0, width, len(mixes) > 0, places, cache,
                    )  # fmt: skip
                    skip = load(D, k, c0)
                    for i in range(size):
                        put(cache, OUT + i, skip * get(cache, U + i))
                    for n in range(0, N, 2):
                        _decays(cache, rate + n, size, most * peak[block, n // 2] < SAFE)
                        h1, h2 = get(cache, own + n), get(cache, own + n + 1)
                        if len(saved) > 0:
                            store(saved[l0 // TILE], block * N + n, 0, h1)
                            store(saved[l0 // TILE], block * N + n + 1, 0, h2)
                        for i in range(size):
                            write = get(cache, WRITE + i)
                            w1, w2 = write * at(Bk, places[2, i], n), write * at(Bk, places[2, i], n + 1)
                            if B_scale is not None:
                                w1, w2 = w1 * load(B_scale[k], n, c0), w2 * load(B_scale[k], n + 1, c0)
                            h1 = get(cache, DECAY + i) * h1 + w1
                            h2 = get(cache, DECAY + TILE + i) * h2 + w2
                            s1, s2 = h1, h2
                            if C_scale is not None:
                                s1, s2 = s1 * load(C_scale[k], n, c0), s2 * load(C_scale[k], n + 1, c0)
                            out = get(cache, OUT + i) + s1 * at(Ck, places[3, i], n)
                            put(cache, OUT + i, out + s2 * at(Ck, places[3, i], n + 1))
                        put(cache, own + n, h1)
                        put(cache, own + n + 1, h2)
                    scatter(cache, OUT, ys, x_turned, places, size, c0, width, k > source * each)
            for block in range(begin, stop):
                for n in range(N):
                    store(last[b, k], n, block * LANES, get(cache, states + block * N + n))
    flush_denormals(mode)


def _backward(
    dy, x, x_turned, delta, delta_turned, W, A, B, C, D, bias, initial, B_scale, C_scale, reads, mixes,
    soften, starts, through_mix, dx, ddelta, dlow, dW, dA, dB, dC, dD, dbias, dinitial, dB_scale, dC_scale,
    per, cache, peak, places, first, end,
):  # fmt: skip
    """Tasks first..end of the backward pass.

    With g_i the gradient that reaches state i, g_i = C_i dy_i + a_{i+1} g_{i+1}, walked from the last token
    to the first: du_i = delta_i sum_n g B, ddelta_i = sum_n g (A a h_{i-1} + u B), dB_i = sum_c g delta u,
    dC_i = sum_c dy h, dA = sum_i g delta a h_{i-1}.

    Args:
        starts: from the forward pass.
        through_mix: whether mixed-in tokens receive their gradient (the released code gives them none).
        dy, dx: like x; dx is zeros, added to, where directions share a source or mix.
        ddelta: like delta, unless that is low-rank. dlow: (b, K, parts, tiles * R, TILE) if it is, each
            task's share, by place in the sequence. dW: (b, K, R, padded), zeros.
        dA, dinitial, dB_scale, dC_scale: (b, K, N, padded), zeros; the scales' empty where they are None.
        dB, dC: (b, K, parts, tiles * N, TILE), each task's share, by place in the sequence.
        dD, dbias: (b, K, padded), zeros.
        cache, peak, places: as for the forward pass.
    """
    sources = x.shape[1]
    L, inner = (x.shape[3], x.shape[2]) if x_turned else (x.shape[2], x.shape[3])
    K, N, padded = A.shape
    each, blocks = K // sources, padded // LANES
    parts, low = (blocks + per - 1) // per, W.shape[1] > 0
    zero, mixing_back = x.dtype.type(0), through_mix and len(mixes) > 0
    adding = sources < K or mixing_back
    rates, into = BACKWARD_ROWS, BACKWARD_ROWS + blocks * N
    mode = flush_denormals(-1)
    while first < end:
        b, source, part = first // (sources * parts), first // parts % sources, first % parts
        some = 1 if x_turned else min(end - first, parts - part)
        first += some
        begin, stop = part * per, min(blocks, (part + some) * per)
        for k in range(source * each, (source + 1) * each):
            xs, steps, dys, Bk, Ck, Ak, saved = (
                x[b, source],
                delta[b, k],
                dy[b, source],
                B[b, k],
                C[b, k],
                A[k],
                starts[b, k],
            )
            dxs, dsteps, dWk, dBk, dCk, dAk = (
                dx[b, source],
                ddelta[b, k],
                dW[b, k],
                dB[b, k],
                dC[b, k],
                dA[b, k],
            )
            for block in range(begin, stop):
                _rates(Ak, block * LANES, cache, rates + block * N, peak[block])
            cache[into:] = 0
            for l0 in range((L - 1) // TILE * TILE, -1, -TILE):
                size, tile = min(TILE, L - l0), l0 // TILE
                ahead = min(TILE, l0), begin * LANES, min(inner, stop * LANES) - begin * LANES
                expect(xs, x_turned, reads, k, l0 - TILE, *ahead)
                if not low:
                    expect(steps, delta_turned, reads, k, l0 - TILE, *ahead)
                expect(dys, x_turned, reads, k, l0 - TILE, *ahead)
                expect(dxs, x_turned, reads, k, l0 - TILE, *ahead)
                locate(reads, mixes, Bk, Ck, steps, k, l0, size, places)
                for block in range(begin, stop):
                    c0, rate, own = block * LANES, rates + block * N, into + block * N
                    width, start = min(LANES, inner - c0), saved[tile]
                    own_B, own_C = dBk[block // per], dCk[block // per]
                    own_low = dlow[b, k, block // per]
                    most = _read(
                        xs, x_turned, steps, delta_turned, W[k], bias, soften,
                        k, size, c0, width, len(mixes) > 0, places, cache,
                    )  # fmt: skip
                    gather(dys, x_turned, places, size, c0, width, cache, OUT)
                    gD = spread(zero)
                    for i in range(size):
                        gD = gD + get(cache, OUT + i) * get(cache, U + i)
                        put(cache, DU + i, spread(zero))
                        put(cache, DSTEP + i, spread(zero))
                    # Sums over tokens are added up tile by tile: that loses fewer digits.
                    store(dD[b], k, c0, load(dD[b], k, c0) + gD)
                    if size < TILE:
                        cache[FOR_B:BACKWARD_ROWS] = 0
                    for n in range(0, N, 2):
                        # From the tile's first token to its last: the states that each token meets.
                        _decays(cache, rate + n, size, most * peak[block, n // 2] < SAFE)
                        h1, h2 = load(start, block * N + n, 0), load(start, block * N + n + 1, 0)
                        for i in range(size):
                            put(cache, STATE + i, h1)
                            put(cache, STATE + TILE + i, h2)
                            write = get(cache, WRITE + i)
                            w1, w2 = write * at(Bk, places[2, i], n), write * at(Bk, places[2, i], n + 1)
                            if B_scale is not None:
                                w1, w2 = w1 * load(B_scale[k], n, c0), w2 * load(B_scale[k], n + 1, c0)
                            h1 = get(cache, DECAY + i) * h1 + w1
                            h2 = get(cache, DECAY + TILE + i) * h2 + w2
                        # And back, with what reaches each state.
                        g1, g2, A1, A2 = (
                            get(cache, own + n),
                            get(cache, own + n + 1),
                            load(Ak, n, c0),
                            load(Ak, n + 1, c0),
                        )
                        gA1, gA2 = spread(zero), spread(zero)
                        for j in range(1, size + 1):
                            i = size - j
                            step, write = get(cache, STEP + i), get(cache, WRITE + i)
                            B1, B2 = at(Bk, places[2, i], n), at(Bk, places[2, i], n + 1)
                            C1, C2 = at(Ck, places[3, i], n), at(Ck, places[3, i], n + 1)
                            out1 = get(cache, OUT + i)
                            out2 = out1
                            if C_scale is not None:
                                gC = dC_scale[b, k]
                                store(gC, n, c0, load(gC, n, c0) + h1 * out1 * C1)
                                store(gC, n + 1, c0, load(gC, n + 1, c0) + h2 * out2 * C2)
                                out1, out2 = (
                                    out1 * load(C_scale[k], n, c0),
                                    out2 * load(C_scale[k], n + 1, c0),
                                )
                            put(cache, FOR_C + i, h1 * out1)
                            put(cache, FOR_C + TILE + i, h2 * out2)
                            g1, g2 = g1 + out1 * C1, g2 + out2 * C2
                            d1, d2 = g1, g2
                            if B_scale is not None:
                                gB = dB_scale[b, k]
                                store(gB, n, c0, load(gB, n, c0) + g1 * write * B1)
                                store(gB, n + 1, c0, load(gB, n + 1, c0) + g2 * write * B2)
                                d1, d2 = g1 * load(B_scale[k], n, c0), g2 * load(B_scale[k], n + 1, c0)
                            put(cache, FOR_B + i, d1 * write)
                            put(cache, FOR_B + TILE + i, d2 * write)
                            put(cache, DU + i, get(cache, DU + i) + d1 * B1 + d2 * B2)
                            g1, g2 = g1 * get(cache, DECAY + i), g2 * get(cache, DECAY + TILE + i)
                            h1, h2 = get(cache, STATE + i), get(cache, STATE + TILE + i)
                            kept1, kept2 = g1 * h1, g2 * h2
                            put(cache, DSTEP + i, get(cache, DSTEP + i) + kept1 * A1 + kept2 * A2)
                            gA1, gA2 = gA1 + kept1 * step, gA2 + kept2 * step
                        put(cache, own + n, g1)
                        put(cache, own + n + 1, g2)
                        store(dAk, n, c0, load(dAk, n, c0) + gA1)
                        store(dAk, n + 1, c0, load(dAk, n + 1, c0) + gA2)
                        for i in range(0, 2 * TILE, LANES):
                            row, column = tile * N + n + i // TILE, i % TILE
                            sum_B, sum_C = totals(cache, FOR_B + i), totals(cache, FOR_C + i)
                            if block % per > 0:
                                sum_B, sum_C = (
                                    sum_B + load(own_B, row, column),
                                    sum_C + load(own_C, row, column),
                                )
                            store(own_B, row, column, sum_B)
                            store(own_C, row, column, sum_C)
                    if soften:  # its slope is taken where the step had not been through it
                        _project(steps, delta_turned, W[k], places, size, c0, width, cache, WRITE)
                    skip, shift, gbias = load(D, k, c0), load(bias, k, c0), spread(zero)
                    for i in range(size):
                        dwrite = get(cache, DU + i)
                        dstep = get(cache, DSTEP + i) + dwrite * get(cache, U + i)
                        if soften:
                            dstep = dstep * sigmoid(get(cache, WRITE + i) + shift)
                        gbias = gbias + dstep
                        put(cache, DSTEP + i, dstep)
                        put(cache, DU + i, dwrite * get(cache, STEP + i) + skip * get(cache, OUT + i))
                    store(dbias[b], k, c0, load(dbias[b], k, c0) + gbias)
                    if len(W[k]) == 0:
                        scatter(cache, DSTEP, dsteps, delta_turned, places, size, c0, width, False)
                    for r in range(len(W[k])):
                        weight, sum_W = load(W[k], r, c0), load(dWk, r, c0)
                        for i in range(size):
                            put(cache, FOR_B + i, get(cache, DSTEP + i) * weight)
                            sum_W = sum_W + get(cache, DSTEP + i) * at(steps, places[4, i], r)
                        store(dWk, r, c0, sum_W)
                        for i in range(0, TILE, LANES):
                            sum_low = totals(cache, FOR_B + i)
                            if block % per > 0:
                                sum_low = sum_low + load(own_low, tile * len(W[k]) + r, i)
                            store(own_low, tile * len(W[k]) + r, i, sum_low)
                    scatter(cache, DU, dxs, x_turned, places, size, c0, width, adding)
                    if mixing_back:
                        mix(dxs, places, size, c0, width, cache, DU, True)
            for block in range(begin, stop):
                for n in range(N):
                    store(dinitial[b, k], n, block * LANES, get(cache, into + block * N + n))
    flush_denormals(mode)


def own_memory(blocks: int, N: int, dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What one thread works in: `cache` (rows, LANES) for its tiles and states, the largest rates, and the
    places of a tile's tokens, -1 where none is mixed in. The cache begins where a line of the processor's
    does: vectors that lie across two lines cost twice.
    """
    size, line = (BACKWARD_ROWS + 2 * blocks * N) * LANES, 64 // dtype.itemsize
    cache = torch.zeros(size + line, dtype=dtype)
    begin = -cache.data_ptr() % 64 // dtype.itemsize
    cache = cache[begin : begin + size].view(-1, LANES)
    return cache.numpy(), torch.zeros(blocks, N, dtype=dtype).numpy(), np.full((5, TILE), -1, np.int64)


def _collect(shares, reads, total, first, end):
    """Add up the tasks' shares of a gradient of B or C, and put them in token order.

    Args:
        shares: (b, K, parts, tiles * N, TILE).
        total: (b, K, L, N), to fill, of any strides. Tasks first..end are its (b, K).
    """
    K, L, N = total.shape[1:]
    parts, most = shares.shape[2], shares.shape[3] // ((L + TILE - 1) // TILE)
    for task in range(first, end):
        b, k = task // K, task % K
        for l0 in range(0, L, TILE):
            for n in range(N):
                row = l0 // TILE * most + n
                for i in range(0, TILE, LANES):
                    added = load(shares[b, k, 0], row, i)
                    for part in range(1, parts):
                        added = added + load(shares[b, k, part], row, i)
                    store(shares[b, k, 0], row, i, added)
            for i in range(min(TILE, L - l0)):
                token = reads[k, l0 + i] if len(reads) > 0 else l0 + i
                for n in range(N):
                    total[b, k, token, n] = shares[b, k, 0, l0 // TILE * most + n, i]


def _types(dtype: str, scaled: bool) -> tuple:
    real = getattr(types, dtype)
    strided, A, D = real[:, :, :, :], real[:, :, ::1], real[:, ::1]
    tables, scale = int32[:, ::1], A if scaled else types.none
    state = real[:, :, :, ::1]
    inputs = (
        strided, boolean, strided, boolean, A, A, strided, strided, D, D, state, scale, scale,
        tables, tables, boolean,
    )  # fmt: skip
    return inputs, strided, state, A, types.Array(real, 5, "C"), (int64, D, D, int64[:, ::1])


def _compile(function, *arguments):
    # Numba's copy on disk is renewed when this file changes; its name makes that any of the kernels' files.
    here = Path(__file__).parent
    sources = [here / name for name in ("kernels.py", "tiles.py", "lanes.py", "exponentials.py")]
    stamp = sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    function.__qualname__ = f"{function.__name__}_{stamp}"
    signature = types.void(*arguments, int64, int64)
    return njit(
        signature, nogil=True, cache=True, fastmath={"contract"}, error_model="numpy", no_cfunc_wrapper=True
    )(function)


@lru_cache
def forward(dtype: str, scaled: bool):
    """The forward kernel for "float32" or "float64", compiled on first use and kept on disk."""
    inputs, strided, state, _, starts, own = _types(dtype, scaled)
    return _compile(_forward, *inputs, strided, starts, state, *own)


@lru_cache
def backward(dtype: str, scaled: bool):
    """The backward kernel for "float32" or "float64", compiled on first use and kept on disk."""
    inputs, strided, state, A, share, own = _types(dtype, scaled)
    gradients = strided, strided, share, state, state, share, share, A, A, state, state, state
    return _compile(_backward, strided, *inputs, share, boolean, *gradients, *own)


@lru_cache
def collect(dtype: str):
    """The kernel that adds up shares, likewise."""
    _, strided, _, _, share, _ = _types(dtype, False)
    return _compile(_collect, share, int32[:, ::1], strided)
