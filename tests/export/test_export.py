"""Writing several kinds at once, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from posemamba import export
from tests.export.bodies import man, people, person, placed
from tests.sentences import refused

DEFAULT = ("npz", "csv", "html", "bvh", "gltf")


def test_every_kind_is_written_and_told_of(tmp_path):
    paths = export.write(people(), tmp_path / "new" / "folder")
    names = {path.name for path in paths}
    assert names == {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    bvh = {"person_7_from_0.bvh", "person_2_from_20.bvh", "person_7_from_75.bvh"}
    assert names == bvh | {"motion.npz", "motion.csv", "player.html", "motion.glb", "motion.txt"}
    told = paths[-1].read_text(encoding="utf-8")
    for kind in DEFAULT:
        assert export.KINDS[kind][0] in told
    assert "overlay" not in told and "not known" in told and "centimetres, y up" in told
    export.write(placed(), tmp_path, "csv")
    assert "estimated" in (tmp_path / "motion.txt").read_text()
    assert set(export.KINDS) == {*DEFAULT, "overlay"}


@pytest.mark.parametrize(
    ("bodies", "words"),
    [
        ([], "bodies"),
        ([person(0, 0, 9), person(1, 0, 9, fps=25.0)], "fps"),
        ([person(0, 0, 9), person(1, 0, 9, size=(480, 640))], "size"),
        ([person(0, 0, 9, joints=np.full((9, 17, 3), np.nan))], "joints of the body of track 0 holds NaN"),
        ([person(0, 0, 9, keypoints=np.zeros((8, 17, 2)))], "(8, 17, 2), expected (9, 17, 2)"),
        ([person(0, 0, 9, joints=np.zeros((0, 17, 3)))], "one frame or more"),
        ([person(0, 0, 9, root=np.zeros((9, 2)))], "root"),
        ([person(0, -1, 9)], "start -1"),
        ([person(0, 3, 9), person(0, 3, 8)], "one track and start"),
        ([person(0, 0, 9, fps=0.0)], "fps 0.0"),
    ],
)
def test_bodies_that_do_not_fit_are_refused(bodies, words, tmp_path):
    refused(lambda: export.write(bodies, tmp_path / "new"), words, "expected")
    assert not (tmp_path / "new").exists()


def test_an_unknown_kind_and_a_missing_video_are_refused_before_anything_is_written(tmp_path):
    for kinds in (("csv", "fbx"), "fbx", ()):
        with pytest.raises(ValueError, match=r"kinds is .*npz, csv, html, bvh, gltf, overlay"):
            export.write([man()], tmp_path / "new", kinds)
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        export.write([man()], tmp_path / "new", video=tmp_path / "gone.mp4")
    assert not (tmp_path / "new").exists()


def test_a_missing_extra_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("posemamba.export.overlay.find_spec", lambda name: None if name == "av" else 1)
    with pytest.raises(ModuleNotFoundError, match=r"needs av.*pip install 'posemamba\[lift\]'"):
        export.write([man()], tmp_path / "new", ("csv", "overlay"))
    assert not (tmp_path / "new").exists()
    export.write([man()], tmp_path, "csv")


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    export.write_csv([man()], tmp_path / "motion.csv")
    old = (tmp_path / "motion.csv").read_bytes()
    with pytest.raises(ValueError):
        export.write_csv([replace(man(), joints=man().joints[:5])], tmp_path / "motion.csv")
    assert (tmp_path / "motion.csv").read_bytes() == old
