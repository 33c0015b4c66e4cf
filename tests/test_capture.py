"""What a network's blocks computed, by name."""

import pytest
import torch
import torch.nn.functional as F

from posemamba import PoseMamba
from posemamba.orders import directions
from posemamba.scan import directional_scan
from tests.own_strategies import OWN


def network(**changes) -> PoseMamba:
    torch.manual_seed(0)
    return PoseMamba.from_variant("S", frames=5, depth=4, channels=16, state=4, **changes).eval()


def test_a_record_holds_what_the_block_computed():
    model, keypoints = network(), torch.randn(2, 5, 17, 2)
    with model.capture() as records:
        output = model(keypoints)
    assert torch.equal(output, model(keypoints))
    # In the order in which they run.
    assert list(records) == [f"{kind}_blocks.{i}" for i in (0, 1) for kind in ("spatial", "temporal")]
    first, block = records["spatial_blocks.0"], model.spatial_blocks[0]
    assert torch.equal(first.tokens, model.embed(keypoints) + model.joint_position)
    assert torch.equal(first.out, block(first.tokens))
    assert torch.equal(first.x, F.silu(first.before).flatten(1, 2))
    gated = block.ssm.norm(first.y) * first.gate
    assert torch.allclose(first.middle, first.tokens + block.ssm.out_proj(gated), atol=1e-6)
    assert torch.allclose(first.out, first.middle + block.mlp[2](F.gelu(first.hidden)), atol=1e-6)
    second = records["temporal_blocks.0"]
    expected = model.spatial_norm(first.out) + model.frame_position[:, None]
    assert torch.equal(second.tokens, expected)
    assert not any(value.requires_grad for value in vars(first).values())


@pytest.mark.parametrize("scan", ["global-local", "forward-backward", *OWN])
def test_the_recorded_choices_give_the_recorded_output(scan):
    model = network(scan=scan)
    with torch.no_grad(), model.capture("temporal_blocks.1") as records:
        model(torch.randn(2, 5, 17, 2))
    (found,) = records.values()
    assert (found.steps > 0).all()
    mixing = [direction.mix is not None for direction in directions(scan)]
    mixes = found.mixes if any(mixing) else None
    given = (found.x, found.steps, found.A, found.B, found.C, found.skip, found.reads, mixes)
    assert torch.allclose(directional_scan(*given).view_as(found.y), found.y, atol=1e-5)
    assert (found.mixes >= 0).any(1).tolist() == mixing


def test_nothing_is_kept_outside():
    model, keypoints = network(), torch.randn(1, 5, 17, 2)
    with pytest.raises(RuntimeError), model.capture("spatial_blocks.1"):
        raise RuntimeError
    with model.capture("spatial_blocks.1") as records:
        pass
    model(keypoints)
    assert not records
    assert all(block.ssm.notes is None for block in model.spatial_blocks)
    assert not any(module._forward_hooks for module in model.modules())


def test_unknown_and_doubled_captures_are_named():
    model = network()
    with pytest.raises(ValueError, match=r"there is no block 'spatial_blocks.2', expected some of spatial"):
        model.capture("spatial_blocks.2")
    with model.capture("spatial_blocks.0") as records:
        with pytest.raises(ValueError, match=r"spatial_blocks.0 is being captured"), model.capture():
            pass
        model(torch.randn(1, 5, 17, 2))
    assert list(records) == ["spatial_blocks.0"]
