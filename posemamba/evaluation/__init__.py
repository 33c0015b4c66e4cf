"""How good is a lifting model? Errors first, then protocols, baselines that cost nothing, and tables."""

from posemamba.evaluation.baselines import PENALTIES, MeanPose, RidgeRegression
from posemamba.evaluation.errors import Scores, error_table, score
from posemamba.evaluation.human36m import BLOCKED, h36m
from posemamba.evaluation.mpi import mpi_inf_3dhp
from posemamba.evaluation.protocols import WILD_VIEWS, Report, in_millimetres, views

evaluate = views

__all__ = ["BLOCKED", "PENALTIES", "WILD_VIEWS", "MeanPose", "Report", "RidgeRegression", "Scores"]
__all__ += ["error_table", "evaluate", "h36m", "in_millimetres", "mpi_inf_3dhp", "score", "views"]
