"""Clean motion gives nothing; each fault, put into it alone, is found, named and placed."""

import struct
from dataclasses import replace

import numpy as np
import pytest
import torch

from posemamba.camera import Camera
from posemamba.motion import Clip, View, load_motion, save_motion, synthetic_clips
from posemamba.motion.inspection import Finding, compare, inspect, typical_bones
from posemamba.skeleton import BONES, FLIP_ORDER, LEFT


@pytest.fixture(scope="module")
def clean() -> dict[str, Clip]:
    """A clip of each action, by action."""
    return {clip.action: clip for clip in synthetic_clips(seed=3, train=1, test=0)}


def broken(clip: Clip, change) -> Clip:
    """The clip with `change` made to a copy of its joints, in place or by what it returns."""
    joints = clip.joints.copy()
    changed = change(joints)
    return replace(clip, joints=joints if changed is None else np.ascontiguousarray(changed, np.float32))


def only(clip: Clip) -> Finding:
    found = inspect(clip)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("fps", [25.0, 50.0, 60.0, 120.0])
def test_clean_motion_gives_nothing(fps):
    for seed in (0, 1):
        clips = synthetic_clips(seed=seed, train=2, test=1, fps=fps)
        assert [found for clip in clips for found in inspect(clip)] == []
        assert compare(clips) == []


def test_a_pose_alone_gives_nothing(clean):
    for frames in (1, 2, 3, 4):
        assert inspect(replace(clean["walking"], joints=clean["walking"].joints[:frames])) == []


def test_what_is_no_person(clean):
    nothing = only(broken(clean["walking"], lambda joints: joints * 0))
    assert nothing.kind == "units" and "lie in one point" in nothing.sentence
    noise = np.random.default_rng(0).normal(size=(9, 17, 3)).astype(np.float32) * 300
    assert {"bones"} <= {finding.kind for finding in inspect(replace(clean["walking"], joints=noise))}


def bind_pose(height: float = 880.0, down: float = 0.0) -> np.ndarray:
    """A T-pose, or with the arms `down` by an angle an A-pose, seen from the front."""
    pose = np.zeros((17, 3))
    for side, (hip, shoulder) in zip((1, -1), ((4, 11), (1, 14)), strict=True):
        pose[hip : hip + 3] = [(side * 130, 0, z) for z in (height, height - 440, height - 870)]
        along = np.array([side * np.cos(down), 0, -np.sin(down)])
        pose[shoulder : shoulder + 3] = np.outer((0, 300, 560), along)
        pose[shoulder : shoulder + 3] += (side * 160, 0, height + 480)
    pose[[0, 7, 8, 9, 10], 2] = height + np.array([0, 240, 500, 600, 730])
    return pose


@pytest.mark.parametrize(("down", "letter"), [(0.0, "T"), (0.7, "A")])
@pytest.mark.parametrize(("first", "frames"), [(0, 1), (0, 30), (100, 20)])
def test_bind_poses(clean, down, letter, first, frames):
    def change(joints):
        joints[first : first + frames] = bind_pose(down=down)

    found = {finding.kind: finding for finding in inspect(broken(clean["waving"], change))}
    assert f"frame {first}: a bind pose ({letter}) for {frames} frames" in found["bind pose"].sentence
    assert found["bind pose"].certain


@pytest.mark.parametrize("fps", [50.0, 60.0, 120.0])
@pytest.mark.parametrize("frames", [1, 2, 300])
def test_jumps(fps, frames):
    """A wrist away for a frame, for two, from there on."""
    (clip,) = synthetic_clips(seed=3, train=1, test=0, fps=fps, actions=["walking"])

    def change(joints):
        joints[99 : 99 + frames, 16] += (180, 0, 0)

    found = {finding.kind: finding for finding in inspect(broken(clip, change))}
    assert set(found) == {"jump", "bones"}
    assert "right wrist moves" in found["jump"].sentence
    frame = int(found["jump"].sentence.split("frame ")[1].split(":")[0])
    assert frame in (99, 99 + frames)


def test_a_body_that_is_elsewhere_in_the_next_frame(clean):
    def change(joints):
        joints[150:, :, :2] += 700

    found = only(broken(clean["sitting"], change))
    assert (found.kind, found.certain) == ("jump", True) and "frame 150" in found.sentence


