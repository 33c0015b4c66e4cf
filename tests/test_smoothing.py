"""Filters on signals whose answer is known."""

import numpy as np
import pytest

from posemamba.smoothing import FILTERS, OneEuro, gaussian, one_euro, savgol

FPS = 50.0
TIME = np.arange(200) / FPS


def joints(signal):
    """A signal `(frames,)` as every coordinate of two joints, float32."""
    return np.repeat(signal, 6).reshape(-1, 2, 3).astype(np.float32)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("frames", [1, 2, 5, 200])
def test_what_rests_stays_and_shape_and_type_are_kept(name, frames):
    still = np.full((frames, 17, 3), 321.0, np.float32)
    smoothed = FILTERS[name](still, FPS)
    assert smoothed.dtype == np.float32
    np.testing.assert_allclose(smoothed, still, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in FILTERS if name != "none"])
def test_noise_is_less_and_moving_joints_keep_their_way(name):
    noise = np.random.default_rng(0).normal(0, 10, len(TIME))
    way = 300 * np.sin(2 * np.pi * 0.5 * TIME)
    left = FILTERS[name](joints(noise), FPS)[20:, 0, 0].std()
    assert left < 0.7 * noise[20:].std()
    off = np.abs(FILTERS[name](joints(way), FPS) - joints(way)).max()
    assert off < (60 if name == "one-euro" else 3)


def test_a_gaussian_attenuates_a_wave_as_its_transform_says():
    frequency, seconds = 2.0, 0.04
    wave = np.cos(2 * np.pi * frequency * TIME)
    expected = np.exp(-((2 * np.pi * frequency * seconds) ** 2) / 2)
    smoothed = gaussian(joints(wave).astype(np.float64), FPS, seconds)[:, 0, 0]
    np.testing.assert_allclose(smoothed[20:-20], expected * wave[20:-20], atol=2e-3)


def test_polynomials_pass_savgol_to_the_ends():
    for frames in (5, 6, 7, 200):
        cubic = (50 * TIME**3 - 80 * TIME**2 + TIME)[:frames, None, None] * np.ones((1, 2, 3))
        np.testing.assert_allclose(savgol(cubic, FPS), cubic, atol=1e-6)


def test_the_one_euro_filter_looks_back_only_and_follows_what_is_fast():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 2, 3))
    changed = values.copy()
    changed[40:] += 100
    np.testing.assert_array_equal(one_euro(values, FPS)[:40], one_euro(changed, FPS)[:40])
    # Behind a point of constant speed v a first-order filter of cutoff f stays v / (2 pi f), all but exactly.
    for speed in (100.0, 2000.0):
        cutoff, slope = 1.5, 0.01
        line = np.zeros((400, 1, 3))
        line[:, 0, 0] = speed * np.arange(400) / FPS
        lag = line[-1, 0, 0] - one_euro(line, FPS, cutoff=cutoff, slope=slope)[-1, 0, 0]
        exact = speed / (2 * np.pi * (cutoff + slope * speed))
        assert lag == pytest.approx(exact, rel=0.01)
    follow = OneEuro()
    steps = [follow(value, 1 / FPS) for value in values]
    np.testing.assert_array_equal(np.stack(steps), one_euro(values, FPS))
