"""What networks cost: the paper's Figure 1 before and after an honest count, and bars of where work goes."""

import math
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from posemamba.accounting import TABLE_1, Count, Published
from posemamba.plotting.style import COLOURS, INK, describe

# How a method is drawn: colour, symbol.
_KINDS = {
    "PoseMamba": (COLOURS[0], "circle"),
    "all frames of a window": (COLOURS[1], "square"),
    "centre frame only": (COLOURS[2], "diamond"),
}
# Written beside the mark; the others are named by hover text. A phone has no room for more.
_NAMED = {"MotionAGFormer-L": "middle right", "MotionBERT": "top center", "MixSTE": "top center"}
_NAMED |= {"MHFormer": "top center"} | dict.fromkeys((f"PoseMamba-{v}" for v in "SBLX"), "bottom center")
# What is drawn together of a count's terms, and whether the profiler behind the paper's tables sees it.
_WORK = {
    "linear maps": ("embed", "in_proj", "out_proj", "head"),
    "MLP": ("MLP", "MLP, back"),
    "convolution": ("conv 3x3",),
    "layer norms": ("block norms", "SSM norms", "shared norms", "head norm"),
    "choosing step, B, C": ("select: low-rank step, B and C", "step", "step bias"),
    "scan": ("A_log and the scan", "skip"),
}
_UNSEEN = ("choosing step, B, C", "scan")
_MARKS = ("circle", "square", "diamond", "triangle-up")
_HATCHED = dict(shape="/", size=8, solidity=0.18, fgcolor="#ffffff", fillmode="overlay")
_SCAN = COLOURS[1]  # in every figure
_SHADES = tuple(COLOURS[k] for k in (0, 5, 2, 3, 4))


def error_against_macs(recounted: Mapping[str, int]) -> go.Figure:
    """Figure 1 of the paper, twice: with the paper's counts, and with honest ones.

    The upper panel draws two columns of the paper's Table 1. In the lower one a method is filled where all
    of it was counted, and hollow where nothing is known but the paper's figure. There the work is divided by
    the frames that come out of a window: one, where a method estimates the centre frame only. A grey line
    leads from where the paper has it. Errors are the paper's in both.

    Args:
        recounted: name as in Table 1 -> all multiply-adds of one window of its T frames.

    Raises:
        ValueError: for a name that Table 1 does not have.
    """
    unknown = set(recounted) - {row.name for row in TABLE_1}
    if unknown:
        raise ValueError(f"recounted names {sorted(unknown)}, expected names of Table 1 of the paper.")
    panels = ("As the paper has it", "For each frame that comes out; filled: all counted")
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.12, subplot_titles=panels)
    moved = [(row.macs_a_frame, round(_honest(row, recounted)[0], 2), row.p1) for row in TABLE_1]
    moved_x = [x for before, after, _ in moved for x in (before, after, None)]
    moved_y = [y for _, _, p1 in moved for y in (p1, p1, None)]
    faint = dict(mode="lines", line=dict(color=INK, width=1), opacity=0.6, hoverinfo="skip")
    figure.add_scatter(x=moved_x, y=moved_y, **faint, showlegend=False, row=2, col=1)
    hover = "%{customdata[0]}<br>%{x:.4~g} M MACs a frame (%{customdata[1]})<br>P1 %{y:.1f} mm (paper)"
    for kind, (colour, symbol) in _KINDS.items():
        rows = [row for row in TABLE_1 if _kind(row) == kind]
        texts = [row.name.removeprefix("PoseMamba-") if row.name in _NAMED else "" for row in rows]
        beside = [_NAMED.get(row.name, "top center") for row in rows]
        names = dict(text=texts, textposition=beside, textfont=dict(size=12))
        for panel in (1, 2):
            values = [(row.macs_a_frame, "paper") if panel == 1 else _honest(row, recounted) for row in rows]
            hollow = [panel == 2 and row.name not in recounted for row in rows]
            symbols = [f"{symbol}-open" if empty else symbol for empty in hollow]
            mark = dict(symbol=symbols, size=11, color=colour, line=dict(width=1.5, color=colour))
            told = [[row.method, source] for row, (_, source) in zip(rows, values, strict=True)]
            place = dict(x=[round(x, 2) for x, _ in values], y=[row.p1 for row in rows], row=panel, col=1)
            look = dict(mode="markers+text", marker=mark, cliponaxis=False, customdata=told, **names)
            group = dict(name=kind, legendgroup=kind, showlegend=panel == 1)
            figure.add_scatter(**place, **look, **group, hovertemplate=hover + "<extra></extra>")
    figure.update_xaxes(type="log", dtick=1, exponentformat="none", range=[-0.25, 4.25], showticklabels=True)
    figure.update_xaxes(title_text="M MACs a frame", row=2, col=1)
    figure.update_yaxes(title_text="P1 (mm), the paper's", range=[36.4, 45.9])
    figure.update_annotations(x=0, xanchor="left", font=dict(size=13, color=INK))
    figure.update_layout(title_text="Error against work, for each frame", legend=dict(y=1.045))
    narrow = dict(margin=dict(t=150), height=800, legend=dict(y=1.055))
    figure.update_layout(height=760, margin=dict(t=104), meta=dict(narrow=narrow))
    ours = [row for row in TABLE_1 if _kind(row) == "PoseMamba"]
    moves = ((row.name, row.macs_a_frame, _honest(row, recounted)[0]) for row in ours)
    told = ", ".join(f"{name} goes from {before} to {after:.0f} M" for name, before, after in moves)
    return describe(
        figure,
        f"Two scatter plots of error against multiply-adds a frame: {len(TABLE_1)} methods of Table 1. "
        f"From the paper's counts to honest ones {told}; methods that estimate the centre frame only move "
        "right by the length of their window.",
    )


