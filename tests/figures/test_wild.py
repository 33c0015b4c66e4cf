"""The recipe for strangers' videos: its ablation and its kept weights, run small, and what ships of them."""

from dataclasses import replace

import pytest
import torch

from posemamba import PoseMamba, record, storage
from posemamba.motion import save_motion, synthetic_clips
from tests.figures.commands import load


@pytest.fixture(scope="module")
def motion(tmp_path_factory):
    path = tmp_path_factory.mktemp("motion") / "made.safetensors"
    clips = synthetic_clips(0, train=2, test=1, seconds=4, fps=30, actions=["walking", "waving"])
    save_motion(path, clips)
    return path


def test_each_row_changes_one_thing():
    sweep = load("wild_ablation")
    first, *others = (sweep.settings(row, 1, 7).flat() for row in sweep.ROWS)
    assert first["view"] == "person" and first["noise"] == "wild" and first["cameras"] == "wild"
    for row, config in zip([*sweep.ROWS][1:], others, strict=True):
        changed = {name for name in first if config[name] != first[name]}
        together = {"the paper's normalisation": {"view", "focal_error"}}
        together |= {f"windows of {n} frames": {"frames", "batch_size"} for n in (9, 81)}
        assert len(changed) == 1 or changed == together[row], row
        assert abs(config["frames"] * config["batch_size"] / 432 - 1) < 0.07, "about as many frames a step"


def test_the_ablation_runs_compares_and_goes_on(motion, tmp_path, monkeypatch, capsys):
    sweep = load("wild_ablation")
    (video,) = sweep.load_motion(storage.asset("wild.safetensors"))
    monkeypatch.setattr(sweep, "load_motion", lambda _: [replace(video, views=video.views[:1])])
    arguments = ["--data", str(motion), "--folder", str(tmp_path), "--steps", "2", "--seeds", "0", "1"]
    arguments += ["--rows", "all of it", "the paper's normalisation"]
    assert sweep.main(arguments) == 0
    report = record.read(tmp_path / "assets/measured/wild_ablation.json")
    assert [(run["row"], run["seed"]) for run in report["runs"]] == [
        (row, seed) for seed in (0, 1) for row in ("all of it", "the paper's normalisation")
    ]
    for run in report["runs"]:
        assert (
            50 < run["errors"]["video, exact"]["p_mpjpe"] < 400
            and run["errors"]["unseen people"]["mpjpe"] > 0
        )
    (pair,) = [p for p in report["compared"] if (p["where"], p["measure"]) == ("video, exact", "mpjpe")]
    values = [[run["errors"]["video, exact"]["mpjpe"] for run in report["runs"][k::2]] for k in (0, 1)]
    assert pair["mean"] == pytest.approx(sum(values[1]) / 2 - sum(values[0]) / 2)
    assert pair["low"] < pair["mean"] < pair["high"]
    monkeypatch.setattr(sweep, "train", lambda *_, **__: pytest.fail("it was trained already"))
    assert sweep.main(arguments) == 0


def test_weights_are_trained_scored_and_kept(motion, tmp_path, monkeypatch, capsys):
    weights = load("wild_weights")
    monkeypatch.setattr(weights, "FIT_WINDOWS", 60)
    monkeypatch.setattr(weights, "VIEWS", 1)
    arguments = ["--data", str(motion), "--folder", str(tmp_path), "--steps", "2"]
    assert weights.main([*arguments, "--score"]) == 2 and "no run that is done" in capsys.readouterr().err
    assert weights.main([*arguments, "--rows", "bidirectional"]) == 0
    model = PoseMamba.from_pretrained(tmp_path / "assets/open")
    assert model.config.view == "person" and model.about["training"]["data"]["rates"] == [24, 40]
    assert (tmp_path / "assets/open/model.onnx").stat().st_size < 1e6
    report = record.read(tmp_path / "assets/measured/wild_weights.json")
    assert [run["row"] for run in report["runs"]] == [
        "bidirectional",
        "bidirectional, further",
        "bidirectional, further 2",
    ]
    assert model.about["training"]["initial"]["network"] == str(
        tmp_path / "bidirectional_0_further" / "model"
    )
    for kind in ("scores", "as_detected"):
        assert set(report["baselines"][kind]) == {"ridge", "mean pose"}
    last = report["runs"][-1]
    assert last["as_detected"]["mpjpe"]["over_actions"] != last["scores"]["mpjpe"]["over_actions"]
    assert (
        report["runs"][0]["scores"]["mpjpe"]["over_actions"]
        > report["runs"][0]["scores"]["p_mpjpe"]["over_actions"]
    )
    monkeypatch.setattr(weights.evaluation, "views", lambda *_, **__: pytest.fail("it was scored already"))
    assert weights.main([*arguments, "--score"]) == 0


def test_what_ships_belongs_together():
    report = record.read(storage.asset("measured/wild_weights.json"))
    kept = PoseMamba.from_pretrained("open")
    assert sum(weights.numel() for weights in kept.parameters()) == report["parameters"]
    assert kept.about["recipe"] == "wild/bidirectional" and kept.config.view == "person"
    assert storage.asset("open").is_dir() and storage.asset("open/model.onnx").stat().st_size < 6e6
    table = record.read(storage.asset("measured/in_the_wild.json"))["table"]
    assert "open, person, guessed" in {row["body"] for row in table}
    ablation = record.read(storage.asset("measured/wild_ablation.json"))
    assert {run["seed"] for run in ablation["runs"]} == {0, 1, 2}
    assert {run["row"] for run in ablation["runs"]} == set(ablation["rows"])


def test_the_onnx_file_that_ships_is_the_network_that_ships():
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(storage.asset("open/model.onnx")))
    model = PoseMamba.from_pretrained("open").eval()
    for frames in (1, 27, 81):
        keypoints = torch.randn(1, frames, 17, 2, generator=torch.Generator().manual_seed(frames))
        (found,) = session.run(None, {"keypoints": keypoints.numpy()})
        with torch.no_grad():
            expected = model(keypoints) * model.config.millimetres_per_unit
        assert abs(torch.from_numpy(found) - expected).max() < 1e-5 * expected.abs().max()
