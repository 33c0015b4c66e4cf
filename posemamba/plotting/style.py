"""Colours, the Plotly template and renderer of the book, and the same look for Matplotlib and seaborn."""

import os
import sys
from collections.abc import Iterable, Sequence
from io import BytesIO

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
from plotly.io.base_renderers import PlotlyRenderer

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito (2008)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SEQUENTIAL = "Cividis"
DIVERGING = ((0.0, "#0072B2"), (0.5, "#f2f2f2"), (1.0, "#D55E00"))
INK = "#7d7d7d"  # reads on white and on black alike
GRID = "rgba(127,127,127,0.3)"
CLEAR = "rgba(0,0,0,0)"
_INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
STATIC = {  # Matplotlib's settings, which seaborn draws with too
    **dict.fromkeys(_INKED, INK),
    **dict.fromkeys(("axes.facecolor", "figure.facecolor", "savefig.facecolor"), "none"),
    **dict.fromkeys(("axes.grid", "axes.axisbelow", "figure.constrained_layout.use"), True),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
}
STATIC |= {"axes.prop_cycle": f"cycler('color', {list(COLOURS)})", "axes.titlelocation": "left"}
STATIC |= {"grid.alpha": 0.3, "figure.figsize": (7.0, 4.0), "image.cmap": "cividis", "font.size": 11.0}


class BookRenderer(PlotlyRenderer):
    """Keeps a figure in a notebook as JSON alone, with a line of text that says which figure it is.

    The book's build turns the JSON into a drawing. Tests compare the line: it is the same on every machine,
    where the last digits of the data need not be.
    """

    def to_mimebundle(self, fig_dict: dict) -> dict:
        title = ((fig_dict.get("layout") or {}).get("title") or {}).get("text") or "untitled"
        traces, frames = len(fig_dict.get("data") or ()), len(fig_dict.get("frames") or ())
        text = f"Figure: {title} ({traces} traces, {frames} frames)"
        return {**super().to_mimebundle(fig_dict), "text/plain": text}


_AXIS = dict(gridcolor=GRID, zerolinecolor=GRID, linecolor=INK, automargin=True, title_font_size=13)
# WebGL draws thin clear lines as none at all: in space the grid is a solid grey.
_SPACE = dict(gridcolor="#a6a6a6", zerolinecolor="#a6a6a6", linecolor=INK, backgroundcolor=CLEAR)
_SPACE |= dict(tickfont_size=11, title_font_size=12)
_LAYOUT = dict(
    font=dict(size=13, color=INK),
    title=dict(font_size=15, x=0, xref="paper", y=1, yref="container", yanchor="top", pad_t=12),
    margin=dict(l=60, r=16, t=64, b=56),
    scene=dict(xaxis=_SPACE, yaxis=_SPACE, zaxis=_SPACE),
    legend=dict(orientation="h", x=0, y=1, yanchor="bottom", bgcolor=CLEAR, traceorder="normal"),
    updatemenudefaults=dict(bgcolor=CLEAR, bordercolor=INK),
    sliderdefaults=dict(bgcolor=GRID, bordercolor=INK, activebgcolor=COLOURS[0]),
    modebar=dict(bgcolor=CLEAR, color=INK),
)
_LAYOUT |= dict(colorway=COLOURS, paper_bgcolor=CLEAR, plot_bgcolor=CLEAR, hovermode="closest", height=420)
_LAYOUT |= dict(xaxis=_AXIS, yaxis=_AXIS)
pio.templates["book"] = go.layout.Template(layout=_LAYOUT)
pio.renderers["book"] = BookRenderer(config=dict(responsive=True, displaylogo=False))


def use_book_style() -> None:
    """Makes the book's template and renderer Plotly's default; Matplotlib and seaborn get the same look.

    Colab and VS Code keep Plotly's own renderer, the one they can show. The environment variable
    POSEMAMBA_RENDERER names a renderer whatever the place (the tests and ``make chapters`` set it to "book").
    Seaborn's ``set_theme`` would undo the look: seaborn draws in it without being told.
    """
    import matplotlib

    pio.templates.default = "book"
    places = ("COLAB_RELEASE_TAG", "COLAB_NOTEBOOK_ID", "VSCODE_PID")
    foreign = "ipykernel" not in sys.modules or any(place in os.environ for place in places)
    renderer = os.environ.get("POSEMAMBA_RENDERER") or (None if foreign else "book")
    if renderer:
        pio.renderers.default = renderer
    matplotlib.rcParams.update(STATIC)


