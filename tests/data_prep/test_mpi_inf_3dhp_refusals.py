"""MPI-INF-3DHP's files where they do not fit, are damaged or hostile: one sentence each."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from data_prep.mpi_inf_3dhp import JOINTS_28
from posemamba.motion import load_motion
from posemamba.motion.mpi_inf_3dhp import from_h36m
from tests.data_prep.mpi_inf_3dhp_layouts import (
    FRAMES,
    KEEP,
    ROOT_FOLDER,
    VALID,
    annotations,
    convert,
    pair,
    refused,
    rig,
    seen,
    write_pair,
    write_test,
    write_training,
)
from tests.sentences import Calls


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"annot2": None}, ("annot.mat holds", "expected annot2")),
        ({"cameras": np.arange(3.0)}, ("annot.mat has the cameras [0.0, 1.0, 2.0]", "expected 4")),
        ({"frames": np.array([0.0, 1, 5])}, ("frames or cameras are odd",)),
        ({"frames": np.arange(9.0)}, ("annot2 of camera 0", "shape (12, 56)", "(9, 56)")),
        ({"univ_annot3": np.zeros((14, 12, 84))}, ("univ_annot3 of camera 0", "expected a cell")),
        ({"univ_annot3": "text"}, ("univ_annot3 of camera 0", "expected a cell")),
    ],
)
def test_training_files_that_are_wrong(changed, words, tmp_path, capsys):
    write_training(tmp_path / "set", **changed)
    said = refused(capsys, tmp_path / "set")
    assert all(word in said for word in words), said


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e60])
def test_nan_is_named(value, tmp_path, capsys):
    for name in ("annot2", "annot3", "univ_annot3"):
        cells = annotations()[name]
        cells[4, 0][5, 2 * JOINTS_28[0]] = value
        write_training(tmp_path / "set", **{name: cells})
        assert f"annot.mat: {name} of camera 4: frame 5 holds NaN" in refused(capsys, tmp_path / "set")
    univ = from_h36m(seen(rig()[3])[2])[:, None]
    univ[4, 0, 3, 1] = value
    shutil.rmtree(tmp_path / "set")
    write_test(tmp_path / "set", univ_annot3=univ)
    assert "annot_data.mat: univ_annot3: frame 4 holds NaN" in refused(capsys, tmp_path / "set")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Skeletool Camera Calibration File", "<html>", ("has no cameras",)),
        ("  radial      0", "  radial      0.1", ("camera '0'", "distortion")),
        ("  size        2048 2048", "  size        2048", ("camera '0'", "incomplete")),
        ("  extrinsic   ", "  extrinsic   nan ", ("camera '0'", "incomplete")),
        ("  extrinsic   -0", "  extrinsic   -5", ("camera", "no rotation")),
        ("  radial      0\nname          1\n", "  radial      0\nname          77\n", ("expected 1 among",)),
        ("  intrinsic   1490", "  intrinsic   1400", ("pixels off annot2, 0 mm",)),
        ("name          0", "name          zero", ("camera 'zero'", "incomplete")),
        ("2048.0 2048.0", "", ()),
    ],
)
def test_calibrations_that_are_wrong(old, new, words, tmp_path, capsys):
    write_training(tmp_path / "set")
    path = tmp_path / "set/S1/Seq1/camera.calibration"
    text = path.read_text(encoding="utf-8")
    if not words:
        # Cameras 0 and 1 the wrong way round: another sequence's calibration.
        zero, one = "name          0\n", "name          1\n"
        new, old = text.replace(zero, "name 9\n").replace(one, zero).replace("name 9\n", one), text
        words = ("pixels off annot2", "expected the cameras of this sequence")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    said = refused(capsys, tmp_path / "set")
    assert all(word in said for word in (*words, "camera.calibration")), said


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"valid_frame": None}, ("expected annot2", "valid_frame", "holds activity_annotation, annot2")),
        ({"annot2": np.zeros((2, 17, 1, FRAMES))}, ("annot2 has shape (2, 17, 1, 12)", "(n, 1, 17, 2)")),
        ({"annot2": np.zeros((5, 1, 17, 2))}, ("annot2 has 5 frames", "expected 12")),
        ({"valid_frame": np.zeros((FRAMES, 1))}, ("valid_frame marks no frame",)),
        ({"valid_frame": np.zeros((0, 1))}, ("valid_frame has shape (0, 1)",)),
        ({"valid_frame": np.zeros((FRAMES, 3))}, ("valid_frame has shape (12, 3)", "a row or column")),
        ({"annot3": np.full((3, 3), b"x")}, ("annot3 has shape (3, 3)", "expected numbers")),
    ],
)
def test_test_files_that_are_wrong(changed, words, tmp_path, capsys):
    write_test(tmp_path / "set", **changed)
    said = refused(capsys, tmp_path / "set")
    assert all(word in said for word in (*words, "annot_data.mat")), said


def test_a_test_file_without_what_only_some_need(tmp_path):
    write_test(tmp_path / "set", annot3=None, activity_annotation=None)
    (clip,) = convert(tmp_path / "set", tmp_path / "out.safetensors", "--allow-missing")
    (view,) = clip.views
    assert view.camera is None and list(view.targets) == ["univ_annot3"]
    np.testing.assert_allclose(view.keypoints[VALID], seen(rig()[3])[0][VALID], **KEEP)


def test_a_row_of_valid_frames_and_no_lens_that_fits(tmp_path, capsys):
    pixels = from_h36m(seen(rig()[3])[0])[:, None]
    pixels[4, 0, 3] += 30
    path = write_test(tmp_path / "set", valid_frame=VALID[None].astype(np.uint8), annot2=pixels)
    (clip,) = convert(tmp_path / "set", tmp_path / "out.safetensors", "--allow-missing")
    assert np.array_equal(clip.views[0].valid, VALID)
    assert clip.views[0].camera is None
    shutil.move(path.parent, tmp_path / "set" / "TS1")
    (again,) = convert(tmp_path / "set", tmp_path / "again.safetensors", "--allow-missing")
    assert np.array_equal(again.views[0].keypoints, clip.views[0].keypoints)


@pytest.mark.parametrize("kind", ["training", "test", "pair"])
def test_files_that_are_cut_short_or_something_else(kind, tmp_path, capsys):
    folder = tmp_path / "set"
    if kind == "pair":
        write_pair(folder)
        (folder / "data_test_3dhp.npz").unlink()
        path = folder / "data_train_3dhp.npz"
    else:
        path = (write_training if kind == "training" else write_test)(folder)
    whole = path.read_bytes()
    for part in (0.05, 0.3, 0.6, 0.9, 0.999):
        path.write_bytes(whole[: int(len(whole) * part)])
        said = refused(capsys, folder)
        assert path.name in said and ("damaged" in said or "holds" in said), said
    for content, words in (
        (b"", "is empty"),
        (b"<!DOCTYPE html><html></html>", "is a web page"),
        (pickle.dumps({"annot2": np.zeros(3)}), "is a plain pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
    ):
        path.write_bytes(content)
        said = refused(capsys, folder)
        assert path.name in said and words in said, said
    if kind != "pair":
        other = (write_test if kind == "training" else write_training)(tmp_path / "other")
        shutil.copy(other, path)
        said = refused(capsys, folder)
        assert "is a MATLAB 7.3 file" in said or "is a MATLAB 5 file" in said


def test_a_malicious_pickle_does_not_run(tmp_path, capsys):
    mark = tmp_path / "ran"
    evil = Calls(os.system, f"touch {mark}")
    (tmp_path / "set").mkdir()
    path = tmp_path / "set" / "data_train_3dhp.npz"
    for data in (evil, {"S1 Seq1": evil}, {"S1 Seq1": [{"0": {"data_2d": evil}}, 25]}):
        holder = np.empty((), dtype=object)
        holder[()] = data
        np.savez_compressed(path, data=holder)
        said = refused(capsys, tmp_path / "set")
        assert "data_train_3dhp.npz" in said and "system" in said and "not data" in said, said
        assert not mark.exists()
    np.load(path, allow_pickle=True)["data"]
    assert mark.exists()  # it would have


def test_pairs_that_are_wrong(tmp_path, capsys):
    folder = tmp_path / "set"
    cameras, fps = pair()[0]["S1 Seq1"]
    test = pair()[1]["TS1"]

    def camera(**parts):
        return {"train": {"S1 Seq1": [cameras | {"4": cameras["4"] | parts}, fps]}}

    bad = cameras["4"]["data_3d"].copy()
    bad[7, 2, 1] = np.nan
    for changed, words in (
        ({"train": {"S9 Seq1": [cameras, fps]}}, ("data holds 'S9 Seq1'",)),
        ({"train": {"S1 Seq1": cameras}}, ("S1 Seq1 is no list", "[cameras, fps]")),
        ({"train": {"S1 Seq1": [cameras, "25"]}}, ("S1 Seq1 is no list", "[cameras, fps]")),
        ({"train": {"S1 Seq1": [{"0": cameras["0"]}, fps]}}, ("S1 Seq1 has the cameras 0", "expected 1")),
        ({"train": {"S1 Seq1": [cameras | {"4": 3}, fps]}}, ("S1 Seq1, camera 4 is a int",)),
        (camera(data_2d=None), ("camera 4: data_2d has shape None",)),
        (camera(data_3d=np.zeros((3, 17, 3))), ("camera 4: data_3d has shape (3, 17, 3)", "(12, 17, 3)")),
        (camera(data_2d=np.zeros((12, 28, 2))), ("camera 4: data_2d has shape (12, 28, 2)",)),
        (camera(data_2d=np.zeros((12, 17, 2), "U3")), ("camera 4: data_2d has shape", "expected numbers")),
        (camera(data_3d=bad), ("camera 4: data_3d: frame 7 holds NaN",)),
        ({"test": {"TS1": test | {"valid": np.zeros(12)}}}, ("TS1: valid_frame marks no frame",)),
        ({"test": {"TS1": test | {"valid": np.ones(5)}}}, ("TS1: valid has shape (5,)",)),
        ({"test": {"TS1": [test]}}, ("TS1 is a list",)),
    ):
        write_pair(folder, **changed)
        said = refused(capsys, folder)
        assert all(word in said for word in (*words, "_3dhp.npz")), said
    np.savez_compressed(folder / "data_train_3dhp", poses=np.zeros(3))
    assert "holds no dict of sequences in 'data'" in refused(capsys, folder)


def test_hdf5_cannot_show_other_files(tmp_path, capsys):
    path = write_test(tmp_path / "set")
    secret = write_test(tmp_path / "secret")
    for trick in ("link", "external", "virtual", "soft", "huge", "group"):
        path.unlink()
        write_test(tmp_path / "set", annot2=None)
        with h5py.File(path, "r+") as file:
            shape = (FRAMES, 1, 17, 2)
            if trick == "link":
                file["annot2"] = h5py.ExternalLink(str(secret), "annot2")
            elif trick == "soft":
                file["annot2"] = h5py.SoftLink("/annot3")
            elif trick == "group":
                file.create_group("annot2")
            elif trick == "external":
                place = [(str(secret), 4096, h5py.h5f.UNLIMITED)]
                file.create_dataset("annot2", shape, "f8", external=place)
            elif trick == "virtual":
                layout = h5py.VirtualLayout(shape, "f8")
                layout[:] = h5py.VirtualSource(str(secret), "annot2", shape)
                file.create_virtual_dataset("annot2", layout)
            else:
                file.create_dataset("annot2", (10**9, 1, 17, 2), "f8", chunks=(1, 1, 17, 2))
        said = refused(capsys, tmp_path / "set")
        words = "far too much" if trick == "huge" else "is not an array in this file"
        assert words in said, (trick, said)


def test_it_runs_as_a_script(tmp_path):
    write_test(tmp_path / "set")
    target = tmp_path / "out.safetensors"
    script = ROOT_FOLDER / "data_prep" / "mpi_inf_3dhp.py"
    command = [sys.executable, str(script), str(tmp_path / "set"), str(target), "--allow-missing"]
    # As from a checkout where nothing is installed but what the package needs.
    paths = [path for path in sys.path if path and Path(path).resolve() != ROOT_FOLDER]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"1 clip, {FRAMES} frames written to {target}\n"
    assert [clip.name for clip in load_motion(target)] == ["TS1"]
