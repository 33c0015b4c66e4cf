"""Maps between joints and between frames (Figure 5), and what moved one prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from posemamba.plotting.style import INK, colour_scale, describe, numbers
from posemamba.skeleton import JOINT_NAMES

if TYPE_CHECKING:
    from posemamba.attention import Relevance

AXES = ("joints", "frames")
#: The joints' names, short enough for an axis of a small panel.
SHORT_NAMES = tuple(name.replace("right ", "R ").replace("left ", "L ") for name in JOINT_NAMES)
_JOINT_TICKS = dict(tickmode="array", tickvals=list(range(len(SHORT_NAMES))), ticktext=SHORT_NAMES)
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

    Raises:
        ValueError: for no maps, other axes, and matrices that do not fit theirs.
    """
    kinds = [axes] * len(maps) if isinstance(axes, str) else list(axes)
    if not maps or len(kinds) != len(maps) or any(kind not in AXES for kind in kinds):
        raise ValueError(f"axes is {axes!r} for {len(maps)} maps, expected 'joints' or 'frames' for each.")
    matrices = [numbers(matrix) for matrix in maps.values()]
    for name, matrix, kind in zip(maps, matrices, kinds, strict=True):
        square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and matrix.size
        if not square or (kind == "joints" and len(matrix) != len(JOINT_NAMES)):
            wanted = f"({len(JOINT_NAMES)}, {len(JOINT_NAMES)})" if kind == "joints" else "(frames, frames)"
            raise ValueError(f"maps[{name!r}] has shape {matrix.shape}, expected {wanted}.")
    scale = colour_scale(matrices if signed else [*matrices, np.zeros(1)], signed)
    pairs = [[f"{row} from {column}" for column in JOINT_NAMES] for row in JOINT_NAMES]
    figure = go.Figure()
    for k, (matrix, kind) in enumerate(zip(matrices, kinds, strict=True)):
        joints = kind == "joints"
        told = "%{text}" if joints else "frame %{y} from frame %{x}"
        _add_map(figure, k, matrix, scale, text=pairs if joints else None, told=f"{told}<br>{value}")
        ticks, angle = (_JOINT_TICKS, -90) if joints else (dict(nticks=6), 0)
        across = dict(title=dict(text=f"from {kind[:-1]}", standoff=4), tickangle=angle)
        down = dict(title=dict(text=f"into {kind[:-1]}", standoff=2), scaleanchor=_axis("x", k))
        end = len(matrix) - 0.5
        across, down = dict(across, range=[-0.5, end], **ticks), dict(down, range=[end, -0.5], **ticks)
        figure.update_layout({_axis("xaxis", k): across, _axis("yaxis", k): down})
    _lay_out(figure, list(maps), title, value)
    told = f"{len(maps)} heat maps: {title or 'untitled'}. {value}; panels: {', '.join(maps)}."
    return describe(figure, alt or told)


def relevance_panels(
    relevance: Relevance, per_unit: float = 1.0, unit: str = "", title: str = "", alt: str | None = None
) -> go.Figure:
    """The two answers to "what moved this prediction" side by side: each input joint's share in each frame.

    Both panels have one scale with zero in its middle. A ring marks the joint and frame that are predicted.

    Args:
        relevance: from `posemamba.attention.relevance`.
        per_unit: what one unit of the network's output is worth in the unit shown.
        unit: the unit shown.
    """
    views = {"gradient times input": relevance.gradient, "the map": relevance.map}
    matrices = [per_unit * numbers(view).T for view in views.values()]
    scale, shown = colour_scale(matrices, True), f"share, {unit}" if unit else "share"
    ring = dict(size=19, symbol="circle-open", color="#000000", line=dict(width=2))
    point = go.Scatter(x=[relevance.frame], y=[relevance.joint], mode="markers", marker=ring)
    figure = go.Figure()
    for k, matrix in enumerate(matrices):
        names = [[name] * matrix.shape[1] for name in JOINT_NAMES]
        _add_map(figure, k, matrix, scale, text=names, told=f"%{{text}}, frame %{{x}}<br>{shown}")
        figure.add_trace(point.update(xaxis=_axis("x", k), yaxis=_axis("y", k)))
        end = matrix.shape[1] - 0.5
        across = dict(title=dict(text="input frame", standoff=4), nticks=6, range=[-0.5, end])
        down = dict(_JOINT_TICKS, range=[len(matrix) - 0.5, -0.5])
        figure.update_layout({_axis("xaxis", k): across, _axis("yaxis", k): down})
    figure.update_traces(showlegend=False, hoverinfo="skip", selector=dict(type="scatter"))
    _lay_out(figure, list(views), title, shown)
    name = f"{JOINT_NAMES[relevance.joint]}, coordinate {'xyz'[relevance.coordinate]}"
    told = f"Two heat maps of input joints over frames: shares in one prediction, {name}, frame "
    told += f"{relevance.frame}; left by gradient times input, right by the map."
    return describe(figure, alt or told)


