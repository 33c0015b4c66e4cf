"""Reading a benchmark's record, and its tables."""

from dataclasses import dataclass, field
from html import escape
from os import PathLike

from posemamba import storage


@dataclass(frozen=True)
class Grid:
    """A table of text, with notes below it. In a notebook it shows itself; `str` gives plain text, `rich` one
    for the terminal."""

    title: str
    headings: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.headings, *self.rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
            for row in (self.headings, *self.rows)
        ]
        return "\n".join([self.title, *lines, *self.notes])

    def _repr_html_(self) -> str:
        def line(tag: str, cells: list[str]) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        body = "".join(line("td", row) for row in self.rows)
        head = line("th", self.headings)
        return (
            f"<table><caption>{escape(self.title)}</caption><thead>{head}</thead>"
            f"<tbody>{body}</tbody></table>{notes}"
        )

    def rich(self):
        """The same for a terminal."""
        from rich.table import Table

        caption = "\n".join(self.notes) or None
        found = Table(title=self.title, caption=caption, title_justify="left", caption_justify="left")
        for i, heading in enumerate(self.headings):
            found.add_column(heading, justify="right" if i else "left", no_wrap=not i)
        for row in self.rows:
            found.add_row(*row)
        return found


def load(path: str | PathLike) -> dict:
    """Read a benchmark's record. FileNotFoundError or ValueError says what is wrong with the file."""
    report = storage.read_json(path)
    if not isinstance(report, dict) or report.get("what") != "posemamba benchmark":
        raise ValueError(f"{path}: not a record of posemamba benchmark")
    return report


def table(report: dict, section: str, name: str | None = None) -> Grid:
    """One table of a record: of the scan of a size (its shape's name), or the first of a section.

    Raises ValueError where the record has none of that name.
    """
    found = tables(report, section)
    if name is not None:
        found = [grid for grid in found if grid.title.startswith(f"{section} {name}:")]
    if not found:
        raise ValueError(f"this record has no table of {section}{f' {name}' if name else ''}")
    return found[0]


def tables(report: dict, section: str) -> list[Grid]:
    """All tables of a section; none where it was not measured."""
    content = report["sections"].get(section)
    make = {"scan": _scan, "network": _network, "training": _training, "length": _length}
    if section not in make:
        raise ValueError(f"section is {section!r}, expected one of {', '.join(make)}")
    return make[section](content) if content else []


def _time(row: dict, part: str) -> str:
    """Median and quartiles in milliseconds."""
    figures = row.get("seconds", {}).get(part)
    if figures is None:
        return ""
    median, *quartiles = (
        figures[key] * 1e3 for key in ("median", "lower_quartile", "upper_quartile") if key in figures
    )
    return f"{_short(median)} ({' to '.join(map(_short, quartiles))})" if quartiles else _short(median)


