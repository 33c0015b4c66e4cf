"""Experiments with several seeds: every run as a dot, the mean with its interval."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from posemamba.experiments import mean_interval
from posemamba.plotting.style import COLOURS, INK, STATIC, static_figure

WIDTH = 5.8  # inches: on a phone the picture shrinks, and its letters with it


def seeds(
    rows: Mapping[str, Float[np.ndarray, "seeds"]],
    xlabel: str,
    title: str = "",
    zero: bool = False,
    groups: Mapping[str, int] | None = None,
):
    """One row of dots a name: a dot a seed, a diamond for the mean, a line for its 95% interval.

    Args:
        rows: name -> a number for each seed; drawn from top to bottom.
        xlabel: what the numbers are, in mm.
        title: the figure's title.
        zero: draw the line at 0, for differences.
        groups: name -> number of a colour; all rows alike where not given.

    Returns:
        A picture (`IPython.display.Image`), to be the last value of a cell.

    Raises:
        ValueError: for no rows, and where a row holds fewer than two numbers.
    """
    if not rows:
        raise ValueError("rows is empty, expected at least one name.")
    numbers = ("{} {:.2f} ({:.2f} to {:.2f})".format(name, *mean_interval(rows[name])) for name in rows)
    told = f"Dots and means of {len(rows)} rows: {title or xlabel}. {'; '.join(numbers)} mm."

    import matplotlib
    import seaborn
    from matplotlib.figure import Figure

    names = [name for name, values in rows.items() for _ in values]
    colours = {name: COLOURS[(groups or {}).get(name, 0)] for name in rows}
    drawn = dict(x=np.concatenate(list(rows.values())), y=names, hue=names, palette=colours, legend=False)
    mean = dict(linestyle="none", markers="D", linewidth=2, markersize=8)
    with matplotlib.rc_context(STATIC):
        figure = Figure(figsize=(WIDTH, 1.1 + 0.34 * len(rows)))
        axes = figure.subplots()
        seaborn.stripplot(**drawn, ax=axes, jitter=False, size=7, alpha=0.5)
        seaborn.pointplot(**drawn, ax=axes, errorbar=lambda values: mean_interval(values)[1:], **mean)
        axes.set(title=title, xlabel=xlabel, ylabel="")
        axes.tick_params(length=0)
        if zero:
            axes.axvline(0, color=INK, zorder=0)
        return static_figure(figure, told)
