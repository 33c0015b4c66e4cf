"""The command that measures sets of motion and a detector's result: known motion gives known figures."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posemamba import record
from posemamba.motion import save_motion, synthetic_clips
from posemamba.skeleton import bone_lengths

COMMAND = runpy.run_path(str(Path(__file__).resolve().parents[2] / "figures" / "data_sets.py"))


@pytest.fixture(scope="module")
def clips():
    return synthetic_clips(seed=3, train=2, test=1, seconds=4, actions=["walking", "waving"])


def detections(path, joints):
    """A file as AlphaPose writes it; 17 joints at each frame, in a box of 100 by 400 pixels."""
    entries = [
        {"image_id": f"{k}.jpg", "category_id": 1, "box": [0, 0, 100, 400], "score": 3.0}
        | {"keypoints": np.column_stack([frame, np.full(17, 0.9)]).ravel().tolist()}
        for k, frame in enumerate(joints)
    ]
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_it_measures_sets_variety_and_detections(tmp_path, monkeypatch, clips):
    monkeypatch.setitem(COMMAND["main"].__globals__, "BODIES", 1)
    rng = np.random.default_rng(0)
    step = 400 * 1.25 / 128
    cells = rng.integers(0, 90, (1, 17, 2)) + rng.integers(-1, 2, (400, 17, 2))
    joints = np.array([50, 200]) + step * (cells + 0.5)  # middles of half cells about the box's centre
    found = detections(tmp_path / "found.json", joints)
    save_motion(tmp_path / "ours.safetensors", clips)
    given = ["--motion", f"ours={tmp_path / 'ours.safetensors'}", "synthetic", "--detections", str(found)]
    assert COMMAND["main"]([*given, "--out", str(tmp_path / "out.json")]) == 0
    report = record.read(tmp_path / "out.json")
    assert str(tmp_path) not in json.dumps(report)

    ours, generated = report["sets"]
    assert (ours["name"], generated["name"]) == ("ours", "synthetic")
    assert ours["clips"] == 6 and ours["frames"] == 6 * 240 and ours["shorter_than_243"] == 6
    assert ours["train"]["actions"] == {"walking": 480, "waving": 480} and ours["fps"] == [60.0]

    axes = np.array(report["variety"]["axes"])
    assert np.allclose(axes @ axes.T, np.eye(2), atol=1e-3)
    assert axes[0, 16 * 3 + 2] > 0 and axes[1, 8 * 3] > 0
    farther = report["variety"]["farther"]
    assert all(shares[0] >= shares[-1] for shares in farther.values())
    assert np.all(np.array(farther["both"]) <= np.array(farther["the generator"]))

    real = report["detections"]["real"]
    assert real["largest_distance_from_grid_steps"] < 1e-5 and real["step_px"] == pytest.approx(
        step, abs=0.01
    )
    white = step * np.sqrt(2 / 3)  # of the steps -1, 0, 1
    assert real["jitter_px"]["wrists"] == pytest.approx(white, rel=0.1)
    assert real["box_px"] == 400 and real["box_moves_px"] == 0 and set(real["traces_px"]["right hip"]) > {0.0}
    assert set(real["replayed_px"]) == {"measured", "smoothed", "0", "0.3", "0.65", "1"}
    model = report["detections"]["model"]["jitter_percent"]
    assert model["wrists"] > 1.5 * model["hips"]


def test_rounding_to_a_grid_makes_jitter_where_the_grid_moves():
    rng = np.random.default_rng(0)
    still, boxes = (
        np.tile(rng.uniform(0, 400, (1, 17, 2)), (2000, 1, 1)),
        np.tile([0.0, 0, 100, 400], (2000, 1)),
    )
    replayed, grid, step = COMMAND["replayed"], COMMAND["Grid"], 400 * 1.25 / 128
    assert replayed(still, grid(boxes), draws=1)["0"] == 0
    boxes[:, :2] += rng.uniform(0, 30, (2000, 2))
    moving = replayed(still, grid(boxes), draws=1)
    assert moving["0"] == pytest.approx(step / 12**0.5, rel=0.03) and moving["1"] > moving["0"]


def test_a_confidence_that_knows_stands_out_from_chance():
    rng = np.random.default_rng(0)
    jerks = rng.uniform(size=(200, 17))
    found = COMMAND["follows"](np.where(np.arange(17) == 0, -jerks, rng.uniform(size=(200, 17))), jerks)
    assert found["nose"][0] == -1 and found["nose"][0] < found["nose"][1] < 0 < found["nose"][2]
    assert found["hips"][1] < found["hips"][0] < found["hips"][2]


def test_poses_on_one_body_keep_their_directions(clips):
    joints = COMMAND["aligned"](clips[0].joints[:20])
    lengths = np.arange(100.0, 116.0)
    built = COMMAND["on_bones"](joints, lengths)
    assert np.allclose(bone_lengths(built), lengths)
    assert np.allclose(COMMAND["on_bones"](built, bone_lengths(joints)[0]), joints, atol=0.1)


def test_poses_are_aligned_whatever_the_heading(clips):
    joints = clips[0].joints
    turned = joints[..., [1, 0, 2]] * np.float32([-1, 1, 1]) + np.float32([500, -900, 0])
    one, other = COMMAND["aligned"](joints), COMMAND["aligned"](turned)
    assert np.abs(one - other).max() < 0.01
    assert np.abs(one[:, 4, 0]).max() < 0.01 and (one[:, 4, 1] > 0).all()  # the left hip, along y
    assert np.allclose(bone_lengths(one), bone_lengths(joints), atol=0.01)


def test_a_person_is_one_row_of_bones(clips):
    named = [replace(clip, name=f"{k % 2:02d}_{k}") for k, clip in enumerate(clips)]
    row = COMMAND["sizes"]("named", named)
    assert sorted(row["bones"]) == ["00", "01"] and all(len(bones) == 16 for bones in row["bones"].values())


@pytest.mark.parametrize(
    ("given", "told"),
    [(["--motion", "nowhere.npz"], "nowhere.npz"), (["--detections", "{other}"], "AlphaPose's list")],
)
def test_bad_input_is_one_line(given, told, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(COMMAND["main"].__globals__, "BODIES", 1)
    other = tmp_path / "other.json"
    other.write_text('[{"keypoints": [1, 2]}]', encoding="utf-8")
    assert COMMAND["main"]([word.format(other=other) for word in given] + ["--out", str(tmp_path / "o")]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1 and not (tmp_path / "o").exists()
