"""MPI-INF-3DHP: files in exactly the official layouts, written from known motion, give that motion back."""

import os
import pickle
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat

from data_prep.mpi_inf_3dhp import CAMERAS, JOINTS_28, SEQUENCES, TESTS, main, read_training
from posemamba.camera import Camera
from posemamba.motion import Clip, load_motion, read_about, synthetic_clips
from posemamba.motion.mpi_inf_3dhp import (
    FROM_H36M,
    JOINT_NAMES,
    ROOT,
    TO_H36M,
    from_h36m,
    image_size,
    to_h36m,
)
from posemamba.skeleton import H36M

ROOT_FOLDER = Path(__file__).resolve().parents[2]
# All 28 as the set's own mpii_get_joint_set names them.
NAMES_28 = (
    *("spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top"),
    *("left_clavicle", "left_shoulder", "left_elbow", "left_wrist", "left_hand"),
    *("right_clavicle", "right_shoulder", "right_elbow", "right_wrist", "right_hand"),
    *("left_hip", "left_knee", "left_ankle", "left_foot", "left_toe"),
    *("right_hip", "right_knee", "right_ankle", "right_foot", "right_toe"),
)
FRAMES = 12
KEEP = dict(rtol=0, atol=2e-3)  # mm and pixels: float32 at some metres


@cache
def motion() -> np.ndarray:
    """Known world joints (frames, 17, 3), mm, z up, in Human3.6M's order."""
    return synthetic_clips(train=1, test=0, seconds=4, fps=25)[0].joints[:FRAMES].astype(float)


@cache
def rig() -> tuple[Camera, ...]:
    """Fourteen cameras around the body, in double precision, with unequal lenses."""
    middle = torch.from_numpy(motion().mean((0, 1)))
    cameras = []
    for number in range(14):
        turn = torch.tensor(number * 0.4)
        away = torch.stack([turn.cos(), turn.sin(), torch.tensor(0.1 * (number % 3))]) * (3500 + 50 * number)
        place = Camera.look_at(middle + away.double(), middle, 1497.0)
        focal, center = ([1490.0 + number, 1495.0], [1024.7, 1051.4 - number])
        lens = (torch.tensor(part, dtype=torch.float64) for part in (focal, center))
        found = Camera(place.rotation, place.translation, *lens, width=2048, height=2048)
        cameras.append(found)
    return tuple(cameras)


def seen(camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """annot2, annot3 and univ_annot3 of the known motion, in Human3.6M's order."""
    points = camera.world_to_camera(torch.from_numpy(motion()))
    # The body as if it had the standard height: no image of the points that the picture shows.
    return camera.project(points).numpy(), points.numpy(), points.numpy() * 0.93


def all_28(points: np.ndarray) -> np.ndarray:
    """As annot.mat holds them: 28 joints in a row, the eleven that nobody reads far away."""
    rows = np.full((len(points), 28, points.shape[-1]), -9e4)
    rows[:, JOINTS_28] = from_h36m(points)
    return rows.reshape(len(points), -1)


def calibration() -> str:
    lines = ["Skeletool Camera Calibration File V1.0"]
    y_up = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # our world to the set's
    for number, camera in enumerate(rig()):
        inner, outer = np.eye(4), np.eye(4)
        inner[[0, 1], [0, 1]], inner[:2, 2] = camera.focal.numpy(), camera.center.numpy()
        outer[:3, :3], outer[:3, 3] = camera.rotation.numpy() @ y_up.T, camera.translation.numpy()
        lines += [f"name          {number}", "  sensor      10 10", "  size        2048 2048"]
        lines += ["  animated    0"]
        for name, matrix in (("intrinsic", inner), ("extrinsic", outer)):
            lines.append(f"  {name}   {' '.join(f'{value:.12g}' for value in matrix.ravel())} ")
        lines.append("  radial      0")
    return "\n".join(lines) + "\n"


def annotations(**changed) -> dict:
    """The variables of annot.mat: 14 by 1 cells of doubles."""
    cells = {name: np.empty((14, 1), dtype=object) for name in ("annot2", "annot3", "univ_annot3")}
    for number, camera in enumerate(rig()):
        for name, points in zip(cells, seen(camera), strict=True):
            cells[name][number, 0] = all_28(points)
    cameras, frames = np.arange(14.0)[None], np.arange(float(FRAMES))[:, None]
    return {**cells, "cameras": cameras, "frames": frames, **changed}


def write_training(folder: Path, key: str = "S1/Seq1", **changed) -> Path:
    (folder / key).mkdir(parents=True, exist_ok=True)
    content = {name: value for name, value in annotations(**changed).items() if value is not None}
    savemat(folder / key / "annot.mat", content, do_compression=True)
    (folder / key / "camera.calibration").write_text(calibration(), encoding="utf-8")
    return folder / key / "annot.mat"


VALID = np.array([0, 0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0], bool)


def write_test(folder: Path, key: str = "TS1", **changed) -> Path:
    """annot_data.mat as MATLAB 7.3 writes it: 512 bytes of text, then HDF5 with the axes in reverse."""
    path = folder / "mpi_inf_3dhp_test_set" / key / "annot_data.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = zip(("annot2", "annot3", "univ_annot3"), seen(rig()[3]), strict=True)
    content = {name: from_h36m(points)[:, None] for name, points in arrays}
    for name in content:
        content[name][~VALID] = np.nan  # frames that do not count may hold anything
    content |= {"valid_frame": VALID[:, None].astype(float), "activity_annotation": np.full((FRAMES, 1), 3.0)}
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in (content | changed).items():
            if array is not None:
                file.create_dataset(name, data=array).attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124))
    return path


