"""Where the settings of training were before they moved to `posemamba.training`."""

import warnings

from posemamba.training.config import MILLIMETRES_PER_UNIT, PRECISIONS, TrainingConfig

__all__ = ["MILLIMETRES_PER_UNIT", "PRECISIONS", "TrainingConfig"]

warnings.warn("posemamba.configs is now posemamba.training", DeprecationWarning, stacklevel=2)
