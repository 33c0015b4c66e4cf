"""The network against the released one: weights, outputs and both gradients of all six strategies."""

import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from posemamba import checkpoints, orders
from posemamba.model import VARIANTS, PoseMamba, PoseMambaConfig, SpatioTemporalSSM
from posemamba.orders import STRATEGIES
from posemamba.scan import selective_scan
from tests.own_strategies import OWN

RELEASED = {
    "global-local": "v2_plus_poselimbs",
    "bidirectional": "v2",
    "forward-forward": "v2_fs_ft",
    "forward-backward": "v2_fs_bt",
    "backward-forward": "v2_bs_ft",
    "backward-backward": "v2_bs_bt",
}
TINY = PoseMambaConfig(frames=9, depth=4, channels=16, state=4)


@pytest.fixture(scope="module")
def released(fixtures):
    return dict(np.load(fixtures / "released_model_tiny.npz"))


def weights_of(released: dict) -> dict:
    return {
        name.removeprefix("state/"): value for name, value in released.items() if name.startswith("state/")
    }


def relative(found, expected) -> float:
    expected = torch.as_tensor(expected)
    return ((found.detach() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("strategy", RELEASED)
@pytest.mark.parametrize("gradient", ["exact", "released"])
def test_outputs_and_gradients_are_the_released_networks(released, strategy, gradient):
    model = PoseMamba.from_released(weights_of(released), scan=strategy, gradient=gradient)
    keypoints = torch.from_numpy(released["input"]).requires_grad_()
    output = model(keypoints)
    assert relative(output, released[f"out/{RELEASED[strategy]}"]) < 2e-6
    (found,) = torch.autograd.grad((output * torch.from_numpy(released["cotangent"])).sum(), keypoints)
    kind = "exact" if strategy == "global-local" and gradient == "exact" else "released"
    assert relative(found, released[f"grad_{kind}/{RELEASED[strategy]}"]) < 2e-6
    if strategy == "global-local":
        other = {"exact": "released", "released": "exact"}[gradient]
        assert 0.1 < relative(found, released[f"grad_{other}/{RELEASED[strategy]}"]) < 0.2


def test_the_strategies_differ(released):
    outputs = [
        PoseMamba.from_released(weights_of(released), scan=s)(torch.from_numpy(released["input"]))
        for s in STRATEGIES
    ]
    for i, one in enumerate(outputs):
        assert all(relative(one, other.detach()) > 1e-5 for other in outputs[i + 1 :])


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_have_table_2s_sizes(variant):
    config = PoseMamba.from_variant(variant, frames=3).config
    assert (config.depth, config.channels) == {"S": (20, 64), "B": (20, 128), "L": (40, 128), "X": (40, 256)}[
        variant
    ]


def test_settings_may_be_changed():
    model = PoseMamba.from_variant("S", frames=5, depth=2, scan="bidirectional", gradient="released")
    assert (model.config.scan, model.config.gradient, len(model.spatial_blocks)) == (
        "bidirectional",
        "released",
        1,
    )
    assert model(torch.zeros(2, 5, 17, 2)).shape == (2, 5, 17, 3)


def test_shorter_sequences_are_accepted_and_longer_ones_are_not():
    model = PoseMamba(TINY)
    assert model(torch.zeros(1, 4, 17, 2)).shape == (1, 4, 17, 3)
    with pytest.raises(ValueError, match="up to 9 frames"):
        model(torch.zeros(1, 10, 17, 2))


@pytest.mark.parametrize("shape", [(1, 9, 16, 2), (1, 9, 17, 3), (9, 17, 2), (1, 0, 17, 2)])
def test_wrong_shapes_are_named(shape):
    with pytest.raises(ValueError, match="keypoints have shape"):
        PoseMamba(TINY)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(depth=3), "must be even"),
        (dict(channels=0), "channels must be a positive whole number"),
        (dict(frames=2.5), "frames must be"),
        (dict(scan="sideways"), "unknown scan strategy 'sideways'"),
        (dict(gradient="none"), "unknown gradient 'none'"),
        (dict(drop_path=1.0), "drop_path"),
        (dict(width=3), "unknown setting 'width'"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        PoseMamba.from_variant("S", **settings)


def test_an_unknown_variant_is_named():
    with pytest.raises(ValueError, match="unknown variant 'XXL', expected one of S, B, L, X"):
        PoseMamba.from_variant("XXL")


def test_steps_start_between_a_thousandth_and_a_tenth():
    ssm = PoseMamba(TINY).spatial_blocks[0].ssm
    steps = torch.nn.functional.softplus(ssm.step_bias)
    assert steps.min() > 0.99e-3
    assert steps.max() < 1.01e-1
    assert torch.allclose(torch.exp(ssm.A_log)[0, 0], torch.arange(1.0, 5.0))


def test_drop_path_skips_in_training_only():
    model = PoseMamba(PoseMambaConfig(frames=4, depth=8, channels=8, state=2, drop_path=0.9))
    keypoints = torch.randn(3, 4, 17, 2)
    model.eval()
    assert torch.equal(model(keypoints), model(keypoints))
    model.train()
    assert not torch.equal(model(keypoints), model(keypoints))
    rates = [block.drop_path.rate for block in model.spatial_blocks]
    assert rates == pytest.approx([0, 0.3, 0.6, 0.9])


def test_a_checkpoint_file_reads_like_its_weights(released, fixtures):
    path = fixtures / "released_checkpoint_tiny.bin"
    model = PoseMamba.from_released(path)
    assert (model.config.frames, model.config.channels, model.config.depth) == (9, 32, 4)
    assert sum(p.numel() for p in model.parameters()) == sum(v.size for v in weights_of(released).values())


def wrap_bare(weights):
    return weights


def wrap_parallel(weights):
    return {"epoch": 3, "model_pos": {f"module.{name}": value for name, value in weights.items()}}


def wrap_state_dict(weights):
    return {"state_dict": {name: torch.from_numpy(value) for name, value in weights.items()}}


@pytest.mark.parametrize("wrap", [wrap_bare, wrap_parallel, wrap_state_dict])
def test_every_wrapping_holds_the_same_network(released, wrap):
    keypoints = torch.from_numpy(released["input"])
    output = PoseMamba.from_released(wrap(weights_of(released)))(keypoints)
    assert relative(output, released["out/v2_plus_poselimbs"]) < 2e-6


def test_wrong_released_weights_are_named(released):
    weights = weights_of(released)
    with pytest.raises(ValueError, match="not a released PoseMamba checkpoint"):
        PoseMamba.from_released({"conv1.weight": torch.zeros(2)})
    part = {name: value for name, value in weights.items() if "TTEblocks.1" not in name}
    with pytest.raises(ValueError, match=r"weights are missing, first temporal_blocks.1"):
        PoseMamba.from_released(part)
    with pytest.raises(ValueError, match="not PoseMamba's, first extra"):
        PoseMamba.from_released({**weights, "extra": np.zeros(1, np.float32)})
    with pytest.raises(ValueError, match=r"head.1.weight has shape"):
        PoseMamba.from_released({**weights, "head.1.weight": np.zeros((4, 32), np.float32)})
    with pytest.raises(ValueError, match=r"head.1.bias holds NaN"):
        PoseMamba.from_released({**weights, "head.1.bias": np.full(3, np.nan, np.float32)})
    with pytest.raises(ValueError, match="frames is read from the weights"):
        PoseMamba.from_released(weights, frames=27)


def test_released_names_cover_all_of_ours(released):
    ours = {checkpoints.our_name(name) for name in weights_of(released)}
    assert ours == set(PoseMamba(PoseMambaConfig(frames=9, depth=4, channels=32)).state_dict())


def test_what_is_saved_comes_back(tmp_path):
    model = PoseMamba(PoseMambaConfig(frames=5, depth=2, channels=8, state=4, millimetres_per_unit=1000.0))
    model.save_pretrained(tmp_path / "new" / "folder", note="kept")
    again = PoseMamba.from_pretrained(tmp_path / "new" / "folder")
    assert again.config == model.config
    keypoints = torch.randn(2, 5, 17, 2)
    assert torch.equal(again(keypoints), model(keypoints))


def test_broken_folders_get_one_sentence(tmp_path):
    model = PoseMamba(PoseMambaConfig(frames=5, depth=2, channels=8, state=4))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        PoseMamba.from_pretrained(tmp_path / "nothing")
    model.save_pretrained(tmp_path)
    file, settings = tmp_path / "model.safetensors", tmp_path / "config.json"
    whole, text = file.read_bytes(), settings.read_text(encoding="utf-8")

    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"model.safetensors: not a readable safetensors file"):
        PoseMamba.from_pretrained(tmp_path)
    file.write_bytes(whole)
    settings.write_text(text.replace('"channels": 8', '"channels": 16'), encoding="utf-8")
    with pytest.raises(ValueError, match=r"has shape .* expected"):
        PoseMamba.from_pretrained(tmp_path)
    settings.write_text(text.replace("posemamba", "bert"), encoding="utf-8")
    with pytest.raises(ValueError, match="not the settings of a PoseMamba"):
        PoseMamba.from_pretrained(tmp_path)
    settings.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"config.json"):
        PoseMamba.from_pretrained(tmp_path)
    settings.unlink()
    with pytest.raises(FileNotFoundError, match=r"config.json"):
        PoseMamba.from_pretrained(tmp_path)


