"""How exact the float32 kernels are, on ordinary and on hostile numbers.

The yardstick is the plain recurrence: the definition and its derivative, one number after the other, in
float32 as in float64. A processor may round a product before it is added to something, or only after; both
are the plain recurrence, and on long constant runs, where rounding errors add up instead of cancelling, each
is now and then several times the other. The kernels may be 3 times as far off as the worse of the two.
"""

import numpy as np
import pytest
import torch
from numba import njit

from posemamba.scan import selective_scan
from posemamba.scan.cpu.exponentials import SAFE
from posemamba.scan.cpu.lanes import LANES
from posemamba.scan.cpu.tiles import TILE

EPS = float(np.finfo(np.float32).eps)
RESULTS = ("y", "du", "ddelta", "dA", "dB", "dC", "dD", "dbias")


def _recurrence(u, step, slope, A, B, C, D, dy):
    """Outputs and gradients, for u, step and dy (c, L), A (c, N), B and C (N, L), in u's dtype throughout."""
    (channels, L), N = u.shape, A.shape[1]
    y, du, draw = np.empty_like(u), np.empty_like(u), np.zeros_like(u)
    dA, dB, dC = np.zeros_like(A), np.zeros_like(B), np.zeros_like(C)
    dD, dbias = np.zeros_like(D), np.zeros_like(D)
    h = np.zeros((L + 1, N), u.dtype)
    for c in range(channels):
        for i in range(L):
            y[c, i] = D[c] * u[c, i]
            for n in range(N):
                h[i + 1, n] = np.exp(step[c, i] * A[c, n]) * h[i, n] + step[c, i] * u[c, i] * B[n, i]
                y[c, i] += h[i + 1, n] * C[n, i]
        g = np.zeros(N, u.dtype)
        for i in range(L - 1, -1, -1):
            du[c, i] = D[c] * dy[c, i]
            dD[c] += dy[c, i] * u[c, i]
            for n in range(N):
                g[n] += dy[c, i] * C[n, i]
                dC[n, i] += dy[c, i] * h[i + 1, n]
                dB[n, i] += g[n] * step[c, i] * u[c, i]
                du[c, i] += g[n] * step[c, i] * B[n, i]
                draw[c, i] += g[n] * u[c, i] * B[n, i]
                g[n] *= np.exp(step[c, i] * A[c, n])
                draw[c, i] += g[n] * h[i, n] * A[c, n]
                dA[c, n] += g[n] * h[i, n] * step[c, i]
            draw[c, i] *= slope[c, i]
            dbias[c] += draw[c, i]
    return y, du, draw, dA, dB, dC, dD, dbias


def _rounded(recurrence):
    def run(u, raw, A, B, C, D, bias, soft, dy):
        x = raw + bias[:, None]
        t = np.exp(-abs(x))
        step = np.maximum(x, 0) + np.log1p(t) if soft else x
        slope = np.where(x > 0, 1, t) / (1 + t) if soft else np.ones_like(x)
        return recurrence(u, step, slope.astype(u.dtype), A, B, C, D, dy)

    return run


apart, fused = _rounded(njit(_recurrence)), _rounded(njit(fastmath={"contract"})(_recurrence))


def kernels(u, raw, A, B, C, D, bias, soft, dy):
    """The same from the "numba" backend."""
    leaves = [torch.from_numpy(value).requires_grad_() for value in (u, raw, A, B, C, D, bias)]
    u, raw, A, B, C, D, bias = leaves
    y = selective_scan(
        u[None], raw[None], A, B[None], C[None], D, delta_bias=bias, delta_softplus=soft, backend="numba"
    )
    gradients = torch.autograd.grad(y, leaves, torch.from_numpy(dy)[None])
    return [value.detach().numpy() for value in (y[0], *gradients)]


def errors(found, exact):
    """Of each result: the norm of what is wrong, relative to the norm of what is right."""
    return [
        float(np.linalg.norm(a - b) / max(np.linalg.norm(b), np.finfo(np.float32).tiny))
        for a, b in zip(found, exact, strict=True)
    ]


