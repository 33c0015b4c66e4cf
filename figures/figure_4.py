"""Redraw the paper's Figure 4: the four one-way strategies.

    python figures/figure_4.py --out drawn

writes figure_4.html (to play), figure_4.svg and figure_4.png. Each strategy uses two paths, each
of them twice.
"""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="drawn", help="the folder to write to")
    parser.add_argument("--frames", type=int, default=3, help="bodies in a row, 1 to 5")
    given = parser.parse_args()

    from posemamba.plotting import save, scan_paths, use_book_style

    use_book_style()

    one_way = [f"{s}-{t}" for s in ("forward", "backward") for t in ("forward", "backward")]
    figure = scan_paths(one_way, frames=given.frames, title="Figure 4: four one-way strategies")
    for path in save(figure, Path(given.out) / "figure_4"):
        print(path)


if __name__ == "__main__":
    main()
