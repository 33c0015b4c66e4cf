"""Redraw Figure 1 of the paper: error against work, with the paper's counts and with honest ones.

    python figures/figure_1.py --out drawn

writes figure_1.html, .svg and .png. The errors and the upper panel are the paper's numbers (its Table 1).
What was recounted is read from posemamba/assets/measured/peer_counts.json, which figures/count_peers.py
makes.
"""

import argparse
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="drawn", help="the folder to write to")
    given = parser.parse_args()

    from posemamba.accounting import TABLE_1
    from posemamba.book import measured
    from posemamba.plotting import error_against_macs, save, use_book_style

    use_book_style()
    names = {row.name for row in TABLE_1}
    recounted = {row["name"]: row["macs"] for row in measured("peer_counts")["rows"] if row["name"] in names}
    for path in save(error_against_macs(recounted), Path(given.out) / "figure_1"):
        print(path)


if __name__ == "__main__":
    sys.exit(main())
