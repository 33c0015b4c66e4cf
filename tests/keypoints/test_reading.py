"""Known people written as each detector writes them, and read back."""

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from posemamba.camera import normalise_screen
from posemamba.inference import lift
from posemamba.keypoints import read
from posemamba.skeleton import JOINT_NAMES, JOINT_SETS, JointSet

SIZE = (1000, 1000)
EXACT = [i for i, name in enumerate(JOINT_NAMES) if name.split()[0] in ("left", "right")]


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def rows(points, sure=0.9):
    """`(joints, 3)` of each frame: x, y and confidence."""
    return np.concatenate([points, np.full((*points.shape[:-1], 1), sure)], axis=-1)


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def alphapose(path, people, names="{}.jpg", ids=None, frames=None):
    """`people`: `(frames, joints, 2)` of each; as pPose_nms writes them, in no order that could help."""
    entries = [
        {
            **{"image_id": names.format(frame), "category_id": 1, "score": 2.9, "box": [1.0, 2.0, 3.0, 4.0]},
            **{"keypoints": rows(points).ravel().tolist(), "idx": [0.0] if ids is None else ids[who]},
        }
        for who, person in enumerate(people)
        for frame, points in zip(frames or range(len(person)), person, strict=True)
    ]
    return write(path, sorted(entries, key=lambda entry: entry["image_id"]))


def check(found, body, joints=EXACT, sure=0.9):
    (person,) = found.people
    assert (person.width, person.height) == (found.width, found.height) == SIZE and len(person) == len(body)
    assert person.keypoints.dtype == person.confidence.dtype == np.float32
    np.testing.assert_allclose(person.keypoints[:, joints], body[:, joints], atol=1e-3)
    np.testing.assert_allclose(person.confidence, np.full(body.shape[:2], sure), atol=1e-6)
    assert person.found.all()
    expected = normalise_screen(person.keypoints, *SIZE)
    np.testing.assert_allclose(person.normalised(), expected, atol=1e-6)
    return person


def test_alphapose_frames_are_ordered_by_number(tmp_path, walk, as_set):
    for name in ("COCO-17", "Halpe-26"):
        path = alphapose(tmp_path / "alphapose-results.json", [as_set(walk, name)])
        assert json.loads(path.read_text())[2]["image_id"] == "10.jpg"
        found = read(path, size=SIZE)
        check(found, walk, [*EXACT, 9, *([0, 8, 10] if name == "Halpe-26" else [])])
        assert found.joint_set.name == name and found.fps is None


def test_alphapose_in_the_forms_of_cmu_and_openpose(tmp_path, walk, as_set):
    points = rows(as_set(walk, "COCO-18"))
    for people, joints in (("bodies", "joints"), ("people", "pose_keypoints_2d")):
        content = {
            f"{frame}.png": {"version": "AlphaPose v0.3", people: [{joints: points[frame].ravel().tolist()}]}
            for frame in reversed(range(60))
        }
        check(read(write(tmp_path / "all.json", content), size=SIZE), walk, [*EXACT, 8, 9])


@pytest.mark.parametrize("name", ["BODY_25", "COCO-18"])
def test_openpose_folders(tmp_path, walk, as_set, name):
    points = rows(as_set(walk, name))
    points[:, JOINT_SETS[name].joints.index("right ear")] = 0  # what OpenPose does not see
    for frame in range(60):
        person = {
            "person_id": [-1],
            "pose_keypoints_2d": points[frame].ravel().tolist(),
            "face_keypoints_2d": [],
        }
        write(tmp_path / f"video_2_{frame + 7:012d}_keypoints.json", {"version": 1.3, "people": [person]})
    found = read(tmp_path, size=SIZE)
    person = check(found, walk, [*EXACT, 8, 9, *([0] if name == "BODY_25" else [])])
    assert person.start == 7
    # The left ear stands in for the right one.
    ear = points[:, JOINT_SETS[name].joints.index("left ear"), :2]
    middle = (walk[:, 11] + walk[:, 14]) / 2
    np.testing.assert_allclose(person.keypoints[:, 10], ear + 0.35 * (ear - middle), atol=1e-3)


