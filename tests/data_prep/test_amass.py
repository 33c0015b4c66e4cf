"""Positions of SMPL's joints become Human3.6M's 17, whatever the file around them."""

import numpy as np
import pytest

from data_prep import amass
from posemamba.motion import load_motion
from posemamba.skeleton import JOINT_NAMES, flip

# Metres, y up, roughly a person with arms down: SMPL's first 24 joints in their order.
BODY = np.array(
    [
        *([0, 0.92, 0], [0.07, 0.83, 0], [-0.07, 0.83, 0], [0, 1.04, 0], [0.1, 0.45, 0], [-0.1, 0.45, 0]),
        *(
            [0, 1.17, 0],
            [0.1, 0.06, -0.02],
            [-0.1, 0.06, -0.02],
            [0, 1.22, 0],
            [0.11, 0, 0.1],
            [-0.11, 0, 0.1],
        ),
        *(
            [0, 1.43, 0],
            [0.08, 1.33, 0],
            [-0.08, 1.33, 0],
            [0, 1.52, 0.05],
            [0.18, 1.38, 0],
            [-0.18, 1.38, 0],
        ),
        *(
            [0.2, 1.12, 0],
            [-0.2, 1.12, 0],
            [0.21, 0.87, 0],
            [-0.21, 0.87, 0],
            [0.21, 0.78, 0],
            [-0.21, 0.78, 0],
        ),
    ]
)


def walking(frames=240, joints=24):
    """(frames, joints, 3) metres, y up: the body goes along z and sways."""
    time = np.arange(frames)[:, None] / 60
    body = np.repeat(BODY[None, :joints], frames, axis=0)
    body[:, :, 2] += 0.8 * time
    body[:, :, 0] += 0.05 * np.sin(5 * time)
    return body


def z_up(joints):
    x, y, z = np.moveaxis(joints, -1, 0)
    return np.stack([x, -z, y], axis=-1)


def save(path, joints, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, joints=joints.astype(np.float32), **more)


