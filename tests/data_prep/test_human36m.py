"""Human3.6M's two packagings, written here from known motion and cameras, give it back, as the same clips."""

import numpy as np
import pytest
import torch

from data_prep.h36m.cameras import NAMES, SIZES, fit_cameras, read_cameras
from data_prep.h36m.facts import ACTIONS, SUBJECTS, TAKES
from posemamba.motion.files import read_about
from posemamba.motion.targets import from_image
from tests.data_prep.human36m_layouts import (
    CLIPS,
    camera,
    convert,
    fails,
    known_motion,
    look,
    pair,
    rows,
    write_json,
    write_pair,
    write_pickle,
    write_xml,
)


@pytest.fixture(scope="module")
def motion():
    return known_motion()


def test_the_pickle_gives_its_rows_back_as_clips(motion, tmp_path, capsys):
    splits = rows(motion, noise=4.0)
    clips = convert(tmp_path, "motionbert", write_pickle(tmp_path / "mb.pkl", splits))
    assert [clip.name for clip in clips] == CLIPS
    assert {clip.subject: clip.split for clip in clips} == {s: SUBJECTS[s] for s in ("S1", "S7", "S9", "S11")}
    assert all(clip.fps == 50 and clip.joints is None for clip in clips)
    assert [clip.action for clip in clips] == [name.split("/")[1] for name in CLIPS]
    clip = clips[3]
    at = np.flatnonzero(np.array(splits["test"]["source"]) == "s_09_act_05_subact_02_ca_03")
    view = clip.views[2]
    assert (view.name, view.width, view.height) == ("58860488", 1000, 1000)
    assert (clip.views[0].height, clip.views[1].height, clip.views[3].height) == (1002, 1000, 1002)
    np.testing.assert_array_equal(view.keypoints, splits["test"]["joint_2d"][at].astype(np.float32))
    np.testing.assert_array_equal(view.confidence, splits["test"]["confidence"][at])
    assert view.camera is None and view.valid is None and len(clip) == len(at)
    for key in ("joint3d_image", "2.5d_factor", "joints_2.5d_image"):
        np.testing.assert_array_equal(view.targets[key], splits["test"][key][at].astype(np.float32))
    assert list(clips[0].views[0].targets) == ["joint3d_image"]
    about = read_about(tmp_path / "h36m.safetensors")
    assert about["sources"] == "mb.pkl" and "Ionescu" in about["credit"]
    assert "6 clips, " in capsys.readouterr().out


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_both_packagings_give_the_same_clips(motion, tmp_path, capsys, dtype):
    # One comes with the cameras, the other with exact pixels alone.
    xml = write_xml(tmp_path / "metadata.xml")
    (tmp_path / "pair").mkdir()
    path = write_pickle(tmp_path / "mb.pkl", rows(motion, dtype=dtype))
    one = convert(tmp_path, "motionbert", path, "--cameras", xml)
    said = capsys.readouterr().out
    assert "by scale='fitted'" in said and "world joints were found" in said
    one = [(clip, {view.name: view for view in clip.views}) for clip in one]
    two = convert(tmp_path / "pair", "videopose3d", *write_pair(tmp_path, *pair(motion)))
    assert "the cameras were found from data_2d_h36m_gt.npz" in capsys.readouterr().out
    assert [clip.name for clip, _ in one] == [clip.name for clip in two] == CLIPS
    taken = {
        name: world
        for name, world in zip(
            CLIPS,
            [
                motion[take]
                for take in sorted(motion, key=lambda take: (list(SUBJECTS).index(take[0]), *take[1:]))
            ],
            strict=True,
        )
    }
    for (clip, views), other in zip(one, two, strict=True):
        facts = ("name", "action", "split", "subject", "fps")
        assert [getattr(clip, fact) for fact in facts] == [getattr(other, fact) for fact in facts]
        np.testing.assert_allclose(clip.joints, taken[clip.name], atol=5e-3)
        np.testing.assert_allclose(other.joints, taken[clip.name], atol=5e-4)
        for view in other.views:
            same = views[view.name]
            assert (same.width, same.height) == (view.width, view.height) == SIZES[view.name]
            np.testing.assert_allclose(same.keypoints, view.keypoints, atol=2e-3)
            assert same.targets.keys() == view.targets.keys()
            for key, array in view.targets.items():
                np.testing.assert_allclose(same.targets[key], array, atol=5e-3, err_msg=key)
            seen = view.camera.project(view.camera.world_to_camera(torch.as_tensor(other.joints).double()))
            np.testing.assert_allclose(seen, view.keypoints, atol=5e-3)
            if clip.split == "test":
                image, factor = (
                    torch.as_tensor(same.targets[key]).double() for key in ("joint3d_image", "2.5d_factor")
                )
                back = same.camera.camera_to_world(from_image(image, factor, same.camera))
                np.testing.assert_allclose(back, clip.joints, atol=0.1)