def case(seed, channels=20, states=3, L=1000, soft=False, steps=None, A=None, constant=False):
    """Random arguments of the functions above; steps before the softplus, by default from 1e-3 to 1."""
    random = np.random.default_rng(seed)
    size = channels, L

    def draw(*shape):
        return np.ones(shape) if constant else random.standard_normal(shape)

    step = 10 ** random.uniform(-3, 0, size) if steps is None else steps(random, size)
    if soft:
        step = np.where(step > 20, step, np.log(np.expm1(np.clip(step, 1e-30, 20))))
    A = -np.tile(np.arange(1.0, states + 1), (channels, 1)) if A is None else A(random, (channels, states))
    values = (draw(*size), step, A, 0.7 * draw(states, L), 0.3 * draw(states, L), draw(channels))
    values = [np.ascontiguousarray(value, np.float32) for value in (*values, np.zeros(channels))]
    return (*values, soft, draw(*size).astype(np.float32))


def wide(arguments):
    return [value if isinstance(value, bool) else value.astype(np.float64) for value in arguments]


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("L", [1, 33, 500, 4131])
def test_ordinary_inputs_are_exact_to_a_millionth(L, soft):
    arguments = case(L, 20, 16, L, soft)
    found = dict(zip(RESULTS, errors(kernels(*arguments), apart(*wide(arguments))), strict=True))
    assert found.pop("y") < 1e-6, found
    assert max(found.values()) < 1e-5, found


def between(low, high):
    return lambda random, size: 10 ** random.uniform(low, high, size)


