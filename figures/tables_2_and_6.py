"""Rebuild Tables 2 and 6 of the paper by its own rule, with everything counted beside it.

    python figures/tables_2_and_6.py --out drawn

prints both as Markdown and writes table_2.md, table_2.csv, table_6.md and table_6.csv. Columns named "paper"
are as printed there; its errors (P1) are not ours.
"""

import argparse
import csv
import io
import sys
from pathlib import Path

from posemamba.accounting import TABLE_2, TABLE_6, count
from posemamba.model import PoseMambaConfig

COUNTED = [f"M parameters{of}" for of in (" (paper)", ", its rule", ", all")]
COUNTED += [
    f"G MACs{of}" for of in (" (paper)", ", its rule", ", products and convolutions", ", scan", ", all")
]


def counted(depth: int, channels: int, frames: int, printed: tuple[str, str]) -> list[str]:
    """The cells under `COUNTED`; the rule's are rounded like the paper's, which stand in `printed`."""
    found = count(PoseMambaConfig(depth=depth, channels=channels, frames=frames))
    digits = [len(number.split(".")[1]) for number in printed]
    cells = [printed[0], f"{found.paper_parameters / 1e6:.{digits[0]}f}", f"{found.parameters / 1e6:.3f}"]
    cells += [printed[1], f"{found.paper_macs / 1e9:.{digits[1]}f}"]
    return cells + [f"{macs / 1e9:.2f}" for macs in (found.matrix_macs, found.scan_macs, found.macs)]


def table_2() -> list[list[str]]:
    """The header and the rows of Table 2."""
    rows = [["variant", "N (depth)", "d_m", "T", *COUNTED]]
    for variant, depth, channels, frames, parameters, macs in TABLE_2:
        cells = counted(depth, channels, frames, (f"{parameters:.3f}", f"{macs:.3f}"))
        rows.append([f"PoseMamba-{variant}", str(depth), str(channels), str(frames), *cells])
    return rows


def table_6() -> list[list[str]]:
    """The header and the rows of Table 6, at T = 243."""
    rows = [["depth", "d_m", *COUNTED, "P1, mm (paper)"]]
    for depth, channels, parameters, macs, error in TABLE_6:
        cells = counted(depth, channels, 243, (f"{parameters:.3f}", f"{macs:.1f}"))
        rows.append([str(depth), str(channels), *cells, f"{error:.1f}"])
    return rows


def markdown(rows: list[list[str]]) -> str:
    """A table whose numbers stand to the right."""
    head, *body = rows
    rule = [":--" if not body[0][k][0].isdigit() else "--:" for k in range(len(head))]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *body))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="drawn", help="the folder to write to")
    given = parser.parse_args()

    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in (("table_2", table_2()), ("table_6", table_6())):
        text, sheet = markdown(rows), io.StringIO()
        csv.writer(sheet, lineterminator="\n").writerows(rows)
        (out / f"{name}.md").write_text(text, encoding="utf-8")
        (out / f"{name}.csv").write_text(sheet.getvalue(), encoding="utf-8")
        print(f"Table {name[-1]}\n\n{text}")
        where = {title: k for k, title in enumerate(rows[0])}
        pairs = [
            (row[where[f"{what} (paper)"]], row[where[f"{what}, its rule"]])
            for row in rows[1:]
            for what in ("M parameters", "G MACs")
        ]
        print(f"{sum(a == b for a, b in pairs)} of {len(pairs)} numbers agree to the last digit.\n")


if __name__ == "__main__":
    sys.exit(main())
