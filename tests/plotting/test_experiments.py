"""Experiments with several seeds."""

import numpy as np
import pytest

from posemamba.experiments import mean_interval
from posemamba.plotting import experiments, seeds


def test_every_seed_and_mean_is_drawn_and_the_interval_is_ours(monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        experiments, "static_figure", lambda figure, alt: drawn.update(figure=figure, alt=alt)
    )
    rows = {"one": [1.0, 2.0, 4.5], "two": [5.0, 5.0]}
    seeds(rows, "error (mm)", "Two rows", zero=True, groups={"two": 1})
    (axes,) = drawn["figure"].axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["one", "two"]
    assert axes.yaxis_inverted(), "the first row is on top"
    dots = [np.asarray(part.get_offsets()) for part in axes.collections if len(part.get_offsets())]
    assert [part.tolist() for part in dots] == [[[1, 0], [2, 0], [4.5, 0]], [[5, 1], [5, 1]]]
    lines = [np.asarray(line.get_xdata(), float) for line in axes.lines]
    for values in rows.values():
        mean, low, high = mean_interval(values)
        assert any(np.allclose(line, [low, high]) for line in lines if len(line) == 2)
        assert any(np.allclose(line[np.isfinite(line)], mean) for line in lines)
    assert "one 2.50" in drawn["alt"] and "Two rows" in drawn["alt"]


def test_the_picture_is_the_same_each_time_and_has_its_words():
    first, second = (seeds({"one": [1.0, 2.0, 3.0]}, "error (mm)") for _ in range(2))
    assert first.data == second.data
    assert "one 2.00" in first._repr_mimebundle_()[1]["image/png"]["alt"]


def test_rows_without_a_spread_are_refused():
    with pytest.raises(ValueError, match="rows is empty"):
        seeds({}, "error (mm)")
    with pytest.raises(ValueError, match="at least two"):
        seeds({"one": [1.0]}, "error (mm)")
