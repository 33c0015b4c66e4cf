"""Statistics of runs over seeds, held to scipy's and to what simulated runs do."""

import numpy as np
import pytest
from scipy import stats

from posemamba.experiments import mean_interval, paired, pairs_for_power, power, sign_flip_p


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


@pytest.mark.parametrize("n", [3, 7, 12])
def test_a_paired_difference_is_scipys(n):
    rng = np.random.default_rng(n)
    values, others = rng.normal(50, 2, n), rng.normal(49, 2, n)
    found, expected = paired(values, others), stats.ttest_rel(values, others)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    flipped = stats.permutation_test(
        (values - others,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert found.p == pytest.approx(flipped.pvalue)
    assert (found.n, found.sd) == (n, pytest.approx(np.std(values - others, ddof=1)))


def test_many_pairs_flip_a_sample_of_the_signs():
    differences = np.random.default_rng(2).normal(0.3, 1, 40)
    assert sign_flip_p(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)
    assert sign_flip_p(np.ones(40)) == 1e-5
    assert sign_flip_p(differences) == sign_flip_p(differences)


def test_power_is_what_simulated_pairs_reach():
    rng = np.random.default_rng(3)
    runs = rng.normal(2.0, 2.03, size=(20_000, 7))
    seen = (stats.ttest_1samp(runs, 0, axis=1).pvalue < 0.05).mean()
    assert power(2.0, 2.03, 7) == pytest.approx(seen, abs=0.01)
    assert power(-2.0, 2.03, 7) == power(2.0, 2.03, 7)
    assert power(0.0, 1.0, 9) == pytest.approx(0.05)
    assert power(1.0, 2.0, 7, level=0.9) > power(1.0, 2.0, 7)


def test_the_pairs_that_a_table_of_0_6_mm_takes():
    """An interval's half-width is no power: 46 pairs see 0.6 mm every second time."""
    sd = 2.03  # of global-local minus bidirectional in the book's sweep
    assert power(0.6, sd, 46) == pytest.approx(0.5, abs=0.01)
    needed = pairs_for_power(0.6, sd, 0.8)
    assert needed == pytest.approx(91, abs=2)
    assert power(0.6, sd, needed) >= 0.8 > power(0.6, sd, needed - 1)
    assert power(2.6, sd, 7) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: paired([1, 2], [1, 2, 3]), r"values has shape \(2,\) and others \(3,\)"),
        (lambda: paired([1], [1]), "at least two numbers"),
        (lambda: power(1, 1, 1), "n is 1 and sd is 1, expected at least 2 pairs"),
        (lambda: power(1, 0, 5), "an sd above 0"),
        (lambda: pairs_for_power(0, 1), "difference is 0"),
        (lambda: pairs_for_power(1, 1, 1.0), "between 0 and 1"),
        (lambda: pairs_for_power(1e-6, 1), "more than a million pairs"),
    ],
)
def test_what_cannot_be_answered_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
