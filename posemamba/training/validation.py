"""How good a network is while it trains: on the test split, and on training subjects who are held out.

The released training keeps the epoch with the least error on the test split. A split by which one chooses is no
test any more. Held-out training subjects choose honestly, and the test error at their choice is a fair one; here
both are kept, and `choices` says what the difference is.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from posemamba import storage
from posemamba.evaluation import error_table
from posemamba.inference import predict_windows
from posemamba.losses import RELEASED_UNIT
from posemamba.model import PoseMamba
from posemamba.motion.clips import Clip, select_split
from posemamba.motion.windows import EvaluationWindows, evaluation_windows
from posemamba.training.config import TrainingConfig
from posemamba.training.data import held_out, window_rules

if TYPE_CHECKING:
    from lightning_fabric import Fabric

BATCH = 32
