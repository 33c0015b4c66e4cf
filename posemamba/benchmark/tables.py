"""The tables of a benchmark's record, as text."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Grid:
    """A table of text, with notes below it."""

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

    __repr__ = __str__


def table(report: dict, section: str, name: str | None = None) -> Grid:
    """One table of a record: of the scan of a size (its shape's name), or the first of a section.

    Raises ValueError where the record has none of that name.
    """
    for grid in tables(report, section):
        if name is None or grid.title.startswith(f"{section} {name}:"):
            return grid
    raise ValueError(f"this record has no table of {section}{f' {name}' if name else ''}")


#: The columns of each section's tables: a heading, and the row's number or figures under keys.
COLUMNS = {
    "scan": {
        "forward, ms": ("seconds", "forward"),
        "backward, ms": ("seconds", "backward"),
        "both, ms": ("seconds", "both"),
        "rounds": ("seconds", "forward", "rounds"),
        "both, to best": ("to_best", "both"),
        "forward, to bound": ("to_bound", "forward"),
    },
    "network": {
        "parameters": ("parameters",),
        "forward, ms": ("seconds", "forward"),
        "rounds": ("seconds", "forward", "rounds"),
        "to best": ("to_best", "forward"),
    },
    "training": {"step, ms": ("seconds", "step"), "rounds": ("seconds", "step", "rounds")},
}


def tables(report: dict, section: str) -> list[Grid]:
    """All tables of a section; none where it was not measured. ValueError for another section."""
    if section not in COLUMNS:
        raise ValueError(f"section is {section!r}, expected one of {', '.join(COLUMNS)}")
    content, found = report["sections"].get(section, {}), []
    missing = content.get("missing", {}).items()
    for case in content.get("cases", ()):
        notes = [note for row in case["rows"] for note in _notes(row)]
        notes += [f"{name}: not here, {why}" for name, why in missing]
        rows = [row for row in case["rows"] if row.get("seconds")]
        cells = {heading: [_cell(row, *keys) for row in rows] for heading, keys in COLUMNS[section].items()}
        cells = {"": [row["name"] for row in rows]} | {
            h: column for h, column in cells.items() if any(column)
        }
        if section == "scan":
            s = case["shape"]
            title = (
                f"scan {s['name']}: batch {s['batch']}, {s['groups'] * s['inner']} channels in {s['groups']} "
            )
            title += f"groups, {s['tokens']} tokens, {s['state']} states, {s['dtype']}"
        else:
            title = f"{section}: batch {case['batch']}, {content['frames']} frames, {case['precision']}"
        found.append(
            Grid(title, list(cells), [list(row) for row in zip(*cells.values(), strict=True)], notes)
        )
    return found


def _cell(row: dict, *keys: str) -> str:
    """A count, a ratio, or a median with its quartiles in milliseconds; empty where there is none."""
    value = row
    for key in keys:
        value = value.get(key, {})
    if isinstance(value, dict):
        parts = [
            short(1e3 * value[key]) for key in ("median", "lower_quartile", "upper_quartile") if key in value
        ]
        return "" if not parts else parts[0] + (f" ({' to '.join(parts[1:])})" if parts[1:] else "")
    return f"{value:,}" if isinstance(value, int) else f"{short(value)} x"


def short(value: float) -> str:
    """Three digits or more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _notes(row: dict) -> Iterator[str]:
    """What a reader must know of a row: failure, what a network is compared with."""
    if "failed" in row:
        yield f"{row['name']}: {row['failed']}"
    for name, times in row.get("times_as_fast_as", {}).items():
        yield f"{row['name']} is {short(times)} times as fast as {name}"
