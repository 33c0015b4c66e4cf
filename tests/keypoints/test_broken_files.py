"""What is wrong with a file is told in one sentence: which file, where, what was found, what was expected."""

import json
import pickle

import numpy as np
import pytest

from posemamba.keypoints import read

SIZE = (640, 480)
GOOD = np.concatenate([np.random.default_rng(0).uniform(100, 400, (17, 2)), np.ones((17, 1))], axis=1)
FLAT = GOOD.ravel().tolist()


def person(**changes):
    return {"image_id": "0.jpg", "keypoints": FLAT, "score": 1.0, "idx": 0} | changes


def fails(path, *words, **options):
    with pytest.raises(ValueError) as caught:
        read(path, **{"size": SIZE} | options)
    text = str(caught.value)
    assert "\n" not in text and all(word in text for word in (path.name, *words)), text


def refused(tmp_path, content, *words, **options):
    path = tmp_path / "results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    fails(path, *words, **options)


def test_json_that_is_damaged(tmp_path):
    text = json.dumps([person()])
    refused(tmp_path, text[:-40], "is not JSON")
    refused(tmp_path, text.replace("100", "NaN", 1) if "100" in text else "[NaN]", "is not JSON")
    refused(tmp_path, json.dumps([person(keypoints=[float("nan")] * 51)]), "NaN is not a JSON number")
    refused(tmp_path, "", "is empty")
    refused(tmp_path, "<html>", "is a web page", "expected keypoints as JSON, .npz or .npy")
    refused(tmp_path, "[" * 100_000, "is not JSON")
    with pytest.raises(FileNotFoundError, match=r"nothing\.json does not exist"):
        read(tmp_path / "nothing.json", size=SIZE)


def test_json_of_another_kind(tmp_path):
    refused(tmp_path, [], "nobody", "expected people")
    refused(tmp_path, {}, "nobody", "expected people")
    refused(tmp_path, {"people": []}, "nobody")
    refused(tmp_path, [person(keypoints=[])], "nobody")
    refused(tmp_path, "3", "is of type int, expected people or frames")
    refused(tmp_path, {"frames": 3}, "is of type int")
    refused(tmp_path, {"annotations": [1]}, "'annotations' holds no number, expected the frame's")
    refused(tmp_path, [{"image_id": "0.jpg", "points": FLAT}], "has the keys image_id, points", "keypoints")
    refused(tmp_path, {"people": [{"joint": 1}]}, "person 0", "has the keys joint", "pose_keypoints_2d")
    refused(tmp_path, {"people": [3]}, "frame 0, person 0 has shape ()", "expected (joints, 2 or 3)")
    refused(tmp_path, {"people": ["a"]}, "frame 0, person 0 holds something else than numbers")
    refused(tmp_path, {"people": 3}, "frame 0 is of type int, expected a list of people")
    refused(tmp_path, ["a", "b"], "frame 0, person 0 holds something else than numbers")
    refused(tmp_path, [person(), 3], "entry 1 is of frame 'None', expected an image_id")
    refused(tmp_path, [person(), person(image_id=[1])], "entry 1 is of frame '[1]', expected an image_id")
    refused(tmp_path, [person(image_id="cat.jpg")], "'cat.jpg' holds no number")
    refused(tmp_path, [person(image_id="a_1.jpg"), person(image_id="b_1.jpg")], "a_1.jpg and b_1.jpg")
    refused(
        tmp_path,
        [{"frame": 1, "keypoints": FLAT}] * 2,
        "entry 1 is of frame '1', expected a number of its own",
    )
    far = [{"frame": 10**400, "keypoints": FLAT}, {"frame": 7 * 10**400, "keypoints": FLAT}]
    refused(tmp_path, far, f"has {10**39} and 7{0:039}, expected one image")
    refused(tmp_path, {"meta_info": {"dataset_name": "aic"}, "instance_info": []}, "'aic'", "expected coco")


def test_joints_of_another_number_or_kind(tmp_path):
    refused(tmp_path, [person(keypoints=FLAT[:-1])], "frame 0.jpg, person 0: keypoints has shape (50,)")
    refused(tmp_path, [person(keypoints=FLAT[:-3])], "16 joints", "expected 17", joint_set="COCO-17")
    refused(tmp_path, [person(keypoints=FLAT[:-6])], "does not tell which 15 joints", "COCO-17")
    refused(
        tmp_path, [person(), person(image_id="1.jpg", keypoints=FLAT[:-3])], "16 joints in frame 1 and 17"
    )
    refused(tmp_path, [person(keypoints=["1"] * 51)], "something else than numbers")
    refused(tmp_path, [person(keypoints=[None] * 51)], "something else than numbers")
    refused(tmp_path, [person(keypoints=[[1, 2], [3]])], "rows of several lengths")
    refused(tmp_path, [person(keypoints=[10**400] * 51)], "something else than numbers")
    refused(tmp_path, [person(keypoints=[*FLAT[:-3], 1e300, 1, 1])], "holds 1e+300 at [48]")
    refused(tmp_path, [person(keypoints={"x": 1})], "something else than numbers")
    refused(tmp_path, [person(keypoints=GOOD[:, :2].tolist(), keypoint_scores=[1])], "scores of shape (1,)")
    refused(tmp_path, [[{"x": 1, "y": None}] * 33], "something else than numbers")