def test_a_file_is_no_folder_to_save_in(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(ValueError, match="expected a folder"):
        PoseMamba(TINY).save_pretrained(tmp_path / "file")


def test_a_failed_save_leaves_the_model_that_was_there(tmp_path):
    model = PoseMamba(PoseMambaConfig(frames=5, depth=2, channels=8, state=4))
    model.save_pretrained(tmp_path)
    other = PoseMamba(PoseMambaConfig(frames=5, depth=4, channels=8, state=4))
    with pytest.raises(ValueError, match=r"NaN|JSON"):
        other.save_pretrained(tmp_path, error=float("nan"))
    again = PoseMamba.from_pretrained(tmp_path)
    assert again.config.depth == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"scan"', '"scn"', "scan is missing|scn is not a setting"),
        ('"depth": 2,', "", "depth is missing"),
        ('"millimetres_per_unit": null', '"millimetres_per_unit": -1', "millimetres_per_unit must be"),
    ],
)
def test_settings_that_say_something_else_are_refused(tmp_path, old, new, message):
    PoseMamba(PoseMambaConfig(frames=5, depth=2, channels=8, state=4)).save_pretrained(tmp_path)
    settings = tmp_path / "config.json"
    text = settings.read_text(encoding="utf-8")
    assert old in text
    settings.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        PoseMamba.from_pretrained(tmp_path)


