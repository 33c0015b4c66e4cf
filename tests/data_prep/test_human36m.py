"""Human3.6M's two packagings, written here from known motion and cameras, give it back, as the same clips."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from data_prep import human36m
from data_prep.h36m.cameras import NAMES, SIZES, fit_cameras, read_cameras
from data_prep.h36m.facts import ACTIONS, SUBJECTS, TAKES
from posemamba.motion import Clip, load_motion, synthetic_clips
from posemamba.motion.files import read_about
from posemamba.motion.targets import from_image

# Subject, act, subact, and what VideoPose3D calls it; the names are the set's own.
TAKEN = {
    ("S1", 4, 2): "Eating",
    ("S1", 4, 1): "Eating 2",
    ("S7", 12, 1): "Photo",
    ("S9", 5, 2): "Greeting",
    ("S9", 10, 2): "SittingDown 1",
    ("S11", 6, 1): "Phoning 3",
}
CLIPS = ["S1/Eating/1", "S1/Eating/2", "S7/Photo/1", "S9/Greeting/2", "S9/SittingDown/2", "S11/Phoning/1"]
# Of the set's 32: root, right leg, left leg, spine, thorax, nose, head, left arm, right arm.
OF_32 = [0, *(1, 2, 3), *(6, 7, 8), 12, 13, 14, 15, *(17, 18, 19), *(25, 26, 27)]


def numbers() -> np.ndarray:
    """The 300 numbers of metadata.xml's w0, of invented cameras: (4, 11, 6) and (4, 9)."""
    rng = np.random.default_rng(5)
    places = []
    for camera in range(4):
        for _ in range(11):
            azimuth = 0.7 + camera * np.pi / 2 + rng.normal(0, 0.05)
            position = np.array([5000 * np.cos(azimuth), 5000 * np.sin(azimuth), 1500 + rng.normal(0, 60)])
            forward = np.array([0, 0, 950.0]) - position + rng.normal(0, 50, 3)
            forward /= np.linalg.norm(forward)
            right = np.cross(forward, [0.02, 0, 1])
            right /= np.linalg.norm(right)
            rotation = np.stack([right, np.cross(forward, right), forward])
            # x, y, z are turned about the axes one after another, each already turned.
            angles = Rotation.from_matrix(rotation).as_euler("XYZ")
            places.append([*angles, *position])
    lenses = rng.normal(
        [1145, 1143, 512, 508, -0.2, 0.24, -0.003, -0.0014, -0.001],
        [3, 3, 5, 5, 0.01, 0.01, 1e-3, 5e-4, 5e-4],
        (4, 9),
    )
    return np.concatenate([np.ravel(places), lenses.ravel()])


W0 = numbers()


def camera(subject: str, at: int) -> dict:
    place, lens = W0[:264].reshape(4, 11, 6)[at, int(subject[1:]) - 1], W0[264:].reshape(4, 9)[at]
    x, y, z = place[:3]
    about_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    rotation = np.array(about_x) @ about_y @ about_z
    names = dict(f=lens[:2], c=lens[2:4], k=lens[4:7], p=lens[7:])
    return dict(R=rotation, T=place[3:]) | names


def look(world: np.ndarray, cam: dict) -> tuple[np.ndarray, ...]:
    """Human3.6M's projection and LCN's 2.5D, written out: pixels, joint3d_image, factor."""
    points = (world - cam["T"]) @ cam["R"].T
    x, y = (points[..., :2] / points[..., 2:]).transpose(2, 0, 1)
    (k1, k2, k3), (p1, p2), r2 = cam["k"], cam["p"], x * x + y * y
    scale = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + p1 * y + p2 * x
    bent = np.stack([x * scale + p2 * r2, y * scale + p1 * r2], axis=-1)
    left = (points[:, 0, 0] - 1000) / points[:, 0, 2] * cam["f"][0] + cam["c"][0]
    right = (points[:, 0, 0] + 1000) / points[:, 0, 2] * cam["f"][0] + cam["c"][0]
    ratio = (right - left + 1) / 2000
    depth = ratio[:, None] * (points[..., 2] - points[:, :1, 2])
    flat = np.stack([x, y], axis=-1) * cam["f"] + cam["c"]
    image = np.concatenate([flat, depth[..., None]], axis=-1)
    theirs, ours = image - image[:, :1], points - points[:, :1]
    factor = [(a * b).sum() / (a * a).sum() for a, b in zip(theirs, ours, strict=True)]
    return bent * cam["f"] + cam["c"], image, np.array(factor)


@pytest.fixture(scope="module")
def motion() -> dict[tuple, np.ndarray]:
    """Known joints, mm, of each take, 20 to 25 frames; those of a subject in places of their own."""
    made = [
        clip for clip in synthetic_clips(4, train=1, test=1, seconds=4.0) if np.ptp(clip.joints[:, 0]) < 2000
    ]
    clips = {}
    for at, take in enumerate(TAKEN):
        joints = made[at].joints[: 4 * (20 + at) : 4].astype(float)
        joints = joints - joints.mean((0, 1)) * [1, 1, 0] + [350.0 * at - 800, 500 - 250.0 * at, 0]
        clips[take] = (joints / 1000).astype(np.float32).astype(float) * 1000
    return clips


def write_xml(path: Path, values=W0) -> Path:
    text = "\n ".join(f"{value:.15g}" for value in values)
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<a>\n<w0>[{text}]</w0>\n</a>', encoding="utf-8")
    return path