def test_mmpose(tmp_path, walk, as_set):
    def instance(points):
        box = [[*points.min(0).tolist(), *points.max(0).tolist()]]
        scores = np.full(len(points), 0.9).tolist()
        return {"keypoints": points.tolist(), "keypoint_scores": scores, "bbox": box, "bbox_score": 0.8}

    points = as_set(walk, "COCO-17")
    frames = [{"frame_id": at + 1, "instances": [instance(points[at])]} for at in range(60)]
    assert check(read(write(tmp_path / "inferencer.json", frames), size=SIZE), walk).start == 1
    meta = {"meta_info": {"dataset_name": "coco", "num_keypoints": 17}, "instance_info": frames}
    check(read(write(tmp_path / "demo.json", meta), size=SIZE), walk)
    ours = [{"frame_id": at, "instances": [instance(walk[at])]} for at in range(60)]
    meta = {"meta_info": {"dataset_name": "h36m"}, "instance_info": ours}
    check(read(write(tmp_path / "h36m.json", meta), size=SIZE), walk, range(17))
    (tmp_path / "images").mkdir()
    for at in range(60):
        write(tmp_path / "images" / f"{at}.json", [instance(points[at])])
    check(read(tmp_path / "images", size=SIZE), walk)


def test_detectron(tmp_path, walk, as_set):
    points = as_set(walk, "COCO-17")
    keypoints, boxes = np.empty((60, 2), object), np.empty((60, 2), object)
    for at in range(60):
        person = np.concatenate([points[at].T, np.zeros((1, 17)), np.full((1, 17), 0.9)])[None].astype("f4")
        keypoints[at], boxes[at] = ([], person), ([], np.array([[0, 0, 9, 9, 0.99]], "f4"))
    segments, metadata = np.array([None] * 60), {"w": 1000, "h": 1000}
    np.savez_compressed(
        tmp_path / "video.npz", boxes=boxes, segments=segments, keypoints=keypoints, metadata=metadata
    )
    found = read(tmp_path / "video.npz")  # it tells the size
    check(found, walk)
    keypoints[20] = ([], [])  # as the script writes a frame without people
    np.savez(tmp_path / "gap.npz", boxes=boxes, segments=segments, keypoints=keypoints, metadata=metadata)
    (person,) = read(tmp_path / "gap.npz").people
    assert not person.found[20].any() and person.found.any(1).sum() == 59


def test_videopose(tmp_path, walk, as_set):
    path = tmp_path / "data_2d_custom_me.npz"
    for layout, points in (("coco", as_set(walk, "COCO-17")), ("h36m", walk)):
        metadata = {"layout_name": layout, "num_joints": 17, "keypoints_symmetry": [[1, 3], [2, 4]]}
        metadata["video_metadata"] = {"me.mp4": {"w": 1000, "h": 1000}}
        np.savez_compressed(
            path, positions_2d={"me.mp4": {"custom": [points.astype("f4")]}}, metadata=metadata
        )
        check(read(path), walk, EXACT if layout == "coco" else range(17), sure=1)


