"""What networks cost: the paper's Figure 1 before and after an honest count, and bars of where work goes."""

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
_NAMED = {
    "MotionAGFormer-L": "middle right",
    "MotionBERT": "top center",
    "MixSTE": "top center",
    "MHFormer": "top center",
    "PoseMamba-S": "bottom center",
    "PoseMamba-B": "bottom center",
    "PoseMamba-L": "bottom center",
    "PoseMamba-X": "bottom center",
}
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
_SCAN = COLOURS[1]  # in every figure
_SHADES = tuple(COLOURS[k] for k in (0, 5, 2, 3, 4))


def error_against_macs(
    recounted: Mapping[str, int], title: str = "Error against work, for each frame", alt: str | None = None
) -> go.Figure:
    """Figure 1 of the paper, twice: with the paper's counts, and with honest ones.

    The upper panel draws two columns of the paper's Table 1. In the lower one a method is filled where all
    of it was counted, and hollow where nothing is known but the paper's figure. There the work is divided by
    the frames that come out of a window: one, where a method estimates the centre frame only. A grey line
    leads from where the paper has it. Errors are the paper's in both.

    Arguments:
        recounted: name as in Table 1 -> all multiply-adds of one window of its T frames.
        alt: alternative text; made from the numbers where not given.

    Returns a Plotly figure. Raises ValueError for a name that Table 1 does not have.
    """
    unknown = set(recounted) - {row.name for row in TABLE_1}
    if unknown:
        raise ValueError(f"recounted names {sorted(unknown)}, expected names of Table 1 of the paper.")
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.12,
        subplot_titles=("As the paper has it", "For each frame that comes out; filled: all counted"),
    )  # fmt: skip
    moved_x, moved_y = [], []
    for row in TABLE_1:
        macs, _ = _honest(row, recounted)
        moved_x += [row.macs_a_frame, round(macs, 2), None]
        moved_y += [row.p1, row.p1, None]
    figure.add_scatter(
        x=moved_x, y=moved_y, mode="lines", line=dict(color=INK, width=1), opacity=0.6, hoverinfo="skip",
        showlegend=False, row=2, col=1,
    )  # fmt: skip
    for kind, (colour, symbol) in _KINDS.items():
        rows = [row for row in TABLE_1 if _kind(row) == kind]
        for panel in (1, 2):
            values = [(row.macs_a_frame, "paper") if panel == 1 else _honest(row, recounted) for row in rows]
            hollow = [panel == 2 and row.name not in recounted for row in rows]
            figure.add_scatter(
                x=[round(value, 2) for value, _ in values],
                y=[row.p1 for row in rows],
                text=[row.name.removeprefix("PoseMamba-") if row.name in _NAMED else "" for row in rows],
                textposition=[_NAMED.get(row.name, "top center") for row in rows],
                textfont=dict(size=12), cliponaxis=False,
                customdata=[[row.method, source] for row, (_, source) in zip(rows, values, strict=True)],
                hovertemplate="%{customdata[0]}<br>%{x:.4~g} M MACs a frame (%{customdata[1]})"
                "<br>P1 %{y:.1f} mm (paper)<extra></extra>",
                mode="markers+text", name=kind, legendgroup=kind, showlegend=panel == 1,
                marker=dict(
                    symbol=[f"{symbol}-open" if empty else symbol for empty in hollow],
                    size=11, color=colour, line=dict(width=1.5, color=colour),
                ),
                row=panel, col=1,
            )  # fmt: skip
    figure.update_xaxes(type="log", dtick=1, exponentformat="none", range=[-0.25, 4.25], showticklabels=True)
    figure.update_xaxes(title=dict(text="M MACs a frame"), row=2, col=1)
    figure.update_yaxes(title=dict(text="P1 (mm), the paper's"), range=[36.4, 45.9])
    figure.update_annotations(x=0, xanchor="left", font=dict(size=13, color=INK))
    figure.update_layout(
        title=dict(text=title), height=760, margin=dict(t=104), legend=dict(y=1.045),
        meta=dict(narrow=dict(margin=dict(t=150), height=800, legend=dict(y=1.055))),
    )  # fmt: skip
    ours = {row.name: row for row in TABLE_1 if row.name.startswith("PoseMamba")}
    told = f"Two scatter plots of error against multiply-adds a frame: {len(TABLE_1)} methods of Table 1. "
    told += "From the paper's counts to honest ones "
    told += ", ".join(
        f"{name} goes from {row.macs_a_frame} to {_honest(row, recounted)[0]:.0f} M"
        for name, row in ours.items()
    )
    told += "; methods that estimate the centre frame only move right by the length of their window."
    return describe(figure, alt or told)