def write_json(path: Path, drop: str = "") -> Path:
    found: dict = {"intrinsics": {}, "extrinsics": {subject: {} for subject in SUBJECTS}}
    for at, name in enumerate(NAMES):
        for subject in SUBJECTS:
            cam = camera(subject, at)
            matrix = [[cam["f"][0], 0, cam["c"][0]], [0, cam["f"][1], cam["c"][1]], [0, 0, 1]]
            (k1, k2, k3), (p1, p2) = cam["k"], cam["p"]
            found["intrinsics"][name] = {"calibration_matrix": matrix, "distortion": [k1, k2, p1, p2, k3]}
            place = {"R": cam["R"].tolist(), "t": (-cam["R"] @ cam["T"])[:, None].tolist()}
            found["extrinsics"][subject][name] = place
    found.pop(drop, None)
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def rows(motion: dict, noise: float = 0.0, dtype=np.float64) -> dict:
    """MotionBERT's rows: a frame of a view each."""
    rng, splits = np.random.default_rng(0), {"train": {}, "test": {}}
    # Their order is that of the file names.
    for (subject, act, subact), world in sorted(
        motion.items(), key=lambda item: (int(item[0][0][1:]), *item[0][1:])
    ):
        for at, name in enumerate(NAMES):
            seen, image, factor = look(world, camera(subject, at))
            rows = splits[SUBJECTS[subject]]
            source = f"s_{int(subject[1:]):02d}_act_{act:02d}_subact_{subact:02d}_ca_{at + 1:02d}"
            new = {"joint_2d": seen + rng.normal(0, noise, seen.shape), "joint3d_image": image}
            new |= {"confidence": rng.uniform(size=(len(world), 17)).astype(np.float32)}
            new |= {"camera_name": np.array([name] * len(world)), "source": [source] * len(world)}
            if SUBJECTS[subject] == "test":
                new |= {"action": [ACTIONS[act - 2]] * len(world), "2.5d_factor": factor}
                new |= {"joints_2.5d_image": image * factor[:, None, None]}
            for key, value in new.items():
                rows.setdefault(key, []).append(value)
    for part in splits.values():
        for key, pieces in part.items():
            if key in ("source", "action"):
                part[key] = [text for piece in pieces for text in piece]
            else:
                part[key] = np.concatenate(pieces)
                if part[key].dtype == np.float64:
                    part[key] = part[key].astype(dtype)
    return splits


def write_pickle(path: Path, content, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def pair(motion: dict, noise: float = 0.0, more: int = 0) -> tuple[dict, dict]:
    """VideoPose3D's two dicts; `more` frames in 2D than in 3D, as its detections have."""
    rng, joints, pixels = np.random.default_rng(1), {}, {}
    for take, world in motion.items():
        all_32 = rng.normal(0, 1, (len(world), 32, 3))
        all_32[:, OF_32] = world / 1000
        joints.setdefault(take[0], {})[TAKEN[take]] = all_32.astype(np.float32)
        views = []
        for at in range(4):
            seen = look(world, camera(take[0], at))[0]
            seen = np.concatenate([seen, np.repeat(seen[-1:], more, axis=0)])
            views.append((seen + rng.normal(0, noise, seen.shape)).astype(np.float32))
        pixels.setdefault(take[0], {})[TAKEN[take]] = views
    return joints, pixels


SIDES = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]


def write_pair(folder: Path, joints: dict, pixels: dict, name: str = "gt", sides=SIDES) -> tuple[str, str]:
    three, two = folder / "data_3d_h36m.npz", folder / f"data_2d_h36m_{name}.npz"
    np.savez_compressed(three, positions_3d=joints)
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": sides}
    np.savez_compressed(two, positions_2d=pixels, metadata=metadata)
    return str(three), str(two)


def convert(folder: Path, *arguments) -> list[Clip]:
    target = folder / "h36m.safetensors"
    kind, *files = map(str, arguments)
    at = next((at for at, file in enumerate(files) if file.startswith("--")), len(files))
    assert human36m.main([kind, *files[:at], str(target), *files[at:]]) == 0
    return load_motion(target)


def fails(capsys, folder: Path, *arguments) -> str:
    """The one line that a command ends with."""
    kind, *files = map(str, arguments)
    at = next((at for at, file in enumerate(files) if file.startswith("--")), len(files))
    capsys.readouterr()
    assert human36m.main([kind, *files[:at], str(folder / "out.safetensors"), *files[at:]]) == 2
    line = capsys.readouterr().err.strip()
    assert "\n" not in line and len(line) < 500 and line.startswith("human36m: "), line
    assert not (folder / "out.safetensors").exists()
    return line


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


class Runs:
    def __init__(self, trap: Path):
        self.trap = trap

    def __reduce__(self):
        return os.system, (f"touch {self.trap}",)


def test_a_malicious_file_does_not_run(motion, tmp_path, capsys):
    trap = tmp_path / "executed"
    splits = rows(motion)
    splits["train"]["source"][3] = Runs(trap)
    line = fails(capsys, tmp_path, "motionbert", write_pickle(tmp_path / "bad.pkl", splits))
    assert "bad.pkl" in line and "system" in line
    joints, pixels = pair(motion)
    joints["S1"]["Eating"] = Runs(trap)
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
