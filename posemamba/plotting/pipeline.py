"""The network as a diagram (the paper's Figure 2): each part with its shape, its weights and its cost."""

from textwrap import wrap

import numpy as np
import plotly.graph_objects as go

from posemamba.accounting import Stage, pipeline_stages
from posemamba.model import PoseMamba, PoseMambaConfig
from posemamba.plotting.style import CLEAR, INK, SEQUENTIAL, describe

_ROW = 44  # pixels
_LEFT, _RIGHT = (0.0, 0.455), (0.545, 0.955)  # the columns; beside the right one run its bypasses


def pipeline(model: PoseMamba | PoseMambaConfig, title: str = "") -> go.Figure:
    """The network in one column and the inside of its blocks in another, coloured by cost.

    A box names a part and the shape of what comes out of it, with its share of the network's multiply-adds;
    what is not counted (norms, elementwise work) is hollow. Hovering tells parameters and multiply-adds.

    Args:
        model: a network, or its settings; shown is a sequence of its full length.
        title: made from the settings where not given.
    """
    network, inside = pipeline_stages(model)
    config = getattr(model, "config", model)
    scans = [k for k, stage in enumerate(inside) if stage.kind == "scan"]
    places = [(stage, *_LEFT, row) for row, stage in enumerate(network)]
    width = (_RIGHT[1] - _RIGHT[0] + 0.008) / len(scans)  # the scans' boxes stand in one row
    for k, stage in enumerate(inside):
        left = _RIGHT[0] + (k - scans[0]) * width
        # The scans share a row, and what follows them moves up.
        row = k - min(max(k - scans[0], 0), len(scans) - 1)
        places.append((stage, *((left, left + width - 0.008) if k in scans else _RIGHT), row))
    rows = 1 + max(row for *_, row in places)
    top = max(_shown(stage, left)[0] for stage, left, *_ in places)
    figure = go.Figure()
    rows_inside = [stage for k, stage in enumerate(inside) if k not in scans[1:]]
    _add_lines(figure, len(network), rows_inside, loop=config.depth > 2)
    for counted in (True, False):
        chosen = [place for place in places if (place[0].macs is not None) == counted]
        _add_boxes(figure, chosen, top if counted else None)
    for (low, high), text in ((_LEFT, "the network"), (_RIGHT, f"inside its {config.depth} blocks")):
        middle = (low + high) / 2
        figure.add_annotation(x=middle, y=-0.85, text=f"<b>{text}</b>", showarrow=False)
    name = f"{config.depth} blocks of {config.channels} channels, {network[0].shape[0]} frames"
    told = dict(text="share of the network's multiply-adds (%)", side="top")
    bar = dict(title=told, orientation="h", x=0.5, y=0, yanchor="top", thickness=12, len=0.9, outlinewidth=0)
    scale = dict(colorscale=SEQUENTIAL, cmin=0, cmax=round(100 * top, 1), colorbar=bar)
    still = dict(visible=False, fixedrange=True)
    across, down = dict(still, range=[-0.005, 1.0]), dict(still, range=[rows - 0.45, -1.2])
    hover = dict(align="left", bgcolor="#2b2b2b", bordercolor=INK, font=dict(color="#ffffff"))
    figure.update_layout(
        title_text=title or name, xaxis=across, yaxis=down, coloraxis=scale, hoverlabel=hover
    )
    figure.update_layout(height=_ROW * (rows + 1) + 150, margin=dict(l=4, r=4, t=44, b=76), barmode="overlay")
    figure.update_layout(showlegend=False, font_size=12.5, meta=dict(narrow=dict(font=dict(size=10.5))))
    # A finger that moves scrolls the page.
    figure.update_layout(dragmode=False, modebar=dict(remove=["select", "lasso"]))
    scanned, blocks = sum(inside[k].share for k in scans), sum(stage.share for stage in inside)
    told = (
        f"Diagram: {title or 'PoseMamba'}, {name}. Keypoints are embedded, joint positions added, then a "
        "spatial and a temporal block follow in turn, each with a norm after it; frame positions are added "
        f"after the first spatial norm; a head gives 3D joints. The blocks have {blocks:.1%} of the "
        f"multiply-adds, the {len(scans)} scans inside them {scanned:.1%}."
    )
    return describe(figure, told)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%" if share >= 0.0005 else "<0.1%"


