"""A report as a table of words, for whoever prints it."""

from posemamba.evaluation.protocols import Report
from posemamba.metrics import METRICS


def rows(report: Report) -> list[tuple[str, ...]]:
    """Lines of a label and one number for each of the report's predictors.

    First the means of every metric, over actions and over frames; then, after an empty line each, the first
    metric's mean of each action, and MPJPE of each subject where the motion names them.
    """
    found = {name: scores.rows() for name, scores in report.scores.items()}
    metrics = list(next(iter(found.values())))

    def row(label: str, metric: str, key: str, digits: int) -> tuple[str, ...]:
        label = f"{METRICS[metric].label}, {METRICS[metric].unit}: {label}"
        return (label, *(f"{scores[metric][key]:.{digits}f}" for scores in found.values()))

    means = (("mean over actions", "over_actions"), ("mean over frames", "over_frames"))
    lines = [row(label, metric, key, 2) for metric in metrics for label, key in means]
    actions = [key for key in next(iter(found.values()))[metrics[0]] if not key.startswith("over_")]
    lines += [(), *(row(action, metrics[0], action, 1) for action in actions)]
    people = list(report.by_subject().values())
    for number, subject in enumerate(sorted(people[0], key=_number) if people else ()):
        label = f"{METRICS['mpjpe'].label}, {METRICS['mpjpe'].unit}: subject {subject}"
        lines += [()] * (number == 0) + [(label, *(f"{each[subject]:.1f}" for each in people))]
    return lines


def _number(name: str) -> tuple[int, str]:
    """Sorts S9 before S11."""
    return int("".join(filter(str.isdecimal, name)) or 0), name