def run(capsys, *arguments):
    code = amass.main([*map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out.strip(), said.err.strip()


def test_each_joint_is_where_the_table_says():
    joints = dict(zip(JOINT_NAMES, amass.from_smpl(BODY[None])[0], strict=True))
    for name, place in {
        "pelvis": [0, 0.83, 0],
        **{"left hip": [0.07, 0.83, 0], "left knee": [0.1, 0.45, 0], "right ankle": [-0.1, 0.06, -0.02]},
        **{
            "spine": [0, 1.04, 0],
            "thorax": [0, 1.33, 0],
            "nose": [0, 1.475, 0.025],
            "head": [0, 1.565, 0.075],
        },
        **{"left shoulder": [0.18, 1.38, 0], "right elbow": [-0.2, 1.12, 0], "left wrist": [0.21, 0.87, 0]},
    }.items():
        np.testing.assert_allclose(joints[name], place, atol=1e-12, err_msg=name)
    # The body is symmetric, so mirroring it changes nothing: left and right are not exchanged anywhere.
    all_of_them = amass.from_smpl(BODY[None])
    np.testing.assert_allclose(flip(all_of_them.copy()), all_of_them, atol=1e-12)


def test_a_folder_by_subject(tmp_path, capsys):
    source, target = tmp_path / "amass", tmp_path / "amass.safetensors"
    joints = walking(481)
    save(source / "CMU" / "05" / "05_01_poses.npz", z_up(joints), mocap_framerate=np.float64(120))
    save(source / "CMU" / "06" / "06_01_stageii.npz", z_up(joints)[:, :22], mocap_frame_rate=np.array(60))
    save(source / "KIT" / "3" / "kick.npz", joints, fps=100, gender=np.array(["male"], dtype=object))
    code, out, error = run(capsys, source, target, "--test-subjects", "CMU/05")
    assert code == 2 and "the body lies" in error and "kick.npz" in error and "--up y" in error
    save(source / "KIT" / "3" / "kick.npz", z_up(joints), fps=100, gender=np.array(["male"], dtype=object))
    code, out, error = run(capsys, source, target, "--test-subjects", "CMU/05")
    assert code == 0 and "3 clips" in out and not error
    clips = {clip.name: clip for clip in load_motion(target)}
    facts = [(c.subject, c.split, c.fps, len(c), c.action) for c in clips.values()]
    assert facts == [
        ("CMU/05", "test", 60, 240, "unknown"),
        ("CMU/06", "train", 60, 480, "unknown"),
        ("KIT/3", "train", 50, 240, "unknown"),
    ]
    clip = clips["CMU/05/05_01_poses"]
    expected = 1000 * z_up(amass.from_smpl(joints)[2::2])
    expected = expected - expected[:, 0].mean(axis=0) * [1, 1, 0]
    np.testing.assert_allclose(clip.joints, expected, atol=0.2)
    code, out, _ = run(capsys, source, target, "--test-subjects", "CMU/05")
    assert code == 0 and "up to date" in out
    code, out, _ = run(capsys, source, target, "--test-subjects", "CMU/06")
    assert code == 0 and [c.split for c in load_motion(target)] == ["train", "test", "train"]


def test_arrays_alone_as_humanml3d_has_them(tmp_path, capsys):
    source = tmp_path / "new_joints"
    source.mkdir()
    for number in range(40):
        for mirrored in ("", "M"):
            np.save(source / f"{mirrored}{number:06d}.npy", walking(60, joints=22).astype(np.float32))
    code, out, _ = run(capsys, source, tmp_path / "a.safetensors")
    assert code == 0 and "80 clips" in out
    clips = load_motion(tmp_path / "a.safetensors")
    assert {clip.fps for clip in clips} == {20} and {len(clip) for clip in clips} == {59}
    testing = {clip.subject for clip in clips if clip.split == "test"}
    assert 2 <= len(testing) <= 20
    # What is a test subject does not hang on what else is there, and a mirrored file never leaves its twin.
    assert {clip.subject for clip in clips if clip.split == "train"}.isdisjoint(testing)
    for number in range(20):
        (source / f"{number:06d}.npy").unlink()
    run(capsys, source, tmp_path / "b.safetensors")
    assert {
        clip.subject for clip in load_motion(tmp_path / "b.safetensors") if clip.split == "test"
    } == testing


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {"poses": np.zeros((9, 156)), "betas": np.zeros(16)}, ("betas, poses", "body model")),
        (lambda a: {"joints": a[:, :20], "fps": 60}, ("(240, 20, 3)", "22 or 24")),
        (lambda a: {"joints": a.reshape(240, -1), "fps": 60}, ("(240, 72)", "22 or 24")),
        (lambda a: {"joints": (1000 * a).astype(int), "fps": 60}, ("int", "numbers")),
        (lambda a: {"joints": 1000 * a, "fps": 60}, ("a leg is", "metres")),
        (lambda a: {"joints": a}, ("no rate", "--rate")),
        (lambda a: {"joints": a, "fps": 0}, ("its rate", "positive")),
        (lambda a: {"joints": a, "fps": np.array([60, 60])}, ("its rate", "positive")),
        (
            lambda a: {"joints": np.where(np.arange(240)[:, None, None] == 7, np.nan, a), "fps": 60},
            ("frame 7", "NaN"),
        ),
        (lambda a: {"joints": a[:0], "fps": 60}, ("(0, 24, 3)",)),
    ],
)
def test_broken_files_are_one_line(tmp_path, capsys, change, words):
    source = tmp_path / "in" / "7"
    source.mkdir(parents=True)
    np.savez(source / "a.npz", **change(z_up(walking())))
    code, out, error = run(capsys, tmp_path / "in", tmp_path / "a.safetensors")
    assert code == 2 and not out and error.startswith("amass: ") and len(error.splitlines()) == 1
    for word in ("a.npz", *words):
        assert word in error, f"{word!r} is not in {error!r}"


def test_folders_subjects_and_kinds_that_are_not_there(tmp_path, capsys):
    code, _, error = run(capsys, tmp_path / "no", tmp_path / "a.safetensors")
    assert code == 2 and "is no folder" in error
    code, _, error = run(capsys, tmp_path, tmp_path / "a.safetensors")
    assert code == 2 and "no .npz and no .npy" in error
    save(tmp_path / "s" / "a.npz", z_up(walking()), fps=60)
    code, _, error = run(capsys, tmp_path, tmp_path / "a.safetensors", "--test-subjects", "t")
    assert code == 2 and "--test-subjects names t" in error and "expected some of s" in error
    (tmp_path / "s" / "a.npz").unlink()
    (tmp_path / "s" / "a.npy").write_text("<!DOCTYPE html>")
    code, _, error = run(capsys, tmp_path, tmp_path / "a.safetensors")
    assert code == 2 and "web page" in error and "a.npy" in error
