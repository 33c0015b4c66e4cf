"""A report as tables of words, for whoever prints them: as text, Markdown or LaTeX."""

from typing import NamedTuple

from posemamba import paper
from posemamba.accounting import count
from posemamba.config import PoseMambaConfig
from posemamba.evaluation.human36m import ACTIONS
from posemamba.evaluation.protocols import Report
from posemamba.metrics import METRICS
from posemamba.motion.clips import natural_order

FORMATS = ("text", "markdown", "latex")
_DASH = "-"


class Table(NamedTuple):
    """Words in rows; an empty row is a rule between the others.

    Attributes:
        title: what it is of.
        header: a word for each column.
        lines: as many words each, the first a label.
        notes: sentences below it.
    """

    title: str
    header: tuple[str, ...]
    lines: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def render(self, form: str = "text") -> str:
        """The table as text, Markdown or LaTeX (with booktabs' rules)."""
        if form not in FORMATS:
            raise ValueError(f"format is {form!r}, expected one of {', '.join(FORMATS)}")
        if form == "latex":
            rows = [" & ".join(map(_latex, row)) + r" \\" if row else r"\midrule" for row in self.lines]
            head = [rf"\begin{{tabular}}{{l{'r' * (len(self.header) - 1)}}}", r"\toprule"]
            head += [" & ".join(map(_latex, self.header)) + r" \\", r"\midrule"]
            notes = [f"% {note}" for note in (self.title, *self.notes)]
            return "\n".join([*notes, *head, *rows, r"\bottomrule", r"\end{tabular}"])
        rows = [self.header, *filter(None, self.lines)]
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]

        def line(row: tuple[str, ...], gap: str) -> str:
            words = [row[0].ljust(wide[0]), *(w.rjust(n) for w, n in zip(row[1:], wide[1:], strict=True))]
            return gap.join(words).rstrip()

        if form == "markdown":
            rule = "|".join(["", "-" * (wide[0] + 2), *("-" * (n + 1) + ":" for n in wide[1:]), ""])
            lines = [f"| {line(row, ' | ')} |" for row in rows]
            return "\n".join([f"**{self.title}**", "", lines[0], rule, *lines[1:], "", *self.notes])
        rule = "-" * (sum(wide) + 2 * len(wide) - 2)
        lines = [line(row, "  ") if row else rule for row in self.lines]
        return "\n".join([self.title, rule, line(self.header, "  "), rule, *lines, rule, *self.notes])


def by_action(report: Report, title: str = "") -> Table:
    """All metrics of the model action by action, in the order and with the abbreviations of papers, and the
    mean as the protocol takes it; sequences in place of actions for MPI-INF-3DHP."""
    scores = report.scores["model"].rows()
    there = [name for name in next(iter(scores.values())) if not name.startswith("over_")]
    order = [name for name in ACTIONS if name in there] + [name for name in there if name not in ACTIONS]
    lines, protocol = [], report.protocol
    for metric, found in scores.items():
        errors = (f"{found[name]:.1f}" for name in order)
        lines.append((_named(metric, protocol["name"]), *errors, f"{found[protocol['mean']]:.2f}"))
    return Table(title, ("", *(ACTIONS.get(name, name) for name in order), "Avg"), lines)


def by_part(report: Report, title: str = "") -> Table:
    """All metrics of the model joint by joint and limb by limb, means over the actions."""
    parts = report.by_part()
    lines = []
    for kind in ("joints", "limbs"):
        lines += [()] * bool(lines)
        for part in next(iter(parts.values()))[kind]:
            lines.append((part, *(f"{found[kind][part]:.1f}" for found in parts.values())))
    return Table(title, ("", *map(_named, parts)), lines)


