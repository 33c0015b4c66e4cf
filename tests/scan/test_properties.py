"""Scans of any shape, with any options, dtypes and strides, against the reference in float64."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posemamba.scan import directional_scan, selective_scan

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
    optional = dict(D=(channels,), z=(batch, channels, tokens), delta_bias=(channels,))
    optional["initial_state"] = (batch, channels, states)
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

    values = dict(x=random(batch, L, inner), delta=random(batch, K, L, inner).abs())
    values |= dict(A=-random(K, inner, states).abs(), B=random(batch, K, L, states))
    values |= dict(C=random(batch, K, L, states), D=random(K, inner))
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
    values = dict(delta=torch.rand(1, 1, L, inner), A=A, B=torch.randn(1, 1, L, 3))
    values |= dict(C=torch.randn(1, 1, L, 3), D=torch.randn(1, inner), reads=forth, mixes=forth.flip(1))
    x, gradients = torch.randn(1, L, inner, requires_grad=True), []
    for backend in ("associative", "numba"):
        y = directional_scan(x, **values, backend=backend)
        gradients.append(torch.autograd.grad(y.sum(), x)[0])
    assert distance(gradients[1], gradients[0]) < 1e-5
