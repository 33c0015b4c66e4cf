"""Training: settings (`config`, `schedule`), the loop, the run's folder, and what it says (`report`)."""

import warnings

from posemamba.training.config import TrainingConfig
from posemamba.training.folder import fingerprint
from posemamba.training.loop import Interrupted, initial_model, parameter_groups, train

__all__ = ["Interrupted", "TrainingConfig", "fingerprint", "initial_model", "parameter_groups", "train"]


def __getattr__(name: str):
    if name == "describe_machine":
        from posemamba.record import describe_machine

        message = "posemamba.training.describe_machine is now posemamba.record.describe_machine"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return describe_machine
    raise AttributeError(f"module 'posemamba.training' has no attribute {name!r}")
