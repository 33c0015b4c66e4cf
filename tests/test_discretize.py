"""Each rule against the differential equation itself, integrated numerically with tight tolerances."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from posemamba.discretize import (
    bilinear,
    bilinear_diagonal,
    first_order,
    first_order_diagonal,
    phi,
    zoh,
    zoh_diagonal,
)

FULL = {"zoh": zoh, "first_order": first_order, "bilinear": bilinear}
DIAGONAL = {"zoh": zoh_diagonal, "first_order": first_order_diagonal, "bilinear": bilinear_diagonal}

SYSTEMS = {
    "leak": ([[-0.7]], [[1.3]]),
    "spring": ([[0.0, 1.0], [-9.0, -0.6]], [[0.0], [1.0]]),
    "pure integrator": ([[0.0]], [[1.0]]),
    "double integrator": ([[0.0, 1.0], [0.0, 0.0]], [[0.0], [1.0]]),
    "singular, not nilpotent": ([[-1.0, 1.0], [1.0, -1.0]], [[1.0], [0.5]]),
    "growing": ([[0.4, 0.1], [0.0, 0.2]], [[1.0], [-1.0]]),
    "two inputs": ([[-1.0, 2.0, 0.0], [-2.0, -1.0, 0.5], [0.0, 0.0, -3.0]], [[1, 0], [0.5, -1], [0, 2]]),
}
EIGENVALUES = [0.3, 0.0, 1e-9, -1e-9, -1e-4, -0.5, -1.0, -4.0, -16.0]
HELD = 0.5  # seconds each input lasts


def double(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def inputs_for(B, count: int = 6) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(count, np.shape(B)[1]))


def integrate(A, B, u, held: float = HELD) -> np.ndarray:
    """The states of h' = A h + B u at the end of each held input, from h = 0, integrated input by input."""
    A, B, h, states = np.array(A, dtype=float), np.array(B, dtype=float), np.zeros(len(A)), []
    for held_input in u:
        force = B @ held_input
        run = solve_ivp(
            lambda t, h, force=force: A @ h + force, (0, held), h, method="DOP853", rtol=1e-12, atol=1e-13
        )
        h = run.y[:, -1]
        states.append(h)
    return np.array(states)


def recur(A_bar, B_bar, u, repeats: int = 1) -> np.ndarray:
    """Equation 4 with each input taken `repeats` times; the states at the end of each held input."""
    h, states = torch.zeros(A_bar.shape[0], dtype=torch.float64), []
    for held_input in torch.as_tensor(u):
        for _ in range(repeats):
            h = A_bar @ h + B_bar @ held_input
        states.append(h)
    return torch.stack(states).numpy()


def error(rule, A, B, repeats: int) -> float:
    u = inputs_for(B)
    states = recur(*rule(double(A), double(B), HELD / repeats), u, repeats)
    return float(np.abs(states - integrate(A, B, u)).max())


@pytest.mark.parametrize("name", SYSTEMS)
def test_zero_order_hold_is_exact_for_a_held_input(name):
    for repeats in (1, 3):
        assert error(zoh, *SYSTEMS[name], repeats) < 1e-9


@pytest.mark.parametrize(("rule", "order"), [("first_order", 1), ("bilinear", 2)])
@pytest.mark.parametrize("name", ["leak", "spring", "singular, not nilpotent", "growing", "two inputs"])
def test_order_of_convergence(rule, order, name):
    """Halving the step divides the error by 2 to the order."""
    errors = [error(FULL[rule], *SYSTEMS[name], repeats) for repeats in (32, 64, 128)]
    observed = np.log2(np.array(errors[:-1]) / errors[1:])
    assert errors[-1] > 1e-8  # far above the integration's own error, or the ratios would mean nothing
    np.testing.assert_allclose(observed, order, atol=0.08)


def test_diagonal_rules_against_the_integrated_equation():
    """All eigenvalues at once, zero and its neighbours among them: ZOH exact, the others by their order."""
    A, B = np.diag(EIGENVALUES), np.linspace(-1, 2, len(EIGENVALUES))[:, None]
    u = inputs_for(B)
    exact = integrate(A, B, u)
    errors = {}
    for name, rule in DIAGONAL.items():
        errors[name] = []
        for repeats in (64, 128):
            A_bar, B_bar = rule(double(EIGENVALUES), double(B[:, 0]), HELD / repeats)
            states = recur(A_bar.diag(), B_bar[:, None], u, repeats)
            errors[name].append(np.abs(states - exact).max(axis=0))
    assert max(e.max() for e in errors["zoh"]) < 1e-10
    away = (
        np.abs(EIGENVALUES) > 1e-3
    )  # where A is nearly 0 the three rules agree and nothing is left to halve
    for name, order in (("first_order", 1), ("bilinear", 2)):
        coarse, fine = errors[name]
        assert coarse[~away].max() < 1e-4
        np.testing.assert_allclose(np.log2(coarse / fine)[away], order, atol=0.1)