def test_floors(clean):
    def sink(joints):
        joints[..., 2] -= 150

    def once(joints):
        joints[80:120, :, 2] -= 250 * np.hanning(40)[:, None]

    found = only(broken(clean["waving"], sink))
    assert found.kind == "floor" and "floor is not at z = 0" in found.sentence and found.certain
    found = only(broken(clean["waving"], once))
    assert found.kind == "floor" and "feet go through it" in found.sentence
    assert 95 <= int(found.sentence.split("frame ")[1].split(":")[0]) <= 105
    found = only(broken(clean["walking"], lambda joints: joints + np.float32([0, 0, 700])))
    assert found.kind == "floor" and "no joint comes nearer" in found.sentence and not found.certain


@pytest.mark.parametrize("action", ["walking", "jogging", "turning", "sitting", "jumping"])
@pytest.mark.parametrize("how", ["labels", "mirror"])
def test_a_whole_clip_with_its_sides_exchanged(clean, action, how):
    sign = np.float32([-1, 1, 1])
    change = {"labels": lambda joints: joints[:, list(FLIP_ORDER)], "mirror": lambda joints: joints * sign}[
        how
    ]
    found = only(broken(clean[action], change))
    assert found.kind == "sides" and "knees bend backwards in 100%" in found.sentence and found.certain
    both = broken(
        broken(clean[action], lambda joints: joints[:, list(FLIP_ORDER)]), lambda joints: joints * sign
    )
    assert inspect(both) == []  # a mirrored body with exchanged labels is a body


def test_sides_exchanged_in_arms_alone(clean):
    arms = [*range(11), 14, 15, 16, 11, 12, 13]
    found = only(broken(clean["walking"], lambda joints: joints[:, arms]))
    assert found.kind == "sides" and "shoulders run against the hips" in found.sentence


@pytest.mark.parametrize(
    ("name", "joints"), [("legs", (1, 2, 3, 4, 5, 6)), ("arms", (11, 12, 13, 14, 15, 16)), ("both", None)]
)
@pytest.mark.parametrize("frames", [1, 7, 300])
def test_sides_that_change_places_within_a_clip(clean, name, joints, frames):
    order = np.arange(17)
    chosen = list(joints or (*range(1, 7), *range(11, 17)))
    order[chosen] = np.array(FLIP_ORDER)[chosen]

    def change(joints):
        joints[210 : 210 + frames] = joints[210 : 210 + frames, order]

    clip = clean["walking"]
    found = inspect(broken(clip, change))
    assert {finding.kind for finding in found} == {"sides"}
    for part in ("legs", "arms") if name == "both" else (name,):
        times = 1 if 210 + frames >= len(clip) else 2
        told = f"frame 210: left and right {part} change places with the frame before, {times} times in all"
        assert any(told in finding.sentence for finding in found)


@pytest.mark.parametrize(
    ("unit", "size"),
    [("metres", 1000), ("centimetres", 10), ("inches", 25.4), ("the CMU database's units", 25.4 / 0.45)],
)
def test_units(clean, unit, size):
    for clip in clean.values():
        found = only(broken(clip, lambda joints: joints / np.float32(size)))
        assert found.kind == "units" and found.certain and found.sentence.endswith(f"unit is {unit}")


@pytest.mark.parametrize(("axes", "told"), [([0, 2, 1], "y"), ([2, 1, 0], "x"), ([1, 2, 0], "y")])
def test_axes(clean, axes, told):
    for clip in clean.values():
        found = inspect(broken(clip, lambda joints: joints[..., axes]))
        assert f"from feet to head is {told} in all the clip, expected z" in found[0].sentence
        # Two axes exchanged make a mirror too, three in a circle do not.
        assert {finding.kind for finding in found[1:]} <= ({"sides"} if axes != [1, 2, 0] else set())
    found = only(broken(clean["waving"], lambda joints: joints * np.float32([1, -1, -1]) + 2000))
    assert "from feet to head is -z" in found.sentence


@pytest.mark.parametrize("wrong", [0.5, 0.75, 1.25, 2.0])
def test_the_rate_of_a_jump(wrong):
    found = []
    for clip in synthetic_clips(seed=5, train=4, test=0, actions=["jumping"]):
        found += [
            finding for finding in inspect(replace(clip, fps=clip.fps * wrong)) if finding.kind == "rate"
        ]
    assert found and all(finding.certain and f"not {60 * wrong:g}" in finding.sentence for finding in found)
    meant = [int(finding.sentence.split("would at ")[1].split()[0]) for finding in found]
    assert abs(np.median(meant) - 60) < 4