def pair(keys=("S1/Seq1", "S3/Seq1"), **changed) -> tuple[dict, dict]:
    """The dicts of P-STMO's two files: 17 joints in the set's order, no annot3."""
    cameras = {}
    for number in CAMERAS:
        pixels, _, points = seen(rig()[number])
        cameras[str(number)] = {"data_2d": from_h36m(pixels), "data_3d": from_h36m(points)}
    pixels, _, points = seen(rig()[3])
    test = {"data_2d": from_h36m(pixels), "data_3d": from_h36m(points), "valid": VALID.astype(float)}
    train = {key.replace("/", " "): [cameras, SEQUENCES[key][1]] for key in keys}
    return train | changed.get("train", {}), {key: test for key in TESTS} | changed.get("test", {})


def write_pair(folder: Path, **changed) -> None:
    folder.mkdir(exist_ok=True)
    for name, data in zip(("train", "test"), pair(**changed), strict=True):
        np.savez_compressed(folder / f"data_{name}_3dhp", data=data)


def convert(folder: Path, target: Path, *options: str) -> list[Clip]:
    assert main([str(folder), str(target), *options]) == 0
    return load_motion(target)


def refused(capsys, folder: Path, *options: str) -> str:
    """The one line with which the command ends; no motion file is there then."""
    target = folder.parent / "refused.safetensors"
    assert main([str(folder), str(target), "--allow-missing", *options]) == 2
    assert not target.exists()
    said = capsys.readouterr().err.strip().splitlines()
    last = said[-1]
    assert last.startswith("mpi_inf_3dhp: ") and len(last) < 500, last
    assert all("lacks" in line or "publishes" in line or "is missing" in line for line in said[:-1]), said
    return last


def test_orders_of_joints():
    named = [NAMES_28[joint] for joint in JOINTS_28]
    assert tuple(named) == JOINT_NAMES
    same = {"pelvis": "pelvis", "spine": "spine", "neck": "thorax", "head": "nose", "head_top": "head"}
    ours = [same.get(name, name.replace("_", " ")) for name in JOINT_NAMES]
    assert [ours[joint] for joint in TO_H36M] == list(H36M.joints)
    assert [H36M.joints[joint] for joint in FROM_H36M] == ours
    assert JOINT_NAMES[ROOT] == "pelvis" and ROOT == 14 and FROM_H36M[ROOT] == 0
    points = np.random.default_rng(0).normal(size=(4, 5, 17, 3))
    assert np.array_equal(from_h36m(to_h36m(points)), points)
    assert np.array_equal(to_h36m(from_h36m(points)), points)
    assert np.array_equal(to_h36m(torch.from_numpy(points)).numpy(), to_h36m(points))
    assert not np.array_equal(to_h36m(points), points)
    with pytest.raises(ValueError, match="17"):
        to_h36m(points[:, :, :16])
    assert image_size("S1") == image_size("TS4") == (2048, 2048)
    assert image_size("TS5") == image_size("TS6") == (1920, 1080)


