"""Redraw the paper's Figure 3: attention, bidirectional scans and global-local scans.

    python figures/figure_3.py --out drawn

writes figure_3.html (to play), figure_3.svg and figure_3.png. The paths are the code's, not the paper's
picture's: what global-local adds is drawn as what it is, a second joint mixed into the one that is read.
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

    figure = scan_paths(
        ["bidirectional", "global-local"],
        frames=given.frames,
        attention=True,
        title="Figure 3: three ways for tokens to meet",
    )
    for path in save(figure, Path(given.out) / "figure_3"):
        print(path)


if __name__ == "__main__":
    main()