def describe(figure: go.Figure, alt: str) -> go.Figure:
    """Gives a Plotly figure its alternative text: what a reader who cannot see it should know.

    It is kept in the layout's ``meta``; the built book hands it to screen readers. For figures made by hand.

    Raises:
        ValueError: for an empty alt.
    """
    if not alt.strip():
        raise ValueError("alt is empty; expected a sentence that says what the figure shows.")
    figure.layout.meta = {**(figure.layout.meta or {}), "alt": alt}
    return figure


def numbers(values) -> np.ndarray:
    """Arrays, tensors and lists as float32, which a page holds in half the bytes."""
    values = values.detach().cpu() if hasattr(values, "detach") else values
    return np.asarray(values, dtype=np.float32)


def colour_scale(matrices: Sequence[np.ndarray], signed: bool) -> dict:
    """One scale for some heat maps: all their values, or with ``signed`` zero in its middle."""
    low = min(float(np.nanmin(matrix)) for matrix in matrices)
    high = max(float(np.nanmax(matrix)) for matrix in matrices)
    if signed:
        high = max(-low, high) or 1.0
        low = -high
    return dict(zmin=low, zmax=high, colorscale=DIVERGING if signed else SEQUENTIAL)


def static_figure(figure, alt: str):
    """A Matplotlib figure (or a seaborn axes or grid) as a sharp PNG with its alternative text.

    Args:
        figure: a Matplotlib figure, or anything with a ``.figure``; it is closed.
        alt: what a reader who cannot see the picture should know, in a sentence or two.

    Returns:
        An ``IPython.display.Image``, to be the last value of a cell.

    Raises:
        ValueError: for an empty alt.
    """
    import matplotlib.pyplot as plt
    from IPython.display import Image

    if not alt.strip():
        raise ValueError("alt is empty; expected a sentence that says what the picture shows.")
    figure, buffer = getattr(figure, "figure", figure), BytesIO()
    # Without the Software entry the bytes would change with Matplotlib's version.
    figure.savefig(buffer, format="png", dpi=192, metadata={"Software": None})
    plt.close(figure)
    width = round(figure.get_figwidth() * 96)  # half its pixels: sharp on a dense screen
    return Image(buffer.getvalue(), format="png", width=width, alt=alt)


def animate(figure: go.Figure, traces: Sequence[int], changes: Iterable[Iterable[dict]]) -> None:
    """Gives a figure a frame for each step, that changes these traces, all of them scatter traces."""
    figure.frames = [
        go.Frame(name=str(step), traces=traces, data=[go.Scatter(change) for change in changed])
        for step, changed in enumerate(changes)
    ]


def add_slider(
    figure: go.Figure, labels: Sequence[str], prefix: str, suffix: str = "", interval: float | None = None
) -> go.Figure:
    """Adds a slider over the figure's frames, which must be named "0", "1", ...; returns the figure.

    Args:
        figure: changed in place.
        labels: what the slider says at each frame, between prefix and suffix.
        prefix, suffix: such as "time " and a unit.
        interval: milliseconds a frame; where given there are a play and a pause button too.
    """
    still = dict(mode="immediate", frame=dict(duration=0, redraw=True), transition=dict(duration=0))
    below, room = (46, 70) if figure.layout.xaxis.title.text else (30, 54)  # keeps off the axis's title
    steps = [dict(args=[[str(k)], still], label=label, method="animate") for k, label in enumerate(labels)]
    told = dict(prefix=prefix, suffix=suffix, xanchor="right", font=dict(size=13, color=INK))
    place = dict(x=0, len=1) if interval is None else dict(x=0.22, len=0.78)
    # Only the current value is written: the labels of many frames would run into each other.
    hidden = dict(tickcolor=CLEAR, font=dict(size=1, color=CLEAR))
    figure.layout.sliders = [dict(steps=steps, currentvalue=told, pad=dict(t=below, b=4), **place, **hidden)]
    figure.layout.margin.b = below + room
    if interval is not None:
        moving = dict(still, fromcurrent=True, frame=dict(duration=interval, redraw=True))
        play = dict(label="\u25b6", method="animate", args=[None, moving])
        pause = dict(label="\u275a\u275a", method="animate", args=[[None], still])
        place = dict(direction="left", x=0, y=0, xanchor="left", yanchor="top", pad=dict(t=below + 4))
        figure.layout.updatemenus = [dict(place, type="buttons", buttons=[play, pause], showactive=False)]
    return figure
