"""Human3.6M's files where they do not fit, are damaged or hostile: one sentence each."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.data_prep.human36m_layouts import (
    W0,
    fails,
    known_motion,
    pair,
    rows,
    write_pair,
    write_pickle,
    write_xml,
)
from tests.sentences import Calls


@pytest.fixture(scope="module")
def motion():
    return known_motion()


def test_a_malicious_file_does_not_run(motion, tmp_path, capsys):
    trap, splits = tmp_path / "executed", rows(motion)
    splits["train"]["source"][3] = evil = Calls(os.system, f"touch {trap}")
    line = fails(capsys, tmp_path, "motionbert", write_pickle(tmp_path / "bad.pkl", splits))
    assert "bad.pkl" in line and "system" in line
    joints, pixels = pair(motion)
    joints["S1"]["Eating"] = evil
    line = fails(capsys, tmp_path, "videopose3d", *write_pair(tmp_path, joints, pixels))
    assert "data_3d_h36m.npz" in line and "system" in line
    assert not trap.exists()


def change(split: str, key: str, value):
    """A pickle with one entry changed: `value` is the new one, or makes it from the old one."""

    def changed(splits: dict) -> dict:
        part = splits[split]
        part[key] = value(part[key]) if callable(value) else value
        if part[key] is None:
            del part[key]
        return splits

    return changed


def with_nan(array: np.ndarray) -> np.ndarray:
    array[2, 4, 1] = np.nan
    return array


def renamed(old: str, new: str):
    return lambda names: [name.replace(old, new) for name in names]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda splits: [1, 2], ["a.pkl holds list", "'train'"]),
        (lambda splits: {"validate": {}}, ["a dict of 'validate'", "'test'"]),
        (change("train", "joint_2d", None), ["'train' as 'joint_2d' nothing", "floats"]),
        (change("test", "source", None), ["'test' as 'source' nothing", "text"]),
        (change("test", "joint3d_image", lambda a: a[:, :16]), ["'joint3d_image' shape (", "17, 3)"]),
        (change("train", "confidence", lambda a: a[:-1]), ["'confidence' shape", "expected"]),
        (change("test", "action", lambda a: a[1:]), ["'action' shape", "expected"]),
        (change("train", "joint_2d", lambda a: a.astype(int)), ["'joint_2d' int64", "floats"]),
        (change("train", "joint_2d", lambda a: a.astype(object)), ["'joint_2d' object", "floats"]),
        (change("train", "source", lambda a: [7, *a[1:]]), ["'source' list", "text"]),
        (
            change("train", "joint_2d", with_nan),
            ["S1/Eating/", "view '54138969'", "keypoints", "NaN", "frame 2"],
        ),
        (change("test", "joints_2.5d_image", with_nan), ["joints_2.5d_image", "NaN", "frame 2"]),
        (
            change("test", "source", renamed("_ca_", "_cam_")),
            ["frame 0", "'s_09_act_05_subact_02_cam_01'", "such as"],
        ),
        (change("test", "source", renamed("act_05", "act_17")), ["act_17", "expected such as"]),
        (change("test", "source", renamed("s_09", "s_08")), ["s_08_act", "expected subjects S9, S11"]),
        (
            change("test", "source", renamed("ca_02", "ca_01")),
            ["camera_name 54138969, 55011271", "expected 54138969"],
        ),
        (
            change("train", "source", renamed("s_07_act_12_subact_01_ca_01", "s_01_act_04_subact_01_ca_01")),
            ["once more", "one run"],
        ),
        (change("test", "camera_name", lambda a: a[::-1].copy()), ["camera_name", "expected 54138969"]),
        (
            change("test", "action", lambda a: ["Walking", *a[1:]]),
            ["action Greeting, Walking", "one for all"],
        ),
    ],
)
def test_a_pickle_that_does_not_fit_is_one_sentence(motion, tmp_path, capsys, changed, words):
    line = fails(capsys, tmp_path, "motionbert", write_pickle(tmp_path / "a.pkl", changed(rows(motion))))
    for word in ("a.pkl", *words):
        assert word in line, line


def test_other_cameras_than_the_files_are_refused(motion, tmp_path, capsys):
    wrong = W0.copy()
    wrong[264] += 20  # a focal length
    path = write_pickle(tmp_path / "a.pkl", rows(motion))
    line = fails(capsys, tmp_path, "motionbert", path, "--cameras", write_xml(tmp_path / "b.xml", wrong))
    assert "pixels from where these cameras could agree" in line and "a.pkl" in line
    files = write_pair(tmp_path, *pair(motion))
    far = W0.copy()
    far[:264] = np.roll(far[:264].reshape(4, 11, 6), 1, axis=0).ravel()
    line = fails(capsys, tmp_path, "videopose3d", *files, "--cameras", write_xml(tmp_path / "b.xml", far))
    assert "pixels from its joints as camera 54138969 sees them" in line


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            lambda three, two: (three["S1"], two),
            ["data_3d_h36m.npz holds", "positions_3d", "{subject: {action"],
        ),
        (lambda three, two: ({"S2": three["S1"]}, two), ["'S2'" and "S2", "expected a take of S1"]),
        (lambda three, two: ({"S1": {"Dancing": three["S1"]["Eating"]}}, two), ["Dancing", "a take of"]),
        (lambda three, two: ({"S1": {"Eating 1": three["S1"]["Eating"]}}, two), ["Eating 1", "a take of"]),
        (
            lambda three, two: ({"S1": {"Eating": three["S1"]["Eating"][:, :17]}}, two),
            ["(21, 17, 3)" and "17, 3)", "32, 3"],
        ),
        (
            lambda three, two: ({"S1": {"Eating": three["S1"]["Eating"] * 1000}}, two),
            ["Eating", "expected metres"],
        ),
        (
            lambda three, two: (three, two | {"S1": {"Eating": two["S1"]["Eating"]}}),
            ["2d", "lacks S1/Eating/1"],
        ),
        (
            lambda three, two: (three, two | {"S1": {"Eating": two["S1"]["Eating"][:3]}}),
            ["3 views, expected 4"],
        ),
        (
            lambda three, two: (
                three,
                {s: {a: [v[:9] for v in w] for a, w in t.items()} for s, t in two.items()},
            ),
            ["9 frames in camera 54138969, expected 2"],
        ),
        (
            lambda three, two: (
                three,
                two | {"S9": {a: [with_nan(v) for v in w] for a, w in two["S9"].items()}},
            ),
            ["S9, Greeting, in camera 54138969 NaN or infinity in frame 2"],
        ),
        (
            lambda three, two: (
                three,
                two | {"S1": two["S1"] | {"Eating": [v[::-1] for v in two["S1"]["Eating"]]}},
            ),
            ["data_2d_h36m_gt.npz has 2D up to", "--cameras"],
        ),
    ],
)
def test_a_pair_that_does_not_fit_is_one_sentence(motion, tmp_path, capsys, changed, words):
    files = write_pair(tmp_path, *changed(*pair(motion)))
    line = fails(capsys, tmp_path, "videopose3d", *files)
    for word in words:
        assert word in line, line


def test_other_joints_than_human36ms_are_refused(motion, tmp_path, capsys):
    coco = [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]]
    files = write_pair(tmp_path, *pair(motion), name="detectron_pt_coco", sides=coco)
    assert "left and right joints [[1, 3, 5," in fails(capsys, tmp_path, "videopose3d", *files)


def test_other_and_damaged_files_are_one_sentence(motion, tmp_path, capsys):
    path = write_pickle(tmp_path / "a.pkl", rows(motion))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "cut short" in fails(capsys, tmp_path, "motionbert", path)
    path.write_bytes(b"<!DOCTYPE html><html>404</html>")
    assert "web page" in fails(capsys, tmp_path, "motionbert", path)
    assert "does not exist" in fails(capsys, tmp_path, "motionbert", tmp_path / "none.pkl")
    three, two = write_pair(tmp_path, *pair(motion))
    assert "data_2d_h36m_gt.npz" in fails(capsys, tmp_path, "videopose3d", two, three)  # exchanged
    content = Path(two).read_bytes()
    Path(two).write_bytes(content[: len(content) // 2])
    assert "damaged or cut short" in fails(capsys, tmp_path, "videopose3d", three, two)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("<a><w0>[1 2 3]</w0></a>", "3 numbers in w0, expected 300"),
        ("<a><mapping/></a>", "no element w0"),
        ("<a><w0>[1 2", "damaged or cut short"),
        (f"<a><w0>[{'nan ' * 300}]</w0></a>", "NaN"),
        ("<!DOCTYPE html><html>404</html>", "neither XML nor JSON"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a><w0>&b;</w0></a>', "neither XML nor JSON"),
        ('{"intrinsics": {}}', "lacks 'extrinsics'"),
        ('{"intrinsics": {}, "extrinsics": {"S1": {"54138969": {}}}}', "lacks '54138969'"),
        ('{"intrinsics": {}, "extrinsics": {}}', "lists no cameras"),
        ('{"intrinsics"', "damaged or cut short"),
        ("camera 1", "neither XML nor JSON"),
    ],
)
def test_a_camera_file_that_does_not_fit_is_one_sentence(motion, tmp_path, capsys, content, word):
    path = write_pickle(tmp_path / "a.pkl", rows(motion))
    (tmp_path / "cameras").write_text(content, encoding="utf-8")
    line = fails(capsys, tmp_path, "motionbert", path, "--cameras", tmp_path / "cameras")
    assert word in line and "metadata.xml" in line, line