def test_nothing_tells_the_rate_of_a_clip_without_a_jump(clean):
    assert inspect(replace(clean["walking"], fps=30.0)) == []


def test_bones_that_change_their_length(clean):
    def change(joints):
        stretch = 1 + 0.06 * np.sin(np.arange(len(joints)) / 60)[:, None]
        joints[:, 12] = joints[:, 11] + (joints[:, 12] - joints[:, 11]) * stretch

    found = inspect(broken(clean["waving"], change))
    assert {finding.kind for finding in found} == {"bones"}
    assert "the bone to the left" in found[0].sentence and not found[0].certain


def test_frozen_frames(clean):
    def change(joints):
        joints[61:81] = joints[60]

    found = {finding.kind: finding for finding in inspect(broken(clean["reaching"], change))}
    assert "frame 61: 20 frames repeat the one before, 20 in all" in found["frozen"].sentence

    # 30 frames a second that were made 60 by showing each twice.
    found = inspect(broken(clean["walking"], lambda joints: np.repeat(joints[::2], 2, axis=0)))
    assert "1 frames repeat the one before, 150 in all" in found[0].sentence


def test_numbers_that_are_not_finite_are_found_in_a_file(clean, tmp_path):
    path = tmp_path / "motion.safetensors"
    save_motion(path, [seen(clean["walking"]), seen(clean["waving"])])
    content = bytearray(path.read_bytes())
    start = 8 + struct.unpack("<Q", content[:8])[0]
    data = np.frombuffer(content, "<f4", offset=start)  # confidence, joints, keypoints, targets
    confidence, joints = 300 * 17, 300 * 51
    data[confidence + 7 * 17] = np.inf  # the second clip's
    data[2 * confidence + 11 * 51 + 5] = np.nan
    data[2 * (confidence + joints) + 299 * 34] = -np.inf
    path.write_bytes(content)
    first, second = (inspect(clip) for clip in load_motion(path))
    assert {finding.kind for finding in first + second} == {"not finite"}
    told = [finding.sentence.split(": ", 1) for finding in first + second]
    assert [text.split("hold")[0] for _, text in told] == [
        "joints ",
        "view 'a': keypoints ",
        "view 'a': confidence ",
    ]
    assert [place.split("frame ")[1] for place, _ in told] == ["11", "299", "7"]


def seen(clip: Clip, error: float = 6.0) -> Clip:
    """The clip with a view of it by a camera far away, and a detector's error in pixels."""
    world = torch.from_numpy(clip.joints.copy()).double()
    middle = world[:, 0].mean(0)
    camera = Camera.look_at(middle + torch.tensor([9000.0, 12000.0, 500.0]), middle, 2200.0, 1000, 800)
    points = camera.world_to_camera(world)
    pixels = (
        camera.project(points).numpy() + np.random.default_rng(0).normal(size=(len(world), 17, 2)) * error
    )
    arrays = dict(keypoints=pixels.astype(np.float32), targets=dict(camera=points.float().numpy()))
    arrays |= dict(confidence=np.full(pixels.shape[:2], 0.9, np.float32), valid=np.ones(len(pixels), bool))
    return replace(clip, subject="S1", views=(View("a", 1000, 800, camera, **arrays),))


def view_changed(clip: Clip, **changes) -> Clip:
    view = clip.views[0]
    changes = {name: change(getattr(view, name)) for name, change in changes.items()}
    return replace(clip, views=(replace(view, **changes),))


@pytest.mark.parametrize("action", ["walking", "jogging", "sitting", "waving"])
def test_views(clean, action):
    clip = seen(clean[action])
    assert inspect(clip) == [] and inspect(replace(clip, joints=None)) == []
    swapped = only(view_changed(clip, keypoints=lambda points: points[:, list(FLIP_ORDER)]))
    assert swapped.kind == "camera" and "with left and right exchanged" in swapped.sentence

    def turned(camera):
        return replace(camera, rotation=camera.rotation[[1, 0, 2]] * torch.tensor([[1.0], [-1.0], [1.0]]))

    def behind(camera):
        return replace(camera, translation=camera.translation - torch.tensor([0, 0, 60000.0]).double())

    for camera, told in (
        (turned, "pixels (median) from the keypoints"),
        (behind, "100% of the joints behind it"),
    ):
        found = only(view_changed(clip, camera=camera))
        assert found.kind == "camera" and found.certain and told in found.sentence
    far = only(
        view_changed(replace(clip, joints=None), keypoints=lambda points: points + np.float32([900, 0]))
    )
    assert far.kind == "image" and far.certain and "1000 x 800 pixels" in far.sentence