def _add_map(figure: go.Figure, k: int, matrix: np.ndarray, scale: dict, text, told: str) -> None:
    """Panel k: its matrix, and what hover text says before the value."""
    hover = f"{told}: %{{z:.3~g}}<extra></extra>"
    bar = dict(colorbar=_BAR) if k == 0 else {}
    place = dict(xaxis=_axis("x", k), yaxis=_axis("y", k), showscale=k == 0)
    # Four digits beside the largest value: what a colour can show, and small in a page.
    largest = float(np.nanmax(np.abs(matrix)))
    digits = 4 - int(np.floor(np.log10(largest))) if largest > 0 else 0
    rounded = np.round(matrix.astype(np.float64), digits).astype(np.float32)
    figure.add_heatmap(z=rounded, text=text, hovertemplate=hover, **bar, **place, **scale)


def _axis(name: str, k: int) -> str:
    return name if k == 0 else f"{name}{k + 1}"


def _lay_out(figure: go.Figure, names: list[str], title: str, value: str) -> None:
    """Places the panels: rows of two; on a narrow page one below the other."""
    # What the colours show stands under the title: above a lying colour bar it would lie on it.
    heading = dict(text=title, subtitle=dict(text=value, font=dict(size=12, color=INK)))
    wide, narrow = _grid(len(names), 2), _grid(len(names), 1)
    small = dict(size=10, color=INK)
    common = dict(showgrid=False, zeroline=False, tickfont=small, constrain="domain", ticks="")
    corner = dict(x=0, y=1, xanchor="left", yanchor="bottom", showarrow=False, font=dict(size=13, color=INK))
    figure.update_layout(title=heading, height=wide["height"], margin=dict(t=_TOP, b=_BOTTOM, l=12, r=12))
    changes = dict(height=narrow["height"])
    for k, name in enumerate(names):
        for letter, other in (("x", "y"), ("y", "x")):
            key, domain = _axis(f"{letter}axis", k), wide["domains"][k][letter]
            figure.update_layout({key: dict(common, anchor=_axis(other, k), domain=domain)})
            changes[key] = dict(domain=narrow["domains"][k][letter])
        if name:
            panel = dict(xref=f"{_axis('x', k)} domain", yref=f"{_axis('y', k)} domain")
            figure.add_annotation(text=name, **panel, **corner)
    figure.layout.meta = dict(narrow=changes)


def _grid(count: int, columns: int) -> dict:
    columns = min(columns, count)
    rows = -(-count // columns)
    inside = rows * _SIDE + (rows - 1) * _BETWEEN
    domains = []
    for k in range(count):
        row, column = divmod(k, columns)
        top = 1 - row * (_SIDE + _BETWEEN) / inside
        # Names of joints stand left of each panel: the first column's within it as well.
        x = [0.13, 1] if columns == 1 else [0.12, 0.5] if column == 0 else [0.62, 1]
        domains.append(dict(x=x, y=[max(0.0, top - _SIDE / inside), top]))
    return dict(height=inside + _TOP + _BOTTOM, domains=domains)
