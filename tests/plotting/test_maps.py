"""Panels of maps: what is drawn is what was given, on one scale; nothing lies over anything else."""

import numpy as np
import pytest
import torch

from posemamba.attention import Relevance
from posemamba.plotting import map_panels, relevance_panels
from posemamba.skeleton import JOINT_NAMES


def maps(frames=9):
    rng = np.random.default_rng(0)
    return {"joints": rng.normal(size=(17, 17)), "frames": 3 * rng.normal(size=(frames, frames))}


def some_relevance():
    torch.manual_seed(0)
    return Relevance(4, 13, 2, 0.2, torch.randn(9, 17), 2 * torch.randn(9, 17), 0.1)


def test_panels_hold_the_matrices():
    given = maps()
    figure = map_panels(given, ("joints", "frames"))
    for trace, matrix in zip(figure.data, given.values(), strict=True):
        np.testing.assert_allclose(trace.z, matrix, atol=1e-3)
    assert figure.data[0].text[13][16] == "left wrist from right wrist"  # row 13: what moves the left wrist


def test_one_scale_with_zero_in_its_middle():
    given = maps()
    figure = map_panels(given, ("joints", "frames"))
    high = np.abs(given["frames"]).max()
    for trace in figure.data:
        assert trace.zmin == -trace.zmax == pytest.approx(-high)
    assert [trace.showscale for trace in figure.data] == [True, False]
    figure = map_panels({name: np.abs(m) for name, m in given.items()}, ("joints", "frames"), signed=False)
    assert (
        figure.data[0].zmin == 0
        and figure.data[0].colorscale != map_panels({"": np.eye(3)}, "frames").data[0].colorscale
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_panels_do_not_overlap_on_any_page(count):
    figure = map_panels({str(k): np.eye(17) for k in range(count)})
    layout = figure.layout.to_plotly_json()
    for changes in ({}, layout["meta"]["narrow"]):
        boxes = []
        for k in range(count):
            names = [f"{letter}axis{'' if k == 0 else k + 1}" for letter in "xy"]
            boxes.append([changes.get(name, layout[name])["domain"] for name in names])
        for k, box in enumerate(boxes):
            for other in boxes[:k]:
                apart = [a[1] <= b[0] or b[1] <= a[0] for a, b in zip(box, other, strict=True)]
                assert any(apart)


def test_the_first_row_is_on_top():
    axis = map_panels({"": np.eye(17)}).layout.yaxis
    assert axis.range[0] > axis.range[1] and axis.ticktext[0] == "pelvis"


def test_relevance_shows_joints_down_and_frames_across():
    relevance = some_relevance()
    figure = relevance_panels(relevance, per_unit=1000, unit="mm")
    gradient, ring, shown, _ = figure.data
    np.testing.assert_allclose(gradient.z, 1000 * relevance.gradient.T, rtol=1e-3, atol=0.1)
    np.testing.assert_allclose(shown.z, 1000 * relevance.map.T, rtol=1e-3, atol=0.1)
    assert gradient.zmax == shown.zmax == -shown.zmin
    assert (ring.x[0], ring.y[0]) == (4, 13)
    assert JOINT_NAMES[13] in figure.layout.meta["alt"] and "mm" in gradient.hovertemplate


@pytest.mark.parametrize(
    ("given", "axes"),
    [
        ({}, "joints"),
        ({"a": np.eye(5)}, "joints"),
        ({"a": np.ones((3, 4))}, "frames"),
        ({"a": np.eye(17)}, "limbs"),
        ({"a": np.eye(17)}, ("joints", "frames")),
    ],
)
def test_what_does_not_fit_is_told(given, axes):
    with pytest.raises(ValueError, match="expected"):
        map_panels(given, axes)


def test_a_map_of_zeros_can_be_drawn():
    assert map_panels({"": np.zeros((17, 17))}).data[0].zmax == 1
