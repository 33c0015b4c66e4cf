"""The CPU kernels of the backward pass. Shapes and words are those of kernels.py."""

from posemamba.scan.cpu.exponentials import SAFE, sigmoid
from posemamba.scan.cpu.kernels import (
    BACKWARD_ROWS,
    DECAY,
    DSTEP,
    DU,
    FOR_B,
    FOR_C,
    OUT,
    STATE,
    STEP,
    WRITE,
    U,
    decays,
    project,
    rates_of,
    read,
)
from posemamba.scan.cpu.lanes import LANES, at, claim, flush_denormals, get, load, put, spread, store, totals
from posemamba.scan.cpu.tiles import TILE, expect, gather, locate, mix, scatter


def backward_pass(
    dy, x, x_turned, delta, delta_turned, W, A, B, C, D, bias, initial, B_scale, C_scale, reads, mixes,
    soften, starts, through_mix, dx, ddelta, dlow, dW, dA, dB, dC, dD, dbias, dinitial, dB_scale, dC_scale,
    per, cache, peak, places, counter, grain, tasks):
    """The backward pass: threads that call this share its tasks.

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
        cache, peak, places, counter, grain: as for the forward pass.
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
    first = claim(counter, grain)
    end = min(first + grain, tasks)
    while first < tasks:
        b, source, part = first // (sources * parts), first // parts % sources, first % parts
        some = 1 if x_turned else min(end - first, parts - part)
        first += some
        begin, stop = part * per, min(blocks, (part + some) * per)
        for k in range(source * each, (source + 1) * each):
            xs, dys, dxs, saved = x[b, source], dy[b, source], dx[b, source], starts[b, k]
            steps, dsteps, Wk, dWk = delta[b, k], ddelta[b, k], W[k], dW[b, k]
            Ak, Bk, Ck = A[k], B[b, k], C[b, k]
            for block in range(begin, stop):
                rates_of(Ak, block * LANES, cache, rates + block * N, peak[block])
            cache[into:] = 0
            for l0 in range((L - 1) // TILE * TILE, -1, -TILE):
                size, tile = min(TILE, L - l0), l0 // TILE
                ahead = min(TILE, l0), begin * LANES, min(inner, stop * LANES) - begin * LANES
                if not low:
                    expect(steps, delta_turned, reads, k, l0 - TILE, *ahead)
                for array in (xs, dys, dxs):
                    expect(array, x_turned, reads, k, l0 - TILE, *ahead)
                locate(reads, mixes, Bk, Ck, steps, k, l0, size, places)
                for block in range(begin, stop):
                    c0, rate, own = block * LANES, rates + block * N, into + block * N
                    width, start, share = min(LANES, inner - c0), saved[tile], block // per
                    own_B, own_C, own_low = dB[b, k, share], dC[b, k, share], dlow[b, k, share]
                    most = read(xs, x_turned, steps, delta_turned, Wk, bias, soften, k, size, c0, width,
                                len(mixes) > 0, places, cache)
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
                        decays(cache, rate + n, size, most * peak[block, n // 2] < SAFE)
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
                        g1, g2 = get(cache, own + n), get(cache, own + n + 1)
                        A1, A2, gA1, gA2 = load(Ak, n, c0), load(Ak, n + 1, c0), spread(zero), spread(zero)
                        for j in range(1, size + 1):
                            i = size - j
                            step, write = get(cache, STEP + i), get(cache, WRITE + i)
                            B1, B2 = at(Bk, places[2, i], n), at(Bk, places[2, i], n + 1)
                            C1, C2 = at(Ck, places[3, i], n), at(Ck, places[3, i], n + 1)
                            out1 = out2 = get(cache, OUT + i)
                            if C_scale is not None:
                                gC = dC_scale[b, k]
                                store(gC, n, c0, load(gC, n, c0) + h1 * out1 * C1)
                                store(gC, n + 1, c0, load(gC, n + 1, c0) + h2 * out2 * C2)
                                out2 = out1 * load(C_scale[k], n + 1, c0)
                                out1 = out1 * load(C_scale[k], n, c0)
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
                        store(dA[b, k], n, c0, load(dA[b, k], n, c0) + gA1)
                        store(dA[b, k], n + 1, c0, load(dA[b, k], n + 1, c0) + gA2)
                        for i in range(0, 2 * TILE, LANES):
                            row, column = tile * N + n + i // TILE, i % TILE
                            sum_B, sum_C = totals(cache, FOR_B + i), totals(cache, FOR_C + i)
                            if block % per > 0:
                                sum_B = sum_B + load(own_B, row, column)
                                sum_C = sum_C + load(own_C, row, column)
                            store(own_B, row, column, sum_B)
                            store(own_C, row, column, sum_C)
                    if soften:  # its slope is taken where the step had not been through it
                        project(steps, delta_turned, Wk, places, size, c0, width, cache, WRITE)
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
                    if not low:
                        scatter(cache, DSTEP, dsteps, delta_turned, places, size, c0, width, False)
                    for r in range(len(Wk)):
                        weight, sum_W = load(Wk, r, c0), load(dWk, r, c0)
                        for i in range(size):
                            put(cache, FOR_B + i, get(cache, DSTEP + i) * weight)
                            sum_W = sum_W + get(cache, DSTEP + i) * at(steps, places[4, i], r)
                        store(dWk, r, c0, sum_W)
                        for i in range(0, TILE, LANES):
                            sum_low = totals(cache, FOR_B + i)
                            if block % per > 0:
                                sum_low = sum_low + load(own_low, tile * len(Wk) + r, i)
                            store(own_low, tile * len(Wk) + r, i, sum_low)
                    scatter(cache, DU, dxs, x_turned, places, size, c0, width, adding)
                    if mixing_back:
                        mix(dxs, places, size, c0, width, cache, DU, True)
            for block in range(begin, stop):
                for n in range(N):
                    store(dinitial[b, k], n, block * LANES, get(cache, into + block * N + n))
        if first == end:
            first = claim(counter, grain)
            end = min(first + grain, tasks)
    flush_denormals(mode)


def add_shares(shares, reads, total, counter, grain, tasks):
    """Add up the tasks' shares of a gradient of B or C, and put them in token order.

    Args:
        shares: (b, K, parts, tiles * N, TILE).
        total: (b, K, L, N), to fill, of any strides. A task is one of its (b, K).
    """
    K, L, N = total.shape[1:]
    parts, most = shares.shape[2], shares.shape[3] // ((L + TILE - 1) // TILE)
    task = claim(counter, 1)
    while task < tasks:
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
        task = claim(counter, 1)
