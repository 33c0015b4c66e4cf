"""The drawings of the chapters on meaning: what they show is what the package computes."""

import re
from dataclasses import fields

import numpy as np
import pytest

from posemamba import book, orders
from posemamba.accounting import block_macs, count
from posemamba.attention.depth import FrozenBlock
from posemamba.config import VARIANTS, PoseMambaConfig
from posemamba.skeleton import LIMB_ORDER
from tools import drawings
from tools.drawings import does_the_order_matter, what_a_table_counts, what_the_scan_attends_to
from tools.drawings.pen import BLUE, ORANGE


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_costs_of_a_block_are_all_of_them(variant):
    config = PoseMambaConfig(**VARIANTS[variant])
    costs = [cost for cost in what_a_table_counts.block_costs(variant).values() if cost]
    inside = [
        term
        for term in count(config).terms
        if term.name not in ("embed", "joint position", "frame position", "head norm", "head", "shared norms")
    ]
    assert sum(cost[0] for cost in costs) * config.depth == sum(term.parameters for term in inside)
    tokens = config.frames * config.joints
    assert sum(cost[1] for cost in costs) * config.depth * tokens == sum(term.macs for term in inside)
    seen = sum(cost[1] for cost in costs if cost[2])
    assert seen * config.depth * tokens == sum(term.macs for term in inside if term.in_paper)


def test_a_state_is_worth_eight_operations():
    rings = re.findall(r'<circle [^>]*r="15"', drawings.draw("state_operations"))
    assert len(rings) == 8


def test_what_a_token_takes_part_in_is_what_the_blocks_differ_by():
    svg, T, C = drawings.draw("partners"), 243, 64
    mlp_and_maps = {"full attention": 8 * C * C, "factored attention": 12 * C * C}
    for mixer, rest in mlp_and_maps.items():
        each = (block_macs(mixer, C, T) / (17 * T) - rest) / C
        assert f">{each:,.0f}</text>" in svg
    scans = count(PoseMambaConfig(depth=2)).scan_macs / (2 * 17 * T) / C
    assert f">{scans:,.0f}</text>" in svg


def test_patterns_are_where_the_matrices_have_entries():
    frames, joints = what_the_scan_attends_to.GRID
    L = frames * joints
    shown = orders.STRATEGIES["bidirectional"]
    total = np.zeros((L, L), int)
    for direction in shown:
        P = np.eye(L, dtype=int)[direction.permutation(frames, joints).numpy()]
        pattern = P.T @ np.tril(np.ones((L, L), int)) @ P
        np.testing.assert_array_equal(orders.reach(direction, frames, joints) > 0, pattern > 0)
        assert pattern.sum() == 21
        total += pattern
    np.testing.assert_array_equal(total, 2 + 2 * np.eye(L, dtype=int))
    svg = drawings.draw("zero_patterns")
    assert len(re.findall(rf'<polygon [^>]*stroke="{BLUE}" stroke-width="1.5" fill="{BLUE}"', svg)) == 4 * 21


def test_a_mix_multiplies_from_the_right():
    frames, joints = what_the_scan_attends_to.GRID
    L, mix = frames * joints, what_the_scan_attends_to.MIX
    G = np.zeros((L, L), int)
    for t in range(frames):
        for j, other in enumerate(mix):
            G[t * joints + j, t * joints + other] = 1
    mixed = orders.Direction("mixed", orders.spatial_forward, mix)
    product = np.tril(np.ones((L, L), int)) @ (np.eye(L, dtype=int) + G)
    found = orders.reach(mixed, frames, joints)
    np.testing.assert_array_equal(found > 0, product > 0)
    # Two early cells in the map, four cells of G off the diagonal: that many are orange.
    filled = re.findall(rf'<polygon [^>]*fill="{ORANGE}"', drawings.draw("mixed_pattern"))
    assert (found == 2).sum() == 2 and len(filled) == 2 + 4


def test_all_that_is_held_is_drawn():
    drawn = [field for _, field, _ in what_the_scan_attends_to.HELD if field]
    assert sorted(drawn) == sorted(field.name for field in fields(FrozenBlock))


def test_every_strategy_and_every_control_is_drawn():
    svg = drawings.draw("six_strategies")
    for name, strategy in orders.STRATEGIES.items():
        assert f">{name}</text>" in svg
        assert f"{name}: {', '.join(d.name for d in dict.fromkeys(strategy))}" in svg
    # 4 one-way strategies of 2 directions, 2 of 4, with 12 tokens each.
    assert len(re.findall("<circle", svg)) == (4 * 2 + 2 * 4) * 12


def test_the_mixes_are_those_of_the_sweep():
    svg = drawings.draw("mixes")
    sweep = book.measured("order_sweep")["runs"]
    variants = {(run["arm"], run["seed"]): run for run in sweep}
    assert variants["global-random", 0]["scan"] == "global-random-0"
    assert does_the_order_matter.shuffled() == variants["shuffled joints", 0]["joint_order"]
    alone = sum(j == other for j, other in enumerate(LIMB_ORDER))
    random = orders.CONTROLS["global-random-0"][0].mix
    shuffled = does_the_order_matter.shuffled()
    blue = 17 + alone + sum(j == other for mix in (random, shuffled) for j, other in enumerate(mix))
    assert len(re.findall(f'<line [^>]*stroke="{BLUE}"', svg)) == blue
    assert len(re.findall(f'<line [^>]*stroke="{ORANGE}"', svg)) == 4 * 17 - blue
