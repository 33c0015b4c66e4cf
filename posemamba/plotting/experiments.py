"""Experiments with several seeds: every run as a dot, the mean with its interval."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from posemamba.experiments import mean_interval
from posemamba.plotting.style import COLOURS, INK, describe


def seeds(
    rows: Mapping[str, Float[np.ndarray, "seeds"]],
    xlabel: str,
    title: str = "",
    unit: str = "mm",
    zero: bool = False,
    groups: Mapping[str, int] | None = None,
    alt: str | None = None,
) -> go.Figure:
    """One row of dots a name: a dot a seed, a diamond for the mean, a line for its 95% interval.

    Arguments:
        rows: name -> a number for each seed; drawn from top to bottom.
        xlabel: what the numbers are, with the unit.
        unit: for the hover text.
        zero: draw the line at 0, for differences.
        groups: name -> number of a colour; all rows alike where not given.
        alt: alternative text; made from the means where not given.

    Returns a Plotly figure. Raises ValueError where a row holds fewer than two numbers.
    """
    if not rows:
        raise ValueError("rows is empty, expected at least one name.")
    figure, told = go.Figure(), []
    for name, values in rows.items():
        values = np.asarray(values, dtype=np.float32)
        mean, low, high = mean_interval(values)
        told.append(f"{name} {mean:.2f} ({low:.2f} to {high:.2f})")
        colour = COLOURS[(groups or {}).get(name, 0)]
        figure.add_scatter(
            x=[round(low, 3), round(high, 3)], y=[name, name], mode="lines", line=dict(color=colour, width=3),
            hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        figure.add_scatter(
            x=values, y=[name] * len(values), mode="markers", text=[f"seed {k}" for k in range(len(values))],
            marker=dict(color=colour, size=8, opacity=0.55), showlegend=False,
            hovertemplate=f"%{{y}}, %{{text}}<br>%{{x:.2f}} {unit}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=[round(mean, 3)], y=[name], mode="markers", showlegend=False,
            marker=dict(color=colour, size=13, symbol="diamond", line=dict(color=INK, width=1)),
            hovertemplate=f"%{{y}}, mean<br>%{{x:.2f}} {unit} "
            f"(95% interval {low:.2f} to {high:.2f})<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        title=dict(text=title, xref="container", x=0.03),  # long names leave the plot little width
        height=150 + 34 * len(rows),
        xaxis=dict(title=dict(text=xlabel), zeroline=zero, zerolinewidth=2, zerolinecolor=INK),
        yaxis=dict(autorange="reversed", automargin=True),
    )
    text = f"Dots and means of {len(rows)} rows: {title or xlabel}. {'; '.join(told)} {unit}."
    return describe(figure, alt or text)
