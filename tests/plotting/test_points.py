"""Clouds and rows of points: what is drawn is the data, with its notes."""

import numpy as np
import pytest

from posemamba.plotting import clouds, dots
from posemamba.plotting.charts import MARKERS


def test_a_cloud_shows_its_points_and_notes():
    figure = clouds({"a": ([0, 1], [2, 3], ["x", "y"]), "b": ([5], [6])}, "east", "north", "Map", small=["a"])
    first, second = figure.data
    assert first.x.tolist() == [0, 1] and first.y.tolist() == [2, 3] and list(first.text) == ["x", "y"]
    assert first.hovertemplate.startswith("%{text}<br>") and second.text is None
    assert first.marker.size < second.marker.size and first.marker.symbol != second.marker.symbol
    assert not first.marker.symbol.endswith("-open") and second.marker.symbol.endswith("-open")
    assert figure.layout.legend.itemsizing == "trace"  # the legend shows which are small
    assert figure.layout.yaxis.scaleanchor == "x"  # distances mean something
    assert "Map" in figure.layout.meta["alt"] and "a, b" in figure.layout.meta["alt"]


def test_a_cloud_of_two_lengths_is_refused():
    with pytest.raises(ValueError, match=r"groups\['a'\] has lengths 2, 3"):
        clouds({"a": ([0, 1], [1, 2, 3])})


def test_dots_stand_in_their_row_group_under_group():
    groups = {"ours": {"thigh": [400.0, 420.0], "shin": [390.0]}, "theirs": {"thigh": [440.0], "foot": [1.0]}}
    figure = dots(groups, "length (mm)", "Bones")
    ours, theirs = figure.data
    rows = list(figure.layout.yaxis.ticktext)
    assert rows == ["thigh", "shin", "foot"] and list(figure.layout.yaxis.tickvals) == [0, 1, 2]
    assert list(ours.x) == [400, 420, 390] and list(ours.text) == ["thigh", "thigh", "shin"]
    for trace in (ours, theirs):
        assert [rows[row] for row in np.round(trace.y).astype(int)] == list(trace.text)
    assert ours.y[0] == ours.y[1] < theirs.y[0]  # the second group below the first: y grows downwards
    assert figure.layout.yaxis.autorange == "reversed"
    assert ours.marker.symbol == MARKERS[0] and theirs.marker.symbol == MARKERS[1]
