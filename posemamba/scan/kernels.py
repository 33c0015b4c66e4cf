"""Moved to `posemamba.scan.cpu.kernels`; the old name stands for it."""

import sys
import warnings

import posemamba.scan.cpu.kernels as moved

warnings.warn(f"{__name__} is now {moved.__name__}", DeprecationWarning, stacklevel=2)
sys.modules[__name__] = moved
