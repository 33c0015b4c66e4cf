"""Curves, clouds and rows of points, heat maps, and a slider over figures computed beforehand."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.colors import hex_to_rgb

from posemamba.plotting.style import COLOURS, DASHES, add_slider, colour_scale, describe, numbers

MARKERS = ("circle", "diamond", "square", "triangle-up", "x", "star")


def curves(
    lines: Mapping[str, tuple],
    xlabel: str = "",
    ylabel: str = "",
    logx: bool = False,
    logy: bool = False,
    title: str = "",
    spread: Mapping[str, tuple] | None = None,
    markers: bool = False,
    alt: str | None = None,
) -> go.Figure:
    """Named curves, told apart by colour and by dashes.

    Args:
        lines: name -> (x, y), each of length n.
        xlabel, ylabel: what the axes show, with the unit; the hover text uses them.
        logx, logy: logarithmic axes; on them values that are not positive are left out.
        spread: name -> (low, high), each of length n, drawn as a band behind the curve of that name.
        markers: mark the points.
        title, alt: the figure's title, and its alternative text; made from names and labels where not given.

    Raises:
        ValueError: where lengths differ or a spread has no curve.
    """
    figure, spread = go.Figure(), spread or {}
    xname, yname = xlabel or "x", ylabel or "y"
    if unknown := set(spread) - set(lines):
        raise ValueError(f"spread names {sorted(unknown)}, expected names of lines: {sorted(lines)}.")
    for k, (name, line) in enumerate(lines.items()):
        x, y, *ends = map(numbers, (*line, *spread.get(name, ())))
        if x.ndim != 1 or any(values.shape != x.shape for values in (y, *ends)):
            found = ", ".join(str(values.shape) for values in (x, y, *ends))
            label = f"lines[{name!r}]{' with its spread' if ends else ''}"
            raise ValueError(f"{label} has shapes {found}, expected (n,) for each.")
        colour = COLOURS[k % len(COLOURS)]
        if ends:
            low, high = ends
            around = dict(x=np.concatenate([x, x[::-1]]), y=np.concatenate([high, low[::-1]]), fill="toself")
            faint = "rgba({},{},{},0.2)".format(*hex_to_rgb(colour))
            clear = dict(fillcolor=faint, mode="lines", line=dict(width=0), hoverinfo="skip")
            figure.add_scatter(**around, **clear, legendgroup=name, showlegend=False)
        hover = f"{xname}: %{{x:.4~g}}<br>{yname}: %{{y:.4~g}}<extra>{name}</extra>"
        pen = dict(color=colour, width=2.5, dash=DASHES[k % len(DASHES)])
        look = dict(mode="lines+markers" if markers else "lines", line=pen, marker=dict(size=7))
        figure.add_scatter(x=x, y=y, name=name, legendgroup=name, hovertemplate=hover, **look)
    log = dict(type="log", exponentformat="power", dtick=1)
    xaxis, yaxis = dict(log if logx else {}, title_text=xlabel), dict(log if logy else {}, title_text=ylabel)
    figure.update_layout(title_text=title, showlegend=len(lines) > 1, xaxis=xaxis, yaxis=yaxis)
    told = f"Line chart: {title or 'untitled'}. {yname} over {xname}; curves: {', '.join(lines)}."
    return describe(figure, alt or told)


def clouds(
    groups: Mapping[str, tuple],
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    small: Sequence[str] = (),
    alt: str | None = None,
) -> go.Figure:
    """Named clouds of points, told apart by colour and by marker; equal scales.

    Small clouds are filled; large ones are open, so that what lies under them is seen.

    Args:
        groups: name -> (x, y) or (x, y, notes), each of length n; the hover text shows a point's note.
        xlabel, ylabel: what the axes show, with the unit.
        small: names of clouds to draw with small, faint points.
        title, alt: the figure's title, and its alternative text; made from names and labels where not given.

    Raises:
        ValueError: where lengths differ.
    """
    figure = go.Figure()
    for k, (name, (x, y, *notes)) in enumerate(groups.items()):
        x, y = numbers(x), numbers(y)
        if x.ndim != 1 or any(len(values) != len(x) for values in (y, *notes)):
            found = ", ".join(str(len(values)) for values in (x, y, *notes))
            raise ValueError(f"groups[{name!r}] has lengths {found}, expected the same for each.")
        look = _mark(k, size=3.5, opacity=0.65) if name in small else _mark(k, "-open", size=7, opacity=0.9)
        hover = "%{text}<br>" * bool(notes) + f"%{{x:.0f}}, %{{y:.0f}}<extra>{name}</extra>"
        told = dict(text=list(notes[0]) if notes else None, hovertemplate=hover)
        figure.add_scatter(x=x, y=y, name=name, mode="markers", marker=look, **told)
    figure.update_layout(title_text=title, height=560, legend_itemsizing="trace")
    figure.layout.meta = dict(narrow=dict(margin=dict(t=50 + 18 * len(groups))))  # a line for each name
    figure.update_layout(xaxis_title_text=xlabel, yaxis=dict(title_text=ylabel, scaleanchor="x"))
    told = f"{title or 'untitled'}. {ylabel or 'y'} over {xlabel or 'x'}; clouds: {', '.join(groups)}."
    return describe(figure, alt or f"Points: {told}")


def _mark(k: int, kind: str = "", **look) -> dict:
    return dict(color=COLOURS[k % len(COLOURS)], symbol=MARKERS[k % len(MARKERS)] + kind, **look)


def dots(
    groups: Mapping[str, Mapping[str, Sequence[float]]],
    xlabel: str = "",
    title: str = "",
    alt: str | None = None,
) -> go.Figure:
    """Numbers as dots, a row for each thing measured; in every row the groups lie one under another.

    Args:
        groups: name of a group -> name of a row -> its numbers; rows in the first group's order.
        xlabel: what the numbers are, with the unit.
        title, alt: the figure's title, and its alternative text; made from names and label where not given.
    """
    figure, rows = go.Figure(), list(dict.fromkeys(row for group in groups.values() for row in group))
    for k, (name, group) in enumerate(groups.items()):
        aside = 0.7 * (k + 0.5) / len(groups) - 0.35
        pairs = [(value, rows.index(row) + aside, row) for row in group for value in numbers(group[row])]
        x, y, notes = zip(*pairs, strict=True)
        hover = f"%{{text}}: %{{x:.3~g}}<extra>{name}</extra>"
        told, mark = dict(text=notes, hovertemplate=hover), _mark(k, size=7, opacity=0.9)
        figure.add_scatter(x=x, y=y, name=name, mode="markers", marker=mark, **told)
    ticks = dict(tickvals=list(range(len(rows))), ticktext=rows, autorange="reversed", zeroline=False)
    figure.update_layout(title_text=title, xaxis_title_text=xlabel, yaxis=ticks, height=120 + 52 * len(rows))
    told = f"{title or 'untitled'}. {xlabel or 'numbers'} of {', '.join(rows)}, for {', '.join(groups)}."
    return describe(figure, alt or f"Dots: {told}")


def heatmap(
    matrix: Float[np.ndarray, "rows columns"],
    xlabel: str = "",
    ylabel: str = "",
    x=None,
    y=None,
    value: str = "value",
    title: str = "",
    equal: bool = False,
    alt: str | None = None,
) -> go.Figure:
    """A matrix as colours, its first row on top.

    Args:
        matrix: (rows, columns) numbers; NaN is left clear.
        x, y: names or numbers of the columns and rows; their indices where not given.
        xlabel, ylabel: what columns and rows are.
        value: what the colours show, with its unit.
        equal: draw cells as squares.
        title, alt: the figure's title, and its alternative text; made from the labels where not given.

    Raises:
        ValueError: where shapes do not fit.
    """
    matrix = numbers(matrix)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"matrix has shape {matrix.shape}, expected (rows, columns).")
    for name, labels, size in (("x", x, matrix.shape[1]), ("y", y, matrix.shape[0])):
        if labels is not None and len(labels) != size:
            raise ValueError(f"{name} has {len(labels)} labels, expected {size}.")
    down, across = ylabel or "row", xlabel or "column"
    hover = f"{down} %{{y}}<br>{across} %{{x}}<br>{value}: %{{z:.4~g}}<extra></extra>"
    bar = dict(title=dict(text=value), thickness=14)
    scale = colour_scale([matrix], signed=False)
    figure = go.Figure(go.Heatmap(z=matrix, x=x, y=y, hovertemplate=hover, colorbar=bar, **scale))
    square = dict(scaleanchor="x", constrain="domain") if equal else {}
    xaxis = dict(title_text=xlabel, showgrid=False, constrain="domain")
    yaxis = dict(title_text=ylabel, showgrid=False, autorange="reversed", **square)
    figure.update_layout(title_text=title, xaxis=xaxis, yaxis=yaxis)
    told = f"Heat map: {title or 'untitled'}. {value}, {matrix.shape[0]} by {matrix.shape[1]}: "
    return describe(figure, alt or f"{told}{ylabel or 'rows'} down, {xlabel or 'columns'} across.")


def slider_figure(
    figures: Mapping[str, go.Figure],
    parameter: str,
    title: str = "",
    start: str | None = None,
    interval: float | None = None,
    alt: str | None = None,
) -> go.Figure:
    """One figure with a slider, from figures computed beforehand: a page that is built has no Python to ask.

    Args:
        figures: slider label -> figure; all with the same traces in the same order, whose numbers (and whose
            title and annotations) may differ; the axes hold all of them.
        parameter: what the slider changes, such as "step size".
        start: the label that is shown first; the first one where not given.
        interval: milliseconds a figure, for a play button; none where not given.
        title: the whole figure's title; where not given each figure's own title is shown.
        alt: alternative text; made from the first figure's where not given.

    Raises:
        ValueError: where the figures do not match.
    """
    labels, parts = list(map(str, figures)), list(figures.values())
    kinds = [[(trace.type, trace.name) for trace in part.data] for part in parts]
    if not parts or any(kind != kinds[0] for kind in kinds):
        raise ValueError(f"figures must have the same traces in the same order, found {kinds}.")
    start = labels[0] if start is None else str(start)
    if start not in labels:
        raise ValueError(f"start is {start!r}, expected one of {labels}.")
    active = labels.index(start)
    figure = go.Figure(parts[active])
    figure.update_layout(xaxis=_shared_range(parts, "x"), yaxis=_shared_range(parts, "y"))
    maps = [trace for part in parts for trace in part.data if trace.type == "heatmap"]
    if maps:
        shared = dict(zmin=min(trace.zmin for trace in maps), zmax=max(trace.zmax for trace in maps))
        figure.update_traces(shared, selector=dict(type="heatmap"))
    # A frame is laid over whatever is drawn, so only an x that no figure changes may be left out.
    moves = [
        ["y", "z", "text"] + ["x"] * any(not np.array_equal(trace["x"], first["x"]) for trace in traces)
        for first, *traces in zip(*(part.data for part in parts), strict=True)
    ]
    frames = []
    for k, part in enumerate(parts):
        data = [
            type(trace)({key: trace[key] for key in keys if key in trace and trace[key] is not None})
            for trace, keys in zip(part.data, moves, strict=True)
        ]
        layout = {} if title else dict(title_text=part.layout.title.text)
        layout |= dict(annotations=part.layout.annotations) if part.layout.annotations else {}
        frames.append(go.Frame(name=str(k), data=data, layout=layout))
    figure.frames = frames
    figure.update_layout(title_text=title or figure.layout.title.text)
    add_slider(figure, labels, f"{parameter} = ", interval=interval)
    figure.layout.sliders[0].active = active
    first = (parts[active].layout.meta or {}).get("alt", "")
    told = f"{first} A slider changes {parameter} from {labels[0]} to {labels[-1]}.".strip()
    return describe(figure, alt or told)


def _shared_range(parts: list[go.Figure], axis: str) -> dict:
    """The axis range that holds every figure's curves; nothing for heat maps, whose cells tell it."""
    curves = [trace for part in parts for trace in part.data if trace.type == "scatter"]
    values = np.concatenate([[], *(np.asarray(trace[axis], dtype=np.float64) for trace in curves)])
    if parts[0].layout[f"{axis}axis"].type == "log":
        values = np.log10(values[values > 0])
    values = values[np.isfinite(values)]
    if not len(values):
        return {}
    pad = 0.04 * float(np.ptp(values)) or 0.5
    return dict(range=[float(values.min()) - pad, float(values.max()) + pad])