def _kind(row: Published) -> str:
    if row.name.startswith("PoseMamba"):
        return "PoseMamba"
    return "centre frame only" if row.centre_only else "all frames of a window"


def _honest(row: Published, recounted: Mapping[str, int]) -> tuple[float, str]:
    """M multiply-adds for a frame that comes out, and where the number is from."""
    if row.name in recounted:
        return recounted[row.name] / 1e6 / row.frames_out, "all counted"
    return row.macs * 1e3 / row.frames_out, f"the paper's {row.macs:g} G / {row.frames_out}, not recounted"


def work(counted: Count) -> dict[str, float]:
    """G multiply-adds of a network by what they do: the parts of `where_the_work_goes`.

    The layer norms are among them at what the paper's profiler charges, so the sum is `macs` and theirs.
    """
    by_name = {term.name: term.macs / 1e9 for term in counted.terms}
    return {part: sum(by_name[name] for name in names) for part, names in _WORK.items()}


def where_the_work_goes(
    counts: Mapping[str, Count], title: str = "Where the work goes", alt: str | None = None
) -> go.Figure:
    """A bar for each network: its multiply-adds by what they do. Hatched: what the paper's tables leave out.

    Arguments:
        counts: name of the bar -> what `posemamba.accounting.count` returns.

    Returns a Plotly figure.
    """
    return stacked_shares(
        {name: work(counted) for name, counted in counts.items()}, unit="G MACs", hatched=_UNSEEN,
        title=title, alt=alt,
    )  # fmt: skip


def stacked_shares(
    bars: Mapping[str, Mapping[str, float]],
    unit: str,
    hatched: tuple[str, ...] = (),
    title: str = "",
    alt: str | None = None,
) -> go.Figure:
    """Horizontal bars of equal length, each cut into the shares of its parts.

    Arguments:
        bars: name -> part -> amount; the first bar is on top, the parts go from left to right in the order of
            the first bar. At most six parts.
        unit: of the amounts, for the hover text.
        hatched: parts drawn hatched.
        alt: alternative text; made from the shares where not given.

    Returns a Plotly figure. Raises ValueError where bars have different parts or one has no sum above 0.
    """
    parts = list(next(iter(bars.values()), ()))
    if not 1 <= len(parts) <= 6:
        raise ValueError(f"bars have {len(parts)} parts, expected 1 to 6.")
    for name, amounts in bars.items():
        if set(amounts) != set(parts):
            raise ValueError(f"bars[{name!r}] has the parts {sorted(amounts)}, expected {sorted(parts)}.")
        if sum(amounts.values()) <= 0 or min(amounts.values()) < 0:
            raise ValueError(
                f"bars[{name!r}] must hold amounts of 0 or more, not all 0; found {dict(amounts)}."
            )
    unknown = set(hatched) - set(parts)
    if unknown:
        raise ValueError(f"hatched names {sorted(unknown)}, expected some of {parts}.")
    totals = {name: sum(amounts.values()) for name, amounts in bars.items()}
    shades = iter([*_SHADES, _SCAN])
    colours = {part: _SCAN if part == "scan" else next(shades) for part in parts}
    figure, told = go.Figure(), []
    for part, colour in colours.items():
        shares = [100 * amounts[part] / totals[name] for name, amounts in bars.items()]
        figure.add_bar(
            y=list(bars), x=[round(share, 2) for share in shares], orientation="h", name=part,
            marker=dict(color=colour, line=dict(width=0), pattern=_pattern(part in hatched)),
            text=[f"{share:.0f}%" if share >= 6 else "" for share in shares],
            textposition="inside", insidetextanchor="middle", textangle=0, constraintext="none",
            textfont=dict(size=12, color="#000000" if colour in (COLOURS[4], COLOURS[5]) else "#ffffff"),
            customdata=[round(amounts[part], 4) for amounts in bars.values()],
            hovertemplate=f"%{{y}}, {part}<br>%{{customdata:.3~g}} {unit}, %{{x:.1f}}%<extra></extra>",
        )  # fmt: skip
        told.append(f"{part} " + ", ".join(f"{share:.0f}%" for share in shares))
    height, above = 190 + 62 * len(bars), 66 + 20 * len(parts)  # on a phone the legend has a line a part
    figure.update_layout(
        title=dict(text=title), barmode="stack", bargap=0.35, height=height, legend=dict(y=1.02),
        margin=dict(t=116), xaxis=dict(title=dict(text="share (%)"), range=[0, 100]),
        yaxis=dict(autorange="reversed", showgrid=False),
        meta=dict(narrow=dict(margin=dict(t=above), height=height - 116 + above)),
    )  # fmt: skip
    alt = alt or f"Stacked bars: {title or 'untitled'}. For {', '.join(bars)}: {'; '.join(told)}."
    return describe(figure, alt)