def test_a_body_that_only_a_camera_has(clean):
    clip = replace(seen(clean["walking"]), joints=None)
    assert compare([clip]) == [] and len(typical_bones([clip])["S1"]) == len(BONES)

    def exchanged(targets):
        return {"annot3": targets["camera"][:, list(FLIP_ORDER)]}

    found = only(view_changed(clip, targets=exchanged))
    assert found.kind == "sides" and "knees bend backwards" in found.sentence
    found = only(view_changed(clip, targets=lambda targets: {"camera": targets["camera"] / np.float32(1000)}))
    assert found.kind == "units"


def test_keypoints_that_are_no_pixels(clean):
    found = only(view_changed(seen(clean["waving"]), keypoints=lambda points: points / np.float32(500) - 1))
    assert found.kind == "units" and found.certain and "expected pixels" in found.sentence


def test_valid_marks(clean):
    clip = seen(clean["waving"])
    found = only(view_changed(clip, valid=np.zeros_like))
    assert found.kind == "valid" and "view 'a' has no valid frame" in found.sentence

    def some(points):
        points = points.copy()
        points[40:60] += 5000
        return points

    away = view_changed(clip, keypoints=some)
    assert only(away).kind == "image" and "frame 40" in only(away).sentence and not only(away).certain
    marks = np.ones(len(clip), bool)
    marks[40:60] = False
    assert inspect(view_changed(away, valid=lambda _: marks)) == []  # what does not count is not looked at


def test_bodies_that_nobody_has(clean):
    clips = list(clean.values())
    assert {subject: len(lengths) for subject, lengths in typical_bones(clips).items()} == {"": len(BONES)}

    def lopsided(joints):
        joints[:, 13] = joints[:, 12] + 1.12 * (joints[:, 13] - joints[:, 12])

    def short(joints):  # where the radius bone ends
        for elbow, wrist in ((12, 13), (15, 16)):
            joints[:, wrist] = joints[:, elbow] + 0.67 * (joints[:, wrist] - joints[:, elbow])

    for change, kind, told in ((lopsided, "lopsided", "forearm"), (short, "proportions", "forearm is")):
        changed = [replace(broken(clip, change), subject="43") for clip in clips]
        (found,) = compare(changed)
        assert found.kind == kind and found.sentence.startswith("subject '43': ") and told in found.sentence
        assert [finding for clip in changed for finding in inspect(clip)] == []

    def sunk(joints):  # a trunk that lost a bone
        joints[:, [8, 9, 10, *LEFT[3:], 14, 15, 16]] -= 0.3 * (joints[:, [8]] - joints[:, [0]])

    (found,) = compare([broken(clip, sunk) for clip in clips])
    assert found.kind == "proportions" and "hips to head is" in found.sentence


def test_what_is_there_twice(clean):
    walk, wave = clean["walking"], clean["waving"]
    piece = replace(
        wave, joints=np.concatenate([walk.joints[100:180], wave.joints]), name="piece", split="test"
    )
    (found,) = compare([walk, piece])
    assert found.certain and found.kind == "duplicate"
    assert "'piece' share 80 frames, one in train, one in test, expected none" in found.sentence
    (found,) = compare([walk, replace(wave, name=walk.name)])
    assert "is there 2 times" in found.sentence
    flat = replace(seen(walk), joints=None)
    (found,) = compare([flat, replace(flat, name="again")])
    assert "share 300 frames, expected none" in found.sentence
    still = replace(walk, joints=np.repeat(walk.joints[:1], 50, axis=0), name="still")
    assert compare([still, wave]) == []  # a clip's own repeated frames are for `inspect`


def test_the_finding_of_keypoints_is_the_same():
    from posemamba import keypoints

    assert keypoints.Finding is Finding
    assert Finding("a sentence", True) == ("a sentence", True, "")
