"""A record's tables, as text."""

from dataclasses import dataclass, field

from posemamba.benchmark.runs import Shape, check

#: The columns of each section's tables. One that would be empty is left out.
COLUMNS = {
    "scan": ("forward, ms", "backward, ms", "both, ms", "rounds", "both, to best", "forward, to bound"),
    "network": ("parameters", "forward, ms", "rounds", "forward, to best"),
    "training": ("step, ms", "rounds"),
}


@dataclass(frozen=True)
class Grid:
    """A table of text, with notes below it."""

    title: str
    headings: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.headings, *self.rows, strict=True)]
        lines = []
        for name, *cells in (self.headings, *self.rows):
            lines.append("  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]).rstrip())
        return "\n".join([self.title, *lines, *self.notes])

    __repr__ = __str__


def table(report: dict, section: str, name: str | None = None) -> Grid:
    """One table of a record: of the scan of a size (its shape's name), or the first of a section.

    Raises ValueError where the record has none of that name.
    """
    for grid in tables(report, section):
        if name is None or grid.title.startswith(f"{section} {name}:"):
            return grid
    raise ValueError(f"this record has no table of {section}{f' {name}' if name else ''}")


def tables(report: dict, section: str) -> list[Grid]:
    """All tables of a section; none where it was not measured. ValueError for another section."""
    check("section", [section], COLUMNS)
    content, found = report["sections"].get(section, {}), []
    for case in content.get("cases", ()):
        rows = {row["name"]: _cells(row) for row in case["rows"] if row.get("seconds")}
        columns = [name for name in COLUMNS[section] if any(name in cells for cells in rows.values())]
        lines = [[name, *(cells.get(column, "") for column in columns)] for name, cells in rows.items()]
        if section == "scan":
            s = Shape(**case["shape"])
            title = f"scan {s.name}: batch {s.batch}, {s.groups * s.inner} channels in {s.groups} groups, "
            title += f"{s.tokens} tokens, {s.state} states, {s.dtype}"
        else:
            title = f"{section}: batch {case['batch']}, {content['frames']} frames, {case['precision']}"
        notes = []
        for row in case["rows"]:
            notes += [f"{row['name']}: {row['failed']}"] if "failed" in row else []
            for name, times in row.get("times_as_fast_as", {}).items():
                notes.append(f"{row['name']} is {short(times)} times as fast as {name}")
        notes += [f"{name}: not here, {why}" for name, why in content.get("missing", {}).items()]
        headings = ["", *(column.replace("forward, to best", "to best") for column in columns)]
        found.append(Grid(title, headings, lines, notes))
    return found


def _cells(row: dict) -> dict[str, str]:
    """What there is for the columns: counts, ratios, and medians with their quartiles in milliseconds."""
    counts = row | next(iter(row["seconds"].values()))  # rounds are those of the first part
    cells = {name: f"{counts[name]:,}" for name in ("parameters", "rounds") if name in counts}
    for part, found in row["seconds"].items():
        cells[f"{part}, ms"] = short(1e3 * found["median"])
        if "lower_quartile" in found:
            low, high = (short(1e3 * found[key]) for key in ("lower_quartile", "upper_quartile"))
            cells[f"{part}, ms"] += f" ({low} to {high})"
    for ratio in ("to_best", "to_bound"):
        for part, times in row.get(ratio, {}).items():
            cells[f"{part}, {ratio.replace('_', ' ')}"] = f"{short(times)} x"
    return cells


def short(value: float) -> str:
    """Three digits or more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
