"""Training: settings (`config`, `recipe`, `schedule`), what a run is shown (`data`), the loop, its folder."""

from posemamba.training import recipe
from posemamba.training.config import TrainingConfig
from posemamba.training.data import resolve
from posemamba.training.folder import fingerprint
from posemamba.training.forecast import forecast
from posemamba.training.loop import Interrupted, initial_model, parameter_groups, train

__all__ = [
    "Interrupted",
    "TrainingConfig",
    "fingerprint",
    "forecast",
    "initial_model",
    "parameter_groups",
    "recipe",
    "resolve",
    "train",
]
