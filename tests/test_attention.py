"""The scan's map against the scan itself, for every strategy; its reductions; the network's affine map."""

from dataclasses import replace

import pytest
import torch

from posemamba import PoseMamba, attention
from posemamba.orders import STRATEGIES
from tests.own_strategies import OWN

FRAMES = 7


def relative(found, expected) -> float:
    return ((found - expected).norm() / expected.norm()).item()


def network(scan="global-local", **changes) -> PoseMamba:
    torch.manual_seed(0)
    settings = dict(frames=FRAMES, depth=4, channels=16, state=4) | changes
    model = PoseMamba.from_variant("S", scan=scan, **settings)
    torch.nn.init.normal_(model.joint_position)
    torch.nn.init.normal_(model.frame_position)
    for module in model.modules():  # norms and skips that do something
        if isinstance(module, torch.nn.LayerNorm):
            torch.nn.init.normal_(module.weight, 1, 0.3)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    for block in (*model.spatial_blocks, *model.temporal_blocks):
        torch.nn.init.normal_(block.ssm.skip)
        # Larger steps than at the start, so that memories end within the sequence.
        block.ssm.step_bias.data.uniform_(-4, 2)
    return model.eval()


def record(scan="global-local", block="temporal_blocks.1", **changes):
    model = network(scan, **changes)
    with torch.no_grad(), model.capture(block) as records:
        model(torch.randn(2, FRAMES, 17, 2))
    return records[block]


@pytest.mark.parametrize("scan", [*STRATEGIES, "global-self", "global-random-2", *OWN])
def test_each_channels_map_is_the_scan(scan):
    found = record(scan)
    for channel in (0, 9, 31):
        for sample in (0, 1):
            expected = found.y[sample].flatten(0, 1)[:, channel]
            matrix = attention.channel_map(found, channel, sample=sample)
            assert relative(matrix @ found.x[sample, :, channel], expected) < 1e-5


def test_a_map_is_the_definition():
    found = record("forward-backward")
    k, channel = 1, 5
    read = found.reads[k].long()
    steps, B, C = (v[0, k, read].double() for v in (found.steps, found.B, found.C))
    A, D = found.A[k, channel].double(), found.skip[k, channel].double()
    expected = torch.zeros(len(read), len(read), dtype=torch.float64)
    for i in range(len(read)):
        for j in range(i + 1):
            decay = torch.exp(A * steps[j + 1 : i + 1, channel].sum())
            expected[read[i], read[j]] = (C[i] * decay * B[j]).sum() * steps[j, channel] + D * (i == j)
    assert relative(attention.channel_map(found, channel, direction=k).double(), expected) < 1e-6


@pytest.mark.parametrize("scan", STRATEGIES)
def test_reduced_maps_are_sums_of_the_token_map(scan):
    found = record(scan)
    each = torch.stack([attention.channel_map(found, c) for c in range(found.x.shape[2])])
    for aggregate, tokens in (("signed", each.sum(0)), ("absolute", each.abs().sum(0))):
        grid = tokens.view(FRAMES, 17, FRAMES, 17)
        for function, expected in (
            (attention.token_map, tokens),
            (attention.joint_map, grid.sum((0, 2))),
            (attention.frame_map, grid.sum((1, 3))),
        ):
            assert relative(function(found, aggregate=aggregate), expected) < 1e-5


def test_half_precision_gives_maps_in_single():
    model = network()
    keypoints = torch.randn(1, FRAMES, 17, 2)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), model.capture("spatial_blocks.0") as records:
        model(keypoints)
    found = records["spatial_blocks.0"]
    assert found.x.dtype == torch.bfloat16
    matrix = attention.channel_map(found, 4)
    assert matrix.dtype == attention.joint_map(found, aggregate="absolute").dtype == torch.float32
    expected = found.y.flatten(1, 2)[0, :, 4].float()
    assert relative(matrix @ found.x[0, :, 4].float(), expected) < 0.02


def test_directions_add_up():
    found = record()
    parts = [attention.token_map(found, direction=k) for k in range(4)]
    assert relative(sum(parts), attention.token_map(found)) < 1e-6
    assert relative(parts[1] + parts[3], attention.token_map(found, direction=[1, 3])) < 1e-6
    # Without a mix a direction is causal along its own reading.
    for k in (1, 3):
        read = found.reads[k].long()
        assert parts[k][read][:, read].triu(1).abs().max() == 0


def test_the_mix_stands_on_the_right():
    found = record("global-local")
    plain = [attention.channel_map(_without_mix(found), 3, direction=k) for k in (0, 2)]
    gather = torch.zeros(FRAMES * 17, FRAMES * 17)
    limbs = torch.tensor(STRATEGIES["global-local"][0].mix)
    for frame in range(FRAMES):
        gather[frame * 17 + torch.arange(17), frame * 17 + limbs] = 1
    for k, without in zip((0, 2), plain, strict=True):
        expected = without @ (torch.eye(FRAMES * 17) + gather)
        assert relative(attention.channel_map(found, 3, direction=k), expected) < 1e-6


def _without_mix(found):
    return replace(found, mixes=torch.full_like(found.mixes, -1))


def test_long_memories_and_large_steps_stay_finite():
    found = record("bidirectional")
    for factor in (1e-6, 1e6):
        extreme = replace(found, steps=found.steps * factor)
        matrix = attention.frame_map(extreme)
        assert matrix.isfinite().all()