def test_people_and_images(tmp_path):
    refused(
        tmp_path, [person(), person(), person(image_id="1.jpg", idx=1)], "frame 0", "two people of one number"
    )
    refused(tmp_path, [person()], "does not tell", "the argument size", size=None)
    refused(
        tmp_path, {"width": 640, "height": 360, "people": [{"keypoints": FLAT}]}, "(640, 480)", "(640, 360)"
    )
    zero = {"width": 0, "height": 360, "people": [{"keypoints": FLAT}]}
    refused(tmp_path, zero, "size is (0, 360), expected", size=None)
    small = [person(keypoints=(GOOD * (10, 10, 1)).ravel().tolist())]
    refused(tmp_path, small, "expected an image of 640 x 480")
    world = [person(keypoints=((GOOD - (250, 250, 0)) / (300, 300, 1)).ravel().tolist())]
    refused(tmp_path, world, "around zero, expected pixels or fractions")
    refused(tmp_path, [person()], "nobody in it above a confidence of 1", threshold=1.0)
    for options, words in (
        ({"size": (0, 3)}, "size is"),
        ({"size": (640,)}, "size is"),
        ({"size": "640x480"}, "size is '640x480', expected"),
        ({"tracks": "me"}, "tracks is 'me'"),
        ({"max_gap": -1}, "max_gap is -1"),
    ):
        with pytest.raises(ValueError, match=words):
            read(tmp_path / "results.json", **{"size": SIZE} | options)
    with pytest.raises(ValueError, match="joint_set is 'coco', expected joint_set to be one of H36M-17"):
        read(tmp_path / "results.json", size=SIZE, joint_set="coco")


def test_folders(tmp_path):
    fails(tmp_path, "holds no .json files")
    (tmp_path / "000000000001_keypoints.json").write_text(json.dumps({"people": []}))
    fails(tmp_path, "nobody")
    (tmp_path / "x_1.json").write_text(json.dumps({"people": []}))
    fails(tmp_path, "000000000001_keypoints.json and x_1.json", "expected one image for each number")
    (tmp_path / "x_1.json").unlink()
    (tmp_path / "000000000002_keypoints.json").write_text('{"people": [')
    with pytest.raises(ValueError, match=r"000000000002_keypoints.json is not JSON"):
        read(tmp_path, size=SIZE)


def test_arrays(tmp_path):
    path = tmp_path / "points.npy"
    for array, words in (
        (np.zeros((17, 2)), "shape (17, 2), expected (frames, joints, 2 or 3)"),
        (np.zeros((3, 17, 5)), "shape (3, 17, 5)"),
        (np.full((3, 17, 2), "x"), "something else than numbers"),
        (np.full((3, 17, 2), np.nan), "holds nan at [0, 0, 0], expected numbers below a million"),
        (np.zeros((0, 17, 2)), "nobody"),
        (np.ones((3, 17, 2)), "does not tell which 17 joints"),
    ):
        np.save(path, array)
        fails(path, words)
    np.save(path, np.ones((3, 17, 2)))
    path.write_bytes(path.read_bytes()[:-8])
    fails(path, "is cut short")
    np.savez(tmp_path / "two.npz", a=np.ones((3, 17, 2)), b=np.ones(3))
    fails(tmp_path / "two.npz", "has the keys a, b, expected keypoints")
    np.savez(tmp_path / "two.npz", keypoints=np.ones((3, 17, 2)), confidence=np.ones((2, 17)))
    fails(tmp_path / "two.npz", "scores of shape (2, 17), expected (3, 17)")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:200])
    fails(tmp_path / "cut.npz", "damaged or cut short")


def test_detectrons_and_videoposes_archives(tmp_path):
    path = tmp_path / "video.npz"

    def save(**arrays):
        np.savez(path, **arrays)
        return path

    frames = np.empty(2, object)
    frames[:] = [[[], np.ones((1, 3, 17))], [[], []]]
    fails(save(boxes=frames, keypoints=frames), "frame 0, person 0 has shape (3, 17), expected (4, joints)")
    frames[:] = [[], 3]
    fails(save(boxes=frames, keypoints=frames), "frame 0", "expected [[], people]")
    frames[:] = [[[], 3], {}]
    fails(save(boxes=frames, keypoints=frames), "frame 0", "expected [[], people]")
    fails(save(boxes=np.array(3, object), keypoints=np.array(3, object)), "frame 0", "expected [[], people]")
    two = {"a.mp4": {"custom": [np.ones((3, 17, 2))]}, "b.mp4": {"custom": [np.ones((3, 17, 2))]}}
    fails(save(positions_2d=two, metadata={"layout_name": "coco"}), "no or several sequences, expected one")
    fails(save(positions_2d=np.ones(3)), "no or several sequences")
    one = {"a.mp4": {"custom": [np.ones((3, 17, 2))]}}
    fails(save(positions_2d=one, metadata={"layout_name": "kinect"}), "'kinect'", "expected coco")
    fails(save(positions_2d=one, metadata={"video_metadata": [1]}), "does not tell which")
    fails(save(positions_2d=one, metadata=3), "does not tell which")


class _Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_malicious_pickle_does_not_run(tmp_path):
    trap, path = tmp_path / "sprung", tmp_path / "video.npz"
    for arrays in (
        {"keypoints": np.array(_Trap(trap), object), "boxes": np.zeros(1)},
        {"positions_2d": np.array({"a": {"b": [_Trap(trap)]}}, object)},
        {"keypoints": np.ones((3, 17, 2)), "metadata": np.array(_Trap(trap), object)},
    ):
        np.savez(path, **arrays)
        trap.unlink(missing_ok=True)
        fails(path, "asks for", "which is not data")
        assert not trap.exists()
    np.save(tmp_path / "points.npy", np.array([_Trap(trap)], object))
    fails(tmp_path / "points.npy", "expected")
    (tmp_path / "points.pkl").write_bytes(pickle.dumps(_Trap(trap)))
    fails(tmp_path / "points.pkl", "is a plain pickle, expected keypoints")
    assert not trap.exists()
