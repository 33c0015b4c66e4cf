"""How good is a lifting model? Errors first (`errors`), then protocols, baselines that cost nothing, and
tables."""

from posemamba.evaluation.baselines import PENALTIES, MeanPose, RidgeRegression
from posemamba.evaluation.errors import ErrorTable, Scores, error_table, frame_numbers, score
from posemamba.evaluation.protocols import Report, evaluate

__all__ = [
    "PENALTIES",
    "ErrorTable",
    "MeanPose",
    "Report",
    "RidgeRegression",
    "Scores",
    "error_table",
    "evaluate",
    "frame_numbers",
    "score",
]
