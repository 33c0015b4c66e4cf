"""The drawings of "From a differential equation to a recurrence" show what the package computes."""

import re

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Outline

from posemamba import discretize, orders
from tools import drawings
from tools.drawings import differential_equation as drawn


def test_blocks_of_the_hold_are_its_recurrence():
    rate, step = torch.tensor([drawn.HELD["rate"]]).double(), drawn.HELD["step"]
    keep, write = discretize.zoh_diagonal(rate, torch.ones(1).double(), step)
    level, levels = drawn.HELD["start"], drawn.held_levels()
    for k, given in enumerate(drawn.HELD["inputs"], start=1):
        level = keep.item() * level + write.item() * given
        assert sum(levels[k]) == pytest.approx(level) and len(levels[k]) == k + 1
        assert np.divide(levels[k][:-1], levels[k - 1]) == pytest.approx(keep.item())


def test_three_memories_hold_what_they_should():
    given, svg = np.array(drawn.QUEUED), drawings.draw("three_memories")
    shown = re.findall(r">([\d.]+)</text>", svg)
    fading = [sum(u / 2 ** (1 + k - j) for j, u in enumerate(given[: k + 1])) for k in range(len(given))]
    for k, (total, faded) in enumerate(zip(given.cumsum(), fading, strict=True)):
        queue = [given[k - j] if k >= j else 0 for j in range(3)]
        at = shown.index(str(given[k]))
        assert shown[at : at + 6] == [str(given[k]), str(total), *map(str, queue), f"{faded:g}"]
        shown = shown[at + 6 :]
    means = [int(mean) for mean in re.findall(r">mean (\d+)<", svg)]
    assert means == np.convolve(given, np.ones(3) / 3)[: len(given)].tolist()


def test_levels_of_the_leaks_are_those_of_a_steady_input():
    water = re.findall(r'points="([^"]+)" stroke="none"', drawings.draw("leaks"))
    corners = [[float(corner.split(",")[1]) for corner in points.split()] for points in water]
    heights = np.array([max(ys) - min(ys) for ys in corners])
    rates = -torch.tensor([1.0, 2, 3, 16])
    keep, write = discretize.zoh_diagonal(rates, torch.ones(4), 0.1)
    steady = (write / (1 - keep)).numpy()
    assert heights / heights[0] == pytest.approx(steady, abs=0.02)


@pytest.mark.parametrize("tokens", [100, 1000])
@pytest.mark.parametrize("by_frames", [True, False])
def test_the_memory_covers_the_last_tokens_of_the_order(tokens, by_frames):
    frames, joints = drawn.FRAMES, drawn.JOINTS
    order = (orders.spatial_forward if by_frames else orders.temporal_forward)(frames, joints).tolist()
    end = order.index(drawn.AT_FRAME * joints + drawn.AT_JOINT) + 1
    last = {divmod(token, joints) for token in order[end - tokens : end]}
    cells = [(frame, joint) for frame in range(frames) for joint in range(joints)]
    inside = Outline(drawn.looks_back(tokens, by_frames)).contains_points(np.array(cells) + 0.5)
    assert {cell for cell, held in zip(cells, inside, strict=True) if held} == last


def test_the_steps_and_memories_that_are_told():
    svg = drawings.draw("memory_on_the_grid")
    for told, step in re.findall(r"(\d+) tokens[^<]*? at (?:a step of )?([\d.]+\d)", svg):
        assert int(told) == pytest.approx(1 / float(step)), "the slowest state's time constant"
    assert "not drawn: 10 tokens, at 0.1" in svg
