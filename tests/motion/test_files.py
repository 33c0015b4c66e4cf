"""Motion files of version 2: what cameras have of a clip, there and back."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from posemamba.camera import Camera
from posemamba.motion import Clip, View, load_motion, read_about, save_motion
from posemamba.training.folder import fingerprint


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 300


def make_camera(seed: int, width: int = 1000, height: int = 1002) -> Camera:
    draw = torch.Generator().manual_seed(seed)
    position = torch.rand(3, generator=draw, dtype=torch.float64) * 1000 + 4000
    camera = Camera.look_at(position, torch.zeros(3, dtype=torch.float64), 1145.3, width, height)
    lens = torch.rand(5, generator=draw, dtype=torch.float64) / 10
    facts = {name: getattr(camera, name) for name in ("rotation", "translation", "focal", "center")}
    return Camera(**facts, radial=lens[:3], tangential=lens[3:], width=width, height=height)


def make_clips() -> list[Clip]:
    cameras = [make_camera(0), make_camera(1, 1920, 1080)]
    seen = [
        View("54138969", 1000, 1002, cameras[0], floats(5, 17, 2), floats(5, 17), np.arange(5) > 1),
        View("1", 1920, 1080, cameras[1], targets={"2.5d_factor": floats(5), "camera": floats(5, 17, 3)}),
        View("bare", 640, 480),
    ]
    alone = View("0", 1920, 1080, cameras[1], floats(3, 17, 2, seed=4), targets={"camera": floats(3, 17, 3)})
    return [
        Clip(floats(5, 17, 3), 50.0, "S1/walk", "walk", "train", "S1", tuple(seen)),
        Clip(None, 25.0, "TS1", "sit", "test", "TS1", (alone,)),
        Clip(floats(2, 17, 3, seed=2), 60.0, "plain", "walk", "train"),
    ]


@pytest.fixture
def saved(tmp_path):
    save_motion(tmp_path / "motion.safetensors", make_clips(), {"credit": "nobody", "command": "none"})
    return tmp_path / "motion.safetensors"


def test_everything_comes_back(saved):
    for clip, wanted in zip(load_motion(saved), make_clips(), strict=True):
        for name in ("fps", "name", "action", "split", "subject"):
            assert getattr(clip, name) == getattr(wanted, name)
        assert len(clip) == len(wanted) and (clip.joints is None) == (wanted.joints is None)
        assert clip.joints is None or np.array_equal(clip.joints, wanted.joints)
        for view, other in zip(clip.views, wanted.views, strict=True):
            assert (view.name, view.width, view.height) == (other.name, other.width, other.height)
            found, expected = dict(view.arrays()), dict(other.arrays())
            assert found.keys() == expected.keys()
            assert all(np.array_equal(found[name], expected[name]) for name in found)
            assert (view.camera is None) == (other.camera is None)
            if view.camera is not None:
                for part in ("rotation", "translation", "focal", "center", "radial", "tangential"):
                    assert torch.equal(getattr(view.camera, part), getattr(other.camera, part))
    assert read_about(saved) == {"credit": "nobody", "command": "none"}


def test_the_file_is_plain_safetensors_and_cameras_are_kept_once(saved):
    tensors = load_file(saved)
    assert {name: tensors[name].shape for name in tensors} == {
        "joints": (7, 17, 3),
        "keypoints": (8, 17, 2),
        "confidence": (5, 17),
        "valid": (5,),
        "targets.2.5d_factor": (5,),
        "targets.camera": (8, 17, 3),
    }
    content = saved.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert len(json.loads(header["__metadata__"]["cameras"])) == 2


def test_an_older_file_still_opens(tmp_path):
    joints, path = floats(7, 17, 3), tmp_path / "old.safetensors"
    listing = [
        {"name": "one", "action": "walk", "split": "train", "fps": 60.0, "frames": 4},
        {"name": "two", "action": "run", "split": "test", "fps": 120.0, "frames": 3},
    ]
    metadata = {"format": "posemamba-motion", "version": "1", "clips": json.dumps(listing)}
    save_file({"joints": joints}, path, metadata)
    one, two = load_motion(path)
    assert np.array_equal(one.joints, joints[:4]) and np.array_equal(two.joints, joints[4:])
    assert (two.name, two.fps, two.split, two.subject, two.views) == ("two", 120.0, "test", "", ())
    assert read_about(path) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda clips: clips[0].update(mood="good"), "a clip with 'mood', expected none such"),
        (lambda clips: clips[0]["views"][0].update(lens="wide"), "a clip with 'lens'"),
        (lambda clips: clips[0]["views"][0]["holds"].append("depth"), "a clip with 'depth'"),
        (lambda clips: clips[0]["holds"].append("velocity"), "a clip with 'velocity'"),
        (
            lambda clips: clips[0]["views"][0]["holds"].remove("keypoints"),
            "lists 3 frames but holds keypoints",
        ),
        (
            lambda clips: clips[0]["views"][2]["holds"].append("targets.new"),
            r"holds targets\.new of shape none",
        ),
        (lambda clips: clips[0]["views"][0].update(camera=2), "out of range"),
        (lambda clips: clips[0]["views"][0].update(camera=-1), "damaged header"),
        (lambda clips: clips[0]["views"][0].update(width=0), "0 x 1002 pixels, expected positive"),
        (lambda clips: clips[0]["views"][0].update(width=999), "has a camera of 1000 x 1002 pixels"),
        (lambda clips: clips[0]["views"][1].update(name="bare"), "expected each name once"),
        (lambda clips: clips[0].pop("views"), "damaged header"),
        (lambda clips: clips[0].update(frames=0), "lists"),
        (lambda clips: clips[2].update(holds=[]), "lists 5 frames but holds joints"),
    ],
)
def test_a_list_that_lies_is_refused(saved, change, message):
    content = saved.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    clips = json.loads(header["__metadata__"]["clips"])
    change(clips)
    header["__metadata__"]["clips"] = json.dumps(clips)
    text = json.dumps(header).encode()
    saved.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    with pytest.raises(ValueError, match=message) as refusal:
        load_motion(saved)
    assert str(saved) in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": np.zeros((4, 17, 3), np.float32)}, r"keypoints have shape \(4, 17, 3\)"),
        (
            {"confidence": np.zeros((3, 17), np.float32)},
            "different numbers of frames: keypoints 4, confidence 3",
        ),
        ({"valid": np.zeros(4, np.float32)}, "valid are float32, expected a bool array"),
        ({"targets": {"camera": np.zeros((4, 17, 3))}}, r"targets\.camera are float64, expected a float32"),
        ({"camera": make_camera(0, 1000, 1000)}, "1000 x 1002 pixels but has a camera of 1000 x 1000"),
        ({"camera": Camera.stack([make_camera(0)])}, "expected one"),
        ({"height": 0}, "expected positive sizes"),
    ],
)
def test_bad_views_are_refused(changes, message):
    good = {"name": "left", "width": 1000, "height": 1002, "keypoints": np.zeros((4, 17, 2), np.float32)}
    with pytest.raises(ValueError, match=rf"view 'left'.*{message}"):
        View(**(good | changes))


def test_bad_clips_with_views_are_refused():
    facts = {"fps": 50.0, "name": "take", "action": "walk", "split": "train"}
    with pytest.raises(ValueError, match="clip 'take' has neither joints nor a view with frames"):
        Clip(None, **facts, views=(View("bare", 10, 10),))
    view = View("left", 10, 10, keypoints=floats(4, 17, 2))
    with pytest.raises(ValueError, match="keypoints of view 'left' has 4 frames, expected 5"):
        Clip(floats(5, 17, 3), **facts, views=(view,))
    with pytest.raises(ValueError, match="expected each name once"):
        Clip(None, **facts, views=(view, view))


def test_targets_of_one_name_have_one_shape(tmp_path):
    facts = {"fps": 50.0, "action": "walk", "split": "train"}
    views = (View("left", 10, 10, targets={"x": floats(4, size)}) for size in (2, 3))
    clips = [Clip(None, name=str(number), views=(view,), **facts) for number, view in enumerate(views)]
    with pytest.raises(ValueError, match=r"targets\.x has frames of shapes \[\(2,\), \(3,\)\]"):
        save_motion(tmp_path / "m.safetensors", clips)
    assert not list(tmp_path.iterdir())


def test_a_run_knows_its_views_again():
    clip, other = make_clips()[0], make_clips()[0]
    assert fingerprint([clip]) == fingerprint([other])
    other.views[0].keypoints[3, 2, 1] += 1
    assert fingerprint([clip]) != fingerprint([other])
