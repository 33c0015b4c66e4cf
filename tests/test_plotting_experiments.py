"""Experiments with several seeds."""

import pytest

from posemamba.plotting.experiments import seeds


def test_every_seed_and_mean_is_drawn():
    figure = seeds({"one": [1.0, 2.0, 3.0], "two": [5.0, 5.0]}, "error (mm)", "Two rows", zero=True)
    dots = [list(trace.x) for trace in figure.data if trace.mode == "markers"]
    assert dots == [[1, 2, 3], [2], [5, 5], [5]]
    assert "one 2.00" in figure.layout.meta["alt"]
    assert figure.layout.yaxis.autorange == "reversed"
    with pytest.raises(ValueError, match="rows is empty"):
        seeds({}, "error (mm)")
    with pytest.raises(ValueError, match="at least two"):
        seeds({"one": [1.0]}, "error (mm)")
