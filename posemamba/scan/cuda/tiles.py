"""What the Triton kernels do with one tile: find its tokens and channels, load it, and join its tokens.

A tile is (BLOCK, TILE): some channels by some neighbouring places of a sequence. Shapes and words are those
of kernels.py.
"""

import triton
import triton.language as tl

#: Arguments that change from one sequence to the next: a value of 1, or one that 16 divides, must not mean
#: that a kernel is compiled anew. For `one` see `find_channels`; strides of whole sequences grow with L.
VARYING = ["one", "L", "chunks", "parts", "span", "slots", "apart", "rows"]
VARYING += ["x_b", "x_s", "d_b", "d_k", "y_b", "y_s", "B_b", "B_k", "C_b", "C_k", "m_b", "m_k"]


@triton.jit
def after(a1, b1, a2, b2):
    """The map h -> a1 h + b1 followed by h -> a2 h + b2."""
    return a2 * a1, a2 * b1 + b2


@triton.jit
def sum_and_before(sum1, before1, sum2, before2):
    """The sum, and the sum without the last term (not by subtraction, which would lose digits)."""
    return sum1 + sum2, sum1 + before2


@triton.jit
def sum_after(step):
    """For each token of a tile, the sum of the later steps."""
    # Flips are free, since a thread holds whole rows; associative_scan's own `reverse` is not.
    _, distance = tl.associative_scan((tl.flip(step, 1), tl.zeros_like(step)), 1, sum_and_before)
    return tl.flip(distance, 1)


@triton.jit
def softplus(raw):
    e = tl.exp(tl.where(raw > 20, 20, raw))
    w = 1 + e
    # log(w) e / (w - 1) is log(1 + e) without the rounding of 1 + e (Kahan).
    return tl.where(raw > 20, raw, tl.where(w == 1, e, tl.log(w) * e / tl.where(w == 1, 1, w - 1)))


@triton.jit
def find_channels(item, inner, one, BLOCK: tl.constexpr):
    """The channels of a work item, and which of them exist.

    `one` is 1, which the compiler is not told: if it knew that neighbours lie side by side, it would give a
    thread several neighbouring channels and split the tokens over threads, which the recurrence dislikes.
    """
    channels = item % tl.cdiv(inner, BLOCK) * BLOCK + tl.arange(0, BLOCK) + (one - 1)
    return channels.to(tl.int64), channels < inner


@triton.jit
def find_part(item, inner, K, parts, one, BLOCK: tl.constexpr):
    """The channels of a work item, which of them exist, its part and row, and the row's batch item and k."""
    channels, exists = find_channels(item, inner, one, BLOCK)
    rest = item // tl.cdiv(inner, BLOCK)
    row = (rest // parts).to(tl.int64)
    return channels, exists, rest % parts, row, row // K, row % K


@triton.jit
def load_from(x, x_l, x_c, tokens, channels, mask, real: tl.constexpr):
    """The numbers of some tokens and channels, (BLOCK, TILE); 0 where there are none."""
    return tl.load(x + tokens[None, :] * x_l + channels[:, None] * x_c, mask=mask, other=0).to(real)


@triton.jit
def load_tile(first, x, x_l, x_c, delta, d_l, d_c, bias, reads, mixes, k, L, inner, one, channels, exists,
              real: tl.constexpr, SOFTPLUS: tl.constexpr, TILE: tl.constexpr):
    """A tile of direction k from place `first` on.

    Returns:
        (TILE,): the tokens, and which of the places exist. (BLOCK, TILE): which of all exist; u, the tokens
        read with those mixed in; the steps; and delta + bias. Beyond the ends u is 0, and a step too: it
        leaves the state alone.
    """
    places = first + tl.arange(0, TILE) * one
    there, tokens = places < L, places
    if reads is not None:
        tokens = tl.load(reads + k * L + places, mask=there, other=0)
    tokens, mask = tokens.to(tl.int64), there[None, :] & exists[:, None]
    u = load_from(x, x_l, x_c, tokens, channels, mask, real)
    if mixes is not None:
        mixed = tl.load(mixes + k * L + places, mask=there, other=-1)
        u += load_from(x, x_l, x_c, mixed.to(tl.int64), channels, mask & (mixed >= 0)[None, :], real)
    raw = load_from(delta, d_l, d_c, tokens, channels, mask, real)
    if bias is not None:
        raw += tl.load(bias + k * inner + channels, mask=exists, other=0)[:, None]
    step = softplus(raw) if SOFTPLUS else raw
    return tokens, there, mask, u, tl.where(mask, step, 0), raw


@triton.jit
def advance(source, target, pitch, value, distance, total, M, m_n, rate, scale, inner, there, channels,
            exists, real: tl.constexpr, N: tl.constexpr):
    """Take the states at `source` through a tile: decay by the tile's steps, plus what its tokens write.

    Args:
        source, target: pointers to the first state of each channel; pitch apart.
        value: (BLOCK, TILE), what a token writes, times M.
        distance: (BLOCK, TILE), the sum of the steps that this still decays by; total: (BLOCK,), all steps.
        M: (TILE,) pointers to the tokens' first entries of B or C, m_n apart.
    """
    for n in range(N):
        slope = tl.load(rate + n * inner + channels, mask=exists, other=0)
        state = tl.load(source + n * pitch, mask=exists, other=0)
        m = tl.load(M + n * m_n, mask=there, other=0).to(real)
        written = tl.sum(tl.exp2(distance * slope[:, None]) * value * m[None, :], 1)
        if scale is not None:
            written *= tl.load(scale + n * inner + channels, mask=exists, other=0)
        tl.store(target + n * pitch, tl.exp2(total * slope) * state + written, mask=exists)
