"""A report as a table of words, for whoever prints it."""

from posemamba.evaluation.protocols import Report
from posemamba.metrics import METRICS


def rows(report: Report) -> list[tuple[str, ...]]:
    """Lines of a label and one number for each of the report's predictors.

    First the means of every metric, over actions and over frames; then an empty line, and the first metric's
    mean of each action.
    """
    found = {name: scores.rows() for name, scores in report.scores.items()}
    metrics = list(next(iter(found.values())))

    def row(label: str, metric: str, key: str, digits: int) -> tuple[str, ...]:
        label = f"{METRICS[metric].label}, {METRICS[metric].unit}: {label}"
        return (label, *(f"{scores[metric][key]:.{digits}f}" for scores in found.values()))

    means = (("mean over actions", "over_actions"), ("mean over frames", "over_frames"))
    lines = [row(label, metric, key, 2) for metric in metrics for label, key in means]
    actions = [key for key in next(iter(found.values()))[metrics[0]] if not key.startswith("over_")]
    return [*lines, (), *(row(action, metrics[0], action, 1) for action in actions)]
