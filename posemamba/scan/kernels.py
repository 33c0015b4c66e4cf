"""The CPU kernels of the selective scan, in Numba: forward, and backward by recomputation.

The tokens are walked in tiles of TILE, the channels in blocks of LANES, one vector wide: channels do not
depend on each other. The states of a block, (N, LANES), stay in the first-level cache for the whole
sequence; no tensor of the shape (L, inner, N) ever exists. The forward pass can keep the states at the
start of each tile, from which the backward pass recomputes the tile's states before it walks the tile in
reverse.

Sequences are read through index tables: place i of direction k is token reads[k, i], with token mixes[k, i]
added to it where that is not -1. So a reordered copy of the input is never made, and the directions'
outputs are summed where they are written. A task is some neighbouring blocks of one source: it owns all it
writes. The caller deals tasks out to threads.

Shapes, all of one dtype: x, y (b, sources, L, inner); delta (K, b, L, inner); B, C (b, K, L, N); A, weight
(K, N, inner); D (K, inner); inner is a multiple of LANES. With one source all K directions read it; with K
sources each reads its own. B and C may have any strides, the rest is contiguous.
"""

from functools import lru_cache

import numpy as np
from numba import boolean, int32, int64, njit, types

from posemamba.scan.lanes import LANES, LOG2E, exp2, load, spread, store, total

TILE = 16
# Numba's copy on disk is renewed when this file changes, not when lanes.py does: touch both.