def _kind(row: Published) -> str:
    if row.name.startswith("PoseMamba"):
        return "PoseMamba"
    return "centre frame only" if row.centre_only else "all frames of a window"


def _honest(row: Published, recounted: Mapping[str, int]) -> tuple[float, str]:
    """M multiply-adds for a frame that comes out, and where the number is from."""
    if row.name in recounted:
        return recounted[row.name] / 1e6 / row.frames_out, "all counted"
    return row.macs * 1e3 / row.frames_out, f"the paper's {row.macs:g} G / {row.frames_out}, not recounted"


def where_the_work_goes(counts: Mapping[str, Count], title: str = "Where the work goes") -> go.Figure:
    """A bar for each network: its multiply-adds by what they do. Hatched: what the paper's tables leave out.

    The layer norms are among them at what the paper's profiler charges, so the sum is `macs` and theirs.
    `counts` are those of `posemamba.accounting.count`, by the names of the bars.
    """
    bars = {}
    for bar, counted in counts.items():
        by_name = {term.name: term.macs / 1e9 for term in counted.terms}
        bars[bar] = {part: sum(by_name[name] for name in names) for part, names in _WORK.items()}
    return stacked_shares(bars, unit="G MACs", hatched=_UNSEEN, title=title)


def stacked_shares(
    bars: Mapping[str, Mapping[str, float]], unit: str, hatched: tuple[str, ...] = (), title: str = ""
) -> go.Figure:
    """Horizontal bars of equal length, each cut into the shares of its parts.

    Args:
        bars: name -> part -> amount; the first bar is on top, the parts go from left to right in the order of
            the first bar. At most six parts.
        unit: of the amounts, for the hover text.
        hatched: parts drawn hatched.
        title: the figure's title.

    Raises:
        ValueError: where bars have different parts or one has no sum above 0.
    """
    parts = list(next(iter(bars.values()), ()))
    if not 1 <= len(parts) <= 6:
        raise ValueError(f"bars have {len(parts)} parts, expected 1 to 6.")
    for name, amounts in bars.items():
        if set(amounts) != set(parts):
            raise ValueError(f"bars[{name!r}] has the parts {sorted(amounts)}, expected {sorted(parts)}.")
        if sum(amounts.values()) <= 0 or min(amounts.values()) < 0:
            raise ValueError(f"bars[{name!r}] has {dict(amounts)}, expected amounts of 0 or more, not all 0.")
    unknown = set(hatched) - set(parts)
    if unknown:
        raise ValueError(f"hatched names {sorted(unknown)}, expected some of {parts}.")
    totals = {name: sum(amounts.values()) for name, amounts in bars.items()}
    shades = iter([*_SHADES, _SCAN])
    colours = {part: _SCAN if part == "scan" else next(shades) for part in parts}
    figure, told = go.Figure(), []
    for part, colour in colours.items():
        shares = [100 * amounts[part] / totals[name] for name, amounts in bars.items()]
        mark = dict(color=colour, line=dict(width=0), pattern=_HATCHED if part in hatched else None)
        ink = "#000000" if colour in (COLOURS[4], COLOURS[5]) else "#ffffff"
        inside = dict(textposition="inside", insidetextanchor="middle", textangle=0, constraintext="none")
        written = [f"{share:.0f}%" if share >= 6 else "" for share in shares]
        amounts = [round(amounts[part], 4) for amounts in bars.values()]
        hover = f"%{{y}}, {part}<br>%{{customdata:.3~g}} {unit}, %{{x:.1f}}%<extra></extra>"
        words = dict(text=written, textfont=dict(size=12, color=ink), customdata=amounts, hovertemplate=hover)
        place = dict(x=[round(share, 2) for share in shares], y=list(bars), orientation="h", name=part)
        figure.add_bar(**place, **words, **inside, marker=mark)
        told.append(f"{part} " + ", ".join(f"{share:.0f}%" for share in shares))
    height, above = 190 + 62 * len(bars), 66 + 20 * len(parts)  # on a phone the legend has a line a part
    narrow = dict(margin=dict(t=above), height=height - 116 + above)
    figure.update_layout(title_text=title, height=height, margin=dict(t=116), legend=dict(y=1.02))
    figure.update_layout(barmode="stack", bargap=0.35, meta=dict(narrow=narrow))
    figure.update_xaxes(title_text="share (%)", range=[0, 100])
    figure.update_yaxes(autorange="reversed", showgrid=False)
    told = f"{title or 'untitled'}. For {', '.join(bars)}: {'; '.join(told)}."
    return describe(figure, f"Stacked bars: {told}")


