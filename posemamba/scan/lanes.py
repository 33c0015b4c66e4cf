"""Moved to `posemamba.scan.cpu.lanes`; the old name stands for it."""

import sys
import warnings

from posemamba.scan.cpu import lanes

warnings.warn("posemamba.scan.lanes is now posemamba.scan.cpu.lanes", DeprecationWarning, stacklevel=2)
sys.modules[__name__] = lanes
