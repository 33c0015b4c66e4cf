"""The kernels' own exponential."""

import numpy as np
import pytest
from numba import njit

from posemamba.scan.lanes import COEFFICIENTS, LANES, exp2, load, store, total


@njit
def _powers(t, out):
    for row in range(len(t)):
        store(out, row, 0, exp2(load(t, row, 0)))


@njit
def _sums(values):
    return total(load(values, 0, 0) * np.float32(2) + load(values, 0, 0) - load(values, 1, 0))


def power(t):
    t = np.asarray(t, np.float32)
    padded = np.zeros((-(-t.size // LANES), LANES), np.float32)
    padded.flat[: t.size] = t
    out = np.empty_like(padded)
    _powers(padded, out)
    return out.ravel()[: t.size]


def test_relative_error_is_below_three_in_ten_million():
    t = np.concatenate(
        [np.linspace(-126, 127.99, 400_000), -np.geomspace(1e-30, 1, 20_000), np.geomspace(1e-30, 1, 20_000)]
    )
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


def test_lanes_add_up():
    values = np.arange(2 * LANES, dtype=np.float32).reshape(2, LANES)
    assert _sums(values) == 3 * values[0].sum() - values[1].sum()
