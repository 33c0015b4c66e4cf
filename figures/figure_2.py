"""Redraw the paper's Figure 2, the pipeline, as a live diagram: shapes, parameters and cost of every part.

    python figures/figure_2.py --variant S --frames 243

writes figure_2.html (point at a box), figure_2.svg and figure_2.png to the folder of --out.
"""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="S", choices="SBLX", help="a size of Table 2 (default: S)")
    parser.add_argument("--frames", type=int, default=243, help="frames in a window (default: 243)")
    parser.add_argument("--out", type=Path, default=Path("drawn"), help="the folder (default: drawn)")
    given = parser.parse_args()
    if given.frames < 1:
        parser.error(f"--frames must be at least 1, found {given.frames}")

    from posemamba.model import VARIANTS, PoseMambaConfig
    from posemamba.plotting import pipeline, save, use_book_style

    use_book_style()
    config = PoseMambaConfig(frames=given.frames, **VARIANTS[given.variant])
    figure = pipeline(config, title=f"PoseMamba-{given.variant}, {given.frames} frames")
    for path in save(figure, given.out / "figure_2"):
        print(path)


if __name__ == "__main__":
    main()
