"""A figure as files: interactive HTML, and SVG and PNG for paper; and as a part of a page."""

import html
import json
import warnings
from pathlib import Path

import plotly.graph_objects as go

from posemamba import storage

WIDTH, SCALE = 900, 2  # pixels; the PNG has twice as many


def save(figure: go.Figure, stem: str | Path) -> list[Path]:
    """Write STEM.html, STEM.svg and STEM.png, and return their paths; the folder is made.

    The HTML stands alone and works offline. The pictures are drawn by kaleido, which needs Chrome or
    Chromium; where either is missing, a warning says so and only the HTML is written. Of an animation they
    show the first state.
    """
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    page = stem.with_name(stem.name + ".html")
    write_page(figure, page)
    picture = _still(figure)
    written = [page]
    for ending in ("svg", "png"):
        target = stem.with_name(f"{stem.name}.{ending}")
        try:
            drawn = picture.to_image(format=ending, width=WIDTH, height=figure.layout.height, scale=SCALE)
        except (RuntimeError, ValueError) as error:  # what Plotly makes of no kaleido, and of no browser
            reason = " ".join(str(error).split())[:200]
            warnings.warn(f"{stem}: no SVG and PNG, only HTML: {reason}", stacklevel=2)
            break
        with storage.atomic_path(target) as path:
            path.write_bytes(drawn)
        written.append(target)
    return written


def write_page(figure: go.Figure, path: str | Path) -> None:
    """Writes a figure as HTML that stands alone and works offline, atomically; as high as its layout says."""
    config = dict(responsive=True, displaylogo=False, modeBarButtonsToRemove=["sendChartToCloud"])
    look = dict(config=config, default_height=f"{figure.layout.height}px" if figure.layout.height else "100%")
    with storage.atomic_path(path) as temporary:
        text = figure.to_html(include_plotlyjs=True, auto_play=False, **look)
        temporary.write_text(text, encoding="utf-8")


def figure_html(figure: dict) -> str:
    """A figure's JSON, layout and template in it, in an element that `assets/figures.js` draws into once a
    reader comes near it."""
    layout = figure.get("layout", {})
    title = (layout.get("title") or {}).get("text") or "Figure"
    alt = html.escape((layout.get("meta") or {}).get("alt") or title, quote=True)
    data = json.dumps(figure, separators=(",", ":")).replace("<", "\\u003c")
    height = layout.get("height") or layout["template"]["layout"]["height"]
    return (
        f'<div class="plotly-fig" role="figure" aria-label="{alt}" style="min-height:{height}px">'
        f'<script type="application/json">{data}</script></div>'
    )


def _still(figure: go.Figure) -> go.Figure:
    """The figure without its controls, on white."""
    picture = go.Figure(figure.data, figure.layout)
    picture.layout.sliders = picture.layout.updatemenus = []
    return picture.update_layout(paper_bgcolor="white", plot_bgcolor="white")
