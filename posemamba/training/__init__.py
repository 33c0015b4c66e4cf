"""Training: settings (`config`, `recipe`, `data`), the loop and what it is made of, the run's folder."""

from posemamba.training.config import TrainingConfig
from posemamba.training.folder import fingerprint
from posemamba.training.learner import initial_model, parameter_groups
from posemamba.training.loop import Interrupted, train

__all__ = ["Interrupted", "TrainingConfig", "fingerprint", "initial_model", "parameter_groups", "train"]
