"""The directions against small grids written out by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from posemamba import orders
from tests.own_strategies import OWN, snake

# Two frames of three joints: tokens 0 1 2 / 3 4 5.
BY_HAND = {
    orders.spatial_forward: [0, 1, 2, 3, 4, 5],
    orders.temporal_forward: [0, 3, 1, 4, 2, 5],
    orders.spatial_reversed: [5, 4, 3, 2, 1, 0],
    orders.temporal_reversed: [5, 2, 4, 1, 3, 0],
    orders.spatial_backward: [2, 1, 0, 5, 4, 3],
    orders.temporal_backward: [3, 0, 4, 1, 5, 2],
}


@pytest.mark.parametrize(("permutation", "places"), BY_HAND.items())
def test_permutations_by_hand(permutation, places):
    assert permutation(2, 3).tolist() == places


@given(st.sampled_from([*orders.STRATEGIES, *OWN]), st.integers(1, 9))
def test_each_direction_reads_each_token_once(strategy, frames):
    reads, mixes = orders.tables(strategy, frames, 17)
    assert reads.shape == mixes.shape == (len(orders.directions(strategy)), frames * 17)
    assert all(sorted(row.tolist()) == list(range(frames * 17)) for row in reads)


def test_the_limbs_are_mixed_into_the_spatial_directions_of_global_local_only():
    for strategy in orders.STRATEGIES:
        _, mixes = orders.tables(strategy, 3, 17)
        expected = [True, False, True, False] if strategy == "global-local" else [False] * 4
        assert [(row >= 0).all().item() for row in mixes] == expected
        assert [(row >= 0).any().item() for row in mixes] == expected


def test_a_mix_stays_in_its_frame_and_follows_the_limb_order():
    reads, mixes = orders.tables("global-local", 3, 17)
    assert torch.equal(reads[0] // 17, mixes[0] // 17)
    limbs = [0, 0, 1, 2, 3, 0, 4, 5, 6, 8, 11, 12, 13, 8, 14, 15, 16]
    assert (mixes[0][17:34] - 17).tolist() == limbs
    assert torch.equal(mixes[2], mixes[0].flip(0))


def test_arrange_reads_what_the_tables_say():
    tokens = torch.randn(2, 3 * 17, 5)
    sequences = orders.arrange(tokens, "global-local", 3)
    limbs = torch.tensor(orders.STRATEGIES["global-local"][0].mix)
    grid = tokens.view(2, 3, 17, 5)
    assert torch.equal(sequences[:, 0], (grid + grid[:, :, limbs]).flatten(1, 2))
    assert torch.equal(sequences[:, 1], grid.transpose(1, 2).flatten(1, 2))


@pytest.mark.parametrize("strategy", [*orders.STRATEGIES, *OWN])
def test_merge_undoes_the_permutations(strategy):
    tokens = torch.randn(2, 3 * 17, 5)
    reads, _ = orders.tables(strategy, 3, 17)
    sequences = tokens[:, reads.long()]
    assert torch.allclose(orders.merge(sequences, strategy, 3), len(reads) * tokens)


def test_the_released_gradient_skips_the_mix():
    tokens = torch.randn(1, 17, 2, requires_grad=True)
    (exact,) = torch.autograd.grad(orders.arrange(tokens, "global-local", 1).sum(), tokens)
    (released,) = torch.autograd.grad(orders.arrange(tokens, "global-local", 1, "released").sum(), tokens)
    used = torch.bincount(torch.tensor(orders.STRATEGIES["global-local"][0].mix), minlength=17)
    assert torch.equal(released, torch.full_like(released, 4))
    assert torch.equal(exact[0, :, 0], 4.0 + 2 * used)


def test_unknown_names_and_sizes_are_named():
    with pytest.raises(ValueError, match="unknown scan strategy 'sideways'"):
        orders.directions("sideways")
    with pytest.raises(ValueError, match="unknown gradient 'none'"):
        orders.arrange(torch.zeros(1, 17, 2), "bidirectional", 1, "none")
    with pytest.raises(ValueError, match="mixes 17 joints, the tokens have 16"):
        orders.tables("global-local", 2, 16)
    with pytest.raises(ValueError, match="33 tokens do not make up 2 frames"):
        orders.arrange(torch.zeros(1, 33, 2), "bidirectional", 2)


def test_tables_made_in_inference_mode_or_while_exporting_serve_later_training():
    from posemamba import PoseMamba

    def network(frames):
        return PoseMamba.from_variant("S", frames=frames, depth=2, channels=16), torch.randn(1, frames, 17, 2)

    for frames, first in ((6, "inference"), (7, "export")):
        model, keypoints = network(frames)
        if first == "inference":
            with torch.inference_mode():
                model(keypoints)
        else:
            torch.export.export(model.eval(), (keypoints,))
        model.train()(keypoints).sum().backward()
        assert model.embed.weight.grad.isfinite().all()


def test_controls_mix_other_joints_into_the_same_sequences():
    joints = torch.arange(17)
    for name in orders.CONTROLS:
        reads, mixes = orders.tables(name, 2, 17)
        assert torch.equal(reads, orders.tables("global-local", 2, 17)[0])
        assert (mixes[[1, 3]] == -1).all()
        assert mixes[0].min() >= 0
    tokens = torch.randn(1, 34, 3)
    doubled = orders.arrange(tokens, "global-self", 2)
    plain = orders.arrange(tokens, "bidirectional", 2)
    assert torch.equal(doubled[:, [0, 2]], 2 * plain[:, [0, 2]])
    assert torch.equal(doubled[:, [1, 3]], plain[:, [1, 3]])
    draws = {orders.CONTROLS[f"global-random-{k}"][0].mix for k in range(8)}
    assert len(draws) == 8
    assert tuple(joints.tolist()) not in draws


def test_directions_say_what_they_are():
    four = orders.directions("global-local")
    assert [(one.axis, one.way, one.mark) for one in four] == [
        ("spatial", "forward", "S→"),
        ("temporal", "forward", "T→"),
        ("spatial", "reversed", "S↩"),
        ("temporal", "reversed", "T↩"),
    ]
    assert [one.mark for one in orders.directions("backward-backward")] == ["S←", "T←"] * 2
    assert orders.Direction("a snake", snake).mark == "A"
    for (axis, way), path in orders.PATHS.items():
        assert orders.reading(axis, way).permutation is path
        assert path.__name__ == f"{axis}_{way}"


def test_each_direction_mixes_its_own_joints():
    for strategy in OWN:
        found, (reads, mixes) = orders.directions(strategy), orders.tables(strategy, 3, 17)
        for direction, read, mixed, mix in zip(found, reads, mixes, orders.mixing(strategy), strict=True):
            if direction.mix is None:
                assert mix is None and (mixed == -1).all()
                continue
            assert mix.tolist() == list(direction.mix)
            assert mixed.tolist() == [t - t % 17 + direction.mix[t % 17] for t in read.tolist()]


def test_directions_may_be_given_in_a_names_place():
    tokens = torch.randn(2, 3 * 17, 5)
    for name in OWN:
        assert torch.equal(orders.arrange(tokens, OWN[name], 3), orders.arrange(tokens, name, 3))
        by_name = orders.tables(OWN[name], joints=17, frames=3)
        assert all(map(torch.equal, by_name, orders.tables(name, 3, 17)))


def half(frames, joints):
    return torch.arange(frames * joints) // 2


@pytest.mark.parametrize(
    ("name", "strategy", "message"),
    [
        ("global-self", OWN["own three"], "the package's own"),
        ("none", (), "a tuple of at least one Direction"),
        ("one", orders.reading("spatial", "forward"), "a tuple of at least one Direction"),
        ("half", (orders.Direction("half", half),), "does not read each of 17 tokens once"),
        ("mixes", tuple(orders.reading("spatial", "forward", (0,) * n) for n in (3, 4)), r"mixes \[3, 4\]"),
    ],
)
def test_what_is_no_strategy_is_refused(name, strategy, message):
    with pytest.raises(ValueError, match=message):
        orders.register(name, strategy)
    with pytest.raises(ValueError, match=r"mixes \(0, 2\), expected joints 0 to 1"):
        orders.reading("spatial", "forward", (0, 2))
    with pytest.raises(ValueError, match="has the axis 'diagonal', expected one of"):
        orders.Direction("d", snake, axis="diagonal")


def test_reach_is_counted_over_any_number_of_directions():
    three = orders.directions_reaching("own three", 2)
    parts = [orders.directions_reaching((direction,), 2) for direction in OWN["own three"]]
    assert (three == sum(parts)).all() and (three.diagonal() == 3).all()
    # Joint 17 + 16 is read after joint 17 in frame 1's downward run, frame 0 before both.
    assert parts[2][17, 33] == 1 and parts[2][33, 17] == 0 and parts[2][33, 16] == 1
