"""Tables 2 and 6, to the digit; and the full count against the modules and against torch's own counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from posemamba.accounting import TABLE_6, count
from posemamba.model import VARIANTS, PoseMamba, PoseMambaConfig

# Measured with the profiler on the released code.
EXACT = {
    "S": (859_651, 1_470_211, 3_587_426_496),
    "B": (3_357_699, 4_742_659, 13_943_083_392),
    "L": (6_713_859, 9_450_499, 27_881_407_872),
    "X": (26_534_915, 33_318_915, 109_908_658_944),
}
TABLE_2 = {
    "S": ("0.860", "3.587"),
    "B": ("3.358", "13.943"),
    "L": ("6.714", "27.881"),
    "X": ("26.535", "109.909"),
}
IN_FULL = {
    "S": (5.17, 3.05, 8.22),
    "B": (17.79, 6.09, 23.88),
    "L": (35.58, 12.18, 47.76),
    "X": (130.72, 24.37, 155.08),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_table_2_to_the_digit(variant):
    counted = count(PoseMambaConfig(frames=243, **VARIANTS[variant]))
    assert (counted.paper_parameters, counted.parameters, counted.paper_macs) == EXACT[variant]
    assert (f"{counted.paper_parameters / 1e6:.3f}", f"{counted.paper_macs / 1e9:.3f}") == TABLE_2[variant]
    in_full = (counted.matrix_macs, counted.scan_macs, counted.macs)
    assert tuple(round(macs / 1e9, 2) for macs in in_full) == IN_FULL[variant]


@pytest.mark.parametrize(("depth", "channels", "parameters", "macs", "_"), TABLE_6)
def test_table_6_as_printed(depth, channels, parameters, macs, _):
    counted = count(PoseMambaConfig(depth=depth, channels=channels))
    assert round(counted.paper_parameters / 1e6, 3) == parameters
    # The paper rounds 2.15 up.
    assert abs(counted.paper_macs / 1e9 - macs) < 0.0500001


def profiled(model: torch.nn.Module, keypoints: torch.Tensor) -> int:
    """The profiler's rule, written out on modules: it sees Linear, Conv2d and LayerNorm as they are
    called.
    """
    total, handles = 0, []

    def linear(module, inputs, output):
        nonlocal total
        total += output.numel() * module.in_features

    def conv(module, inputs, output):
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    def norm(module, inputs, output):
        nonlocal total
        total += 4 * output.numel()

    rules = {torch.nn.Linear: linear, torch.nn.Conv2d: conv, torch.nn.LayerNorm: norm}
    for module in model.modules():
        if type(module) in rules:
            handles.append(module.register_forward_hook(rules[type(module)]))
    with torch.no_grad():
        model(keypoints)
    for handle in handles:
        handle.remove()
    return total


@pytest.mark.parametrize(
    "settings", [dict(channels=32, depth=4), dict(channels=24, depth=6, state=8, frames=5)]
)
def test_the_rules_hold_for_the_network_as_it_runs(settings):
    model = PoseMamba(PoseMambaConfig(**{"frames": 9, **settings}))
    frames = model.config.frames
    counted, keypoints = count(model), torch.randn(1, frames, 17, 2)
    assert counted.parameters == sum(p.numel() for p in model.parameters())
    modules = [
        m for m in model.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d | torch.nn.LayerNorm)
    ]
    assert counted.paper_parameters == sum(p.numel() for m in modules for p in m.parameters())
    assert counted.paper_macs == profiled(model, keypoints)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(keypoints)
    assert counter.get_total_flops() == 2 * counted.macs


def test_fewer_frames_cost_less_and_the_parameters_stay():
    config = PoseMambaConfig(frames=243)
    whole, part = count(config), count(config, frames=81)
    assert part.paper_macs * 3 == whole.paper_macs
    assert part.parameters == whole.parameters


@pytest.mark.parametrize("frames", [0, 244])
def test_frames_out_of_range_are_refused(frames):
    with pytest.raises(ValueError, match="frames must lie between 1 and"):
        count(PoseMambaConfig(frames=243), frames=frames)


def test_other_things_are_refused():
    with pytest.raises(ValueError, match="needs a PoseMamba"):
        count(torch.nn.Linear(2, 2))
