"""The paper (Huang et al., AAAI 2025): its tables as printed (assets/paper.json), and its claims in a ledger.

The tables are its numbers and none of ours. `ledger` reads assets/ledger.json: what the paper prints, what
the released code does, what was found here.
"""

from typing import NamedTuple

from posemamba.storage import asset, read_json


class Published(NamedTuple):
    """A row of Table 1.

    Attributes:
        method: its name, and where it was published.
        frames: T, frames in.
        centre_only: CE, whether a window of T frames yields its centre frame alone.
        parameters: in millions.
        macs: G multiply-adds of a window.
        macs_a_frame: M multiply-adds "for each output frame", as Figure 1's caption has it.
        p1, p2: errors in mm; p2 is None where the paper has a dash.
        p1_given_2d: P1 on ground-truth 2D in mm, or None.
    """

    method: str
    frames: int
    centre_only: bool
    parameters: float
    macs: float
    macs_a_frame: int
    p1: float
    p2: float | None
    p1_given_2d: float | None

    @property
    def name(self) -> str:
        """The method alone."""
        return self.method.split(",")[0]

    @property
    def frames_out(self) -> int:
        """Frames that a window yields."""
        return 1 if self.centre_only else self.frames


_PRINTED = {name: tuple(map(tuple, rows)) for name, rows in read_json(asset("paper.json")).items()}

#: Table 1, on Human3.6M.
TABLE_1 = tuple(Published(*row) for row in _PRINTED["Table 1"])
#: Table 2: variant, depth, d_m, T, M parameters, G MACs.
TABLE_2 = _PRINTED["Table 2"]
#: Table 3, on MPI-INF-3DHP: method, T, MPJPE in mm.
TABLE_3 = _PRINTED["Table 3"]
#: Table 4: strategy and P1 in mm. All rows have 0.860 M parameters and 3.587 G MACs there. Only Figure 4
#: tells which pair of directions has which number.
TABLE_4 = _PRINTED["Table 4"]
#: Table 5: the terms of the loss, P1 and P2 in mm.
TABLE_5 = _PRINTED["Table 5"]
#: All thirteen rows of Table 6, those of Table 2 among them: depth, d_m, M parameters, G MACs, and P1 in mm.
TABLE_6 = _PRINTED["Table 6"]

#: What may become of a claim. "Reproduced": it comes out here as printed. "In kind": so on other data, which
#: are open. "Contradicted": the cells prove it. "Not run": neither, whatever other data may have shown.
OUTCOMES = ("reproduced", "reproduced in kind", "contradicted", "not run")


class Evidence(NamedTuple):
    """Where in the book something is shown.

    Attributes:
        chapter: its file below book/, without the ending.
        cell: the cell's id.
        title: the chapter's title.
        section: the heading that the cell stands under, or "".
    """

    chapter: str
    cell: str
    title: str
    section: str


class Claim(NamedTuple):
    """A row of the ledger.

    Attributes:
        part: the group of rows that it is in.
        place: where in the paper it stands.
        printed: what is printed there, in short.
        code: what the released code does, or "" where it has no part in it or that is not known.
        found: what was measured or proved here, or "".
        cells: where.
        command: what does it again, or would do it; "" for none.
        reason: why it was not run; "" for the other outcomes.
        outcome: one of `OUTCOMES`.
        numbers: the printed numbers that it covers: a table's name, and indices of its rows and columns.
    """

    part: str
    place: str
    printed: str
    code: str
    found: str
    cells: tuple[Evidence, ...]
    command: str
    reason: str
    outcome: str
    numbers: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]


def ledger() -> tuple[Claim, ...]:
    """Every claim of the paper that can be checked, in the paper's order within each part."""
    rows = []
    for row in read_json(asset("ledger.json")):
        cells = tuple(Evidence(*cell) for cell in row.pop("cells"))
        numbers = tuple((name, tuple(lines), tuple(columns)) for name, lines, columns in row.pop("numbers"))
        rows.append(Claim(**row, cells=cells, numbers=numbers))
    return tuple(rows)
