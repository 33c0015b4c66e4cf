"""Moved to `posemamba.scan.cpu.exponentials`; the old name stands for it."""

import sys
import warnings

from posemamba.scan.cpu import exponentials

warnings.warn("posemamba.scan.exponentials is now posemamba.scan.cpu.exponentials", DeprecationWarning, stacklevel=2)
sys.modules[__name__] = exponentials
