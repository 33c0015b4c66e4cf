"""Every backend against the definition, which is written once more here, in float64 numpy."""

import itertools
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posemamba import orders
from posemamba.scan import associative_scan, directional_scan, selective_scan

BACKENDS = ("reference", "associative", "numba")
SHAPES = [(2, 2, 5, 37, 3), (1, 1, 40, 18, 16), (2, 4, 16, 33, 4), (1, 3, 2, 1, 1)]


def arguments(batch, groups, inner, tokens, state, constant="", dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    channels = groups * inner
    varying = (batch, groups, state, tokens)
    values = dict(u=draw(batch, channels, tokens), delta=draw(batch, channels, tokens).abs() * 0.5)
    values["A"] = -draw(channels, state).abs() * 2
    for name in "BC":
        values[name] = draw(channels, state) if name in constant else draw(*varying)
    values["D"] = draw(channels)
    return {name: value.requires_grad_() for name, value in values.items()}


def definition(u, delta, A, B, C, D, z=None, delta_bias=None, delta_softplus=False):
    """Loops over everything, in numpy."""
    values = (
        None if v is None else v.detach().double().numpy() for v in (u, delta, A, B, C, D, z, delta_bias)
    )
    u, delta, A, B, C, D, z, bias = values
    if bias is not None:
        delta = delta + bias[:, None]
    if delta_softplus:
        delta = np.log1p(np.exp(delta))
    (batch, channels, tokens), state = u.shape, A.shape[1]
    y, h = np.zeros_like(u), np.zeros((batch, channels, state))

    def at(M, b, c, i):
        if M.ndim == 2:
            return M[c]
        return M[b, :, i] if M.ndim == 3 else M[b, c // (channels // M.shape[1]), :, i]

    for b, i, c in itertools.product(range(batch), range(tokens), range(channels)):
        h[b, c] = np.exp(delta[b, c, i] * A[c]) * h[b, c] + delta[b, c, i] * at(B, b, c, i) * u[b, c, i]
        y[b, c, i] = at(C, b, c, i) @ h[b, c] + D[c] * u[b, c, i]
        if z is not None:
            y[b, c, i] *= z[b, c, i] / (1 + np.exp(-z[b, c, i]))
    return y, h


def relative(found, expected) -> float:
    found, expected = (torch.as_tensor(v).detach().double() for v in (found, expected))
    return float((found - expected).norm() / expected.norm().clamp_min(1e-300))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("constant", ["", "B", "C", "BC"])
@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_and_last_state_are_the_definitions(backend, constant, shape):
    values = arguments(*shape, constant=constant)
    y, last = selective_scan(**values, return_last_state=True, backend=backend)
    expected, state = definition(**values)
    assert relative(y, expected) < 1e-12
    assert relative(last, state) < 1e-12
    assert not last.requires_grad


@pytest.mark.parametrize("backend", ("associative", "numba"))
@pytest.mark.parametrize("constant", ["", "B", "C", "BC"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_the_references(backend, constant, shape):
    values = arguments(*shape, constant=constant)
    weight = torch.randn_like(values["u"])
    gradients = [
        torch.autograd.grad(
            (selective_scan(**values, backend=name) * weight).sum(),
            list(values.values()),
            materialize_grads=True,
        )
        for name in ("reference", backend)
    ]
    for name, expected, found in zip(values, *gradients, strict=True):
        assert relative(found, expected) < 1e-11, name


def test_the_reference_gradient_is_the_numerical_one():
    values = arguments(1, 2, 2, 4, 2)
    assert torch.autograd.gradcheck(
        lambda *v: selective_scan(*v, backend="reference"), tuple(values.values())
    )


@pytest.mark.parametrize("shape", [(2, 2, 5, 37, 3), (1, 4, 33, 300, 16)])
def test_float32_kernels_stay_close_to_float64(shape):
    exact = arguments(*shape)
    single = {name: value.detach().float().requires_grad_() for name, value in exact.items()}
    weight = torch.randn_like(exact["u"])
    y, found = selective_scan(**exact, backend="reference"), selective_scan(**single, backend="numba")
    assert relative(found, y) < 1e-6
    expected = torch.autograd.grad((y * weight).sum(), list(exact.values()))
    gradients = torch.autograd.grad((found * weight.float()).sum(), list(single.values()))
    for name, a, b in zip(exact, gradients, expected, strict=True):
        assert relative(a, b) < 2e-6, name


@pytest.mark.parametrize("backend", BACKENDS)
def test_gate_bias_and_softplus(backend):
    values = arguments(2, 1, 6, 20, 4)
    options = dict(
        z=torch.randn_like(values["u"]), delta_bias=torch.randn(6, dtype=torch.float64), delta_softplus=True
    )
    y = selective_scan(**values, **options, backend=backend)
    assert relative(y, definition(**values, **options)[0]) < 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
def test_groupless_b_and_c_and_mixed_forms(backend):
    values = arguments(2, 1, 6, 20, 4)
    plain = {**values, "B": values["B"][:, 0], "C": values["C"][:, 0]}
    assert (
        relative(selective_scan(**plain, backend=backend), selective_scan(**values, backend="reference"))
        < 1e-12
    )
    wide = arguments(2, 3, 2, 20, 4)
    wide["B"] = plain["B"]  # shared B, grouped C
    assert relative(selective_scan(**wide, backend=backend), definition(**wide)[0]) < 1e-12


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_is_computed_in_float32(dtype, backend):
    values = {name: value.detach().to(dtype) for name, value in arguments(2, 2, 4, 50, 8).items()}
    y = selective_scan(**values, backend=backend)
    assert y.dtype == dtype
    assert relative(y, definition(**values)[0]) < (0.004 if dtype == torch.bfloat16 else 0.0005)


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_strides(backend):
    values = arguments(2, 2, 4, 12, 3)
    y = selective_scan(**values, backend=backend)
    strided = {name: value.detach() for name, value in values.items()}
    strided["u"] = strided["u"].permute(2, 0, 1).contiguous().permute(1, 2, 0)
    strided["B"] = torch.stack([strided["B"], strided["B"]], -1)[..., 0]
    strided["delta"] = strided["delta"].flip(1).contiguous().flip(1)
    assert torch.allclose(selective_scan(**strided, backend=backend), y)
    strided["u"] = torch.ones(2, 1, 1, dtype=torch.float64).expand(2, 8, 12)
    assert relative(selective_scan(**strided, backend=backend), definition(**strided)[0]) < 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(0, 1, 3, 5, 2), (2, 1, 3, 0, 2)])
def test_empty_inputs_give_empty_outputs(backend, shape):
    values = arguments(*shape)
    y = selective_scan(**values, backend=backend)
    assert y.shape == values["u"].shape
    y.sum().backward()


@pytest.mark.parametrize("backend", BACKENDS)
def test_very_long_and_very_short_memories(backend):
    """Steps from 0 to huge: the state keeps everything, or forgets at once, and nothing overflows."""
    values = {name: value.detach().float() for name, value in arguments(1, 1, 4, 64, 4).items()}
    values["delta"] = torch.tensor([0.0, 1e-30, 50.0, 1e4])[None, :, None].expand(1, 4, 64).contiguous()
    y = selective_scan(**values, backend=backend)
    assert torch.isfinite(y).all()
    assert relative(y, definition(**values)[0]) < 1e-6


def test_nan_in_stays_nan_out():
    values = {name: value.detach().float() for name, value in arguments(1, 1, 4, 20, 4).items()}
    values["u"][0, 1, 5] = float("nan")
    y = selective_scan(**values, backend="numba")
    assert torch.isnan(y[0, 1, 5:]).all()
    assert torch.isfinite(y[0, 1, :5]).all()
    assert torch.isfinite(y[0, [0, 2, 3]]).all()


@pytest.mark.parametrize("name", ["A", "delta", "B", "C", "D"])
def test_nan_anywhere_is_nan_in_the_output(name):
    values = {key: value.detach().float() for key, value in arguments(1, 1, 4, 20, 4).items()}
    values[name].view(-1)[0] = float("nan")
    found, expected = (torch.isnan(selective_scan(**values, backend=b)) for b in ("numba", "reference"))
    assert expected.any()
    assert torch.equal(found, expected)


@given(st.integers(1, 70), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_the_tree_is_the_loop(tokens, seed):
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 3, tokens, generator=generator, dtype=torch.float64)
    h, states = torch.zeros(3, dtype=torch.float64), []
    for i in range(tokens):
        h = a[:, i] * h + b[:, i]
        states.append(h)
    assert torch.allclose(associative_scan(a, b), torch.stack(states, -1), rtol=1e-10, atol=1e-10)


def test_the_number_of_threads_changes_nothing():
    values = {
        name: value.detach().float().requires_grad_() for name, value in arguments(2, 4, 70, 90, 16).items()
    }
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            y = selective_scan(**values, backend="numba")
            results.append([y, *torch.autograd.grad(y.square().sum(), list(values.values()))])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_several_threads_may_scan_at_once():
    values = {name: value.detach().float() for name, value in arguments(2, 4, 30, 200, 8).items()}
    expected, found = selective_scan(**values, backend="numba"), [None] * 6

    def work(i):
        found[i] = selective_scan(**values, backend="numba")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(y, expected) for y in found)


class _Scans(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        values = {name: value.detach().float() for name, value in arguments(1, 2, 20, 40, 4, seed=i).items()}
        return selective_scan(**values, backend="numba")[0]


def test_loader_workers_may_scan():
    data = _Scans()
    expected = torch.stack([data[i] for i in range(4)])  # the parent has used its threads before it forks
    found = next(iter(torch.utils.data.DataLoader(data, batch_size=4, num_workers=1)))
    assert torch.equal(found, expected)


def test_there_is_no_second_derivative():
    values = {
        name: value.detach().float().requires_grad_() for name, value in arguments(1, 1, 2, 5, 2).items()
    }
    y = selective_scan(**values, backend="numba")
    (gradient,) = torch.autograd.grad(y.square().sum(), values["u"], create_graph=True)
    with pytest.raises(NotImplementedError, match="cannot be differentiated once more"):
        gradient.sum().backward()


@pytest.mark.parametrize("strategy", list(orders.STRATEGIES))
@pytest.mark.parametrize("through", [True, False])
def test_directional_scan_is_arrange_scan_merge(strategy, through):
    frames, joints, inner, state, K = 5, 17, 19, 3, 4
    reads, mixes = orders.tables(strategy, frames, joints)
    L = frames * joints
    x = torch.randn(2, L, inner, dtype=torch.float64, requires_grad=True)
    raw = torch.randn(2, K, L, inner, dtype=torch.float64, requires_grad=True)
    A = (-torch.rand(K, inner, state, dtype=torch.float64)).requires_grad_()
    B, C = (torch.randn(2, K, L, state, dtype=torch.float64, requires_grad=True) for _ in range(2))
    D = torch.randn(K, inner, dtype=torch.float64, requires_grad=True)
    leaves = (x, raw, A, B, C, D)
    weight = torch.randn(2, L, inner, dtype=torch.float64)

    sequences = orders.arrange(x, strategy, frames, "exact" if through else "released")  # (b, K, L, inner)
    ordered = [torch.stack([v[:, k, reads[k].long()] for k in range(K)], 1) for v in (raw, B, C)]
    u, delta = sequences.mT.flatten(1, 2), ordered[0].mT.flatten(1, 2)
    matrices, options = (ordered[1].mT, ordered[2].mT), dict(delta_softplus=True, backend="reference")
    y = selective_scan(u, delta, A.flatten(0, 1), *matrices, D=D.flatten(), **options)
    expected = orders.merge(y.unflatten(1, (K, inner)).mT, strategy, frames)
    gradients = torch.autograd.grad((expected * weight).sum(), leaves)
    for backend in ("numba", "associative"):
        found = directional_scan(
            *leaves, reads, mixes, delta_softplus=True, through_mix=through, backend=backend
        )
        assert relative(found, expected) < 1e-12
        for a, b in zip(torch.autograd.grad((found * weight).sum(), leaves), gradients, strict=True):
            assert relative(a, b) < 1e-10


def test_the_kernels_keep_states_at_tiles_only():
    """What autograd holds for the backward pass is a small multiple of the inputs, and never (L, channels,
    N).
    """
    values = {
        name: value.detach().float().requires_grad_() for name, value in arguments(1, 4, 64, 512, 16).items()
    }
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        selective_scan(**values, backend="numba")
    inputs = sum(value.nbytes for value in values.values())
    assert sum(kept.values()) < 3 * inputs
    assert max(kept.values()) < 4 * 64 * 512 * 16 * 4 / 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(delta=torch.zeros(1, 4, 7)), "delta has shape"),
        (dict(A=torch.zeros(3, 2)), "A has shape"),
        (dict(B=torch.zeros(1, 3, 2, 8)), "B has shape"),
        (dict(C=torch.zeros(1, 5, 8)), "C has shape"),
        (dict(D=torch.zeros(5)), "D has shape"),
        (dict(z=torch.zeros(1, 4, 9)), "z has shape"),
        (dict(u=torch.zeros(4, 8)), "u has shape"),
        (dict(backend="cuda"), "unknown backend 'cuda'"),
        (dict(A=torch.zeros(4, 2, dtype=torch.complex64)), "complex"),
        (dict(u=torch.zeros(1, 4, 8, dtype=torch.int64)), "dtype"),
        (dict(u=[1.0]), "must be a tensor"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    good = dict(
        u=torch.zeros(1, 4, 8),
        delta=torch.zeros(1, 4, 8),
        A=torch.zeros(4, 2),
        B=torch.zeros(1, 2, 8),
        C=torch.zeros(1, 2, 8),
    )
    with pytest.raises((ValueError, TypeError), match=message):
        selective_scan(**{**good, **change})
