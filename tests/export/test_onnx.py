"""The network as an ONNX file: onnxruntime's answers against torch's and against the released network's."""

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from posemamba import __version__, orders, storage
from posemamba.cli import main
from posemamba.export.onnx import write_onnx
from posemamba.model import PoseMamba, PoseMambaConfig
from posemamba.skeleton import JOINT_NAMES
from tests.own_strategies import OWN

TINY = dict(frames=9, depth=2, channels=8, state=3)
RELEASED = dict.fromkeys(orders.STRATEGIES, "v2_plus_poselimbs") | {"bidirectional": "v2"}
RELEASED |= {
    f"{s}-{t}": f"v2_{s[0]}s_{t[0]}t" for s, t in (name.split("-") for name in [*orders.STRATEGIES][2:])
}


def tiny(**changes) -> PoseMamba:
    """A network whose every weight matters: none is 0 or 1, and steps are small and large."""
    torch.manual_seed(0)
    model = PoseMamba(PoseMambaConfig(**TINY | changes)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.2 * torch.randn_like(weight)
    return model


def session(path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def answer(path, keypoints: torch.Tensor) -> np.ndarray:
    return session(path).run(["joints"], {"keypoints": keypoints.float().numpy()})[0]


def relative(found, expected) -> float:
    found, expected = (np.asarray(v, np.float64) for v in (found, expected))
    assert found.shape == expected.shape
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.onnx"


@torch.no_grad()
def agrees(model: PoseMamba, path, sizes=((1, 1), (3, 2), (2, 9)), bound=1e-5, **options) -> None:
    """At each batch and number of frames, one file."""
    write_onnx(model, path, **options)
    running = session(path)
    for batch, frames in sizes:
        keypoints = torch.randn(batch, frames, model.config.joints, 2)
        expected = model.float()(keypoints) * (model.config.millimetres_per_unit or 1)
        found = running.run(None, {"keypoints": keypoints.numpy()})[0]
        assert relative(found, expected) < bound, (batch, frames)


@pytest.mark.parametrize("strategy", [*orders.STRATEGIES, *OWN, "global-random-1"])
def test_any_strategy_at_any_size(strategy, path):
    agrees(tiny(scan=strategy), path, [(b, t) for b in (1, 3) for t in (1, 2, 6, 9)])


@pytest.mark.parametrize("strategy", RELEASED)
def test_a_released_checkpoint_answers_as_the_released_network(fixtures, strategy, path):
    model = PoseMamba.from_released(fixtures / "released_checkpoint_tiny.bin", scan=strategy)
    write_onnx(model, path)
    with np.load(fixtures / "released_model_tiny.npz") as known:
        found = answer(path, torch.from_numpy(known["input"]))
        assert relative(found, known[f"out/{RELEASED[strategy]}"]) < 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        dict(joint_order=tuple(np.random.default_rng(0).permutation(17).tolist())),
        dict(joints=5, scan="bidirectional", channels=20, state=1),
        dict(frames=1),
        dict(depth=6, gradient="released", state=16),
    ],
)
def test_other_shapes(changes, path):
    most = changes.get("frames", 9)
    agrees(tiny(**changes), path, [(1, most), (2, 1)])


def test_trained_weights_in_mm_and_what_the_file_says_of_itself(path):
    model = PoseMamba.from_pretrained(storage.asset("small_cmu"))
    agrees(model, path, [(2, 27), (1, 5)])
    file = onnx.load(path)
    about = {item.key: item.value for item in file.metadata_props}
    assert about["units"] == "mm" and about["posemamba"] == __version__ and about["view"] == "image"
    assert (int(about["frames"]), about["scan"]) == (27, model.config.scan)
    assert json.loads(about["joint_names"]) == list(JOINT_NAMES)
    ends = [
        (end.name, [d.dim_param or d.dim_value for d in end.type.tensor_type.shape.dim])
        for end in (*file.graph.input, *file.graph.output)
    ]
    assert ends == [("keypoints", ["batch", "frames", 17, 2]), ("joints", ["batch", "frames", 17, 3])]
    # Other runtimes, a browser's among them, have ONNX's operators and no others.
    assert {node.domain for node in file.graph.node} == {""} and not file.functions


