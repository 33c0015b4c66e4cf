"""Filters for motion, by name: what is smoothed, and how much, is said in seconds and hertz.

All but the 1 € filter look ahead; that one is for frames that arrive one by one.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d
from scipy.signal import savgol_filter

Motion = Float[np.ndarray, "frames *points dims"]


def gaussian(values: Motion, fps: float, seconds: float = 0.04) -> Motion:
    """A mean weighted by a Gaussian of this standard deviation; motion goes on evenly beyond the ends."""
    reach = int(4 * seconds * fps) + 1
    longer = np.pad(values, [(reach, reach), *[(0, 0)] * (values.ndim - 1)], "reflect", reflect_type="odd")
    return gaussian_filter1d(longer, seconds * fps, axis=0)[reach:-reach]


def savgol(values: Motion, fps: float, seconds: float = 0.3, order: int = 3) -> Motion:
    """The value of the polynomial fitted to the frames this far around (Savitzky and Golay, 1964).

    A motion that is such a polynomial passes unchanged, ends included. Of fewer frames than it has
    coefficients nothing is changed.
    """
    odd = min(2 * round(seconds * fps / 2) + 1, len(values) - 1 + len(values) % 2)
    return values if odd <= order + 1 else savgol_filter(values, odd, order, axis=0)


class OneEuro:
    """The 1 € filter (Casiez, Roussel and Vogel, 2012): slow points are smoothed, fast ones followed.

    Args:
        cutoff: of a point at rest, Hz.
        slope: by how much the cutoff grows with the speed, Hz for each unit a second (mm here).
    """

    def __init__(self, cutoff: float = 1.5, slope: float = 0.01):
        self.cutoff, self.slope = cutoff, slope
        self.last, self.value, self.speed = None, None, 0.0

    def __call__(self, value: Float[np.ndarray, "*points dims"], seconds: float) -> np.ndarray:
        """The next value, so many seconds after the one before."""
        if self.last is None:
            self.last = self.value = value
        speed, self.last = (value - self.last) / seconds, value
        self.speed = self.speed + _share(1.0, seconds) * (speed - self.speed)
        fast = np.linalg.norm(self.speed, axis=-1, keepdims=True)
        self.value = self.value + _share(self.cutoff + self.slope * fast, seconds) * (value - self.value)
        return self.value


def _share(cutoff, seconds: float):
    """How much of a step a first-order low-pass filter takes."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * seconds))


def one_euro(values: Motion, fps: float, **settings) -> Motion:
    """`OneEuro` over a whole motion: it looks back only, and so lags where the motion is slow."""
    follow = OneEuro(**settings)
    return np.stack([follow(value, 1 / fps) for value in values.astype(np.float64)]).astype(values.dtype)


#: By the names that the command line knows.
FILTERS: dict[str, Callable[[Motion, float], Motion]] = {
    "none": lambda values, fps: values,
    **{"one-euro": one_euro, "savgol": savgol, "gaussian": gaussian},
}
