"""Curves, heat maps, and a slider over figures computed beforehand."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from posemamba.plotting.style import COLOURS, DASHES, add_slider, colour_scale, describe, numbers


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

    Raises:
        ValueError: where lengths differ or a spread has no curve.
    """
    figure = go.Figure()
    xname, yname = xlabel or "x", ylabel or "y"
    if unknown := set(spread or ()) - set(lines):
        raise ValueError(f"spread names {sorted(unknown)}, expected names of lines: {sorted(lines)}.")
    for k, (name, (x, y)) in enumerate(lines.items()):
        x, y = numbers(x), numbers(y)
        if x.ndim != 1 or x.shape != y.shape:
            raise ValueError(f"lines[{name!r}] has shapes {x.shape}, {y.shape}, expected (n,) twice.")
        colour = COLOURS[k % len(COLOURS)]
        if spread and name in spread:
            low, high = map(numbers, spread[name])
            if low.shape != x.shape or high.shape != x.shape:
                found = f"{low.shape}, {high.shape}, expected {x.shape} twice"
                raise ValueError(f"spread[{name!r}] has shapes {found}.")
            around = dict(x=np.concatenate([x, x[::-1]]), y=np.concatenate([high, low[::-1]]), fill="toself")
            faint = "rgba({},{},{},0.2)".format(*bytes.fromhex(colour[1:]))
            clear = dict(fillcolor=faint, mode="lines", line=dict(width=0), hoverinfo="skip")
            figure.add_scatter(**around, **clear, legendgroup=name, showlegend=False)
        hover = f"{xname}: %{{x:.4~g}}<br>{yname}: %{{y:.4~g}}<extra>{name}</extra>"
        line = dict(color=colour, width=2.5, dash=DASHES[k % len(DASHES)])
        look = dict(mode="lines+markers" if markers else "lines", line=line, marker=dict(size=7))
        figure.add_scatter(x=x, y=y, name=name, legendgroup=name, hovertemplate=hover, **look)
    scales = {False: {}, True: dict(type="log", exponentformat="power", dtick=1)}
    axes = dict(xaxis=scales[logx] | dict(title_text=xlabel), yaxis=scales[logy] | dict(title_text=ylabel))
    figure.update_layout(title_text=title, showlegend=len(lines) > 1, **axes)
    told = f"Line chart: {title or 'untitled'}. {yname} over {xname}; curves: {', '.join(lines)}."
    return describe(figure, alt or told)


def heatmap(
    matrix: Float[np.ndarray, "rows columns"],
    xlabel: str = "",
    ylabel: str = "",
    x=None,
    y=None,
    value: str = "value",
    title: str = "",
    signed: bool = False,
    equal: bool = False,
    alt: str | None = None,
) -> go.Figure:
    """A matrix as colours, its first row on top.

    Args:
        matrix: (rows, columns) numbers; NaN is left clear.
        x, y: names or numbers of the columns and rows; their indices where not given.
        xlabel, ylabel: what columns and rows are.
        value: what the colours show, with its unit.
        signed: a diverging scale with zero in its middle, for values of both signs.
        equal: draw cells as squares.

    Raises:
        ValueError: where shapes do not fit.
    """
    matrix = numbers(matrix)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"matrix has shape {matrix.shape}, expected (rows, columns).")
    for name, labels, size in (("x", x, matrix.shape[1]), ("y", y, matrix.shape[0])):
        if labels is not None and len(labels) != size:
            raise ValueError(f"{name} has {len(labels)} labels, expected {size}.")
    hover = f"{ylabel or 'row'} %{{y}}<br>{xlabel or 'column'} %{{x}}<br>{value}: %{{z:.4~g}}<extra></extra>"
    bar = dict(title=dict(text=value), thickness=14)
    scale = colour_scale([matrix], signed)
    figure = go.Figure(go.Heatmap(z=matrix, x=x, y=y, hovertemplate=hover, colorbar=bar, **scale))
    across = dict(title_text=xlabel, showgrid=False, constrain="domain")
    down = dict(title_text=ylabel, showgrid=False, autorange="reversed")
    down |= dict(scaleanchor="x", constrain="domain") if equal else {}
    figure.update_layout(title_text=title, xaxis=across, yaxis=down)
    told = f"Heat map: {title or 'untitled'}. {value}, {matrix.shape[0]} by {matrix.shape[1]}"
    told += f": {ylabel or 'rows'} down, {xlabel or 'columns'} across."
    return describe(figure, alt or told)


def slider_figure(
    figures: Mapping[str, go.Figure],
    parameter: str,
    title: str = "",
    start: str | None = None,
    interval: float | None = None,
    alt: str | None = None,
) -> go.Figure:
    """One figure with a slider, from figures computed beforehand: a page that is built has no Python to ask.

    Its axes hold every frame.

    Args:
        figures: slider label -> figure; all with the same traces in the same order, whose numbers (and whose
            title and annotations) may differ.
        parameter: what the slider changes, such as "step size".
        start: the label that is shown first; the first one where not given.
        interval: milliseconds a figure, for a play button; none where not given.
        title: the whole figure's title; where not given each figure's own title is shown.

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
    for axis in ("x", "y"):
        if span := _shared_range(parts, axis):
            figure.update_layout({f"{axis}axis": dict(range=span)})
    if maps := [trace for part in parts for trace in part.data if trace.type == "heatmap"]:
        shared = dict(zmin=min(trace.zmin for trace in maps), zmax=max(trace.zmax for trace in maps))
        figure.update_traces(shared, selector=dict(type="heatmap"))
    # A frame is laid over whatever is drawn, so only an x that no figure changes may be left out.
    same = zip(*(part.data for part in parts), strict=True)
    still = [all(np.array_equal(each["x"], first["x"]) for each in others) for first, *others in same]
    figure.frames = [_frame(part, still, str(k), bool(title)) for k, part in enumerate(parts)]
    if title:
        figure.update_layout(title_text=title)
    add_slider(figure, labels, f"{parameter} = ", interval=interval)
    figure.layout.sliders[0].active = active
    told = (parts[active].layout.meta or {}).get("alt", "")
    told = f"{told} A slider changes {parameter} from {labels[0]} to {labels[-1]}.".strip()
    return describe(figure, alt or told)


def _frame(part: go.Figure, still: list[bool], name: str, titled: bool) -> go.Frame:
    """What changes: the traces' numbers (x unless it is still), annotations, the title if it is not fixed."""
    changes = [("y", "z", "text") if fixed else ("x", "y", "z", "text") for fixed in still]
    data = [
        type(trace)(**{key: trace[key] for key in keys if key in trace and trace[key] is not None})
        for trace, keys in zip(part.data, changes, strict=True)
    ]
    layout = {} if titled else dict(title=dict(text=part.layout.title.text))
    if part.layout.annotations:
        layout["annotations"] = part.layout.annotations
    return go.Frame(name=name, data=data, layout=layout)


def _shared_range(parts: list[go.Figure], axis: str) -> list[float] | None:
    """The axis range that holds every figure's curves; None for heat maps, whose cells tell it."""
    curves = [trace for part in parts for trace in part.data if trace.type == "scatter"]
    values = np.concatenate([[], *(np.asarray(trace[axis], dtype=np.float64) for trace in curves)])
    if parts[0].layout[f"{axis}axis"].type == "log":
        values = np.log10(values[values > 0])
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    pad = 0.04 * float(np.ptp(values)) or 0.5
    return [float(values.min()) - pad, float(values.max()) + pad]