@pytest.mark.parametrize("name", FULL)
@settings(deadline=None, max_examples=30)
@given(
    A=st.lists(st.one_of(st.floats(-20, 1), st.floats(-1e-6, 1e-6)), min_size=1, max_size=5),
    step=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_diagonal_and_full_forms_agree(name, A, step, seed):
    # torch.linalg.matrix_exp keeps eight digits: of A = -5 and a step of 1/128 the ninth is wrong.
    A, B = double(A), torch.randn(len(A), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    A_bar, B_bar = DIAGONAL[name](A, B, step)
    full_A_bar, full_B_bar = FULL[name](A.diag(), B[:, None], step)
    torch.testing.assert_close(A_bar.diag(), full_A_bar, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(B_bar[:, None], full_B_bar, rtol=1e-8, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(first=st.floats(0, 2), second=st.floats(0, 2), seed=st.integers(0, 99))
def test_two_holds_in_a_row_are_one_long_hold(first, second, seed):
    """Only an exact rule can pass: A is random and of rank 2 in 3 dimensions."""
    normal = torch.Generator().manual_seed(seed)
    left, right, B = (torch.randn(*shape, generator=normal).double() for shape in ((3, 2), (2, 3), (3, 2)))
    A = left @ right
    A_1, B_1 = zoh(A, B, first)
    A_2, B_2 = zoh(A, B, second)
    A_12, B_12 = zoh(A, B, first + second)
    scale = float(A_12.abs().max()) * 1e-10 + 1e-10
    torch.testing.assert_close(A_2 @ A_1, A_12, rtol=1e-9, atol=scale)
    torch.testing.assert_close(A_2 @ B_1 + B_2, B_12, rtol=1e-9, atol=scale)


@settings(deadline=None, max_examples=200)
@given(
    sign=st.sampled_from([-1.0, 1.0]),
    x=st.one_of(st.floats(0, 40), st.floats(-12, 1.5).map(lambda power: 10.0**power), st.just(0.0)),
)
def test_phi_and_its_derivative_to_the_last_digits(sign, x):
    """Against 60-digit decimal arithmetic."""
    x = sign * x
    at = double(x).requires_grad_()
    value = phi(at)
    (slope,) = torch.autograd.grad(value, at)
    with localcontext() as context:
        context.prec = 60
        d = Decimal(x)
        if abs(d) < Decimal("1e-8"):  # three terms of the series are exact to 1e-24 here
            exact, exact_slope = 1 + d / 2 + d * d / 6, Decimal("0.5") + d / 3 + d * d / 8
        else:
            exact, exact_slope = (d.exp() - 1) / d, (d.exp() * d - d.exp() + 1) / (d * d)
    assert value.item() == pytest.approx(float(exact), rel=2e-15, abs=0)
    assert slope.item() == pytest.approx(float(exact_slope), rel=8e-15, abs=0)


def test_float32_near_zero_keeps_its_digits():
    A = torch.tensor([0.0, -1e-8, 1e-8, -1e-4, -1e-3, -0.3, -0.7, -16.0])
    _, B_bar = zoh_diagonal(A, torch.ones_like(A), 0.1)
    _, exact = zoh(A.double().diag(), torch.ones(len(A), 1, dtype=torch.float64), 0.1)
    torch.testing.assert_close(B_bar.double(), exact[:, 0], rtol=3e-7, atol=0)


@pytest.mark.parametrize("name", FULL)
def test_gradients(name):
    """Right by finite differences, and finite where A is 0 or singular."""
    A = double([0.0, 1e-9, -1e-3, -0.4, -5.0]).requires_grad_()
    B, step = double([1.0, -2.0, 0.5, 1.0, 3.0]).requires_grad_(), double([0.3, 0.8]).requires_grad_()
    assert torch.autograd.gradcheck(DIAGONAL[name], (A, B, step))
    assert torch.autograd.gradgradcheck(DIAGONAL[name], (A, B, step))
    for system in ("spring", "double integrator", "singular, not nilpotent"):
        A, B = (double(value).requires_grad_() for value in SYSTEMS[system])
        assert torch.autograd.gradcheck(FULL[name], (A, B, step))
    A = torch.zeros(4, requires_grad=True)
    sum(value.sum() for value in DIAGONAL[name](A, torch.ones(4), 0.0)).backward()
    assert torch.isfinite(A.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", FULL)
def test_every_floating_type(name, dtype):
    """Half precision is rounded once, so the result is within one unit of its last place."""
    A, B = double(SYSTEMS["spring"][0]).to(dtype), double(SYSTEMS["spring"][1]).to(dtype)
    diagonal = double(EIGENVALUES).to(dtype), torch.ones(len(EIGENVALUES), dtype=dtype)
    for rule, arguments in ((FULL[name], (A, B)), (DIAGONAL[name], diagonal)):
        results = rule(*arguments, 0.25)
        for found, exact in zip(results, rule(*(a.double() for a in arguments), 0.25), strict=True):
            assert found.dtype == dtype
            eps = max(torch.finfo(dtype).eps, 1e-15)
            torch.testing.assert_close(found.double(), exact, rtol=8 * eps, atol=4 * eps)


def test_leading_axes_broadcast():
    """A for all tokens, B and the step for each; and a batch of full systems, one by one."""
    normal = torch.Generator().manual_seed(0)
    A, B = -torch.rand(4, generator=normal), torch.randn(5, 4, generator=normal)
    step = torch.rand(5, generator=normal)
    for rule in DIAGONAL.values():
        A_bar, B_bar = rule(A, B, step)
        assert A_bar.shape == B_bar.shape == (5, 4)
        for token in range(5):
            one = rule(A, B[token], step[token])
            torch.testing.assert_close((A_bar[token], B_bar[token]), one)
    A, B = torch.randn(2, 1, 3, 3, generator=normal), torch.randn(5, 3, 1, generator=normal)
    for rule in FULL.values():
        A_bar, B_bar = rule(A, B, step)
        assert A_bar.shape == (2, 5, 3, 3) and B_bar.shape == (2, 5, 3, 1)
        one = rule(A[1, 0], B[2], step[2])
        torch.testing.assert_close((A_bar[1, 2], B_bar[1, 2]), one, rtol=1e-4, atol=1e-5)


def test_a_spring_in_its_own_coordinates_is_two_complex_leaks():
    A, B = (double(value) for value in SYSTEMS["spring"])
    eigenvalues, V = torch.linalg.eig(A)
    assert eigenvalues.imag.abs().min() > 0
    for name in FULL:
        leaks, writes = DIAGONAL[name](eigenvalues, torch.linalg.solve(V, B.to(V.dtype))[:, 0], 0.2)
        A_bar, B_bar = FULL[name](A, B, 0.2)
        torch.testing.assert_close((V @ leaks.diag() @ torch.linalg.inv(V)).real, A_bar)
        torch.testing.assert_close((V @ writes[:, None]).real, B_bar)


@settings(deadline=None, max_examples=50)
@given(A=st.floats(-100, -1e-3), step=st.floats(1e-3, 100))
def test_a_leak_never_grows(A, step):
    """|A_bar| < 1 at every step for all three rules (1 + A step is not, from |A step| = 2 on)."""
    for rule in DIAGONAL.values():
        A_bar, _ = rule(double([A]), double([1.0]), step)
        assert abs(A_bar.item()) < 1
    _, exact = zoh_diagonal(double([A]), double([1.0]), step)
    _, papers = first_order_diagonal(double([A]), double([1.0]), step)
    assert 0 < exact.item() <= 1 / abs(A) * (1 + 1e-12)
    assert papers.item() / exact.item() == pytest.approx(-A * step / -np.expm1(A * step), rel=1e-9, abs=0)


def test_step_zero_changes_nothing():
    for rule in DIAGONAL.values():
        A_bar, B_bar = rule(double(EIGENVALUES), torch.ones(len(EIGENVALUES), dtype=torch.float64), 0)
        assert A_bar.eq(1).all() and B_bar.eq(0).all()


@pytest.mark.parametrize(
    ("rule", "A", "B", "message"),
    [
        (zoh, torch.zeros(2, 3), torch.zeros(2, 1), r"A must have shape \(\*batch, N, N\), found \(2, 3\)"),
        (bilinear, torch.zeros(2, 2), torch.zeros(2), r"B must have shape .* found \(2,\)"),
        (first_order, torch.zeros(2, 2), torch.zeros(3, 1), r"B must have shape \(\*batch, 2, inputs\)"),
        (
            zoh_diagonal,
            torch.zeros(3),
            torch.zeros(1, 2),
            r"same number of states, found \(3,\) and \(1, 2\)",
        ),
    ],
)
def test_wrong_shapes_are_named(rule, A, B, message):
    with pytest.raises(ValueError, match=message):
        rule(A, B, 0.1)


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match=r"A must be a floating-point tensor, found torch.int64"):
        zoh(torch.ones(1, 1, dtype=torch.int64), torch.ones(1, 1), 0.1)
    with pytest.raises(TypeError, match="B must be a floating-point tensor, found list"):
        zoh_diagonal(torch.ones(1), [1.0], 0.1)
