"""The kernels' own exponential."""

import numpy as np
import pytest
from numba import njit

from posemamba.scan.cpu.exponentials import COEFFICIENTS, SAFE, decay, exp2, sigmoid, softplus
from posemamba.scan.cpu.lanes import LANES, larger, largest, load, spread, store, totals, transpose


def mapped(function):
    """A function of one vector as a function of an array of numbers."""

    @njit(fastmath={"contract"})
    def rows(values, out):
        for row in range(len(values)):
            store(out, row, 0, function(load(values, row, 0)))

    def call(values, dtype=np.float32):
        values = np.asarray(values, dtype)
        padded = np.zeros((-(-values.size // LANES), LANES), dtype)
        padded.flat[: values.size] = values
        out = np.empty_like(padded)
        rows(padded, out)
        return out.ravel()[: values.size]

    return call


power, soft, slope = mapped(exp2), mapped(softplus), mapped(sigmoid)


@njit
def half_decay(t):
    return decay(t, spread(np.float32(0.5)))


NEAR_ZERO = np.geomspace(1e-30, 1, 20_000)


def test_relative_error_is_below_three_in_ten_million():
    t = np.concatenate([np.linspace(-126, 127.99, 400_000), -NEAR_ZERO, NEAR_ZERO])
    t = t.astype(np.float32)
    exact = np.exp2(t.astype(np.float64))
    assert np.abs(power(t) / exact - 1).max() < 3e-7


def test_the_ends_are_clean():
    assert power([0.0, -0.0]).tolist() == [1.0, 1.0]
    assert power([-np.inf, -1e30, -127.0]).tolist() == [0.0, 0.0, 0.0]
    assert power([128.0, 1e30, np.inf]).tolist() == [np.inf] * 3
    assert np.isnan(power([np.nan, -np.nan])).all()
    assert power([1.0, -1.0, 10.0, -20.0]).tolist() == pytest.approx([2, 0.5, 1024, 2.0**-20], rel=3e-7)


def test_the_polynomial_is_near_the_best_of_its_degree():
    """2^g on [-1/2, 1/2]: no polynomial of degree 5 gets below about 7e-8."""
    g = np.linspace(-0.5, 0.5, 10_001)
    value = 1 + sum(c * g ** (i + 1) for i, c in enumerate(COEFFICIENTS))
    assert np.abs(value / np.exp2(g) - 1).max() < 1.2e-7


def test_the_cheaper_form_is_as_accurate_where_it_is_used():
    """Only rounding in the polynomial is left: the product of step and rate is never rounded."""
    t = np.concatenate([np.linspace(-2 * SAFE, 2 * SAFE, 400_000), -NEAR_ZERO, NEAR_ZERO]).astype(np.float32)
    exact = np.exp2(t.astype(np.float64) / 2)
    assert np.abs(mapped(half_decay)(t) / exact - 1).max() < 2e-7
    assert mapped(half_decay)([0.0, -0.0]).tolist() == [1.0, 1.0]


def test_softplus_and_its_slope():
    x = np.concatenate([np.linspace(-86, 120, 400_000), -NEAR_ZERO, NEAR_ZERO]).astype(np.float32)
    exact = x.astype(np.float64)
    assert np.abs(soft(x) / np.logaddexp(0, exact) - 1).max() < 4e-7
    assert np.abs(slope(x) * (1 + np.exp(-exact)) - 1).max() < 4e-7
    assert soft([-np.inf, np.inf, 0.0, 200.0]).tolist() == pytest.approx([0, np.inf, np.log(2), 200])
    assert slope([-np.inf, np.inf, 0.0]).tolist() == [0, 1, 0.5]
    assert np.isnan(soft([np.nan])).all() and np.isnan(slope([np.nan])).all()
    assert np.abs(soft(exact, np.float64) / np.logaddexp(0, exact) - 1).max() < 1e-14
    assert np.abs(slope(exact, np.float64) * (1 + np.exp(-exact)) - 1).max() < 1e-14


@njit
def _turn(source, out):
    transpose(source, 3, 2, out, 1)


@njit
def _totals(rows, out):
    store(out, 0, 0, totals(rows, 1))


@njit
def _largest(rows):
    return largest(larger(load(rows, 0, 0), load(rows, 1, 0)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squares_turn_over_and_rows_add_up(dtype):
    numbers = np.random.default_rng(0).standard_normal((LANES + 5, LANES + 9)).astype(dtype)
    turned = np.zeros((LANES + 1, LANES), dtype)
    _turn(numbers, turned)
    assert np.array_equal(turned[1:], numbers[3 : LANES + 3, 2 : LANES + 2].T) and not turned[0].any()
    rows, sums = np.ascontiguousarray(numbers[:, :LANES]), np.zeros((1, LANES), dtype)
    _totals(rows, sums)
    assert sums[0] == pytest.approx(rows[1 : LANES + 1].sum(1), abs=1e-5)


def test_the_largest_magnitude_sees_signs_infinities_and_nan():
    rows = np.random.default_rng(0).standard_normal((2, LANES)).astype(np.float32)
    assert _largest(rows) == np.abs(rows).max()
    rows[1, 5] = -np.inf
    assert _largest(rows) == np.inf
    rows[0, 3] = -np.nan
    assert np.isnan(_largest(rows))