def _hover(stage: Stage) -> str:
    """What a box says when it is pointed at; lines are broken for a phone."""
    about = "<br>".join(wrap(stage.about, 42))
    told = f"{stage.parameters:,} parameters" if stage.parameters else "no parameters of its own"
    cost = "no multiply-adds counted"
    if stage.macs is not None:
        cost = f"{stage.macs:,} multiply-adds<br>{_percent(stage.share)} of the network's"
    if stage.copies > 1 and (stage.parameters or stage.macs):
        cost += f"<br>(in all {stage.copies} together)"
    return "<br>".join([f"<b>{stage.name}</b>", about, f"out: {_shape(stage)}", told, cost])


def _add_boxes(figure: go.Figure, places: list[tuple], top: float | None) -> None:
    """Bars lying on their sides: they can be pointed at anywhere, and have a colour scale."""
    stages, lefts, rights, rows = zip(*places, strict=True)
    shown = [_shown(stage, left) for stage, left in zip(stages, lefts, strict=True)]
    shares, widths = [round(100 * share, 3) for share, _ in shown], np.subtract(rights, lefts).tolist()
    fill = dict(color=CLEAR) if top is None else dict(color=shares, coloraxis="coloraxis")
    boxes = dict(line=dict(color=INK, width=1), cornerradius=5, **fill)
    hover = dict(hovertext=[*map(_hover, stages)], hovertemplate="%{hovertext}<extra></extra>")
    name = "not counted" if top is None else "counted"
    figure.add_bar(base=lefts, x=widths, y=rows, width=0.8, orientation="h", marker=boxes, name=name, **hover)
    texts = []
    for stage, (_, share), width in zip(stages, shown, widths, strict=True):
        words = [share] if width < 0.2 else [_shape(stage), share][: 1 if top is None else 2]
        texts.append(f"<b>{stage.name}</b><br>{' · '.join(words)}")
    # Cividis is dark in its lower half. Text without a colour takes the page's.
    colours = top and ["#ffffff" if share < 52 * top else "#111111" for share in shares]
    ink = dict(textfont=dict(color=colours)) if colours else {}
    middles = np.add(lefts, rights) / 2
    figure.add_scatter(
        x=middles.tolist(), y=rows, mode="text", text=texts, hoverinfo="skip", name="names", **ink
    )


def _add_lines(figure: go.Figure, left_rows: int, inside: list[Stage], loop: bool) -> None:
    """What goes from where to where, with an arrow's head at each end; `inside` is the right column."""
    centre = [(low + high) / 2 for low, high in (_LEFT, _RIGHT)]
    paths = [[(centre[0], row + 0.4), (centre[0], row + 0.58)] for row in range(left_rows - 1)]
    paths += [[(centre[1], row - 0.6), (centre[1], row - 0.42)] for row in range(len(inside))]
    rail = _RIGHT[0] - 0.035
    start = -0.5
    kinds = [stage.kind for stage in inside]
    for row in (row for row, kind in enumerate(kinds) if kind == "residual"):
        paths.append([(centre[1], start), (rail, start), (rail, row), (_RIGHT[0] - 0.005, row)])
        start = row + 0.5
    out, back = kinds.index("linear"), kinds.index("gate")
    rail = _RIGHT[1] + 0.035
    paths.append([(_RIGHT[1], out), (rail, out), (rail, back), (_RIGHT[1] + 0.005, back)])
    if loop:
        rail = _LEFT[1] + 0.025
        first, last = left_rows - 6, left_rows - 3
        paths.append([(_LEFT[1], last), (rail, last), (rail, first), (_LEFT[1] + 0.005, first)])
    x, y = zip(*(point for path in paths for point in (*path, (None, None))), strict=True)
    quiet, line = dict(hoverinfo="skip"), dict(color=INK, width=1.5)
    figure.add_scatter(x=x, y=y, mode="lines", line=line, name="lines", **quiet)
    heads = {0: "triangle-down", 1: "triangle-right", -1: "triangle-left"}
    symbols = [heads[(path[-1][0] > path[-2][0]) - (path[-1][0] < path[-2][0])] for path in paths]
    x, y = zip(*(path[-1] for path in paths), strict=True)
    marks = dict(symbol=symbols, size=6, color=INK)
    figure.add_scatter(x=x, y=y, mode="markers", marker=marks, name="heads", **quiet)


def _shown(stage: Stage, left: float) -> tuple[float, str]:
    """The share that a box's colour shows, and its text: of one copy on the left, of all on the right."""
    if left >= _RIGHT[0] or stage.copies == 1:
        return stage.share, _percent(stage.share)
    return stage.share / stage.copies, f"{stage.copies} × {_percent(stage.share / stage.copies)}"


def _shape(stage: Stage) -> str:
    return "×".join(map(str, stage.shape))
