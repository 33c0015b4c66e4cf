"""Scan paths and reach: what is drawn is what the tables read, and what a gradient finds."""

import json

import numpy as np
import pytest
import torch

from posemamba import orders
from posemamba.model import PoseMambaConfig, SpatioTemporalSSM
from posemamba.plotting import directions_reaching, limb_meetings, order_playground, reach_counts, scan_paths
from posemamba.plotting.paths import body_row
from posemamba.skeleton import JOINTS, LIMB_ORDER
from tests.own_strategies import OWN

ONE_WAY = [name for name, found in orders.STRATEGIES.items() if len(set(found)) == 2]


def tokens_at(trace, frames):
    """The tokens whose drawn places a trace's points are; gaps are left out."""
    spots = body_row(frames).reshape(-1, 2)
    points = np.stack([np.asarray(trace.x, float), np.asarray(trace.y, float)], 1)
    points = points[~np.isnan(points).any(1)]
    distance = np.abs(points[:, None] - spots[None]).sum(-1)
    assert (distance.min(1) == 0).all()
    return distance.argmin(1)


def panels(figure, step, frames):
    """(path, tokens marked now) of each panel at a step."""
    data = figure.frames[step].data
    pairs = zip(data[::2], data[1::2], strict=True)
    return [(tokens_at(path, frames), tokens_at(now, frames)) for path, now in pairs]


def test_no_two_joints_are_drawn_in_one_place():
    row = body_row(5).reshape(-1, 2).astype(float)
    apart = np.linalg.norm(row[:, None] - row[None], axis=-1) + 100 * np.eye(len(row))
    assert apart.min() > 8


@pytest.mark.parametrize("strategy", [*orders.STRATEGIES, *OWN])
def test_paths_walk_along_the_tables(strategy):
    frames, step = 2, 23
    reads, mixes = (table.numpy() for table in orders.tables(strategy, frames, JOINTS))
    figure = scan_paths(strategy, frames)
    assert len(figure.frames) == frames * JOINTS
    drawn = panels(figure, step, frames)
    assert len(drawn) == len(dict.fromkeys(orders.directions(strategy)))
    for (path, now), read, mixed in zip(drawn, reads, mixes, strict=False):
        assert path.tolist() == read[: step + 1].tolist()
        expected = [read[step]] if mixed[step] < 0 else [mixed[step], read[step]]
        assert now.tolist() == expected


def test_what_is_shown_first_is_the_sliders_step():
    figure = scan_paths("global-local", frames=3)
    first = figure.layout.sliders[0].active
    assert first == JOINTS + 12
    shown = figure.data[-8:]
    for trace, moved in zip(shown, figure.frames[first].data, strict=True):
        assert np.array_equal(trace.x, moved.x)
        assert np.array_equal(trace.y, moved.y, equal_nan=True)


def test_attention_goes_to_every_token():
    figure = scan_paths("bidirectional", frames=2, attention=True)
    path, now = panels(figure, 5, 2)[0]
    assert now.tolist() == [5]
    assert set(path) == set(range(2 * JOINTS))


def test_panels_do_not_overlap_on_either_page():
    figure = scan_paths(ONE_WAY, frames=3)
    for page in (figure.layout.to_plotly_json(), figure.layout.meta["narrow"]):
        boxes = [
            (*page[key.replace("y", "x", 1)]["domain"], *page[key]["domain"])
            for key in page
            if key.startswith("yaxis")
        ]
        assert len(boxes) == 8
        for k, (left, right, low, high) in enumerate(boxes):
            assert 0 <= left < right <= 1 and 0 <= low < high <= 1
            for other in boxes[:k]:
                assert right <= other[0] or other[1] <= left or high <= other[2] or other[3] <= low


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="unknown scan strategy 'sideways'"):
        scan_paths("sideways")
    with pytest.raises(ValueError, match="strategies is empty"):
        scan_paths([])
    with pytest.raises(ValueError, match="frames is 0, expected a whole number from 1 to 5"):
        scan_paths("bidirectional", frames=0)
    with pytest.raises(ValueError, match="frames is 10, expected a whole number from 1 to 9"):
        reach_counts(frames=10)
    with pytest.raises(ValueError, match="frames is True, expected a whole number from 1 to 5"):
        order_playground(frames=True)
    with pytest.raises(ValueError, match=r"frames is 1\.5, expected"):
        directions_reaching("bidirectional", 1.5)