def runs(random, size):
    """Constant for 50 tokens, then another step of any size."""
    return np.repeat(10 ** random.uniform(-6, 4, (size[0], size[1] // 50 + 1)), 50, 1)[:, : size[1]]


def gaps(random, size):
    return np.where(random.random(size) < 0.3, 0, 10 ** random.uniform(-3, 0, size))


def tiles(random, size):
    """Ordinary tiles, with every third one huge: the kernels change their exponential at each border."""
    return 10 ** random.uniform(-3, 0, size) * np.where(np.arange(size[1]) // TILE % 3 == 1, 1e4, 1)


def channels(random, size):
    """One channel huge among ordinary ones, in the same vector."""
    return 10 ** random.uniform(-3, 0, size) * np.where(np.arange(size[0]) == 5, 1e4, 1)[:, None]


def spikes(random, size):
    return np.where(np.arange(size[1]) % 1000 == 0, 1.0, 1e-6) * np.ones(size)


def brink(random, size):
    """Steps that reach SAFE with A = -1 and fall short of it, from token to token."""
    return random.uniform(0.95, 1.05, size) * SAFE * np.log(2) * (random.random(size) < 0.1) + 1e-2


def all_equal(value):
    return lambda random, size: np.full(size, value)


def near(value):
    return lambda random, size: value * random.uniform(0.5, 1.5, size)


any_rate = lambda random, size: -(10 ** random.uniform(-7, 4, size))  # noqa: E731

HOSTILE = {
    "steps of all sizes": dict(steps=between(-6, 4)),
    "steps and rates of all sizes": dict(steps=between(-6, 4), A=any_rate),
    "runs of all sizes": dict(steps=runs, A=any_rate),
    "a third of the steps zero": dict(steps=gaps, A=any_rate),
    "no step at all": dict(steps=all_equal(0.0)),
    "no decay": dict(steps=gaps, A=all_equal(0.0)),
    "hardly any decay": dict(steps=gaps, A=all_equal(-1e-7)),
    "hardly any decay, constant": dict(steps=gaps, A=all_equal(-1e-7), constant=True, L=4131),
    "huge rates": dict(steps=between(-6, 0), A=near(-1e4)),
    "huge rates and gaps": dict(steps=gaps, A=near(-1e4)),
    "huge tiles": dict(steps=tiles),
    "huge tiles, rates of all sizes": dict(steps=tiles, A=any_rate),
    "a huge channel": dict(steps=channels),
    "at the switch of exponentials": dict(steps=brink),
    "constant": dict(steps=all_equal(0.3), A=near(-0.3), constant=True, L=4131),
    "constant, tiny steps": dict(steps=all_equal(1e-6), A=near(-1.0), constant=True, L=4131),
    "long": dict(L=40_000),
    "long, all sizes": dict(L=40_000, steps=between(-6, 4), A=any_rate),
    "long, constant": dict(L=40_000, steps=all_equal(0.3), A=near(-0.3), constant=True),
    "long, constant, no decay": dict(L=40_000, steps=near(2e-3), A=all_equal(0.0), constant=True),
    "long, constant, tiny steps": dict(L=40_000, steps=all_equal(1e-6), A=near(-1.0), constant=True),
    "long, spikes": dict(L=40_000, steps=spikes, constant=True),
}


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_inputs_are_no_worse_than_the_plain_recurrence(name, soft):
    """Errors over three draws, so that one lucky sum of the yardstick does not decide."""
    all_errors, options = [], HOSTILE[name]
    for seed in range(3):
        arguments = case(seed, 20 if options.get("L", 0) < 10_000 else 5, soft=soft, **options)
        exact = apart(*wide(arguments))
        all_errors.append([errors(way(*arguments), exact) for way in (kernels, apart, fused)])
    ours, one, other = np.sqrt(np.square(all_errors).mean(0))
    for result, mine, plain in zip(RESULTS, ours, np.maximum(one, other), strict=True):
        assert mine <= 3 * plain + 4 * EPS, f"{result}: {mine:.1e}, the plain recurrence {plain:.1e}"


def test_sums_over_a_long_sequence_do_not_lose_digits():
    """dA, dD and dbias are sums over all tokens: added up tile by tile they stay as exact as the rest."""
    arguments = case(0, 20, 2, 40_000)
    found = dict(zip(RESULTS, errors(kernels(*arguments), apart(*wide(arguments))), strict=True))
    for result in ("dA", "dD", "dbias"):
        assert found[result] < 2e-6, found


# Infinities and NaN stay where they were put.

BAD = [float("nan"), float("inf"), -float("inf")]


def poisoned(name, where, value, L=3 * TILE + 5, states=5):
    """Results with and without one bad number; y, gradients by name."""
    names = ("u", "raw", "A", "B", "C", "D", "bias", "soft", "dy")
    values = dict(zip(names, case(0, 2 * LANES + 5, states, L, True), strict=True))
    clean = kernels(**values)
    values[name] = values[name].copy()
    values[name][where] = value
    return (dict(zip(RESULTS, results, strict=True)) for results in (clean, kernels(**values)))


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("token", [0, TILE - 1, TILE, 2 * TILE + 1, 3 * TILE + 4])
@pytest.mark.parametrize("channel", [0, LANES - 1, LANES, 2 * LANES + 4])
def test_a_bad_input_stays_in_its_channel_and_its_future(channel, token, value):
    clean, found = poisoned("u", (channel, token), value)
    assert not np.isfinite(found["y"][channel, token])
    for results in (clean, found):
        for name in ("y", "du", "ddelta"):
            results[name][channel, token:] = 0
        results["du"][channel] = 0  # its own gradient does not depend on it, except through NaN times 0
        for name in ("dA", "dD", "dbias"):
            results[name][channel] = 0
        results["dB"][:, token] = 0
        results["dC"][:, token:] = 0
    for name in RESULTS:
        assert np.array_equal(found[name], clean[name]), name


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("token", [0, TILE, 3 * TILE + 4])
@pytest.mark.parametrize("channel", [LANES - 1, LANES, 2 * LANES + 4])
def test_a_bad_step_stays_in_its_channel(channel, token, value):
    clean, found = poisoned("raw", (channel, token), value)
    others = np.arange(len(clean["y"])) != channel
    assert np.array_equal(found["y"][channel, :token], clean["y"][channel, :token])
    for name in ("y", "du", "ddelta", "dA", "dD", "dbias"):  # up to rounding: its block takes the slow way
        assert np.allclose(found[name][others], clean[name][others], rtol=1e-5, atol=1e-5), name


@pytest.mark.parametrize("value", BAD)
def test_a_bad_output_gradient_stays_in_its_channel_and_its_past(value):
    clean, found = poisoned("dy", (LANES, 2 * TILE), value)
    for results in (clean, found):
        for name in ("du", "ddelta"):
            results[name][LANES, : 2 * TILE + 1] = 0
        for name in ("dA", "dD", "dbias"):
            results[name][LANES] = 0
        results["dB"][:, : 2 * TILE + 1] = 0
        results["dC"][:, 2 * TILE] = 0
    for name in RESULTS:
        assert np.array_equal(found[name], clean[name]), name


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("matrix", ["B", "C"])
@pytest.mark.parametrize("state", [0, 1, 4])
def test_a_bad_state_spares_its_neighbour(state, matrix, value):
    """States are walked in pairs, and an odd last one together with nothing."""
    clean, found = poisoned(matrix, (state, TILE), value)
    others = np.arange(5) != state
    assert np.array_equal(found["y"][:, :TILE], clean["y"][:, :TILE])
    for name in ("dB", "dC"):
        assert np.array_equal(found[name][others], clean[name][others]), name
    assert np.array_equal(found["dA"][:, others], clean["dA"][:, others])
