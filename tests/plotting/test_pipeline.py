"""The pipeline's diagram: its numbers are the count's, its shapes the running network's."""

import json
from dataclasses import replace

import pytest
import torch

from posemamba.accounting import count, pipeline_stages
from posemamba.model import VARIANTS, PoseMamba, PoseMambaConfig
from posemamba.orders import STRATEGIES
from posemamba.plotting import pipeline
from tests.own_strategies import OWN

TINY = PoseMambaConfig(frames=9, depth=6, channels=24, state=4)


def summed(stages):
    return sum(s.parameters for s in stages), sum(s.macs or 0 for s in stages)


@pytest.mark.parametrize("config", [TINY, *(PoseMambaConfig(**VARIANTS[v]) for v in VARIANTS)])
@pytest.mark.parametrize("frames", [None, 5])
def test_the_networks_parts_sum_to_the_count(config, frames):
    network, _ = pipeline_stages(config, frames)
    counted = count(config, frames)
    assert summed(network) == (counted.parameters, counted.macs)
    assert sum(stage.share for stage in network) == pytest.approx(1)


@pytest.mark.parametrize("strategy", [*STRATEGIES, *OWN])
def test_a_blocks_parts_sum_to_all_blocks(strategy):
    config = PoseMambaConfig(frames=9, depth=6, channels=24, state=4, scan=strategy)
    network, inside = pipeline_stages(config)
    assert summed(inside) == summed([stage for stage in network if "block" in stage.name])
    model = PoseMamba(config)
    blocks = [*model.spatial_blocks, *model.temporal_blocks]
    assert summed(inside)[0] == sum(p.numel() for block in blocks for p in block.parameters())


def test_shapes_are_those_of_the_running_network():
    model, found = PoseMamba(TINY), {}
    block = model.temporal_blocks[-1]
    watched = {
        "embed": model.embed,
        "temporal block 1": model.temporal_blocks[0],
        "head": model.head,
        "in_proj": block.ssm.in_proj,
        "SiLU": block.ssm.activation,
        "sum, norm": block.ssm.norm,
        "× SiLU(z)": block.ssm.gate,
        "out_proj": block.ssm.out_proj,
        "MLP, GELU": block.mlp[1],
        "MLP, back": block.mlp[2],
    }
    for name, part in watched.items():
        part.register_forward_hook(
            lambda _, __, out, name=name: found.__setitem__(name, tuple(out.shape[1:]))
        )
    with torch.no_grad():
        model(torch.zeros(1, 7, 17, 2))
    network, inside = pipeline_stages(model, frames=7)
    shapes = {stage.name: stage.shape for stage in (*inside, *network)}
    assert found == {name: shapes[name] for name in watched}
    assert shapes["step, B, C"] == (7, 17, *model.temporal_blocks[0].ssm.select.shape[:2])


@pytest.mark.parametrize(("depth", "scan"), [(2, "global-local"), (4, "own three"), (6, "own six")])
def test_every_stage_is_one_box_with_its_numbers(depth, scan):
    config = PoseMambaConfig(frames=9, depth=depth, channels=24, state=4, scan=scan)
    figure = pipeline(config)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    network, inside = pipeline_stages(config)
    told = [text for bar in bars for text in bar.hovertext]
    assert len(told) == len(network) + len(inside)
    for stage in (*network, *inside):
        shape = "×".join(map(str, stage.shape))
        fits = [text for text in told if f"<b>{stage.name}</b>" in text and shape in text]
        assert fits
        if stage.macs is not None:
            assert any(f"{stage.macs:,} multiply-adds" in text for text in fits)
        if stage.parameters:
            assert any(f"{stage.parameters:,} parameters" in text for text in fits)


@pytest.mark.parametrize("scan", ["global-local", *OWN])
def test_boxes_do_not_overlap_and_stay_on_the_page(scan):
    figure = pipeline(replace(TINY, scan=scan))
    bars = [trace for trace in figure.data if trace.type == "bar"]
    places = [place for bar in bars for place in zip(bar.base, bar.x, bar.y, strict=True)]
    boxes = [(left, left + width, row) for left, width, row in places]
    for k, (left, right, row) in enumerate(boxes):
        assert 0 <= left < right <= 1
        low, high = sorted(figure.layout.yaxis.range)
        assert low < row - 0.4 and row + 0.4 < high
        for other_left, other_right, other_row in boxes[k + 1 :]:
            assert row != other_row or right <= other_left or other_right <= left


def test_it_has_a_title_an_alternative_text_and_is_small():
    figure = pipeline(PoseMambaConfig(**VARIANTS["S"]))
    assert figure.layout.title.text == "20 blocks of 64 channels, 243 frames"
    assert "37.1%" in figure.layout.meta["alt"]  # the scans' part of PoseMamba-S
    assert "Diagram: Mine, " in pipeline(TINY, title="Mine").layout.meta["alt"]
    assert len(json.dumps(figure.to_plotly_json(), default=list)) < 40_000


def test_frames_beyond_the_network_are_named():
    with pytest.raises(ValueError, match="frames must lie between 1 and the network's 9, found 10"):
        pipeline_stages(TINY, frames=10)
