"""Skeletons to play and turn, maps and curves: one visual language for the whole book.

Interactive figures are Plotly figures, static ones Matplotlib or seaborn. Both use the Okabe-Ito colours,
which people with any common colour blindness can tell apart, on transparent backgrounds, so that a light page
and a dark page both work. Every function here returns a figure; as the last value of a cell it is shown.
"""

from posemamba.plotting.bodies import skeleton_2d, skeleton_animation
from posemamba.plotting.charts import clouds, curves, dots, heatmap, slider_figure
from posemamba.plotting.costs import crossings, error_against_macs, stacked_shares, where_the_work_goes
from posemamba.plotting.drawings import Drawing, drawing
from posemamba.plotting.experiments import seeds
from posemamba.plotting.export import save
from posemamba.plotting.maps import map_panels, relevance_panels
from posemamba.plotting.paths import limb_meetings, scan_paths
from posemamba.plotting.pipeline import pipeline, pipeline_stages
from posemamba.plotting.reach import directions_reaching, order_playground, reach_counts
from posemamba.plotting.report import write_report
from posemamba.plotting.style import COLOURS, BookRenderer, describe, static_figure, use_book_style

__all__ = ["COLOURS", "BookRenderer", "Drawing", "clouds", "crossings", "curves", "describe"]
__all__ += ["directions_reaching", "dots", "drawing", "error_against_macs", "heatmap", "limb_meetings"]
__all__ += ["map_panels", "order_playground", "pipeline", "pipeline_stages", "reach_counts"]
__all__ += ["relevance_panels", "save", "scan_paths", "seeds", "skeleton_2d", "skeleton_animation"]
__all__ += ["slider_figure", "stacked_shares", "static_figure", "use_book_style", "where_the_work_goes"]
__all__ += ["write_report"]
