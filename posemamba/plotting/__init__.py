"""Skeletons to play and turn, maps and curves: one visual language for the whole book.

Interactive figures are Plotly figures, static ones Matplotlib or seaborn. Both use the Okabe-Ito colours,
which people with any common colour blindness can tell apart, on transparent backgrounds, so that a light page
and a dark page both work. Every function here returns a figure; as the last value of a cell it is shown.
"""

from posemamba.plotting.bodies import skeleton_2d, skeleton_animation
from posemamba.plotting.charts import curves, heatmap, slider_figure
from posemamba.plotting.style import COLOURS, BookRenderer, describe, static_figure, use_book_style

__all__ = [
    "COLOURS",
    "BookRenderer",
    "curves",
    "describe",
    "heatmap",
    "skeleton_2d",
    "skeleton_animation",
    "slider_figure",
    "static_figure",
    "use_book_style",
]
