"""Statistics of runs over seeds: means, paired differences, and how small a difference would have been seen.

Two arms that were trained with the same seeds are compared seed by seed. All intervals and powers are of
Student's t (1908); the p value makes no use of the bell curve.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import nctdtr, stdtrit


@dataclass(frozen=True)
class PairedDifference:
    """How far one arm lies from another, over the seeds that both have.

    Attributes:
        mean, low, high: of the differences, and the interval for their true mean; in the values' unit.
        p: of the sign-flip test, which takes each difference to be as likely d as -d.
        n: pairs.
        sd: standard deviation of the differences, what `power` asks for.
    """

    mean: float
    low: float
    high: float
    p: float
    n: int
    sd: float


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """(mean, low, high): the mean of two or more independent numbers, and Student's t interval for it.

    Args:
        values: roughly normal; the results have their unit.
        level: how often such an interval holds the true mean.

    Raises:
        ValueError: for fewer than two values.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values has shape {values.shape}, expected at least two numbers.")
    middle, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
    half = stdtrit(len(values) - 1, 0.5 + level / 2) * error
    return float(middle), float(middle - half), float(middle + half)


def paired(values: Sequence[float], others: Sequence[float], level: float = 0.95) -> PairedDifference:
    """The difference values - others, pair by pair: both hold a number for each seed, in the same order.

    Raises:
        ValueError: for other than one number each, and for fewer than two pairs.
    """
    values, others = np.asarray(values, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if values.shape != others.shape:
        raise ValueError(f"values has shape {values.shape} and others {others.shape}, expected one shape.")
    differences = values - others
    interval, sd = mean_interval(differences, level), float(differences.std(ddof=1))
    return PairedDifference(*interval, sign_flip_p(differences), len(differences), sd)


def sign_flip_p(differences: Sequence[float]) -> float:
    """How often flipped signs bring the mean at least as far from 0 as it is.

    All 2^n patterns are tried up to 16 pairs, and 100,000 drawn ones (always the same) above.
    """
    differences = np.asarray(differences, dtype=np.float64)
    n = len(differences)
    if n <= 16:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        signs = np.random.default_rng(0).choice([-1, 1], size=(100_000, n))
        signs[0] = 1  # the pattern that was measured is one of them: p is never 0
    return float(np.mean(np.abs(signs @ differences) >= abs(differences.sum()) * (1 - 1e-12)))


def power(difference: float, sd: float, n: int, level: float = 0.95) -> float:
    """How often n pairs show a true difference, that is, have an interval without 0 (noncentral t).

    Args:
        difference, sd: true mean and standard deviation of the paired differences, in one unit.
        n: pairs, 2 or more.
        level: of the interval.

    Raises:
        ValueError: for fewer than two pairs, and for an sd that is not positive.
    """
    if n < 2 or not sd > 0:
        raise ValueError(f"n is {n} and sd is {sd}, expected at least 2 pairs and an sd above 0.")
    shift, edge = abs(difference) / sd * np.sqrt(n), stdtrit(n - 1, 0.5 + level / 2)
    wrong_side = np.nan_to_num(nctdtr(n - 1, shift, -edge))  # too small for scipy where it gives NaN
    return float(1 - nctdtr(n - 1, shift, edge) + wrong_side)


def pairs_for_power(difference: float, sd: float, power: float = 0.8, level: float = 0.95) -> int:
    """The fewest pairs that show a true difference with the given `power`, or more.

    Raises:
        ValueError: for a difference of 0, a power not between 0 and 1, or more than a million pairs.
    """
    if not difference or not 0 < power < 1:
        raise ValueError(f"difference is {difference}, power {power}; expected not 0, and between 0 and 1.")
    counts = range(2, 1_000_001)
    found = bisect_left(counts, power, key=lambda n: _power(difference, sd, n, level))
    if found == len(counts):
        raise ValueError(f"a difference of {difference} with sd {sd} takes more than a million pairs.")
    return counts[found]


_power = power  # for the function whose argument has this name