def test_half_is_half_the_file_and_exact_for_weights_that_are_half(path):
    model = PoseMamba.from_pretrained(storage.asset("small_cmu"))
    write_onnx(model, path)
    whole = path.stat().st_size
    keypoints = torch.randn(2, 27, 17, 2)
    with torch.no_grad():
        expected = model(keypoints) * model.config.millimetres_per_unit
        write_onnx(model, path, half=True)
        assert path.stat().st_size < 0.6 * whole
        assert 1e-5 < relative(answer(path, keypoints), expected) < 3e-3
    agrees(model.half().float(), path, [(2, 27)], half=True)


def test_dropping_paths_and_training_do_not_enter_it(path):
    model = tiny(depth=4, drop_path=0.5).train()
    write_onnx(model, path)
    assert model.training
    keypoints = torch.randn(2, 9, 17, 2)
    with torch.no_grad():
        assert relative(answer(path, keypoints), model.eval()(keypoints)) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_computed_in_float32(dtype, path):
    agrees(tiny().to(dtype), path)


@pytest.mark.parametrize("bias", [-9.0, 120.0])
def test_very_small_and_very_large_steps(bias, path):
    model = tiny()
    for block in (*model.spatial_blocks, *model.temporal_blocks):
        block.ssm.step_bias.data += bias
        block.ssm.skip.data.zero_()
    agrees(model, path, [(1, 9)])


@pytest.mark.parametrize("opset", [17, onnx.defs.onnx_opset_version()])
def test_the_oldest_and_the_newest_operators(opset, path):
    write_onnx(tiny(), path, opset=opset)
    assert onnx.load(path).opset_import[0].version == opset
    if opset == 17:
        agrees(tiny(), path, [(1, 4)], opset=opset)


def test_more_frames_than_the_network_has_are_refused_by_name(path):
    write_onnx(tiny(), path)
    with pytest.raises(Exception, match="at_most_9_frames"):
        answer(path, torch.randn(1, 10, 17, 2))


def test_what_cannot_be_written_leaves_the_old_file(path, monkeypatch):
    write_onnx(tiny(), path)
    before = path.read_bytes()
    broken, large = tiny(), tiny()
    broken.temporal_blocks[0].ssm.A_log.data[0, 0, 0] = torch.nan
    large.head[1].weight.data[0] = 1e5
    with pytest.raises(ValueError, match=r"temporal_blocks\.0\.ssm\.A_log .* not finite in float32"):
        write_onnx(broken, path)
    with pytest.raises(ValueError, match=r"head\.1\.weight .* not finite in float16"):
        write_onnx(large, path, half=True)
    with pytest.raises(TypeError, match="model is a Linear, expected a PoseMamba"):
        write_onnx(torch.nn.Linear(2, 3), path)
    with pytest.raises(ValueError, match="opset is 9, expected 17 to "):
        write_onnx(tiny(), path, opset=9)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="needs the package onnx"):
        write_onnx(tiny(), path)
    assert path.read_bytes() == before


def run(capsys, *words) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["export", *map(str, words)])
    printed = capsys.readouterr()
    return end.value.code, printed.out, printed.err


def test_the_command(fixtures, tmp_path, path, capsys, monkeypatch):
    model = tiny(millimetres_per_unit=500.0)
    model.save_pretrained(tmp_path / "run" / "model")
    code, out, _ = run(capsys, tmp_path / "run", path)
    assert code == 0 and "up to 9 frames, 17, 2) to joints in mm" in out
    keypoints = torch.randn(1, 7, 17, 2)
    with torch.no_grad():
        assert relative(answer(path, keypoints), 500 * model(keypoints)) < 1e-5
    whole = path.stat().st_size
    assert run(capsys, tmp_path / "run" / "model", path, "--half")[0] == 0 and path.stat().st_size < whole
    checkpoint = fixtures / "released_checkpoint_tiny.bin"
    assert run(capsys, checkpoint, path, "--scan", "bidirectional")[0] == 0
    assert {m.key: m.value for m in onnx.load(path).metadata_props}["scan"] == "bidirectional"
    for words, said in (
        ((tmp_path / "none", path), "no such folder"),
        ((tmp_path / "run", tmp_path / "network.pt"), "expected a file named .onnx"),
        ((tmp_path / "run", path, "--scan", "bidirectional"), "--scan belongs to a checkpoint file"),
    ):
        code, _, error = run(capsys, *words)
        assert code == 2 and said in error and error.count("\n") == 1
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, _, error = run(capsys, tmp_path / "run", path)
    assert code == 2 and error.startswith("posemamba: an ONNX file needs the package onnx")
