"""Moved to `posemamba.scan.cpu.tiles`; the old name stands for it."""

import sys
import warnings

from posemamba.scan.cpu import tiles

warnings.warn("posemamba.scan.tiles is now posemamba.scan.cpu.tiles", DeprecationWarning, stacklevel=2)
sys.modules[__name__] = tiles
