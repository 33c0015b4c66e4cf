"""Training: settings (`config`, `schedule`), the loop, the folder, and `report` of failures."""

from posemamba.training.config import TrainingConfig
from posemamba.training.folder import fingerprint
from posemamba.training.loop import Interrupted, initial_model, parameter_groups, train

__all__ = ["Interrupted", "TrainingConfig", "fingerprint", "initial_model", "parameter_groups", "train"]
