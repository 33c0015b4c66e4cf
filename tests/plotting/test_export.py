"""Figures as files."""

import shutil

import plotly.graph_objects as go
import pytest

from posemamba.plotting import curves, slider_figure
from posemamba.plotting.export import _still, save


def figure():
    return curves({"a": ([0, 1, 2], [1, 3, 2])}, title="Three points")


def test_without_a_browser_the_page_is_written_and_the_rest_is_said(tmp_path, monkeypatch):
    def no_browser(*_, **__):
        raise RuntimeError("Kaleido requires\n Google Chrome")

    monkeypatch.setattr(go.Figure, "to_image", no_browser)
    with pytest.warns(UserWarning, match="no SVG and PNG, only HTML: Kaleido requires Google Chrome"):
        written = save(figure(), tmp_path / "new" / "three.points")
    assert [path.name for path in written] == ["three.points.html"]
    page = written[0].read_text(encoding="utf-8")
    assert "Three points" in page
    assert "cdn" not in page[-20_000:]  # it carries its own Plotly


@pytest.mark.skipif(
    not any(map(shutil.which, ("chromium", "google-chrome", "chrome"))), reason="needs Chrome or Chromium"
)
def test_pictures_are_drawn(tmp_path):
    written = save(figure(), tmp_path / "three")
    assert [path.suffix for path in written] == [".html", ".svg", ".png"]
    assert "<svg" in written[1].read_text(encoding="utf-8")
    assert written[2].read_bytes().startswith(b"\x89PNG")


def test_a_still_is_the_first_state_without_controls():
    steps = {str(k): curves({"a": ([0, 1], [0, k])}, title=f"Slope {k}") for k in range(3)}
    moving = slider_figure(steps, "slope")
    still = _still(moving)
    assert list(still.data[0].y) == [0, 0]
    assert still.layout.title.text == "Slope 0"
    assert not still.layout.sliders
    assert not still.frames
    assert len(moving.frames) == 3
    assert moving.layout.sliders