def test_the_official_files_give_the_motion_back(tmp_path, capsys):
    folder, target = tmp_path / "set", tmp_path / "out.safetensors"
    train, test = ("S1/Seq1", "S1/Seq2", "S8/Seq2"), ("TS1", "TS6")
    for key in train:
        write_training(folder, key)
    for key in test:
        write_test(folder, key)
    clips = convert(folder, target, "--allow-missing")
    assert [clip.name for clip in clips] == [*train, *test]
    assert f"5 clips, {5 * FRAMES} frames" in capsys.readouterr().out
    for clip in clips[:3]:
        np.testing.assert_allclose(clip.joints, motion(), **KEEP)
        assert clip.joints[..., 2].min() > -30  # feet on the floor, z up
        facts = (clip.name, clip.split, clip.subject, clip.action, clip.fps)
        assert facts == (clip.name, "train", *clip.name.split("/"), SEQUENCES[clip.name][1])
        assert [view.name for view in clip.views] == [str(number) for number in CAMERAS]
        for view in clip.views:
            keypoints, annot3, univ = seen(rig()[int(view.name)])
            np.testing.assert_allclose(view.keypoints, keypoints, **KEEP)
            np.testing.assert_allclose(view.targets["annot3"], annot3, **KEEP)
            np.testing.assert_allclose(view.targets["univ_annot3"], univ, **KEEP)
            points = view.camera.world_to_camera(torch.from_numpy(clip.joints).double())
            np.testing.assert_allclose(points, view.targets["annot3"], **KEEP)
            np.testing.assert_allclose(view.camera.project(points), view.keypoints, **KEEP)
            assert (view.width, view.height, view.valid) == (2048, 2048, None)
    for clip in clips[3:]:
        (view,) = clip.views
        assert (clip.joints, clip.split, clip.subject, clip.action) == (None, "test", clip.name, clip.name)
        assert (view.width, view.height) == image_size(clip.name)
        assert np.array_equal(view.valid, VALID)
        for array, known in zip(
            (view.keypoints, view.targets["annot3"], view.targets["univ_annot3"]), seen(rig()[3]), strict=True
        ):
            np.testing.assert_allclose(array[VALID], known[VALID], **KEEP)
            assert (array[~VALID] == 0).all()
        assert (view.targets["activity_annotation"] == 3).all()
        np.testing.assert_allclose(view.camera.focal, rig()[3].focal, atol=1e-6)
        points = torch.from_numpy(view.targets["annot3"][VALID]).double()
        np.testing.assert_allclose(view.camera.project(points), view.keypoints[VALID], **KEEP)
    # The set's own order is one call away, its root where the protocol has it.
    own = from_h36m(clips[0].views[0].targets["univ_annot3"])
    np.testing.assert_allclose(own[:, ROOT], clips[0].views[0].targets["univ_annot3"][:, 0])
    assert "Mehta" in read_about(target)["set"]


def test_a_rerun_changes_nothing_and_a_stop_loses_one_sequence(tmp_path, capsys):
    folder, target = tmp_path / "set", tmp_path / "out.safetensors"
    write_training(folder, "S1/Seq1")
    broken = write_training(folder, "S2/Seq2", frames=None)
    arguments = [str(folder), str(target), "--allow-missing"]
    assert main(arguments) == 2
    assert len(list((tmp_path / "out.safetensors.parts").iterdir())) == 1
    write_training(folder, "S2/Seq2")
    assert main(arguments) == 0
    assert "1 of 2 sources were there from an earlier run" in capsys.readouterr().out
    before = target.read_bytes(), target.stat().st_mtime_ns
    assert main(arguments) == 0
    assert "up to date" in capsys.readouterr().out
    assert (target.read_bytes(), target.stat().st_mtime_ns) == before
    assert broken.exists() and not (tmp_path / "out.safetensors.parts").exists()


def test_the_pair_of_npz_gives_the_same_clips(tmp_path):
    official, npz = tmp_path / "set", tmp_path / "npz"
    write_training(official, "S3/Seq1")
    write_test(official, "TS5")
    write_pair(npz, keys=SEQUENCES)
    clips = {clip.name: clip for clip in convert(npz, tmp_path / "npz.safetensors")}
    assert list(clips) == [*SEQUENCES, *TESTS]
    for one in convert(official, tmp_path / "set.safetensors", "--allow-missing"):
        two = clips[one.name]
        assert two.joints is None
        for name in ("name", "split", "subject", "action", "fps"):
            assert getattr(one, name) == getattr(two, name)
        for ours, theirs in zip(one.views, two.views, strict=True):
            assert (ours.name, ours.width, ours.height) == (theirs.name, theirs.width, theirs.height)
            counts = slice(None) if ours.valid is None else ours.valid
            assert (ours.valid is None) == (theirs.valid is None)
            np.testing.assert_array_equal(ours.keypoints[counts], theirs.keypoints[counts])
            univ = (view.targets["univ_annot3"][counts] for view in (ours, theirs))
            np.testing.assert_array_equal(*univ)


