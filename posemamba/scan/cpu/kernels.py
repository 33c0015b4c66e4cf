"""The CPU kernels of the selective scan, in Numba: here forward, in gradients.py backward by recomputation.

Channels do not depend on each other, so they are walked in blocks of LANES, one vector wide; tokens in tiles
of TILE. A tile's inputs are brought into the first-level cache (tiles.py), and there each of the N states
takes its turn: while it runs through the tile it stays in a register, together with its decay rate. No
tensor of the shape (L, inner, N) ever exists. The forward pass can keep the states at the start of each
tile, from which the backward pass recomputes the tile's states before it walks the tile in reverse.

Sequences are read through index tables: place i of direction k is token reads[k, i], with token mixes[k, i]
added to it where that is not -1. So a reordered copy of the input is never made, and the directions' outputs
are summed where they are written. A task is some neighbouring blocks of one source: it owns all it writes.
Threads take tasks as they come.

Shapes: x (b, sources, L, inner); delta (b, K, L, inner), or low-rank (b, K, L, R) and W (K, R, padded) makes
it whole; B, C (b, K, L, N). With one source all K directions read it; with K sources each reads its own. An
array that is `turned` has its last two axes swapped. The rest has its channels padded to whole blocks,
`padded` in all, and N is even: A (K, N, padded), D and bias (K, padded), initial (b, K, N, padded) or empty,
the scales of B and C (K, N, padded) or None.
"""

from posemamba.scan.cpu.exponentials import LOG2E, SAFE, decay, exp2, softplus
from posemamba.scan.cpu.lanes import (
    LANES,
    at,
    called,
    claim,
    flush_denormals,
    get,
    larger,
    largest,
    load,
    put,
    spread,
    store,
)
from posemamba.scan.cpu.tiles import TILE, expect, gather, helper, locate, mix, scatter

# The tiles in a kernel's cache, by their first rows; after the last come rows for the states.
U, STEP, WRITE, OUT, DECAY = 0, TILE, 2 * TILE, 3 * TILE, 4 * TILE
DU, DSTEP, STATE, FOR_B, FOR_C = 6 * TILE, 7 * TILE, 8 * TILE, 10 * TILE, 12 * TILE
FORWARD_ROWS, BACKWARD_ROWS = 6 * TILE, 14 * TILE


@helper
def project(delta, delta_turned, W, places, size, c0, width, cache, tile):
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
def read(x, x_turned, delta, delta_turned, W, bias, soften, k, size, c0, width, mixing, places, cache):
    """Bring one tile of u and of the step, finished, into the cache; return the largest step's magnitude."""
    called()
    gather(x, x_turned, places, size, c0, width, cache, U)
    project(delta, delta_turned, W, places, size, c0, width, cache, STEP)
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
def rates_of(A, c0, cache, rate, peak):
    """The rates of 2^(step rate) for one block of channels, and each pair's largest magnitude."""
    called()
    for n in range(0, len(A), 2):
        r1, r2 = load(A, n, c0) * cache.dtype.type(LOG2E), load(A, n + 1, c0) * cache.dtype.type(LOG2E)
        put(cache, rate + n, r1)
        put(cache, rate + n + 1, r2)
        peak[n // 2] = largest(larger(r1, r2))


@helper
def decays(cache, rate, size, calm):
    """The decays of a tile for two states, whose rates are given by the first's row."""
    called()
    r1, r2 = get(cache, rate), get(cache, rate + 1)
    if calm:
        for i in range(size):
            put(cache, DECAY + i, decay(get(cache, STEP + i), r1))
            put(cache, DECAY + TILE + i, decay(get(cache, STEP + i), r2))
    else:
        for i in range(size):
            put(cache, DECAY + i, exp2(get(cache, STEP + i) * r1))
            put(cache, DECAY + TILE + i, exp2(get(cache, STEP + i) * r2))


def forward_pass(
    x, x_turned, delta, delta_turned, W, A, B, C, D, bias, initial, B_scale, C_scale, reads, mixes, soften,
    y, starts, last, per, cache, peak, places, counter, grain, tasks):
    """The forward pass: threads that call this share its tasks.

    Args:
        y: like x; written by the first direction of a source, added to by the others.
        starts: (b, K, tiles, blocks * N, LANES), filled with the states before each tile, if there are any.
        last: (b, K, N, padded), filled with the last states.
        per: blocks of channels in a task.
        cache, peak, places: a thread's own memory, see `compiled.own_memory`.
        counter: the first task that no thread has taken yet. grain: tasks that one takes at a time.
    """
    sources = x.shape[1]
    L, inner = (x.shape[3], x.shape[2]) if x_turned else (x.shape[2], x.shape[3])
    K, N, padded = A.shape
    each, blocks = K // sources, padded // LANES
    parts, low = (blocks + per - 1) // per, W.shape[1] > 0
    rates, states = FORWARD_ROWS, FORWARD_ROWS + blocks * N
    mode = flush_denormals(-1)
    first = claim(counter, grain)
    end = min(first + grain, tasks)
    while first < tasks:
        # Neighbouring tasks of one source are done together: their channels lie side by side in memory.
        b, source, part = first // (sources * parts), first // parts % sources, first % parts
        some = 1 if x_turned else min(end - first, parts - part)
        first += some
        begin, stop = part * per, min(blocks, (part + some) * per)
        for k in range(source * each, (source + 1) * each):
            xs, ys, steps = x[b, source], y[b, source], delta[b, k]
            Bk, Ck, saved = B[b, k], C[b, k], starts[b, k]
            for block in range(begin, stop):
                rates_of(A[k], block * LANES, cache, rates + block * N, peak[block])
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
                    most = read(xs, x_turned, steps, delta_turned, W[k], bias, soften, k, size, c0, width,
                                len(mixes) > 0, places, cache)
                    skip = load(D, k, c0)
                    for i in range(size):
                        put(cache, OUT + i, skip * get(cache, U + i))
                    for n in range(0, N, 2):
                        decays(cache, rate + n, size, most * peak[block, n // 2] < SAFE)
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
        if first == end:
            first = claim(counter, grain)
            end = min(first + grain, tasks)
    flush_denormals(mode)