def test_normalisation_keeps_signs():
    matrix = torch.tensor([[1.0, -3.0], [0.0, 0.0]])
    assert torch.equal(attention.normalise(matrix, "none"), matrix)
    assert torch.equal(attention.normalise(matrix, "largest"), matrix / 3)
    assert torch.equal(attention.normalise(matrix, "rows"), torch.tensor([[0.25, -0.75], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="normalisation is 'softmax'"):
        attention.normalise(matrix, "softmax")


def test_wrong_questions_are_named():
    found = record()
    with pytest.raises(ValueError, match="aggregate is 'mean', expected 'signed' or 'absolute'"):
        attention.joint_map(found, aggregate="mean")
    with pytest.raises(ValueError, match="direction is 4"):
        attention.joint_map(found, direction=4)
    with pytest.raises(ValueError, match=r"direction is \[\]"):
        attention.joint_map(found, direction=[])
    with pytest.raises(ValueError, match="sample is 2, the record holds 2"):
        attention.frame_map(found, sample=2)
    with pytest.raises(ValueError, match="channel is 32, expected 0 to 31"):
        attention.channel_map(found, 32)


@pytest.mark.parametrize("scan", [*STRATEGIES, "global-random-0", *OWN])
def test_the_frozen_network_is_the_network_at_its_input(scan):
    model, keypoints = network(scan), torch.randn(FRAMES, 17, 2)
    line = attention.linearise(model, keypoints)
    assert torch.equal(line.output, model(keypoints[None])[0].detach())
    with torch.no_grad():
        assert relative(line.affine(keypoints[None])[0], line.output) < 1e-5
        assert relative(line.linear(keypoints[None])[0] + line.constant, line.output) < 1e-5
        a, b = torch.randn(2, 1, FRAMES, 17, 2)
        assert relative(line.linear(2 * a - b), 2 * line.linear(a) - line.linear(b)) < 1e-5


def test_maps_through_depth_are_sums_of_the_linear_part():
    order = tuple(torch.randperm(17, generator=torch.Generator().manual_seed(1)).tolist())
    model, keypoints = network("bidirectional", joint_order=order), torch.randn(FRAMES, 17, 2)
    line = attention.linearise(model, keypoints[None])
    full = torch.autograd.functional.jacobian(lambda x: line.linear(x[None])[0], keypoints)
    assert relative(line.joint_map(), full.sum((0, 3)).permute(1, 3, 0, 2)) < 1e-5
    assert relative(line.frame_map(), full.sum((1, 4)).permute(1, 3, 0, 2)) < 1e-5
    assert relative(line.row(2, 11), full[2, 11]) < 1e-6


def test_the_remainder_is_measured():
    model, keypoints = network(), torch.randn(FRAMES, 17, 2)
    line = attention.linearise(model, keypoints)
    change = 0.3 * torch.randn(FRAMES, 17, 2)
    moved = (model((keypoints + change)[None])[0] - model(keypoints[None])[0]).detach()
    expected = relative(line.linear(change[None])[0].detach(), moved)
    assert line.remainder(change) == pytest.approx(expected, rel=1e-4)
    assert line.remainder(1e-3 * change) > 0.05  # the choices move too: it is not the Jacobian


def test_linearising_leaves_the_network_training():
    model = network(drop_path=0.5).train()
    keypoints = torch.randn(FRAMES, 17, 2)
    line = attention.linearise(model, keypoints)
    line.remainder(keypoints)
    assert model.training
    with torch.no_grad():
        assert relative(line.affine(keypoints[None])[0], line.output) < 1e-5
    with pytest.raises(ValueError, match="keypoints have shape"):
        line.linear(torch.randn(1, FRAMES + 1, 17, 2))
    with pytest.raises(ValueError, match=r"expected \(frames, joints, 2\)"):
        attention.linearise(model, torch.randn(2, FRAMES, 17, 2))


def test_an_interrupted_run_leaves_the_map_as_it_was():
    model, keypoints = network(), torch.randn(FRAMES, 17, 2)
    line = attention.linearise(model, keypoints)
    with pytest.raises(ValueError, match="floating-point"):
        line.linear(torch.ones(1, FRAMES, 17, 2, dtype=torch.int64))
    with torch.no_grad():
        assert relative(line.affine(keypoints[None])[0], line.output) < 1e-5


@pytest.mark.parametrize("gradient", ["exact", "released"])
def test_relevance_adds_up_and_its_gradient_is_the_true_one(gradient):
    model, keypoints = network(gradient=gradient), torch.randn(FRAMES, 17, 2)
    baseline = torch.randn(17, 2)
    found = attention.relevance(model, keypoints, frame=3, joint=16, coordinate=2, baseline=baseline)
    assert found.value == pytest.approx(model(keypoints[None])[0, 3, 16, 2].item(), abs=1e-5)
    assert found.map.sum().item() + found.constant == pytest.approx(found.value, abs=1e-5)
    exact = network(gradient="exact").double()
    toward = (keypoints - baseline).double()
    size = 1e-5
    with torch.no_grad():
        ends = [exact((keypoints.double() + s * size * toward)[None])[0, 3, 16, 2] for s in (1, -1)]
    slope = (ends[0] - ends[1]) / (2 * size)
    assert found.gradient.sum().item() == pytest.approx(slope.item(), rel=1e-3, abs=1e-4)


def test_relevance_of_no_such_output_is_named():
    model, keypoints = network(), torch.randn(FRAMES, 17, 2)
    with pytest.raises(ValueError, match="frame is 7, expected 0 to 6"):
        attention.relevance(model, keypoints, frame=7, joint=0)
    with pytest.raises(ValueError, match="coordinate is -1, expected 0 to 2"):
        attention.relevance(model, keypoints, frame=0, joint=0, coordinate=-1)
    with pytest.raises(ValueError, match="baseline has shape"):
        attention.relevance(model, keypoints, frame=0, joint=0, baseline=torch.zeros(3))
