"""The drawings of "The scan" show scans that are right, and numbers that are theirs."""

import re
from itertools import accumulate
from operator import add

import numpy as np
import pytest
import torch

from posemamba.scan import associative_scan
from posemamba.scan.cpu.tiles import TILE
from tools import drawings
from tools.drawings import the_scan as drawn
from tools.drawings.pen import ORANGE, YELLOW


@pytest.mark.parametrize("scan", [drawn.loop, drawn.tree, drawn.chunks])
@pytest.mark.parametrize("tokens", [1, 2, 3, 4, 5, 8, 12, 13])
def test_each_scan_finds_all_states(scan, tokens):
    letters = "abcdefghijklm"[:tokens]
    assert list(scan(letters, add)) == list(accumulate(letters))
    pairs = np.random.default_rng(tokens).random((tokens, 2))
    states = [b for _, b in scan(list(map(tuple, pairs)), drawn.join_maps)]
    expected = associative_scan(*torch.from_numpy(pairs.T.copy()))
    torch.testing.assert_close(torch.tensor(states).double(), expected)


@pytest.mark.parametrize("scan", [drawn.loop, drawn.tree, drawn.chunks])
def test_joins_wait_for_their_parts_and_join_neighbours(scan):
    joins = drawn.trace(scan)
    for left, right, made in joins:
        assert left[1] + 1 == right[0] and (left[0], right[1]) == made[:2]
        assert made[2] == max(left[2], right[2]) + 1
    finished = {made[1] for *_, made in joins if made[0] == 0}
    assert finished == set(range(1, drawn.TOKENS))


def test_the_counts_in_the_picture():
    told = re.findall(r">(.+?): (\d+) rounds(?:, (\d+) joins)?<", drawings.draw("what_waits"))
    counts = {name: tuple(int(count) for count in rest if count) for name, *rest in told}
    for name, scan in (("by chunks", drawn.chunks), ("a tree", drawn.tree)):
        joins = drawn.trace(scan)
        assert counts[name] == (max(made[2] for *_, made in joins), len(joins))
    assert counts["a GRU"] == (drawn.TOKENS,)  # its first state has a gate too
    assert max(made[2] for *_, made in drawn.trace(drawn.tree, 4)) == 2
    assert ">2 rounds<" in drawings.draw("three_ways")


def test_a_colour_of_three_ways_is_one_factor():
    svg = drawings.draw("three_ways")
    for lag, colour in ((1, ORANGE), (2, YELLOW)):
        lines = re.findall(f'<line [^>]*stroke="{colour}"', svg)
        assert len(lines) == 4 - lag + 1, "one for each pair of tokens so far apart, and one in the legend"


def test_two_maps_join_to_the_one_that_is_drawn():
    (a1, b1), (a2, b2) = drawn.FIRST, drawn.SECOND
    a, b = drawn.join_maps(drawn.FIRST, drawn.SECOND)
    for h in range(9):
        assert a2 * (a1 * h + b1) + b2 == a * h + b
    svg = drawings.draw("two_maps")
    assert (a.numerator, a.denominator, float(b)) == (3, 8, 2.5)
    assert "h \u2192 \u215c h + 2.5" in svg and "0 \u2192 2 \u2192 2.5" in svg
    assert f"\u215c of 8 is {float(8 * a):g}" in svg


def test_the_kernel_keeps_one_state_a_tile():
    assert drawn.KEPT_EVERY == TILE
