"""How exact the float32 kernels are, on ordinary and on hostile numbers, and what they do with wrong input.

The yardstick is the plain recurrence: the definition and its derivative, one number after the other, in
float32 as in float64. A processor may round a product before it is added to something, or only after; both
are the plain recurrence, and on long constant runs, where rounding errors add up instead of cancelling, each
is now and then several times the other. The kernels may be 3 times as far off as the worse of the two.
"""

import multiprocessing
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from posemamba.scan import directional_scan, selective_scan
from posemamba.scan.exponentials import SAFE
from posemamba.scan.lanes import LANES
from posemamba.scan.tiles import TILE

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
    values = dict(zip(("u", "raw", "A", "B", "C", "D", "bias", "soft", "dy"),
                      case(0, 2 * LANES + 5, states, L, True), strict=True))  # fmt: skip
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


# The same bits, wherever the work is done.


def scan_all(batch=1, channels_a_group=19, dtype=torch.float32):
    """Output and all gradients of a scan with channels that do not fill their vectors, and of a directional
    one."""
    generator = torch.Generator().manual_seed(batch)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).to(dtype).requires_grad_()

    inner, N, L = channels_a_group, 5, 70
    leaves = [draw(batch, 3 * inner, L), draw(batch, 3 * inner, L), draw(3 * inner, N),
              draw(batch, 3, N, L), draw(batch, 3, N, L), draw(3 * inner)]  # fmt: skip
    y = selective_scan(leaves[0], leaves[1], -leaves[2].abs(), *leaves[3:], delta_softplus=True)
    results = [y, *torch.autograd.grad(y.square().sum(), leaves)]
    reads = torch.stack([torch.randperm(L, generator=generator) for _ in range(3)]).int()
    mixes = torch.randint(-1, L, (3, L), generator=generator, dtype=torch.int32)
    leaves = [draw(batch, L, inner), draw(batch, 3, L, inner), draw(3, inner, N),
              draw(batch, 3, L, N), draw(batch, 3, L, N), draw(3, inner)]  # fmt: skip
    y = directional_scan(
        leaves[0], leaves[1], -leaves[2].abs(), *leaves[3:], reads, mixes, delta_softplus=True
    )
    return [value.detach() for value in (*results, y, *torch.autograd.grad(y.square().sum(), leaves))]


def same(found, expected):
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("inner", [1, 19, 16 * LANES + 1])
def test_threads_change_no_bit_of_any_result(batch, inner):
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(scan_all(batch, inner))
    finally:
        torch.set_num_threads(before)
    assert same(results[1], results[0]) and same(results[2], results[0])


def test_gradients_from_several_threads_at_once():
    expected, found = {batch: scan_all(batch) for batch in (1, 2, 3)}, {}
    before = torch.get_num_threads()

    def work(i):
        torch.set_num_threads(1 + i % 3)  # the pool of another thread may be larger
        found[i] = [scan_all(1 + i % 3) for _ in range(3)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    torch.set_num_threads(before)
    assert all(same(results, expected[1 + i % 3]) for i in range(6) for results in found[i])


def _in_child(queue):
    queue.put(all(same(scan_all(batch), scan_all(batch)) for batch in (1, 2)))
    queue.put([value.numpy() for value in scan_all(2)])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="cannot fork")
def test_a_forked_child_has_its_own_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = scan_all(2)  # the parent's pool exists when the child begins
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        child = context.Process(target=_in_child, args=(queue,))
        child.start()
        assert queue.get(timeout=60)
        found = queue.get(timeout=60)
        child.join(60)
    finally:
        torch.set_num_threads(before)
    assert child.exitcode == 0
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(found, expected, strict=True))


class _Gradients(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, i):
        return torch.cat([value.flatten() for value in scan_all(2)])


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_loader_workers_find_the_same_gradients(how):
    if how not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {how} here")
    loader = torch.utils.data.DataLoader(
        _Gradients(), batch_size=2, num_workers=1, multiprocessing_context=how, timeout=120
    )
    expected = _Gradients()[0]
    for found in next(iter(loader)):
        assert torch.equal(found, expected)


# Memory.