@pytest.mark.parametrize("strategy", [*orders.STRATEGIES, *OWN])
def test_reach_is_what_the_gradient_of_the_scan_finds(strategy):
    frames = 2
    torch.manual_seed(0)
    config = PoseMambaConfig(frames=frames, channels=4, state=2, scan=strategy)
    ssm = SpatioTemporalSSM(config).double()
    x = torch.randn(1, frames, JOINTS, config.inner, dtype=torch.float64, requires_grad=True)
    y = ssm.scan(x).sum(-1).flatten()
    rows = [torch.autograd.grad(y_i, x, retain_graph=True)[0] for y_i in y]
    found = torch.cat([(row != 0).any(-1).flatten(1) for row in rows]).numpy()
    assert np.array_equal(found, directions_reaching(strategy, frames) > 0)


def test_reach_by_hand():
    two_way = directions_reaching("bidirectional", 3)
    assert (np.diag(two_way) == 4).all() and (two_way[~np.eye(51, dtype=bool)] == 2).all()
    one_way = directions_reaching("forward-forward", 3)
    assert np.flatnonzero(one_way[0]).tolist() == [0]
    assert (one_way[-1] == 4).all()
    # Joint 11 is added to joint 10, so it reaches it along the forward path, too; 9 gets nothing early there.
    mixed = directions_reaching("global-local", 1)
    assert mixed[10, 11] == 3 and mixed[9, 11] == 2


def test_counts_are_coloured_by_the_strategy_in_the_menu():
    figure = reach_counts(frames=2)
    menu = figure.layout.updatemenus[-1]
    assert {button.label for button in menu.buttons} == set(orders.STRATEGIES)
    for button in menu.buttons:
        seen = [k for k, visible in enumerate(button.args[0]["visible"]) if visible]
        (shown,) = [k for k in seen if figure.data[k].marker.coloraxis is not None]
        table = directions_reaching(button.label, 2)
        assert np.array_equal(figure.data[shown].marker.color, table[0])
        frame = figure.frames[20]
        moved = frame.data[frame.traces.index(shown)]
        assert np.array_equal(moved.marker.color, table[20])


def test_the_playground_shows_one_order_and_its_square():
    frames, step = 2, 13
    figure = order_playground(frames)
    assert figure.layout.sliders[0].active == step
    menu = figure.layout.updatemenus[-1]
    assert len(menu.buttons) == 8
    known = {direction.name: direction for found in orders.STRATEGIES.values() for direction in found}
    assert {button.label for button in menu.buttons} == set(known)
    for button in menu.buttons:
        seen = [figure.data[k] for k, visible in enumerate(button.args[0]["visible"]) if visible]
        path, states, now, line, square = seen[-5:]
        read = known[button.label].permutation(frames, JOINTS).tolist()
        assert tokens_at(path, frames).tolist() == read[: step + 1]
        assert tokens_at(now, frames).tolist() == [read[step]]
        assert set(line.y) == {read[step]}
        assert np.array_equal(states.marker.color, square.z[read[step]])
        assert set(np.flatnonzero(np.asarray(square.z)[read[step]] == 1)) == set(read[: step + 1])
        through = {i: LIMB_ORDER[i % JOINTS] + i - i % JOINTS for i in read[: step + 1]}
        later = {token for token in through.values() if token not in read[: step + 1]}
        mixes = known[button.label].mix is not None
        assert set(np.flatnonzero(np.asarray(square.z)[read[step]] == 2)) == (later if mixes else set())


def test_limb_meetings_follow_the_limb_order():
    figure = limb_meetings()
    told = [text for trace in figure.data for text in (trace.text if trace.text is not None else ())]
    assert len(told) == JOINTS
    assert "left hip (4) meets right ankle (3)" in told
    counts = {trace.name: len(trace.x) for trace in figure.data[1:]}
    assert counts == {"meets itself": 4, "meets a neighbour on the skeleton": 6, "meets another joint": 7}
    arrows = [note for note in figure.layout.annotations if note.showarrow]
    assert len(arrows) == sum(j != added for j, added in enumerate(LIMB_ORDER))


def test_figures_are_told_and_small():
    for figure in (scan_paths(ONE_WAY), limb_meetings(), reach_counts(), order_playground()):
        figure.update_layout(template="book")  # the default one adds 16 kB
        assert figure.layout.title.text and len(figure.layout.meta["alt"]) > 80
        assert len(figure.to_json()) < 300_000
        json.loads(figure.to_json())
