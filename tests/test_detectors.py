"""Detectors behind one interface: stand-ins with the two packages' own calls, and a user's functions."""

import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from posemamba.detectors import check_people, open_detector, write_detections
from posemamba.keypoints import read

FRAME = np.zeros((200, 400, 3), np.uint8)


def landmarks(seed):
    points = np.random.default_rng(seed).uniform(0, 1, (33, 3))
    return points, [SimpleNamespace(x=x, y=y, z=0.0, visibility=v) for x, y, v in points]


def test_mediapipes_old_interface(monkeypatch):
    points, joints = landmarks(0)
    answers = iter([SimpleNamespace(landmark=joints), None])
    pose = SimpleNamespace(process=lambda frame: SimpleNamespace(pose_landmarks=next(answers)))
    mp = ModuleType("mediapipe")
    mp.solutions = SimpleNamespace(pose=SimpleNamespace(Pose=lambda model_complexity: pose))
    monkeypatch.setitem(sys.modules, "mediapipe", mp)
    detector = open_detector("mediapipe")
    assert detector.joint_set == "BlazePose-33"
    np.testing.assert_allclose(detector.detect(FRAME), [points * (400, 200, 1)])
    assert detector.detect(FRAME).shape == (0, 33, 3)


def test_mediapipes_new_interface(monkeypatch, tmp_path):
    both, moments = [landmarks(0), landmarks(1)], []

    def detect(image, moment):
        moments.append(moment)
        return SimpleNamespace(pose_landmarks=[joints for _, joints in both])

    def create(options):
        assert options["base"] == str(tmp_path / "pose.task") and options["num_poses"] == 3
        return SimpleNamespace(detect_for_video=detect)

    vision = SimpleNamespace(
        RunningMode=SimpleNamespace(VIDEO="video"),
        PoseLandmarker=SimpleNamespace(create_from_options=create),
        PoseLandmarkerOptions=lambda base_options, running_mode, num_poses: dict(
            base=base_options, mode=running_mode, num_poses=num_poses
        ),
    )
    mp = ModuleType("mediapipe")
    mp.__version__ = "0.10.40"
    mp.tasks = SimpleNamespace(vision=vision, BaseOptions=lambda model_asset_path: model_asset_path)
    mp.Image, mp.ImageFormat = lambda image_format, data: data, SimpleNamespace(SRGB=1)
    monkeypatch.setitem(sys.modules, "mediapipe", mp)
    with pytest.raises(ValueError, match=r"mediapipe 0\.10\.40 comes without models: --detector mediapipe:"):
        open_detector("mediapipe")
    with pytest.raises(FileNotFoundError, match=r"pose\.task does not exist"):
        open_detector(f"mediapipe:{tmp_path / 'pose.task'}")
    (tmp_path / "pose.task").write_bytes(b"weights")
    detector = open_detector(f"mediapipe:{tmp_path / 'pose.task'}", people=3)
    found = [detector.detect(FRAME) for _ in range(3)][-1]
    np.testing.assert_allclose(found, [points * (400, 200, 1) for points, _ in both])
    assert moments == sorted(set(moments))


def test_rtmlib(monkeypatch, tmp_path):
    seen, given = [], []
    points, sure = np.random.default_rng(0).uniform(0, 200, (2, 26, 2)), np.full((2, 26), 0.9)
    sure[1] = 0.05  # what it makes of an image without people

    def body(**options):
        given.append(options)
        return lambda frame: (seen.append(frame), (points, sure))[1]

    monkeypatch.setitem(sys.modules, "rtmlib", ModuleType("rtmlib"))
    sys.modules["rtmlib"].BodyWithFeet = body
    frame = FRAME.copy()
    frame[..., 0] = 7  # red
    found = open_detector("rtmlib").detect(frame)
    assert found.shape == (1, 26, 3) and (seen[0][..., 2] == 7).all() and seen[0].flags.c_contiguous
    np.testing.assert_array_equal(found[0, :, :2], points[0])
    for name in ("det.onnx", "pose.onnx"):
        (tmp_path / name).write_bytes(b"weights")
    open_detector(f"rtmlib:{tmp_path / 'det.onnx'},{tmp_path / 'pose.onnx'}")
    assert given[1]["det"].endswith("det.onnx") and given[1]["pose"].endswith("pose.onnx")
    with pytest.raises(ValueError, match="expected two ONNX files: DETECTOR,POSE"):
        open_detector(f"rtmlib:{tmp_path / 'det.onnx'}")

    def unreachable(**options):
        raise OSError("no route to host")

    sys.modules["rtmlib"].BodyWithFeet = unreachable
    with pytest.raises(OSError, match=r"no weights \(no route to host\): .*names both"):
        open_detector("rtmlib")


