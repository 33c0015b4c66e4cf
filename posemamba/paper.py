"""The paper's tables (Huang et al., AAAI 2025) as printed (assets/paper.json): its numbers, none of ours."""

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