def allocations(work):
    """(the most that torch held at a time, its largest single request) while working, beyond what it held."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as run:
        result = work()
    events = [e for e in run.profiler.kineto_results.events() if e.name() == "[memory]"]
    sizes = [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]
    assert sizes, "the profiler saw no allocation"
    del result
    return int(np.cumsum(sizes).max()), max(sizes)


def memory_case(groups, inner, L, N, dtype, tokens_inside=True):
    channels = groups * inner

    def draw(*shape):
        value = torch.randn(shape).to(dtype)
        return value if tokens_inside else value.mT.contiguous().mT

    leaves = [draw(1, channels, L), draw(1, channels, L), -torch.rand(channels, N),
              draw(1, groups, N, L), draw(1, groups, N, L), torch.randn(channels)]  # fmt: skip
    return [leaf.requires_grad_() for leaf in leaves]


# groups, inner, tokens, states
SIZES = {"S": (4, 128, 1024, 16), "one group": (1, 512, 1024, 16), "odd states": (4, 100, 1000, 7)}


@pytest.mark.parametrize("tokens_inside", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", SIZES)
def test_forward_needs_little_more_than_its_output(size, dtype, tokens_inside):
    leaves = memory_case(*SIZES[size], dtype, tokens_inside)
    with torch.no_grad():
        selective_scan(*leaves, backend="numba")
        output = 4 * leaves[0].numel()
        peak, largest = allocations(lambda: selective_scan(*leaves, backend="numba"))
    assert largest <= 1.1 * output
    # The output, once more where the groups' channels are put side by side; 16-bit inputs are widened first.
    assert peak <= (2.1 if dtype == torch.float32 else 4.5) * output


@pytest.mark.parametrize("tokens_inside", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "size",
    [*SIZES.values(), (1, 256, 512, 64), (1, 40, 512, 256), (8, 5, 512, 32)],
    ids=[*SIZES, "64 states", "256 states", "few channels"],
)
def test_backward_needs_at_most_three_times_its_inputs_beyond_its_results(size, dtype, tokens_inside):
    leaves = memory_case(*size, dtype, tokens_inside)
    y = selective_scan(*leaves, backend="numba")
    dy = torch.randn_like(y)
    torch.autograd.grad(y, leaves, dy, retain_graph=True)
    peak, _ = allocations(lambda: torch.autograd.grad(y, leaves, dy, retain_graph=True))
    results = sum(leaf.nbytes for leaf in leaves)
    inputs = sum(4 * leaf.numel() for leaf in leaves)  # 16-bit inputs are counted as the float32 they become
    # 16-bit results are made in float32 and rounded in the end: with many states that is more than the rest.
    assert (peak - results) / inputs <= (3 if dtype == torch.float32 else 4.5)


# Any shape, any options.

DTYPES = st.sampled_from([torch.float32] * 3 + [torch.float64] * 3 + [torch.bfloat16, torch.float16])


def strided(value, how):
    """The same numbers, laid out in memory in another way."""
    if how == "permuted":
        return value.movedim(0, -1).contiguous().movedim(-1, 0)
    if how == "turned" and value.ndim > 1:
        return value.mT.contiguous().mT
    if how == "sliced":
        return value.repeat_interleave(2, -1)[..., ::2]
    if how == "part":
        return torch.nn.functional.pad(value, (3, 2))[..., 3 : 3 + value.shape[-1]]
    return value


STRIDES = st.sampled_from(["plain", "permuted", "turned", "sliced", "part", "expanded"])
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-4, torch.bfloat16: 0.02, torch.float16: 0.002}


@st.composite
def calls(draw):
    batch, groups, inner = draw(st.integers(0, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 40))
    states = draw(st.integers(1, 20) | st.sampled_from([256]))
    tokens = draw(st.integers(1, 100) | st.sampled_from([31, 32, 33, 64]))
    if states == 256:
        inner, tokens = min(inner, 3), min(tokens, 40)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    channels = groups * inner
    shapes = dict(u=(batch, channels, tokens), delta=(batch, channels, tokens), A=(channels, states))
    for name in "BC":
        shapes[name] = draw(
            st.sampled_from([(batch, groups, states, tokens), (batch, states, tokens), (channels, states)])
        )
    optional = dict(D=(channels,), z=(batch, channels, tokens), delta_bias=(channels,),
                    initial_state=(batch, channels, states))  # fmt: skip
    shapes |= {name: shape for name, shape in optional.items() if draw(st.booleans())}
    if draw(st.booleans()):
        dtypes = dict.fromkeys(shapes, draw(DTYPES))
    else:
        dtypes = {name: draw(DTYPES) for name in shapes}
    softplus = draw(st.booleans())
    values = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=generator, dtype=torch.float64)
        if name == "A" or (name in ("delta", "delta_bias") and not softplus):
            value = value.abs() * (-1 if name == "A" else 1)
        value, how = value.to(dtypes[name]), draw(STRIDES)
        if how == "expanded" and value.numel():
            axis = draw(st.integers(0, value.ndim - 1))
            value = value.narrow(axis, 0, 1).expand(value.shape)
        else:
            value = strided(value, how)
        values[name] = value
    wanted = draw(st.lists(st.sampled_from(list(values)), min_size=1, unique=True))
    return values, softplus, wanted


@given(calls())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_any_call_gives_what_the_reference_gives(call):
    values, softplus, wanted = call
    computing = torch.float64 in [values[name].dtype for name in ("u", "delta", "A")]
    # An output, and each gradient, is rounded to its own dtype; what comes before it to the computing one.
    base = TOLERANCE[torch.float64 if computing else torch.float32]
    options = dict(delta_softplus=softplus, return_last_state=True)
    given_ = {name: value.detach() for name, value in values.items()}
    exact = {name: value.detach().double().contiguous() for name, value in values.items()}
    for name in wanted:
        given_[name].requires_grad_()
        exact[name].requires_grad_()
    y, last = selective_scan(**given_, **options, backend="numba")
    expected, state = selective_scan(**exact, **options, backend="reference")
    assert y.dtype == values["u"].dtype and y.shape == expected.shape
    assert not last.requires_grad
    assert distance(y, expected) <= max(base, TOLERANCE[y.dtype])
    assert distance(last, state) <= base
    dy = torch.linspace(-1, 1, y.numel()).view(y.shape).to(y.dtype)
    found = torch.autograd.grad(y, [given_[name] for name in wanted], dy)
    right = torch.autograd.grad(
        expected, [exact[name] for name in wanted], dy.double(), materialize_grads=True
    )
    for name, a, b in zip(wanted, found, right, strict=True):
        assert a.dtype == values[name].dtype and a.shape == values[name].shape, name
        assert distance(a, b) <= max(base, TOLERANCE[a.dtype], TOLERANCE[y.dtype]), name


def distance(found, expected):
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm().clamp_min(1e-9)) if found.numel() else 0.0


@st.composite
def directions(draw):
    batch, K, L = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 80))
    inner, states = draw(st.integers(1, 40)), draw(st.integers(1, 9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def random(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    values = dict(
        x=random(batch, L, inner), delta=random(batch, K, L, inner).abs(), A=-random(K, inner, states).abs(),
        B=random(batch, K, L, states), C=random(batch, K, L, states), D=random(K, inner),
    )  # fmt: skip
    if draw(st.booleans()):
        values["delta_bias"] = random(K, inner).abs()
    values = {name: strided(value, draw(STRIDES)) for name, value in values.items()}
    reads = torch.stack([torch.randperm(L, generator=generator) for _ in range(K)]).int()
    # Few targets: several places mix in the same token.
    mixes = torch.randint(-1, max(1, L // draw(st.integers(1, 5))), (K, L), generator=generator)
    return values, reads, mixes.int(), draw(st.booleans()), draw(st.booleans())


@given(directions())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_directions_give_what_the_reference_gives(call):
    values, reads, mixes, softplus, through = call
    results = []
    for backend in ("reference", "numba"):
        leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
        y = directional_scan(
            **leaves, reads=reads, mixes=mixes, delta_softplus=softplus, through_mix=through, backend=backend
        )
        dy = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
        gradients = torch.autograd.grad(y, list(leaves.values()), dy, materialize_grads=True)
        results.append([y, *gradients])
    for name, expected, found in zip(("y", *values), *results, strict=True):
        assert distance(found, expected) < 1e-9, name


def test_a_single_direction_sends_gradients_through_its_mixes():
    """With one direction the gradient of x is not a sum over directions, and still one over mixes."""
    L, inner = 50, 20
    forth, A = torch.arange(L)[None].int(), -torch.rand(1, inner, 3)
    values = dict(delta=torch.rand(1, 1, L, inner), A=A, B=torch.randn(1, 1, L, 3),
                  C=torch.randn(1, 1, L, 3), D=torch.randn(1, inner), reads=forth,
                  mixes=forth.flip(1))  # fmt: skip
    x, gradients = torch.randn(1, L, inner, requires_grad=True), []
    for backend in ("associative", "numba"):
        y = directional_scan(x, **values, backend=backend)
        gradients.append(torch.autograd.grad(y.sum(), x)[0])
    assert distance(gradients[1], gradients[0]) < 1e-5


# Wrong input.


def selective(**change):
    good = dict(u=torch.zeros(2, 4, 8), delta=torch.zeros(2, 4, 8), A=torch.zeros(4, 3),
                B=torch.zeros(2, 3, 8), C=torch.zeros(2, 3, 8))  # fmt: skip
    return selective_scan(**good | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(u=torch.zeros(2, 8, 4)), "delta has shape"),
        (dict(u=torch.zeros(2, 8, 4), delta=torch.zeros(2, 8, 4)), "A has shape"),
        (dict(A=torch.zeros(3, 4)), "A has shape"),
        (dict(A=torch.zeros(4)), "A has shape"),
        (dict(A=-torch.rand(4, 257), B=torch.zeros(2, 257, 8), C=torch.zeros(2, 257, 8)), "A has .*256"),
        (dict(delta=torch.zeros(2, 4, 8, dtype=torch.int32)), "delta has dtype"),
        (dict(B=torch.zeros(2, 3, 8, dtype=torch.complex64)), "B is complex"),
        (dict(A=torch.zeros(4, 3, device="meta")), "A is on meta"),
        (dict(initial_state=torch.zeros(4, 3)), "initial_state has shape"),
        (dict(initial_state=torch.zeros(2, 3, 4)), "initial_state has shape"),
        (dict(B=torch.zeros(2, 3, 3, 8)), "B has shape .* groups"),
        (dict(B=torch.zeros(2, 2, 3, 8), C=torch.zeros(2, 4, 3, 8)), "B has 2 groups and C has 4"),
        (dict(delta_bias=torch.zeros(4, dtype=torch.int64)), "delta_bias has dtype"),
        (dict(D=1.0), "D must be a tensor"),
        (dict(u=torch.zeros(2, 4, 8).to(torch.float8_e4m3fn)), "u has dtype"),
    ],
)  # fmt: skip
def test_a_wrong_argument_of_selective_scan_is_named(change, message):
    with pytest.raises((ValueError, TypeError), match=f"selective_scan: {message}"):
        selective(**change)


def directional(**change):
    K, L = 2, 8
    good = dict(x=torch.zeros(2, L, 5), delta=torch.zeros(2, K, L, 5), A=torch.zeros(K, 5, 3),
                B=torch.zeros(2, K, L, 3), C=torch.zeros(2, K, L, 3), D=torch.zeros(K, 5),
                reads=torch.arange(L).expand(K, L).int(), mixes=torch.full((K, L), -1).int())  # fmt: skip
    return directional_scan(**good | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(x=torch.zeros(2, 1, 8, 5)), "x has shape"),
        (dict(x=torch.zeros(2, 5, 8)), "delta has shape"),
        (dict(x=None), "x must be a tensor"),
        (dict(A=torch.zeros(5, 3)), "A has shape"),
        (dict(A=torch.zeros(2, 5, 3, dtype=torch.complex64)), "A is complex"),
        (dict(B=torch.zeros(2, 2, 8, 3, dtype=torch.complex64)), "B is complex"),
        (dict(x=torch.zeros(2, 8, 5, dtype=torch.int64)), "x has dtype"),
        (dict(delta=torch.zeros(2, 2, 8, 5, dtype=torch.int64)), "delta has dtype"),
        (dict(A=torch.zeros(2, 5, 3, device="meta")), "A is on meta"),
        (dict(D=torch.zeros(5)), "D has shape"),
        (dict(D=None), "D must be a tensor"),
        (dict(delta_bias=[1.0]), "delta_bias must be a tensor"),
        (dict(A=-torch.rand(2, 5, 257), B=torch.zeros(2, 2, 8, 257), C=torch.zeros(2, 2, 8, 257)),
         "A has .*256"),
        (dict(reads=torch.arange(8.0).expand(2, 8)), "reads has dtype"),
        (dict(mixes=torch.zeros(2, 8)), "mixes has dtype"),
        (dict(reads=torch.zeros(2, 8, dtype=torch.int32, device="meta")), "reads is on meta"),
        (dict(reads=np.zeros((2, 8), np.int32)), "reads must be a tensor"),
    ],
)  # fmt: skip
def test_a_wrong_argument_of_directional_scan_is_named(change, message):
    with pytest.raises((ValueError, TypeError), match=f"directional_scan: {message}"):
        directional(**change)


@pytest.mark.parametrize("table", ["twice the same", "past the end", "negative", "wraps around"])
def test_reads_must_be_permutations(table):
    good = torch.arange(8).expand(2, 8).clone()
    twice = good.clone()
    twice[1, 3] = 4
    with pytest.raises((ValueError, IndexError), match="reads"):
        directional(reads=twice)  # harmless where it is not checked, so it comes before those that are not
    wrong = good.clone()
    wrong[1, 3] = {"twice the same": 4, "past the end": 8, "negative": -1, "wraps around": 2**32 + 3}[table]
    with pytest.raises((ValueError, IndexError), match="reads"):
        directional(reads=wrong)


@pytest.mark.parametrize("token", [8, 2**31 - 1])
def test_mixes_must_be_tokens(token):
    more = torch.zeros(1, 9, 5)  # one token beyond the end can be read without harm
    matrices = torch.zeros(1, 2, 8, 3)
    one = dict(x=more[:, :8], delta=torch.zeros(1, 2, 8, 5), B=matrices, C=matrices)
    mixes = torch.full((2, 8), -1).int()
    mixes[1, 3] = 8
    with pytest.raises((ValueError, IndexError), match="mixes"):
        directional(**one, mixes=mixes)
    mixes[1, 3] = token
    with pytest.raises((ValueError, IndexError), match="mixes"):
        directional(**one, mixes=mixes)