def test_a_transposed_released_weight_is_not_taken_for_the_right_one(released):
    weights = weights_of(released)
    name = "STEblocks.0.op.in_proj.weight"
    with pytest.raises(ValueError, match=r"in_proj.weight has shape"):
        PoseMamba.from_released({**weights, name: np.ascontiguousarray(weights[name].T)})


def test_other_precisions_come_close():
    model = PoseMamba(TINY).eval()
    keypoints = torch.randn(2, 9, 17, 2) / 4
    with torch.no_grad():
        expected = model(keypoints)
        assert relative(model.double()(keypoints.double()).float(), expected) < 1e-5
        model.float()
        with torch.autocast("cpu", torch.bfloat16):
            assert relative(model(keypoints).float(), expected) < 0.05
        half = model.bfloat16()(keypoints.bfloat16())
        assert half.dtype == torch.bfloat16
        assert relative(half.float(), expected) < 0.1


def test_an_empty_batch_is_answered():
    assert PoseMamba(TINY)(torch.zeros(0, 9, 17, 2)).shape == (0, 9, 17, 3)


def test_a_joint_order_shuffles_the_network_and_not_its_interface():
    order = tuple(np.random.default_rng(0).permutation(17).tolist())
    plain = PoseMamba(TINY)
    shuffled = PoseMamba(replace(TINY, joint_order=list(order)))
    shuffled.load_state_dict(plain.state_dict())
    keypoints = torch.randn(2, 5, 17, 2)
    expected = torch.empty(2, 5, 17, 3)
    expected[:, :, list(order)] = plain(keypoints[:, :, list(order)]).detach()
    assert torch.equal(shuffled(keypoints), expected)
    assert not torch.allclose(shuffled(keypoints), plain(keypoints), atol=1e-3)


def test_a_joint_order_is_kept_with_the_weights(tmp_path):
    model = PoseMamba(replace(TINY, joint_order=tuple(reversed(range(17)))))
    model.save_pretrained(tmp_path)
    assert PoseMamba.from_pretrained(tmp_path).config == model.config


@pytest.mark.parametrize("order", [(0,) * 17, tuple(range(16)), "joints"])
def test_a_joint_order_that_is_none_is_refused(order):
    with pytest.raises(ValueError, match="joint_order must hold each of the 17 joints once"):
        replace(TINY, joint_order=order)


def scan_by_hand(ssm, x, gradient):
    """Every direction's sequence written out token by token, and scanned by the reference."""
    frames, joints, tokens = x.shape[1], x.shape[2], x.flatten(1, 2)
    total = torch.zeros_like(tokens)
    for k, direction in enumerate(orders.directions(ssm.config.scan)):
        read = direction.permutation(frames, joints).tolist()
        u = torch.stack([tokens[:, token] for token in read], 1)
        if direction.mix is not None:
            mixed_in = tokens if gradient == "exact" else tokens.detach()
            u = u + torch.stack([mixed_in[:, t - t % joints + direction.mix[t % joints]] for t in read], 1)
        R, N = ssm.config.rank, ssm.config.state
        low_rank, B, C = (u @ ssm.select[k].T).split([R, N, N], -1)
        delta = F.softplus(low_rank @ ssm.step[k].T + ssm.step_bias[k])
        A, D = -torch.exp(ssm.A_log[k]), ssm.skip[k]
        y = selective_scan(u.mT, delta.mT, A, B.mT, C.mT, D=D, backend="reference").mT
        total = total + torch.stack([y[:, read.index(token)] for token in range(len(read))], 1)
    return total.view_as(x)


