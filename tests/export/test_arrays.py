"""Numbers as files: read back, they are the bodies; units and axes stand in them."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from posemamba.export import write_csv, write_npz
from posemamba.skeleton import JOINT_NAMES, PARENTS
from posemamba.storage import read_arrays
from tests.export.bodies import people, person, placed


@pytest.mark.parametrize(
    "bodies", [people(), placed(), [placed()[0], person(2, 20, 30)]], ids=["plain", "placed", "mixed"]
)
def test_an_npz_gives_the_bodies_back(bodies, tmp_path):
    write_npz(bodies, tmp_path / "motion.npz")
    found = read_arrays(tmp_path / "motion.npz")
    for at, body in enumerate(bodies):
        rows = found["person"] == at
        assert rows.sum() == len(body) == found["frames"][at]
        for name in ("joints", "keypoints", "confidence"):
            np.testing.assert_allclose(found[name][rows], getattr(body, name), rtol=1e-6, atol=1e-4)
        root = np.full((len(body), 3), np.nan) if body.root is None else body.root
        np.testing.assert_allclose(found["root"][rows], root, rtol=1e-6)
        np.testing.assert_array_equal(found["frame"][rows], body.start + np.arange(len(body)))
        np.testing.assert_allclose(found["time"][rows], found["frame"][rows] / 30)
        for name in ("track", "start", "focal", "focal_known"):
            assert found[name][at] == getattr(body, name)
    assert (found["fps"], *found["size"]) == (30, 640, 480)
    assert tuple(found["joint_names"]) == JOINT_NAMES and tuple(found["parents"]) == PARENTS
    about = {name.strip() for line in found["about"] for name in line.split(":")[0].split(",")}
    assert set(found) - about == {
        "joint_names",
        "parents",
        "about",
        "track",
        "start",
        "frames",
        "focal_known",
    }
    assert "y down" in found["about"][0] and "mm" in found["about"][0]


def test_a_csv_gives_the_bodies_back(tmp_path):
    bodies = people()
    write_csv(bodies, tmp_path / "motion.csv")
    table = pd.read_csv(tmp_path / "motion.csv")
    assert len(table) == 17 * sum(map(len, bodies)) and tuple(table.joint[:17]) == JOINT_NAMES
    ends = np.cumsum([0, *(17 * len(body) for body in bodies)])
    parts = [table.iloc[first:end] for first, end in pairwise(ends)]
    for body, part in zip(bodies, parts, strict=True):
        joints = part[["x_right_mm", "y_down_mm", "z_forward_mm"]].to_numpy().reshape(-1, 17, 3)
        np.testing.assert_allclose(joints, body.joints, atol=0.0051)
        pixels = part[["keypoint_x_px", "keypoint_y_px"]].to_numpy().reshape(-1, 17, 2)
        np.testing.assert_allclose(pixels, body.keypoints, atol=0.0051)
        np.testing.assert_allclose(part.confidence.to_numpy().reshape(-1, 17), body.confidence, atol=0.00051)
        assert set(part.track) == {body.track}
        np.testing.assert_array_equal(part.frame[::17], body.start + np.arange(len(body)))
        np.testing.assert_allclose(part.time_s, part.frame / 30, atol=1e-4)
    first = table[table.frame == 0].set_index("joint")
    # y is down: the raised right hand is above the head, and right is at the left of his picture.
    assert first.y_down_mm["right wrist"] < first.y_down_mm["head"] < first.y_down_mm["left wrist"]
    assert first.x_right_mm["right hip"] < first.x_right_mm["left hip"]


def test_a_csv_holds_a_place_where_there_is_one(tmp_path):
    bodies = [placed()[0], person(2, 20, 30)]
    write_csv(bodies, tmp_path / "motion.csv")
    table = pd.read_csv(tmp_path / "motion.csv")
    root = table[["root_x_right_mm", "root_y_down_mm", "root_z_forward_mm"]].to_numpy()
    np.testing.assert_allclose(root[: 17 * 60 : 17], bodies[0].root, atol=0.0051)
    assert np.isnan(root[17 * 60 :]).all()


def test_a_csv_goes_on_where_a_chunk_ends(tmp_path, monkeypatch):
    write_csv(people(), tmp_path / "whole.csv")
    monkeypatch.setattr("posemamba.export.arrays._CHUNK", 7)
    write_csv(people(), tmp_path / "parts.csv")
    assert (tmp_path / "whole.csv").read_text() == (tmp_path / "parts.csv").read_text()