def test_sequences_are_cut_to_the_published_frames(tmp_path, monkeypatch, capsys):
    path = write_training(tmp_path)
    assert len(read_training("S1/Seq1", path)) == FRAMES
    assert "holds 12 of the 6,416 frames" in capsys.readouterr().err
    monkeypatch.setitem(SEQUENCES, "S1/Seq1", (7, 25))
    clip = read_training("S1/Seq1", path, path.with_name("camera.calibration"))
    assert len(clip) == len(clip.views[0].keypoints) == 7
    np.testing.assert_allclose(clip.joints, motion()[:7], **KEEP)


def test_what_is_missing_is_said(tmp_path, capsys):
    folder, target = tmp_path / "set", tmp_path / "out.safetensors"
    write_training(folder, "S1/Seq2")
    (folder / "S1/Seq2/camera.calibration").unlink()
    assert main([str(folder), str(target)]) == 2
    error = capsys.readouterr().err
    assert "lacks S1/Seq1/annot.mat and 20 more; with --allow-missing" in error
    assert not target.exists()
    (clip,) = convert(folder, target, "--allow-missing")
    error = capsys.readouterr().err
    assert "S8/Seq2/annot.mat, mpi_inf_3dhp_test_set/TS1/annot_data.mat" in error
    assert "S1/Seq2 gets no cameras and no world joints" in error
    assert (clip.joints, clip.views[0].camera) == (None, None)
    assert read_about(target)["missing"].startswith("S1/Seq1/annot.mat, ")
    npz = tmp_path / "npz"
    write_pair(npz, keys=SEQUENCES)
    (npz / "data_test_3dhp.npz").unlink()
    assert main([str(npz), str(target)]) == 2
    assert "lacks data_test_3dhp.npz" in capsys.readouterr().err
    train, _ = pair()
    np.savez_compressed(npz / "data_train_3dhp", data={"S1 Seq1": train["S1 Seq1"]})
    assert main([str(npz), str(target), "--allow-missing"]) == 0
    assert "data_train_3dhp.npz lacks S1 Seq2, S2 Seq1" in capsys.readouterr().err
    (npz / "S1/Seq1").mkdir(parents=True)
    write_training(npz)
    assert "holds both" in refused(capsys, npz)
    assert "holds nothing of MPI-INF-3DHP" in refused(capsys, tmp_path)
    assert "is not a folder" in refused(capsys, tmp_path / "none")


def test_cameras_can_be_chosen(tmp_path, capsys):
    # "cameras" says which cell is which camera's.
    cells = {name: annotations()[name][::-1] for name in ("annot2", "annot3", "univ_annot3")}
    write_training(tmp_path / "set", cameras=np.arange(14.0)[::-1], **cells)
    (clip,) = convert(tmp_path / "set", tmp_path / "a.safetensors", "--allow-missing", "--cameras", "13, 3")
    assert [view.name for view in clip.views] == ["13", "3"]
    np.testing.assert_allclose(clip.views[1].keypoints, seen(rig()[3])[0], **KEEP)
    np.testing.assert_allclose(clip.joints, motion(), **KEEP)
    for cameras in ("14", "0,00", "", "a", "0,,1"):
        assert "--cameras" in refused(capsys, tmp_path / "set", "--cameras", cameras)


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


class Evil:
    def __reduce__(self):
        return os.system, (f"touch {os.environ['EVIL']}",)


def test_a_malicious_pickle_does_not_run(tmp_path, capsys, monkeypatch):
    mark = tmp_path / "ran"
    monkeypatch.setenv("EVIL", str(mark))
    (tmp_path / "set").mkdir()
    path = tmp_path / "set" / "data_train_3dhp.npz"
    for data in (Evil(), {"S1 Seq1": Evil()}, {"S1 Seq1": [{"0": {"data_2d": Evil()}}, 25]}):
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