def test_mediapipe(tmp_path, walk, as_set):
    points = as_set(walk, "BlazePose-33") / SIZE
    landmarks = [
        [{"x": x, "y": y, "z": -0.1, "visibility": 0.9} for x, y in frame] for frame in points.tolist()
    ]
    lists = [[[x, y, -0.1, 0.9] for x, y in frame] for frame in points.tolist()]
    check(read(write(tmp_path / "plain.json", landmarks), size=SIZE), walk)
    check(read(write(tmp_path / "lists.json", lists), size=SIZE), walk)
    frames = [{"frame": at, "landmarks": frame} for at, frame in enumerate(landmarks)]
    content = {"fps": 29.97, "width": 1000, "height": 1000, "frames": frames}
    found = read(write(tmp_path / "frames.json", content))
    check(found, walk)
    assert found.fps == 29.97
    # The newer interface gives a list of people in each frame, and an empty one for nobody.
    tasks = [{"frame": at, "pose_landmarks": [frame]} for at, frame in enumerate(landmarks)]
    check(read(write(tmp_path / "tasks.json", tasks), size=SIZE), walk)
    tasks[30]["pose_landmarks"] = []
    landmarks[30] = None
    for content in (tasks, landmarks):
        (person,) = read(write(tmp_path / "missing.json", content), size=SIZE).people
        assert len(person) == 60 and not person.found[30].any() and person.found[31].all()
    four = np.concatenate([points, np.full((60, 33, 1), -0.1), np.full((60, 33, 1), 0.9)], -1)
    np.save(tmp_path / "four.npy", four)
    check(read(tmp_path / "four.npy", size=SIZE), walk)


def test_plain_arrays(tmp_path, walk, as_set):
    np.save(tmp_path / "two.npy", walk)
    check(read(tmp_path / "two.npy", size=SIZE, joint_set="H36M-17"), walk, range(17), sure=1)
    np.savez(tmp_path / "any.npz", points=rows(walk))
    check(read(tmp_path / "any.npz", size=SIZE, joint_set="H36M-17"), walk, range(17))
    np.savez(tmp_path / "both.npz", keypoints=as_set(walk, "MPII-16"), confidence=np.full((60, 16), 0.9))
    found = read(tmp_path / "both.npz", size=SIZE)
    assert found.joint_set.name == "MPII-16"
    check(found, walk, [*EXACT, 0, 8, 10])
    own = JointSet("reversed", tuple(reversed(JOINT_NAMES)))
    np.save(tmp_path / "own.npy", walk[:, ::-1])
    check(read(tmp_path / "own.npy", size=SIZE, joint_set=own), walk, range(17), sure=1)


def test_sets_that_begin_with_another(tmp_path, walk, as_set):
    for name, count in (("COCO-17", 133), ("Halpe-26", 136)):
        points = as_set(walk, name)
        more = np.concatenate([points, np.zeros((60, count - points.shape[1], 2))], axis=1)
        check(read(alphapose(tmp_path / "all.json", [more]), size=SIZE), walk)


def test_people_by_number_and_by_overlap(tmp_path, walk, as_set):
    body = as_set(walk, "COCO-17")
    apart = [0.3 * body + (100, 300), 0.3 * body[:50] + (500, 300)]
    numbered = alphapose(tmp_path / "ids.json", apart, ids=[7, 3])
    assert [(p.track, len(p)) for p in read(numbered, size=SIZE).people] == [(7, 60), (3, 50)]
    for ids in (None, [[0.0], [0.0]], [[1.0, 2.0], 3]):  # as AlphaPose writes them without a tracker
        path = alphapose(tmp_path / "no_ids.json", apart, ids=ids)
        found = read(path, size=SIZE)
        assert sorted(p.track for p in found.people) == [0, 1]
        for person, points in zip(found.people, apart, strict=True):
            np.testing.assert_allclose(person.keypoints[:, 16], points[:, 10], atol=1e-3)
    # They change places slowly: the boxes of one person overlap, those of two do not.
    way = np.linspace(0, 400, 60)[:, None, None] * (1, 0)
    crossing = [0.3 * body + (50, 100) + way, 0.3 * body + (450, 600) - way]
    found = read(alphapose(tmp_path / "cross.json", crossing), size=SIZE, tracks="overlap")
    assert [len(p) for p in found.people] == [60, 60]
    for person, points in zip(found.people, crossing, strict=True):
        np.testing.assert_allclose(person.keypoints[:, 16], points[:, 10], atol=1e-3)


