"""The commands of data_prep: official files in, our motion files out."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from posemamba.motion import load_motion

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def convert():
    return runpy.run_path(str(ROOT / "data_prep" / "cmu_mocap.py"))["main"]


def test_cmu_becomes_a_motion_file(convert, tmp_path, capsys):
    joints = np.random.default_rng(0).normal(size=(7, 17, 3)).astype(np.float32)
    source, target = tmp_path / "cmu.npz", tmp_path / "cmu.safetensors"
    np.savez(
        source,
        joints=joints,
        length=np.array([3, 4]),
        split=np.array(["train", "test"]),
        action=np.array(["walking", "running"]),
        name=np.array(["a", "b"]),
        fps=np.float64(120),
    )
    assert convert([str(source), str(target)]) == 0
    assert "2 clips, 7 frames" in capsys.readouterr().out
    clips = load_motion(target)
    assert [(c.name, c.action, c.split, c.fps, len(c)) for c in clips] == [
        ("a", "walking", "train", 120.0, 3),
        ("b", "running", "test", 120.0, 4),
    ]
    assert np.array_equal(np.concatenate([c.joints for c in clips]), joints)


def test_bad_input_is_one_line(convert, tmp_path, capsys):
    (tmp_path / "page.npz").write_text("<html>", encoding="utf-8")
    for source in ("page.npz", "missing.npz"):
        assert convert([str(tmp_path / source), str(tmp_path / "out.safetensors")]) == 2
        error = capsys.readouterr().err
        assert source in error
        assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out.safetensors").exists()