def crossings(
    rows: Mapping[str, Mapping[str, float | tuple[float, float]]],
    reference: float | None = None,
    title: str = "",
) -> go.Figure:
    """Lengths at which one thing becomes cheaper than others, by different ways to count: one axis for all.

    Args:
        rows: the way to count -> what is crossed -> the length in frames, or two of them between which the
            crossing lies; from top to bottom. At most four things are crossed.
        reference: a length to compare with, drawn as a dashed line.
        title: the figure's title.

    Raises:
        ValueError: for no lengths, more than four things, and lengths that are not positive and in order.
    """
    lines = list(dict.fromkeys(line for row in rows.values() for line in row))
    if not 1 <= len(lines) <= len(_MARKS):
        raise ValueError(f"rows cross {len(lines)} things, expected 1 to {len(_MARKS)}.")
    figure, told, ends = go.Figure(), [], [reference] if reference else []
    for line, colour, symbol in zip(lines, COLOURS, _MARKS, strict=False):
        spans = {k: np.broadcast_to(row[line], 2) for k, row in enumerate(rows.values()) if line in row}
        if any(not 0 < low <= high for low, high in spans.values()):
            raise ValueError(f"rows hold {rows} frames, expected numbers above 0 or (low, high).")
        low, high = np.array(list(spans.values()), dtype=np.float64).T
        middle = np.sqrt(low * high)
        text = [f"{a:.4g}" if a == b else f"{a:.4g} to {b:.4g}" for a, b in zip(low, high, strict=True)]
        names = [list(rows)[k] for k in spans]
        reach = dict(array=high - middle, arrayminus=middle - low, color=colour, thickness=2)
        look = dict(mode="markers+text", marker=dict(color=colour, symbol=symbol, size=11), error_x=reach)
        words = dict(name=line, text=text, textposition="top center", cliponaxis=False, customdata=names)
        hover = f"%{{customdata}}<br>{line}: %{{text}} frames<extra></extra>"
        figure.add_scatter(x=middle, y=list(spans), **look, **words, hovertemplate=hover)
        told += [f"{line} {value} ({name})" for name, value in zip(names, text, strict=True)]
        ends += [*low, *high]
    note = dict(showarrow=False, xref="x", yref="y")
    if reference:
        figure.add_vline(x=reference, line=dict(color=INK, width=1, dash="dash"))
        place = dict(x=math.log10(reference), y=1, yref="paper", yshift=8)
        figure.add_annotation(note | place, text=f"{reference:g}")
    for k, name in enumerate(rows):
        figure.add_annotation(note, text=name, x=0, xref="paper", xanchor="left", y=k, yshift=34)
    ticks = [step * 10**power for power in range(7) for step in (1, 2, 5)]
    span = [math.log10(min(ends)) - 0.2, math.log10(max(ends)) + 0.2]
    marks = dict(tickvals=ticks, ticktext=[str(x) for x in ticks])
    across = dict(title_text="frames T", type="log", range=span, **marks)
    down = dict(range=[len(rows) - 0.5, -0.75], tickvals=list(range(len(rows))), showticklabels=False)
    figure.update_layout(title_text=title, height=170 + 72 * len(rows), margin=dict(l=16, t=92))
    figure.update_layout(legend=dict(y=1.06), xaxis=across, yaxis=dict(down, zeroline=False))
    return describe(figure, f"Crossings on one axis: {title or 'frames T'}. {'; '.join(told)}.")
