"""The timing curves that synthetic movements are made of."""

import numpy as np
from jaxtyping import Float

Track = Float[np.ndarray, " frames"]  # a number for each frame


def ease(t: Track, start: float, stop: float) -> Track:
    """From 0 before start to 1 after stop with the least jerk (Flash and Hogan, 1985)."""
    s = np.clip((t - start) / (stop - start), 0, 1)
    return s**3 * (10 - 15 * s + 6 * s * s)


def quintic(t: Track, start: float, stop: float, first: tuple, last: tuple) -> Track:
    """The polynomial of degree 5 with (value, velocity, acceleration) given at start and at stop."""
    length = stop - start
    s = (t - start) / length
    x0, v0, a0 = first[0], first[1] * length, first[2] * length**2
    x1, v1, a1 = last[0], last[1] * length, last[2] * length**2
    gap, speed, push = x1 - x0 - v0 - a0 / 2, v1 - v0 - a0, a1 - a0
    c3, c4, c5 = 10 * gap - 4 * speed + push / 2, -15 * gap + 7 * speed - push, 6 * gap - 3 * speed + push / 2
    return x0 + s * (v0 + s * (a0 / 2 + s * (c3 + s * (c4 + s * c5))))


def keys(t: Track, times, values, soft: float = 0.06) -> Track:
    """Through key values at rising key times without overshoot (monotone cubics), then smoothed.

    `t` is evenly spaced; `soft` is the smoothing's standard deviation, s. The first and last values hold
    outside the keys.
    """
    from scipy.interpolate import PchipInterpolator
    from scipy.ndimage import gaussian_filter1d

    curve = PchipInterpolator(times, values)(np.clip(t, times[0], times[-1]))
    return gaussian_filter1d(curve, soft / (t[1] - t[0]), mode="nearest")


def drift(generator: np.random.Generator, t: Track, size: float) -> Track:
    """Slow wandering about 0, seldom beyond `size`: four sines with periods of 1.5 to 6 s."""
    periods, phases = generator.uniform(1.5, 6, 4), generator.uniform(0, 2 * np.pi, 4)
    return size / 2 * np.sin(2 * np.pi * t[:, None] / periods + phases).sum(axis=1) / 2
