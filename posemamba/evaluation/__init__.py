"""How good is a lifting model? Errors first, then protocols, baselines that cost nothing, and tables."""

from posemamba.evaluation.baselines import PENALTIES, MeanPose, RidgeRegression
from posemamba.evaluation.errors import Scores, error_table, score
from posemamba.evaluation.protocols import Report, evaluate

__all__ = ["PENALTIES", "MeanPose", "Report", "RidgeRegression", "Scores", "error_table", "evaluate", "score"]
