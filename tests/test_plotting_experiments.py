"""Experiments with several seeds."""

import numpy as np
import pytest
from scipy import stats

from posemamba.plotting.experiments import mean_interval, seeds


def test_the_interval_is_students():
    values = np.random.default_rng(0).normal(size=5)
    mean, low, high = mean_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert mean == pytest.approx(values.mean())
    with pytest.raises(ValueError, match="expected at least two numbers"):
        mean_interval([1.0])


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    held = [low < 3 < high for _, low, high in (mean_interval(rng.normal(3, 2, 5)) for _ in range(2000))]
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_every_seed_and_mean_is_drawn():
    figure = seeds({"one": [1.0, 2.0, 3.0], "two": [5.0, 5.0]}, "error (mm)", "Two rows", zero=True)
    dots = [list(trace.x) for trace in figure.data if trace.mode == "markers"]
    assert dots == [[1, 2, 3], [2], [5, 5], [5]]
    assert "one 2.00" in figure.layout.meta["alt"]
    assert figure.layout.yaxis.autorange == "reversed"
    with pytest.raises(ValueError, match="rows is empty"):
        seeds({}, "error (mm)")
    with pytest.raises(ValueError, match="at least two"):
        seeds({"one": [1.0]}, "error (mm)")
