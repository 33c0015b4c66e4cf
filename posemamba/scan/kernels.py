"""Moved to `posemamba.scan.cpu.kernels`; the old name stands for it."""

import sys
import warnings

from posemamba.scan.cpu import kernels

warnings.warn("posemamba.scan.kernels is now posemamba.scan.cpu.kernels", DeprecationWarning, stacklevel=2)
sys.modules[__name__] = kernels
