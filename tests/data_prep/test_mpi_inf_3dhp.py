"""MPI-INF-3DHP: files in exactly the official layouts, written from known motion, give that motion back."""

import numpy as np
import pytest
import torch

from data_prep.mpi_inf_3dhp import CAMERAS, JOINTS_28, SEQUENCES, TESTS, main, read_training
from posemamba.motion import read_about
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
from tests.data_prep.mpi_inf_3dhp_layouts import (
    FRAMES,
    KEEP,
    NAMES_28,
    VALID,
    annotations,
    convert,
    motion,
    pair,
    refused,
    rig,
    seen,
    write_pair,
    write_test,
    write_training,
)


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