@pytest.mark.parametrize("name", ["mediapipe", "rtmlib"])
def test_a_package_that_is_missing_says_how_to_get_it(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"the detector {name} .*: pip install {name}"):
        open_detector(name)


def test_functions_and_files_of_a_users_own(tmp_path):
    def mine(frame):
        return np.ones((1, 17, 3))

    assert open_detector(mine).detect(FRAME).shape == (1, 17, 3) and open_detector(mine).joint_set is None
    ready = open_detector(open_detector(mine))
    assert ready.detect is mine and ready.joint_set is None
    path = tmp_path / "mine.py"
    path.write_text("joint_set = 'H36M-17'\ndef detect(frame):\n    return [[[1, 2, 0.5]] * 17]\n")
    detector = open_detector(str(path))
    assert detector.joint_set == "H36M-17" and np.shape(detector.detect(FRAME)) == (1, 17, 3)
    path.write_text("def find(frame): pass\n")
    with pytest.raises(ValueError, match=r"mine\.py has no function detect"):
        open_detector(str(path))
    with pytest.raises(ValueError, match=r"detector is 'yolo', expected mediapipe, rtmlib or a Python file"):
        open_detector("yolo")


def test_odd_answers_are_named():
    assert check_people([], 0).shape[0] == 0
    for odd, words in (
        (np.ones((17, 3)), r"an array of shape \(17, 3\) of frame 4, expected finite \(people, joints, 3\)"),
        (np.ones((1, 17, 2)), r"shape \(1, 17, 2\)"),
        (np.full((1, 17, 3), np.nan), "expected finite"),
    ):
        with pytest.raises(ValueError, match=words):
            check_people(odd, 4)


class Clip(list):
    """Frames in a video's place."""

    fps, width, height, frames = 29.97, 400, 200, None


def test_detections_are_written_as_keypoints_that_are_read(tmp_path):
    rng = np.random.default_rng(0)
    bodies = rng.uniform(20, 180, (6, 2, 33, 3))
    bodies[..., 2] = 0.8
    bodies[:, 1, :, 0] += 200  # beside the first
    bodies[3:] = bodies[2]
    clip = Clip(np.full((200, 400, 3), at, np.uint8) for at in range(6))
    steps = []

    def detect(frame):  # nobody in frame 1, the second person from frame 2 on
        at = frame[0, 0, 0]
        return [] if at == 1 else bodies[at, : 1 + (at >= 2)]

    path = tmp_path / "detections.json"
    write_detections(path, clip, open_detector(detect), lambda done, total: steps.append((done, total)))
    assert steps[-1] == (6, 6) and len(json.loads(path.read_text())["frames"]) == 6
    found = read(path, joint_set="BlazePose-33")
    assert (found.fps, found.width, found.height) == (29.97, 400, 200)
    assert {(person.start, len(person)) for person in found.people} == {(0, 6), (2, 4)}
    last = {person.start: person.keypoints[-1, 13] for person in found.people}
    np.testing.assert_allclose(last[0], bodies[5, 0, 15, :2], atol=0.01)
    np.testing.assert_allclose(last[2], bodies[5, 1, 15, :2], atol=0.01)

    def broken(frame):
        raise RuntimeError("out of memory")

    before = path.read_bytes()
    with pytest.raises(RuntimeError):
        write_detections(path, clip, open_detector(broken))
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