def test_detections_take_their_cameras_from_xml_json_or_exact_pixels(motion, tmp_path, capsys):
    exact = write_pair(tmp_path, *pair(motion))[1]
    files = write_pair(tmp_path, *pair(motion, noise=5.0, more=3), name="cpn_ft_h36m_dbb")
    sources = [write_xml(tmp_path / "metadata.xml"), write_json(tmp_path / "cameras.json"), exact]
    found = []
    for at, cameras in enumerate(sources):
        (tmp_path / str(at)).mkdir()
        found.append(convert(tmp_path / str(at), "videopose3d", *files, "--cameras", cameras))
        assert "keypoints lie 5." in capsys.readouterr().out
    for clips in found[1:]:
        for clip, other in zip(found[0], clips, strict=True):
            for view, same in zip(clip.views, other.views, strict=True):
                assert len(view.keypoints) == len(clip)  # cut to the joints
                np.testing.assert_array_equal(view.keypoints, same.keypoints)
                np.testing.assert_allclose(
                    view.targets["joint3d_image"], same.targets["joint3d_image"], atol=0.01
                )
    line = fails(capsys, tmp_path, "videopose3d", *files)
    assert "cpn_ft_h36m_dbb.npz" in line and "--cameras" in line and "metadata.xml" in line


def test_cameras_are_read_as_the_set_writes_them(tmp_path):
    read = read_cameras(write_xml(tmp_path / "a.xml"))
    assert len(read) == 44
    world = np.random.default_rng(0).normal([0, 0, 900], 500, (7, 17, 3))
    for subject in ("S1", "S11"):
        for at, name in enumerate(NAMES):
            lens = read[subject, name]
            seen = lens.project(lens.world_to_camera(torch.as_tensor(world)))
            np.testing.assert_allclose(seen, look(world, camera(subject, at))[0], atol=1e-9)
    again = read_cameras(write_json(tmp_path / "a.json"))
    for key, lens in again.items():
        for part in ("rotation", "translation", "focal", "center", "radial", "tangential"):
            np.testing.assert_allclose(getattr(lens, part), getattr(read[key], part), atol=1e-9)


def test_cameras_are_found_from_exact_pixels():
    rng, pairs = np.random.default_rng(2), {}
    for subject in ("S1", "S9"):
        world = rng.uniform([-1500, -1500, 0], [1500, 1500, 1900], (400, 3))
        for at, name in enumerate(NAMES[:2]):
            pairs[subject, name] = world, look(world[None], camera(subject, at))[0][0]
    cameras, off = fit_cameras(pairs)
    assert off < 1e-5
    for (subject, name), lens in cameras.items():
        true = camera(subject, NAMES.index(name))
        np.testing.assert_allclose(lens.focal, true["f"], atol=1e-3)
        np.testing.assert_allclose(lens.center, true["c"], atol=1e-3)
        np.testing.assert_allclose(lens.position, true["T"], atol=1e-2)
        np.testing.assert_allclose(lens.radial, true["k"], atol=1e-3)
        np.testing.assert_allclose(lens.tangential, true["p"], atol=1e-6)
    noisy = {key: (world, pixels + rng.normal(0, 3, pixels.shape)) for key, (world, pixels) in pairs.items()}
    assert fit_cameras(noisy)[1] > 1
    for nonsense in (lambda shape: rng.normal(500, 100, shape), np.zeros):
        assert fit_cameras({key: (world, nonsense((400, 2))) for key, (world, _) in pairs.items()})[1] > 1


def test_every_take_of_the_set_has_one_name():
    # Two names for each action of each subject, both different.
    for subject in SUBJECTS:
        for action in ACTIONS:
            first, second = TAKES.get((subject, action), ["1", ""])
            assert first != second and {first, second} <= {"", "1", "2", "3"}
    assert all(subject in SUBJECTS and action in ACTIONS for subject, action in TAKES)


def test_a_view_that_ends_early_goes_on_but_does_not_count(motion, tmp_path, capsys):
    splits = rows(motion)
    at = np.flatnonzero(np.array(splits["test"]["source"]) == "s_09_act_05_subact_02_ca_02")[-3:]
    for key, value in splits["test"].items():
        splits["test"][key] = (
            [v for i, v in enumerate(value) if i not in at]
            if type(value) is list
            else np.delete(value, at, 0)
        )
    clips = convert(tmp_path, "motionbert", write_pickle(tmp_path / "a.pkl", splits))
    clip = next(clip for clip in clips if clip.name == "S9/Greeting/2")
    assert clip.views[0].valid is None
    assert clip.views[1].valid.tolist() == [True] * (len(clip) - 3) + [False] * 3
    assert np.array_equal(clip.views[1].keypoints[-1], clip.views[1].keypoints[-4])
    assert "1 views end before" in capsys.readouterr().out


def test_a_rerun_changes_nothing(motion, tmp_path, capsys):
    path = write_pickle(tmp_path / "mb.pkl", rows(motion))
    convert(tmp_path, "motionbert", path)
    before = (tmp_path / "h36m.safetensors").stat()
    convert(tmp_path, "motionbert", path)
    assert "up to date" in capsys.readouterr().out
    after = (tmp_path / "h36m.safetensors").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["h36m.safetensors", "mb.pkl"]
