"""Training: settings (`config`, `recipe`, `schedule`), what a run is shown (`data`), the loop, its folder."""

from posemamba.training import recipe
from posemamba.training.config import TrainingConfig
from posemamba.training.data import resolve
from posemamba.training.folder import fingerprint
from posemamba.training.forecast import forecast
from posemamba.training.learner import initial_model, parameter_groups
from posemamba.training.loop import Interrupted, train
from posemamba.training.ranks import launched
from posemamba.training.validation import choices, read_rows

__all__ = [
    "Interrupted",
    "TrainingConfig",
    "choices",
    "fingerprint",
    "forecast",
    "initial_model",
    "launched",
    "parameter_groups",
    "read_rows",
    "recipe",
    "resolve",
    "train",
]
