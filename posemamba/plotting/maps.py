"""Maps between joints and between frames (Figure 5), and what moved one prediction."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from posemamba.attention import Relevance
from posemamba.plotting.style import INK, colour_scale, describe, numbers
from posemamba.skeleton import JOINT_NAMES

_SHORT = [name.replace("right ", "R ").replace("left ", "L ") for name in JOINT_NAMES]
_JOINT_TICKS = dict(tickmode="array", tickvals=list(range(len(_SHORT))), ticktext=_SHORT)
# The colour bar lies under all panels, where it meets no other text whatever the page's width.
_BAR = dict(orientation="h", thickness=12, len=0.7, nticks=5, x=0.5, xanchor="center")
_BAR |= dict(y=0, yanchor="bottom", yref="container")
_SIDE = 285  # pixels of a panel's side on a wide page
_BETWEEN = 112  # between rows: a panel's labels, the next one's title
_TOP, _BOTTOM = 96, 130  # above the panels the titles, below them labels and the colour bar


def map_panels(
    maps: Mapping[str, Float[np.ndarray, "rows columns"]],
    axes: str | Sequence[str] = "joints",
    value: str = "weight",
    title: str = "",
    signed: bool = True,
    alt: str | None = None,
) -> go.Figure:
    """Maps side by side on one colour scale: a row is what is moved, a column what moves it.

    On a wide page two panels stand in a row, on a narrow one each stands alone.

    Args:
        maps: panel title -> square matrix, (17, 17) for joints and (T, T) for frames.
        axes: "joints" or "frames" for all panels, or one of the two for each.
        value: what the colours show, with its unit.
        signed: a diverging scale, with zero in its middle; otherwise from 0 to the largest value.
        title, alt: the figure's title, and its alternative text; made from the titles where not given.

    Raises:
        ValueError: for no maps, other axes, and matrices that do not fit theirs.
    """
    kinds = [axes] * len(maps) if isinstance(axes, str) else list(axes)
    if not maps or len(kinds) != len(maps) or not {*kinds} <= {"joints", "frames"}:
        raise ValueError(f"axes is {axes!r} for {len(maps)} maps, expected 'joints' or 'frames' for each.")
    matrices = [numbers(matrix) for matrix in maps.values()]
    pairs = [[f"{row} from {column}" for column in JOINT_NAMES] for row in JOINT_NAMES]
    panels = []
    for k, (name, matrix, kind) in enumerate(zip(maps, matrices, kinds, strict=True)):
        side = len(JOINT_NAMES) if kind == "joints" else max(matrix.shape, default=0) or "frames"
        if matrix.shape != (side, side):
            raise ValueError(f"maps[{name!r}] has shape {matrix.shape}, expected ({side}, {side}).")
        text, told = (pairs, "%{text}") if kind == "joints" else (None, "frame %{y} from frame %{x}")
        ticks, angle = (_JOINT_TICKS, -90) if kind == "joints" else (dict(nticks=6), 0)
        across = dict(ticks, title=dict(text=f"from {kind[:-1]}", standoff=4), tickangle=angle)
        down = dict(ticks, title=dict(text=f"into {kind[:-1]}", standoff=2), scaleanchor=_nth("x", k))
        panels.append((name, matrix, text, told, across, down))
    scale = colour_scale(matrices if signed else [*matrices, np.zeros(1)], signed)
    told = f"{len(maps)} heat maps: {title or 'untitled'}. {value}; panels: {', '.join(maps)}."
    return describe(_draw(panels, scale, value, title), alt or told)


def relevance_panels(
    relevance: Relevance, per_unit: float = 1.0, unit: str = "", title: str = "", alt: str | None = None
) -> go.Figure:
    """The two answers to "what moved this prediction" side by side: each input joint's share in each frame.

    One scale has zero in its middle. A ring marks the joint and frame that are predicted.

    Args:
        relevance: from `posemamba.attention.relevance`.
        per_unit, unit: what one unit of the network's output is worth in the unit shown, and that unit.
        title, alt: the figure's title, and its alternative text; made from the prediction where not given.
    """
    views = {"gradient times input": relevance.gradient, "the map": relevance.map}
    matrices = [per_unit * numbers(view).T for view in views.values()]
    shown = f"share, {unit}" if unit else "share"
    names = [[name] * matrices[0].shape[1] for name in JOINT_NAMES]
    across = dict(title=dict(text="input frame", standoff=4), nticks=6)
    look = (names, "%{text}, frame %{x}", across, _JOINT_TICKS)
    panels = [(view, matrix, *look) for view, matrix in zip(views, matrices, strict=True)]
    figure = _draw(panels, colour_scale(matrices, True), shown, title, (relevance.frame, relevance.joint))
    name = f"{JOINT_NAMES[relevance.joint]}, coordinate {'xyz'[relevance.coordinate]}"
    told = f"Two heat maps of input joints over frames: shares in one prediction, {name}, frame "
    told += f"{relevance.frame}; left by gradient times input, right by the map."
    return describe(figure, alt or told)


def _draw(panels: list[tuple], scale: dict, value: str, title: str, ringed: tuple | None = None) -> go.Figure:
    """Panels of (name, matrix, hover texts, words before the value, x axis, y axis); a ring at (x, y)."""
    common = dict(showgrid=False, zeroline=False, tickfont=dict(size=10, color=INK), constrain="domain")
    corner = dict(x=0, y=1, xanchor="left", yanchor="bottom", showarrow=False, font=dict(size=13, color=INK))
    ring = dict(size=19, symbol="circle-open", color="#000000", line=dict(width=2))
    figure = go.Figure()
    for k, (name, matrix, text, told, across, down) in enumerate(panels):
        x, y, (rows, columns) = _nth("x", k), _nth("y", k), matrix.shape
        bar = dict(colorbar=_BAR, showscale=True) if k == 0 else dict(showscale=False)
        words = dict(text=text, hovertemplate=f"{told}<br>{value}: %{{z:.3~g}}<extra></extra>")
        figure.add_heatmap(z=_rounded(matrix), xaxis=x, yaxis=y, **words, **bar, **scale)
        if ringed:
            place = dict(x=ringed[:1], y=ringed[1:], xaxis=x, yaxis=y, mode="markers", marker=ring)
            figure.add_scatter(**place, showlegend=False, hoverinfo="skip")
        if name:
            figure.add_annotation(corner, text=name, xref=f"{x} domain", yref=f"{y} domain")
        axes = {_nth("xaxis", k): dict(across, range=[-0.5, columns - 0.5], anchor=y)}
        axes |= {_nth("yaxis", k): dict(down, range=[rows - 0.5, -0.5], anchor=x)}
        figure.update_layout({key: dict(axis, **common, ticks="") for key, axis in axes.items()})
    figure.update_layout(_grid(len(panels), 2), margin=dict(t=_TOP, b=_BOTTOM, l=12, r=12))
    # What the colours show stands under the title: above a lying colour bar it would lie on it.
    subtitle = dict(text=value, font=dict(size=12, color=INK))
    narrow = dict(narrow=_grid(len(panels), 1))
    return figure.update_layout(meta=narrow, title=dict(text=title, subtitle=subtitle))


def _rounded(matrix: np.ndarray) -> np.ndarray:
    """Four digits beside the largest value: what a colour can show, and small in a page."""
    largest = float(np.nanmax(np.abs(matrix)))
    digits = 4 - int(np.floor(np.log10(largest))) if largest > 0 else 0
    return np.round(matrix.astype(np.float64), digits).astype(np.float32)


def _nth(name: str, k: int) -> str:
    return name if k == 0 else f"{name}{k + 1}"


def _grid(count: int, columns: int) -> dict:
    """Layout of so many panels in rows of so many: their places, and the height of all."""
    columns = min(columns, count)
    rows = -(-count // columns)
    inside = rows * _SIDE + (rows - 1) * _BETWEEN
    layout = dict(height=inside + _TOP + _BOTTOM)
    for k in range(count):
        row, column = divmod(k, columns)
        top = 1 - row * (_SIDE + _BETWEEN) / inside
        # Names of joints stand left of each panel: the first column's within it as well.
        x = [0.13, 1] if columns == 1 else [0.12, 0.5] if column == 0 else [0.62, 1]
        layout[_nth("xaxis", k)] = dict(domain=x)
        layout[_nth("yaxis", k)] = dict(domain=[max(0.0, top - _SIDE / inside), top])
    return layout
