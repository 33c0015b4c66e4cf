"""Which tokens a scan lets reach which, drawn: over a strategy's directions, or along one order."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from posemamba import orders
from posemamba.orders import directions_reaching
from posemamba.plotting.paths import MIXED, QUIET, SPATIAL, body_axes, bones_trace, points_of, row_of_bodies
from posemamba.plotting.style import COLOURS, GRID, INK, add_slider, animate, describe
from posemamba.skeleton import JOINTS

__all__ = ["directions_reaching", "order_playground", "reach_counts"]

BLIND = COLOURS[1]
_BLUES = ("#b3d4ee", "#79b4e0", "#3c93d0", "#0068a8")  # by 1 ... all of the directions
_STATES = ("#b8b8b8", SPATIAL, MIXED)  # not, along the path, through a mix alone


def _steps(colours) -> list:
    """A colour scale of as many flat steps as there are colours."""
    n = len(colours)
    return [(edge, colour) for k, colour in enumerate(colours) for edge in (k / n, (k + 1) / n)]


def _choices(figure: go.Figure, labels: list[str], shown: list[list[int]], always: int) -> None:
    """A menu of which traces are seen; the first `always` of them are seen in any case."""
    seen = [[k < always or k in traces for k in range(len(figure.data))] for traces in shown]
    pairs = zip(labels, seen, strict=True)
    buttons = [dict(label=label, method="restyle", args=[{"visible": row}]) for label, row in pairs]
    # Plotly lights up the row under the pointer, so dark words on light rows, on any page.
    menu = dict(buttons=buttons, x=0, y=1, xanchor="left", yanchor="bottom", pad=dict(b=8), showactive=False)
    menu |= dict(bgcolor="#f1f1f1", bordercolor=INK, font=dict(color="#222222", size=13))
    figure.layout.updatemenus = (*figure.layout.updatemenus, menu)
    for trace, visible in zip(figure.data, seen[0], strict=True):
        trace.visible = visible


def _legend(figure: go.Figure, words: Sequence[str], colours: Sequence[str]) -> int:
    """Marks that stand in the legend alone. Returns how many traces the figure has now."""
    for name, colour in zip(words, colours, strict=True):
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=dict(size=10, color=colour), name=name)
    return len(figure.data)


def reach_counts(frames: int = 5) -> go.Figure:
    """For one token at a time: along how many of a strategy's directions each token can reach it.

    A menu chooses among the strategies of `posemamba.orders.STRATEGIES`, a slider the token that is reached.

    Args:
        frames: bodies in a row, 1 to 9.

    Raises:
        ValueError: a number of frames that is out of range.
    """
    row, told = row_of_bodies(frames, 9)
    tokens = len(told)
    reaching = {name: directions_reaching(name, frames) for name in orders.STRATEGIES}
    # Those that leave gaps come first: the gaps are what there is to see.
    names = sorted(reaching, key=lambda name: (reaching[name].min(), reaching[name].sum()))
    tables, most = [reaching[name] for name in names], max(len(orders.directions(name)) for name in names)
    counts = [BLIND, *sample_colorscale(_BLUES, np.linspace(0, 1, most))]
    figure = go.Figure(bones_trace(row, {}))
    ring = dict(size=21, symbol="circle-open", color=INK, line=dict(width=3))
    figure.add_scatter(**points_of([0], row), mode="markers", marker=ring, **QUIET)
    always = _legend(figure, ["none", *map(str, range(1, most + 1))], counts)
    for name, table in zip(names, tables, strict=True):
        hover = f"from %{{text}}<br>along %{{marker.color}} of {len(orders.directions(name))} directions"
        marks = dict(size=10, color=table[0], coloraxis="coloraxis")
        drawn = dict(mode="markers", marker=marks, text=told, showlegend=False)
        figure.add_scatter(**points_of(range(tokens), row), **drawn, hovertemplate=f"{hover}<extra></extra>")
    moving = [1, *range(always, len(figure.data))]
    states = ([dict(marker=dict(color=table[token])) for table in tables] for token in range(tokens))
    animate(figure, moving, ([points_of([k], row), *state] for k, state in enumerate(states)))
    scale = dict(cmin=-0.5, cmax=most + 0.5, colorscale=_steps(counts), showscale=False)
    figure.update_layout(title_text="How many directions reach the marked token?", coloraxis=scale)
    figure.update_layout(legend=dict(y=0, yanchor="top"), **body_axes(frames, 1, (0, 1), (0, 1)))
    add_slider(figure, told, "")
    figure.layout.sliders[0].pad.t = 74
    figure.update_layout(height=430, margin=dict(l=4, r=4, t=92, b=128), meta=dict(narrow=dict(height=370)))
    _choices(figure, names, [[always + k] for k in range(len(names))], always)
    alt = (
        f"{frames} bodies, one a frame. Each joint is coloured by the number of directions, none to {most}, "
        f"along which it reaches one marked token, at first: {told[0]}. A menu chooses the "
        "strategy, a slider the token. Bidirectional scans leave no joint out; the unidirectional ones do."
    )
    return describe(figure, alt)


def order_playground(frames: int = 3) -> go.Figure:
    """Choose an order, walk along it, and see which tokens the one read now has heard of.

    Above, one body a frame with the path so far; below, the same for all tokens: a row is the token that is
    reached, a column the one it comes from.

    Args:
        frames: bodies in a row, 1 to 5.

    Raises:
        ValueError: a number of frames that is out of range.
    """
    row, told = row_of_bodies(frames, 5)
    tokens, start = len(told), 2 * len(told) // 5
    # Every direction that some strategy uses, each once.
    names = ("bidirectional", "global-local", "forward-forward", "backward-backward", *orders.STRATEGIES)
    found = list(dict.fromkeys(direction for name in names for direction in orders.directions(name)))
    reads = [table.numpy() for table in orders.tables(found, frames, JOINTS)[0]]
    tables = [orders.reach(direction, frames) for direction in found]
    below = dict(xaxis="x2", yaxis="y2")

    def moved(k: int, step: int) -> list[dict]:
        """The path, the tokens' states, the token read now, and its row below."""
        now = int(reads[k][step])
        line = dict(y=[now, now])
        states = dict(marker=dict(color=tables[k][now]))
        return [points_of(reads[k][: step + 1], row), states, points_of([now], row), line]

    figure = go.Figure(bones_trace(row, {}))
    words = ("cannot reach it", "earlier on the path, or the token itself", "through the mix alone")
    always = _legend(figure, words, _STATES)
    states = dict(cmin=-0.5, cmax=2.5, colorscale=_steps(_STATES), showscale=False)
    for k, table in enumerate(tables):
        path, marks, now, line = moved(k, start)
        figure.add_scatter(**path, mode="lines", line=dict(color=SPATIAL, width=1.5), opacity=0.6, **QUIET)
        dots = dict(size=9, coloraxis="coloraxis", **marks["marker"])
        hover = dict(text=told, hovertemplate="%{text}<extra></extra>", showlegend=False)
        figure.add_scatter(**points_of(range(tokens), row), mode="markers", marker=dots, **hover)
        ring = dict(size=19, symbol="circle-open", color=BLIND, line=dict(width=3))
        figure.add_scatter(**now, mode="markers", marker=ring, **QUIET)
        across = dict(line, x=[-0.5, tokens - 0.5], line=dict(color=BLIND, width=3))
        figure.add_scatter(**across, mode="lines", **QUIET, **below)
        hover = "from token %{x} to token %{y}<extra></extra>"
        figure.add_heatmap(z=table, coloraxis="coloraxis", hovertemplate=hover, **below)
    groups = [[always + 5 * k + part for part in range(5)] for k in range(len(found))]
    moving = [trace for group in groups for trace in group[:4]]
    steps = range(tokens)
    animate(figure, moving, ([c for k in range(len(found)) for c in moved(k, step)] for step in steps))
    edges = dict(tickvals=[JOINTS * t for t in range(frames)], ticktext=[f"frame {t}" for t in range(frames)])
    edges |= dict(showgrid=True, gridcolor=GRID, constrain="domain", zeroline=False)
    across = dict(edges, domain=[0, 1], anchor="y2", title_text="from token")
    down = dict(edges, domain=[0, 0.6], anchor="x2", title_text="to token")
    down |= dict(autorange="reversed", scaleanchor="x2")
    figure.update_layout(title_text="One order at a time", coloraxis=states, legend=dict(y=1.1))
    figure.update_layout(xaxis2=across, yaxis2=down, **body_axes(frames, 1, (0, 1), (0.66, 1)))
    add_slider(figure, [str(step) for step in steps], "place ", f" of {tokens}", interval=300)
    figure.layout.sliders[0].update(active=start, pad=dict(t=46))
    figure.layout.updatemenus[0].pad.t = 50
    figure.update_layout(height=860, margin=dict(l=66, r=8, t=150, b=116), meta=dict(narrow=dict(height=740)))
    _choices(figure, [direction.name for direction in found], groups, always)
    return describe(
        figure,
        f"{frames} bodies with the path of one order up to the token read now; joints that reach it are "
        "blue, those that cannot grey, those that only a mix lets in green. Below, a square of all pairs of "
        "tokens in the same colours, the token's row marked. A menu chooses among "
        f"{len(found)} orders: {', '.join(direction.name for direction in found)}.",
    )