def table_1(report: Report, config: PoseMambaConfig, name: str, measured: str) -> Table:
    """The paper's Table 1 with a row of our own below it.

    Args:
        report: of `evaluation.h36m`. On ground-truth 2D its MPJPE goes into the last column.
        config: the network's; its size is counted as the paper counts.
        name: what the row is called.
        measured: on what, for the note.
    """
    header = ("Method", "T", "CE", "M params", "G MACs", "M MACs/frame", "P1", "P2", "P1, true 2D")
    lines = []
    for row in paper.TABLE_1:
        sizes = row.parameters, row.macs, row.macs_a_frame, row.p1, row.p2, row.p1_given_2d
        told = row.method, str(row.frames), "yes" if row.centre_only else "no"
        lines.append((*told, *map(_printed, sizes)))
    counted, true = count(config), report.protocol["inputs"] == "joint3d_image"
    macs, p1 = counted.paper_macs, f"{report.figure('mpjpe'):.2f}"
    ours = f"{name} *", str(config.frames), "no", f"{counted.paper_parameters / 1e6:.3f}", f"{macs / 1e9:.3f}"
    errors = (_DASH, _DASH, p1) if true else (p1, f"{report.figure('p_mpjpe'):.2f}", _DASH)
    lines += [(), (*ours, f"{macs / config.frames / 1e6:.1f}", *errors)]
    notes = _notes(1, f"{measured}; size counted as the paper counts")
    if report.protocol["overwritten_xy"]:
        told = "Its x and y were overwritten by the true 2D, as the release does: depth alone is measured."
        notes = (*notes, told)
    return Table("Table 1: Human3.6M, errors in mm", header, lines, notes)


def table_3(report: Report, config: PoseMambaConfig, name: str, measured: str) -> Table:
    """The paper's Table 3 with a row of our own below it; arguments as `table_1`, of
    `evaluation.mpi_inf_3dhp`."""
    lines = [(method, str(frames), _printed(error), _DASH, _DASH) for method, frames, error in paper.TABLE_3]
    figures = (f"{report.figure(metric):.2f}" for metric in ("mpjpe", "pck", "auc"))
    lines += [(), (f"{name} *", str(config.frames), *figures)]
    notes = (*_notes(3, measured), "The paper prints no PCK and no AUC.")
    return Table("Table 3: MPI-INF-3DHP", ("Method", "T", "MPJPE, mm", "PCK, %", "AUC, %"), lines, notes)


def rows(report: Report) -> list[tuple[str, ...]]:
    """Lines of a label and one number for each of the report's predictors.

    First the means of every metric, over actions and over frames; then, after an empty line each, the first
    metric's mean of each action, and MPJPE of each subject where the motion names them.
    """
    found = {name: scores.rows() for name, scores in report.scores.items()}
    metrics = list(next(iter(found.values())))

    def row(label: str, metric: str, key: str, digits: int) -> tuple[str, ...]:
        return (
            f"{_named(metric)}: {label}",
            *(f"{scores[metric][key]:.{digits}f}" for scores in found.values()),
        )

    means = (("mean over actions", "over_actions"), ("mean over frames", "over_frames"))
    lines = [row(label, metric, key, 2) for metric in metrics for label, key in means]
    actions = [key for key in next(iter(found.values()))[metrics[0]] if not key.startswith("over_")]
    lines += [(), *(row(action, metrics[0], action, 1) for action in actions)]
    people = list(report.by_subject().values())
    for number, subject in enumerate(sorted(people[0], key=natural_order) if people else ()):
        label = f"{_named('mpjpe')}: subject {subject}"
        lines += [()] * (number == 0) + [(label, *(f"{each[subject]:.1f}" for each in people))]
    return lines


def _named(metric: str, protocol: str = "") -> str:
    """A metric's label and unit, for Human3.6M's protocol after the name that its papers have for it."""
    known = {"mpjpe": "P1, ", "p_mpjpe": "P2, "} if protocol == "h36m" else {}
    return f"{known.get(metric, '')}{METRICS[metric].label}, {METRICS[metric].unit}"


def _printed(value: float | int | None) -> str:
    """A number of the paper's with the decimals that it prints, one at least; whole ones as they are."""
    whole = isinstance(value, float) and value == int(value)
    return _DASH if value is None else f"{value:.1f}" if whole else f"{value:g}"


def _notes(number: int, measured: str) -> tuple[str, ...]:
    return (
        f"Rows without * are the paper's numbers (Huang et al., AAAI 2025, Table {number}), as printed.",
        f"* measured here: {measured}.",
    )


def _latex(word: str) -> str:
    return "".join(f"\\{letter}" if letter in "&%$#_{}" else letter for letter in word)
