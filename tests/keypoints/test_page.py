"""The page on keypoints says what the code does."""

import inspect
import json
import re

import numpy as np
import pytest

from posemamba.keypoints import people, read
from posemamba.motion import load_motion
from posemamba.storage import asset
from tools import keypoints_page

TEXT = keypoints_page.PAGE.read_text(encoding="utf-8")


def test_tables_and_drawing_are_the_codes():
    hint = "run python -m tools.keypoints_page"
    assert keypoints_page.page(TEXT) == TEXT, hint
    number = re.compile(r"-?\d+\.\d")
    ours, theirs = keypoints_page.drawing(), keypoints_page.DRAWING.read_text(encoding="utf-8")
    assert number.sub("", ours) == number.sub("", theirs), hint
    differ = np.subtract(*([float(n) for n in number.findall(text)] for text in (ours, theirs)))
    assert np.abs(differ).max() <= 0.11, hint
    with pytest.raises(ValueError, match="0 places for the table 'conversions'"):
        keypoints_page.page("")


def test_figures_in_the_text():
    defaults = {name: p.default for name, p in inspect.signature(read).parameters.items()}
    assert f"`max_gap` frames on end ({defaults['max_gap']} by default)" in TEXT
    assert f"not above `threshold` ({defaults['threshold']:g} by default" in TEXT
    assert f"at least {people._SAME} of the union" in TEXT
    joints = np.array(load_motion(asset("demo.safetensors"))[0].joints)
    hips, shoulders = joints[:, [1, 4]].mean(1), joints[:, [11, 14]].mean(1)
    thorax = np.median(np.linalg.norm(shoulders - joints[:, 8], axis=-1))
    spine = np.median(np.linalg.norm((hips + shoulders) / 2 - joints[:, 7], axis=-1))
    assert f"by {thorax:.0f} mm, and its spine joint lies {spine:.0f} mm off" in TEXT


def test_the_drawing_shows_what_inspect_finds():
    found = {}
    for name, pose in keypoints_page.orders().items():
        found[name] = " ".join(finding.sentence for finding in people.inspect(pose[None] / 2))
    assert not found["in order"] and "as COCO's nose, eyes and ears do" in found["COCO's order"]
    assert "the shoulders run against the hips" in found["legs exchanged"]
    assert "y points upwards" in found["y upwards"]


def test_the_pages_code_runs(tmp_path, monkeypatch, walk, as_set):
    monkeypatch.chdir(tmp_path)
    rows = np.concatenate([as_set(walk, "COCO-17"), np.ones((60, 17, 1))], axis=-1)
    entries = [{"image_id": f"{at}.jpg", "keypoints": row.ravel().tolist()} for at, row in enumerate(rows)]
    (tmp_path / "alphapose-results.json").write_text(json.dumps(entries))
    fifteen = (10, 9, 8, 11, 12, 13, 14, 15, 16, 4, 5, 6, 1, 2, 3)
    np.savez(tmp_path / "mine.npz", keypoints=walk[:, fifteen])
    names = {}
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(code, names)
    assert names["body"].joints.shape == (60, 17, 3)
    made = names["theirs"].keypoints
    np.testing.assert_allclose(made[:, fifteen], walk[:, fifteen], rtol=1e-6)
    np.testing.assert_allclose(made[:, 0], walk[:, [1, 4]].mean(1), rtol=1e-6)
    (clip,) = load_motion(tmp_path / "me.safetensors")
    np.testing.assert_array_equal(clip.views[0].keypoints, names["person"].keypoints)