def _forward(x, delta, A, B, C, D, weight, reads, mixes, y, starts, last, per, first, end):
    """Tasks first..end of the forward pass.

    Args:
        weight: None, or what multiplies the state where it is read.
        reads, mixes: (K, L).
        y: zeros, added to.
        starts: (b, K, blocks, tiles * N, LANES) to fill with the states before each tile; no tiles: leave
            them.
        last: (b, K, N, inner), filled with the last states.
        per: blocks of channels in a task.
    """
    sources, L, inner = x.shape[1:]
    K, N, _ = A.shape
    each, blocks = K // sources, inner // LANES
    parts = (blocks + per - 1) // per
    dtype = x.dtype
    rate, h = np.zeros((N, LANES), dtype), np.zeros((N, LANES), dtype)
    for task in range(first, end):
        b, source, part = task // (sources * parts), task // parts % sources, task % parts
        xs, ys = x[b, source], y[b, source]
        for block in range(part * per, min(blocks, (part + 1) * per)):
            c0 = block * LANES
            for k in range(source * each, (source + 1) * each):
                steps, Bk, Ck, lasts = delta[k, b], B[b, k], C[b, k], last[b, k]
                saved = starts[b, k, block]
                skip = load(D, k, c0)
                rate[:] = A[k, :, c0 : c0 + LANES] * dtype.type(LOG2E)
                h[:] = 0
                for place in range(L):
                    if place % TILE == 0 and len(saved) > 0:
                        saved[place // TILE * N : (place // TILE + 1) * N] = h
                    token, mixed = reads[k, place], mixes[k, place]
                    u = load(xs, token, c0)
                    if mixed >= 0:
                        u = u + load(xs, mixed, c0)
                    step = load(steps, token, c0)
                    write = step * u
                    out = load(ys, token, c0) + skip * u
                    for n in range(N):
                        state = exp2(step * load(rate, n, 0)) * load(h, n, 0) + write * Bk[token, n]
                        store(h, n, 0, state)
                        if weight is not None:
                            state = state * load(weight[k], n, c0)
                        out = out + state * Ck[token, n]
                    store(ys, token, c0, out)
                for n in range(N):
                    store(lasts, n, c0, load(h, n, 0))


def _backward(
    x, delta, A, B, C, D, weight, reads, mixes, through_mix, starts, dy,
    dx, ddelta, dA, dB, dC, dD, dweight, per, first, end,
):  # fmt: skip
    """Tasks first..end of the backward pass.

    With g_i the gradient that reaches state i, g_i = C_i dy_i + a_{i+1} g_{i+1}, walked from the last token
    to the first: du_i = delta_i sum_n g B, ddelta_i = sum_n g (A a h_{i-1} + u B), dB_i = sum_c g delta u,
    dC_i = sum_c dy h, dA = sum_i g delta a h_{i-1}.

    Args:
        through_mix: whether mixed-in tokens receive their gradient (the released code gives them none).
        starts: from the forward pass.
        dy, dx: like y and x; dx is zeros, added to. ddelta: like delta.
        dB, dC: (b, K, parts, L, N), each task's share, zeros. dA, dweight: (b, K, N, inner), zeros. dD: (b,
            K, inner).
    """
    sources, L, inner = x.shape[1:]
    K, N, _ = A.shape
    each, blocks = K // sources, inner // LANES
    parts = (blocks + per - 1) // per
    dtype = x.dtype
    zero = dtype.type(0)
    rate, g = np.zeros((N, LANES), dtype), np.zeros((N, LANES), dtype)
    u, step = np.zeros((TILE, LANES), dtype), np.zeros((TILE, LANES), dtype)
    a, h = np.zeros((TILE * N, LANES), dtype), np.zeros((TILE * N + N, LANES), dtype)
    for task in range(first, end):
        b, source, part = task // (sources * parts), task // parts % sources, task % parts
        xs, dxs, dys = x[b, source], dx[b, source], dy[b, source]
        for block in range(part * per, min(blocks, (part + 1) * per)):
            c0 = block * LANES
            for k in range(source * each, (source + 1) * each):
                steps, dsteps, slope, gA, gw = delta[k, b], ddelta[k, b], A[k], dA[b, k], dweight[b, k]
                Bk, Ck, dBk, dCk = B[b, k], C[b, k], dB[b, k, part], dC[b, k, part]
                saved = starts[b, k, block]
                skip, gD = load(D, k, c0), spread(zero)
                rate[:] = slope[:, c0 : c0 + LANES] * dtype.type(LOG2E)
                g[:] = 0
                for tile in range((L + TILE - 1) // TILE - 1, -1, -1):
                    l0 = tile * TILE
                    size = min(TILE, L - l0)
                    h[:N] = saved[tile * N : (tile + 1) * N]
                    for i in range(size):
                        token, mixed = reads[k, l0 + i], mixes[k, l0 + i]
                        u_, step_ = load(xs, token, c0), load(steps, token, c0)
                        if mixed >= 0:
                            u_ = u_ + load(xs, mixed, c0)
                        write = step_ * u_
                        store(u, i, 0, u_)
                        store(step, i, 0, step_)
                        for n in range(N):
                            a_ = exp2(step_ * load(rate, n, 0))
                            store(a, i * N + n, 0, a_)
                            store(h, (i + 1) * N + n, 0, a_ * load(h, i * N + n, 0) + write * Bk[token, n])
                    for i in range(size - 1, -1, -1):
                        token, mixed = reads[k, l0 + i], mixes[k, l0 + i]
                        out, step_, u_ = load(dys, token, c0), load(step, i, 0), load(u, i, 0)
                        write = step_ * u_
                        gu, gstep = spread(zero), spread(zero)
                        gD = gD + out * u_
                        for n in range(N):
                            Bn, Cn = Bk[token, n], Ck[token, n]
                            h_, read = load(h, (i + 1) * N + n, 0), out
                            if weight is not None:
                                store(gw, n, c0, load(gw, n, c0) + h_ * out * Cn)
                                read = out * load(weight[k], n, c0)
                            into = load(g, n, 0) + read * Cn
                            dCk[token, n] += total(h_ * read)
                            dBk[token, n] += total(into * write)
                            gu = gu + into * Bn
                            before = into * load(a, i * N + n, 0)
                            store(g, n, 0, before)
                            kept = before * load(h, i * N + n, 0)
                            gstep = gstep + kept * load(slope, n, c0)
                            store(gA, n, c0, load(gA, n, c0) + kept * step_)
                        store(dsteps, token, c0, gstep + gu * u_)
                        gu = gu * step_ + skip * out
                        store(dxs, token, c0, load(dxs, token, c0) + gu)
                        if mixed >= 0 and through_mix:
                            store(dxs, mixed, c0, load(dxs, mixed, c0) + gu)
                store(dD[b], k, c0, gD)


def _types(dtype: str, weighted: bool) -> tuple:
    real = getattr(types, dtype)
    x, BC, A, D = real[:, :, :, ::1], real[:, :, :, :], real[:, :, ::1], real[:, ::1]
    tables = int32[:, ::1]
    return (
        x,
        A,
        D,
        types.Array(real, 5, "C"),
        (x, x, A, BC, BC, D, A if weighted else types.none, tables, tables),
    )


@lru_cache
def forward(dtype: str, weighted: bool):
    """The forward kernel for "float32" or "float64", compiled on first use and kept on disk."""
    x, _, _, starts, inputs = _types(dtype, weighted)
    signature = types.void(*inputs, x, starts, x, int64, int64, int64)
    return njit(signature, nogil=True, cache=True, fastmath={"contract"})(_forward)


@lru_cache
def backward(dtype: str, weighted: bool):
    """The backward kernel for "float32" or "float64", compiled on first use and kept on disk."""
    x, A, _, share, inputs = _types(dtype, weighted)
    signature = types.void(*inputs, boolean, share, x, x, x, x, share, share, A, x, int64, int64, int64)
    return njit(signature, nogil=True, cache=True, fastmath={"contract"})(_backward)