def _pattern(hatched: bool) -> dict:
    return dict(shape="/", size=8, solidity=0.18, fgcolor="#ffffff", fillmode="overlay") if hatched else {}


def crossings(
    rows: Mapping[str, Mapping[str, float | tuple[float, float]]],
    reference: float | None = None,
    title: str = "",
    xlabel: str = "frames T",
    alt: str | None = None,
) -> go.Figure:
    """Lengths at which one thing becomes cheaper than others, by different ways to count: one axis for all.

    Args:
        rows: the way to count -> what is crossed -> the length in frames, or two of them between which the
            crossing lies; from top to bottom. At most four things are crossed.
        reference: a length to compare with, drawn as a dashed line.
        title: the figure's title.
        xlabel: what the axis shows.
        alt: alternative text; made from the lengths where not given.

    Returns:
        A Plotly figure with a logarithmic axis and a trace for each thing that is crossed.

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
        figure.add_scatter(
            x=middle,
            y=list(spans),
            text=text,
            mode="markers+text",
            name=line,
            textposition="top center",
            marker=dict(color=colour, symbol=symbol, size=11),
            cliponaxis=False,
            error_x=dict(array=high - middle, arrayminus=middle - low, color=colour, thickness=2),
            customdata=[list(rows)[k] for k in spans],
            hovertemplate=f"%{{customdata}}<br>{line}: %{{text}} frames<extra></extra>",
        )
        names = [list(rows)[k] for k in spans]
        told += [f"{line} {value} ({name})" for name, value in zip(names, text, strict=True)]
        ends += [*low, *high]
    if reference:
        figure.add_vline(x=reference, line=dict(color=INK, width=1, dash="dash"))
        figure.add_annotation(
            x=np.log10(reference), y=1, yref="paper", text=f"{reference:g}", showarrow=False, yshift=8
        )
    for k, name in enumerate(rows):
        figure.add_annotation(text=name, x=0, xref="paper", xanchor="left", y=k, yshift=34, showarrow=False)
    reach = np.log10([min(ends), max(ends)]) + np.array([-0.2, 0.2])
    ticks = [step * 10**power for power in range(7) for step in (1, 2, 5)]
    figure.update_layout(
        title=dict(text=title),
        height=170 + 72 * len(rows),
        margin=dict(l=16, t=92),
        legend=dict(y=1.06),
        xaxis=dict(
            title=dict(text=xlabel),
            type="log",
            range=reach.tolist(),
            tickvals=ticks,
            ticktext=list(map(str, ticks)),
        ),
        yaxis=dict(
            range=[len(rows) - 0.5, -0.75],
            showticklabels=False,
            zeroline=False,
            tickvals=list(range(len(rows))),
        ),
    )
    return describe(figure, alt or f"Crossings on one axis: {title or xlabel}. {'; '.join(told)}.")