def test_gaps_are_closed_up_to_their_limit(tmp_path, walk, as_set):
    body = as_set(walk, "COCO-17")
    frames = [*range(10), *range(14, 30), *range(41, 60)]  # 4 and 11 frames without the person
    path = alphapose(tmp_path / "gaps.json", [body[frames]], frames=frames)
    late, early = read(path, size=SIZE).people
    assert (early.start, len(early), late.start, len(late)) == (0, 30, 41, 19) or (late.start, len(late)) == (
        0,
        30,
    )
    first = late if late.start == 0 else early
    assert not first.found[10:14].any() and first.found.any(1).sum() == 26
    wrist = first.keypoints[9:15, 16]
    np.testing.assert_allclose(np.diff(wrist, axis=0), np.tile((wrist[5] - wrist[0]) / 5, (5, 1)), atol=1e-3)
    (whole,) = read(path, size=SIZE, max_gap=11).people
    assert len(whole) == 60 and whole.found.any(1).sum() == 45
    assert len(read(path, size=SIZE, max_gap=0).people) == 3


def test_joints_that_are_not_found(tmp_path, walk, as_set):
    points = rows(as_set(walk, "COCO-17"))
    points[20:24, 10] = (0, 0, 0)  # the right wrist, as OpenPose marks it
    points[:3, 15, 2] = 0.04  # the left ankle at the beginning: below a threshold
    np.save(tmp_path / "some.npy", points)
    (person,) = read(tmp_path / "some.npy", size=SIZE, joint_set="COCO-17", threshold=0.05).people
    assert np.array_equal(
        np.argwhere(~person.found), [(0, 6), (1, 6), (2, 6), *((at, 16) for at in range(20, 24))]
    )
    wrist = walk[[19, 24], 16]
    np.testing.assert_allclose(person.keypoints[21, 16], wrist[0] + 0.4 * (wrist[1] - wrist[0]), atol=1e-3)
    np.testing.assert_allclose(person.keypoints[:4, 6], np.tile(walk[3, 6], (4, 1)), atol=1e-3)
    points[20:40, 10, 2] = 0
    np.save(tmp_path / "some.npy", points)
    with pytest.warns(
        RuntimeWarning,
        match="lacks right wrist in 20 frames of person 0: longer than max_gap = 10, .* left out",
    ):
        first, second = read(tmp_path / "some.npy", size=SIZE, joint_set="COCO-17").people
    assert {(first.start, len(first)), (second.start, len(second))} == {(0, 20), (40, 20)}
    points[:, 13:17, 2] = 0  # seen to the knees only
    np.save(tmp_path / "some.npy", points)
    with pytest.raises(
        ValueError, match="lacks right knee, right ankle, left knee, left ankle, right wrist in 60"
    ):
        read(tmp_path / "some.npy", size=SIZE, joint_set="COCO-17")


def test_a_wrong_order_is_told(tmp_path, walk, as_set):
    path = alphapose(tmp_path / "ours.json", [walk])
    with pytest.warns(
        RuntimeWarning, match="person 0: the joints lie as Human3.6M orders them, expected COCO's"
    ):
        read(path, size=SIZE)
    with pytest.warns(RuntimeWarning, match="joints 0 to 4 lie together as COCO's"):
        read(alphapose(tmp_path / "coco.json", [as_set(walk, "COCO-17")]), size=SIZE, joint_set="H36M-17")


class Flat(torch.nn.Module):
    config = SimpleNamespace(frames=27)

    def forward(self, points):
        return torch.nn.functional.pad(points, (0, 1))


def test_what_was_read_can_be_lifted(tmp_path, walk, as_set):
    path = alphapose(tmp_path / "alphapose-results.json", [as_set(walk, "Halpe-26")])
    person = read(path, size=SIZE).people[0]
    pose = lift(Flat(), person.normalised())
    np.testing.assert_allclose(pose[..., :2], normalise_screen(person.keypoints, *SIZE), atol=1e-4)