@pytest.mark.parametrize("strategy", [*OWN, "global-local", "global-random-0"])
@pytest.mark.parametrize("gradient", orders.GRADIENTS)
def test_each_direction_reads_and_mixes_its_own(strategy, gradient):
    torch.manual_seed(0)
    config = PoseMambaConfig(frames=4, channels=4, state=3, scan=strategy, gradient=gradient)
    ssm = SpatioTemporalSSM(config).double()
    assert len(ssm.skip) == len(orders.directions(strategy))
    for weight in (ssm.skip, ssm.step_bias):
        torch.nn.init.normal_(weight)
    x = torch.randn(2, 4, 17, config.inner, dtype=torch.float64, requires_grad=True)
    expected, found = scan_by_hand(ssm, x, gradient), ssm.scan(x)
    assert relative(found, expected.detach()) < 1e-12
    weights = [x, ssm.select, ssm.step, ssm.step_bias, ssm.A_log, ssm.skip]
    cotangent = torch.randn_like(x)
    theirs, ours = (torch.autograd.grad((y * cotangent).sum(), weights) for y in (expected, found))
    assert all(relative(one, other) < 1e-10 for one, other in zip(ours, theirs, strict=True))


def test_a_name_registered_again_leaves_the_networks_that_were_made():
    orders.register("own, twice", OWN["own three"])
    model, keypoints = PoseMamba(replace(TINY, scan="own, twice")).eval(), torch.randn(1, 9, 17, 2)
    with torch.no_grad():
        before = model(keypoints)
        orders.register("own, twice", orders.STRATEGIES["bidirectional"])
        assert torch.equal(model(keypoints), before)
    assert len(PoseMamba(replace(TINY, scan="own, twice")).spatial_blocks[0].ssm.skip) == 4


def test_weights_of_an_own_strategy_come_back_and_released_ones_refuse_it(tmp_path, released):
    model = PoseMamba(replace(TINY, scan="own six"))
    model.save_pretrained(tmp_path)
    assert PoseMamba.from_pretrained(tmp_path).config == model.config
    with pytest.raises(ValueError, match="scan 'own three' has 3 directions, the released weights 4"):
        PoseMamba.from_released(weights_of(released), scan="own three")
    with pytest.raises(ValueError, match="scan must be a strategy's name"):
        replace(TINY, scan=OWN["own three"])
    with pytest.raises(ValueError, match="mixes 17 joints, the tokens have 16"):
        replace(TINY, joints=16)


LENGTHS = (9, 5, 7)


@pytest.fixture(scope="module")
def answers():
    torch.manual_seed(0)
    model = PoseMamba(replace(TINY, depth=2)).eval()
    keypoints = [torch.randn(2, frames, 17, 2) for frames in LENGTHS]
    with torch.no_grad():
        return model, keypoints, [model(one) for one in keypoints]


def agree(model, keypoints, expected):
    with torch.no_grad():
        for one, answer in zip(keypoints, expected, strict=True):
            torch.testing.assert_close(model(one), answer, rtol=1e-4, atol=1e-5)


def test_it_compiles_for_a_second_number_of_frames(answers):
    torch._dynamo.reset()
    agree(torch.compile(answers[0], backend="eager", fullgraph=True), *answers[1:])


def test_a_compiled_network_trains_at_any_number_of_frames():
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    model, counts = PoseMamba(replace(TINY, depth=2, scan="own three")), set()
    compiled = torch.compile(model, backend=counter, dynamic=True, fullgraph=True)
    for frames in LENGTHS:
        keypoints = torch.randn(2, frames, 17, 2)
        ours, theirs = (
            torch.autograd.grad(network(keypoints).square().sum(), list(model.parameters()))
            for network in (compiled, model)
        )
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
        counts.add(counter.frame_count)
    assert len(counts) == 1  # one graph for all


@pytest.mark.parametrize("strict", [False, True])
def test_it_exports_with_any_number_of_frames(answers, strict):
    model, keypoints, expected = answers
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("frames", min=2, max=TINY.frames)}
    exported = torch.export.export(model, (keypoints[0],), dynamic_shapes=(sizes,), strict=strict)
    agree(exported.module(), keypoints, expected)


def test_it_is_traced_for_any_number_of_frames(answers):
    model, keypoints, expected = answers
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of checks that a trace leaves out
        traced = torch.jit.trace(model, (keypoints[0],))
    agree(traced, keypoints, expected)


def test_its_linear_maps_may_be_quantised(answers):
    model, keypoints, expected = answers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        small = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
        with torch.no_grad():
            found = small(keypoints[0])
    assert type(small.embed) is not torch.nn.Linear
    assert 1e-4 < relative(found, expected[0]) < 0.05


def test_importing_the_network_leaves_torchs_compiler_asleep():
    code = "import sys, posemamba.model; print(sys.modules.keys() & {'torch._dynamo', 'sympy', 'numba'})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