def _short(value: float) -> str:
    """Three digits or more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _bytes(row: dict, part: str, of: str | None = None) -> str:
    figures = row.get("memory", {}).get(part)
    if not figures:
        return ""
    size = f"{_short(figures['bytes'] / 2**20)} MiB"
    return f"{size} ({figures[of]:.1f} x)" if of in figures else size


def _ratio(row: dict, key: str, part: str) -> str:
    value = row.get(key, {}).get(part)
    return "" if value is None else f"{_short(value)} x"


def _rounds(row: dict) -> str:
    counts = [figures["rounds"] for figures in row.get("seconds", {}).values() if "rounds" in figures]
    return str(max(counts, default=""))


def _scan(content: dict) -> list[Grid]:
    found = []
    for case in content["cases"]:
        shape, rows = case["shape"], case["rows"]
        channels = shape["groups"] * shape["inner"]
        size = f"batch {shape['batch']}, {channels} channels in {shape['groups']} groups, "
        size += f"{shape['tokens']} tokens, {shape['state']} states, {shape['dtype']}"
        times = [
            [
                row["name"],
                *(_time(row, part) for part in ("forward", "backward", "both")),
                _rounds(row),
                _ratio(row, "to_best", "both"),
                _ratio(row, "to_bound", "forward"),
            ]
            for row in rows
            if row.get("seconds")
        ]
        headings = [
            "",
            "forward, ms",
            "backward, ms",
            "both, ms",
            "rounds",
            "both, to best",
            "forward, to bound",
        ]
        notes = _notes(rows) + [f"{name}: not here, {why}" for name, why in content["missing"].items()]
        if "failed" in case:
            notes.insert(0, case["failed"])
        found.append(Grid(f"scan {shape['name']}: {size}", headings, times, notes))
        taken = [
            [row["name"], _bytes(row, "forward", "of_output"), _bytes(row, "both", "of_inputs")]
            for row in rows
            if row.get("memory", {}).get("both")
        ]
        if taken:
            headings = ["", "forward, and to the output", "both, and to the inputs"]
            found.append(Grid(f"scan {shape['name']}, memory: the peak over the inputs", headings, taken))
    if content.get("threads", {}).get("rows"):
        threads = content["threads"]
        same = "the same" if threads["bitwise_equal"] else "NOT the same"
        found.append(
            Grid(
                f"threads, scan {threads['shape']['name']}: results are {same} to the bit",
                ["threads", "forward, ms", "both, ms"],
                [[str(r["threads"]), _time(r, "forward"), _time(r, "both")] for r in threads["rows"]],
            )
        )
    if "first_call" in content:
        parts = ["import_torch", "import", "scan", "network", "whole", "whole_cpu"]
        rows = [
            [name.replace("_", " "), *(_short(call[part]) if part in call else "" for part in parts)]
            for name, call in content["first_call"].items()
        ]
        headings = [
            "first use, s",
            "import torch",
            "import, torch included",
            "scan",
            "network",
            "whole",
            "processor time",
        ]
        found.append(Grid("first use in a fresh process", headings, rows))
    return found


def _notes(rows: list[dict]) -> list[str]:
    """What a reader must know of some rows: failures, disagreement, what decides a bound."""
    found = []
    for row in rows:
        name, agreement = row.get("name", row.get("frames")), row.get("agreement", {})
        if "failed" in row:
            found.append(f"{name}: {row['failed']}")
        if "failed" in agreement:
            found.append(f"{name}: not checked, {agreement['failed']}")
        elif agreement.get("agrees") is False:
            worst = max(map(_worst, agreement["errors"].values()))
            found.append(f"{name}: DISAGREES with float64 by up to {worst:.0e}")
        if "decides" in row:
            found.append(f"{name}: {', '.join(f'{part} by {what}' for part, what in row['decides'].items())}")
    return found


def _worst(error: float | None) -> float:
    return float("inf") if error is None else error


def _network(content: dict) -> list[Grid]:
    headings = ["", "parameters", "forward, ms", "rounds", "a second", "to best", "memory"]
    found = []
    for case in content["cases"]:
        rows, notes = [], []
        for row in case["rows"]:
            cells = [row["name"], f"{row['parameters']:,}", _time(row, "forward"), _rounds(row)]
            cells += [_rate(row), _ratio(row, "to_best", "forward"), _bytes(row, "forward")]
            rows.append(cells)
            for name, times in row.get("times_as_fast_as", {}).items():
                notes.append(f"{row['name']} is {_short(times)} times as fast as {name}")
        notes += _notes(case["rows"]) + [f"{name}: {why}" for name, why in content["missing"].items()]
        title = (
            f"network batch {case['batch']}: {content['frames']} frames, {case['precision']}, {case['mode']}"
        )
        found.append(Grid(title, headings, rows, notes))
    return found


def _rate(row: dict) -> str:
    return _short(row["sequences_a_second"]) if "sequences_a_second" in row else ""


def _training(content: dict) -> list[Grid]:
    headings = ["", "step, ms", "rounds", "sequences a second", "memory"]
    rows = [
        [row["name"], _time(row, "step"), _rounds(row), _rate(row), _bytes(row, "step")]
        for row in content["rows"]
    ]
    return [Grid("training steps", headings, rows, _notes(content["rows"]))]


def _length(content: dict) -> list[Grid]:
    headings = ["frames", "forward, ms", "step, ms", "memory, forward", "memory, step"]
    rows = []
    for row in content["rows"]:
        times = [_time(row, part) for part in ("forward", "step")]
        rows.append([str(row["frames"]), *times, *(_bytes(row, part) for part in ("forward", "step"))])
    fitted = content["exponents"]
    keys = ("forward seconds", "step seconds", "forward memory", "step memory")
    rows.append(["exponent", *(f"{fitted[key]['fitted']:.2f}" if key in fitted else "" for key in keys)])
    return [Grid("PoseMamba-S by length, one sequence", headings, rows, _notes(content["rows"]))]
