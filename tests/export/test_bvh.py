"""BVH files, opened again by a reader of our own that shares nothing with the writer."""

import re
from dataclasses import replace

import numpy as np
import pytest

from posemamba.export import write_bvh
from posemamba.export.armature import ARMATURE, armature_motion
from posemamba.skeleton import PARENTS
from tests.export.conftest import person

# Where each joint is found: a JOINT that begins there, or the End Site of one.
FOUND = ("Hips", "RightUpLeg", "RightLeg", "RightLeg.", "LeftUpLeg", "LeftLeg", "LeftLeg.", "Spine", "Chest", "Head")
FOUND += ("Head.", "LeftArm", "LeftForeArm", "LeftForeArm.", "RightArm", "RightForeArm", "RightForeArm.")
TURN = {
    "X": lambda c, s: [[1, 0, 0], [0, c, -s], [0, s, c]],
    "Y": lambda c, s: [[c, 0, s], [0, 1, 0], [-s, 0, c]],
    "Z": lambda c, s: [[c, -s, 0], [s, c, 0], [0, 0, 1]],
}


def read_bvh(path):
    """Each node's place in each frame by name ("NAME." for NAME's End Site), the rest pose's too, and the rotations
    by name, as the format's description has them: channels act from left to right, each in the last one's axes."""
    head, motion = path.read_text(encoding="ascii").split("MOTION\n")
    frames, step, *rows = motion.splitlines()
    table = np.array([row.split() for row in rows], dtype=float)
    assert int(frames.removeprefix("Frames: ")) == len(table)
    seconds, column, stack, places, angles = float(step.removeprefix("Frame Time: ")), 0, [], {}, {}
    for line in head.splitlines():
        match line.split():
            case ["ROOT" | "JOINT", name]:
                stack.append(dict(name=name))
            case ["End", "Site"]:
                stack.append(dict(name=stack[-1]["name"] + "."))
            case ["OFFSET", *offset]:
                parent = stack[-2] if len(stack) > 1 else dict(place=np.zeros(3), turn=np.eye(3), rest=np.zeros(3))
                offset = np.array(offset, dtype=float)
                place, turn = parent["place"] + (parent["turn"] @ offset), parent["turn"]
                stack[-1] |= dict(place=place, turn=turn, rest=parent["rest"] + offset)
            case ["CHANNELS", number, *channels]:
                assert int(number) == len(channels)
                node, moved = stack[-1], np.zeros((len(table), 3))
                for channel in channels:
                    values, column = table[:, column], column + 1
                    if channel.endswith("position"):
                        moved[:, "XYZ".index(channel[0])] = values
                    else:
                        angles.setdefault(node["name"], []).append(values)
                        c, s = np.cos(np.radians(values)), np.sin(np.radians(values))
                        each = [TURN[channel[0]](*pair) for pair in zip(c, s, strict=True)]
                        node["turn"] = node["turn"] @ np.array(each, dtype=float)
                node["place"] = node["place"] + moved
            case ["}"]:
                node = stack.pop()
                places[node["name"]] = node["place"], node["rest"]
    assert column == table.shape[1] and not stack
    found = {name: np.broadcast_to(place, (len(table), 3)) for name, (place, _) in places.items()}
    angles = {name: np.stack(each, axis=-1) for name, each in angles.items()}
    return found, {name: rest for name, (_, rest) in places.items()}, angles, seconds


def constant(joints: np.ndarray) -> np.ndarray:
    """The pose with each bone's mean length and its own direction, y up, hips at the origin."""
    joints = joints * (1, -1, -1)
    placed = np.zeros_like(joints)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            bone = joints[:, joint] - joints[:, parent]
            length = np.linalg.norm(bone, axis=-1, keepdims=True)
            placed[:, joint] = placed[:, parent] + bone / length * length.mean()
    return placed


@pytest.fixture
def opened(man, tmp_path):
    write_bvh(man, tmp_path / "man.bvh")
    return read_bvh(tmp_path / "man.bvh")


def test_joints_come_back_with_bones_of_constant_length(man, opened):
    places, _, _, seconds = opened
    found = np.stack([places[name] for name in FOUND], axis=1) * 10
    np.testing.assert_allclose(found - found[:, :1], constant(man.joints), atol=0.05)
    assert seconds == pytest.approx(1 / 30)
    # Where he stands is not known: on the floor, over the origin.
    np.testing.assert_allclose(found[:, 0, [0, 2]], 0)
    assert np.ptp(found[:, 0, 1]) == 0 and (man.joints[..., 1].max() - found[0, 0, 1]) == pytest.approx(0, abs=0.1)


def test_the_raised_hand_is_the_right_one_and_left_is_left(man, opened):
    places, rest, _, _ = opened
    first = {name: place[0] for name, place in places.items()}
    assert first["RightForeArm."][1] > first["Head."][1] > first["LeftForeArm."][1] > first["Hips"][1]
    # Facing the camera he looks along z; his left side is at positive x.
    assert first["LeftUpLeg"][0] > 5 > -5 > first["RightUpLeg"][0]
    assert first["Head"][2] > first["Chest"][2] and first["LeftForeArm."][2] > first["LeftArm"][2]
    assert rest["LeftForeArm."][0] > 40 and rest["RightForeArm."][0] < -40
    assert rest["LeftForeArm."][1] == pytest.approx(rest["Chest"][1]) and rest["Head"][2] > rest["Chest"][2]
    assert rest["RightLeg."][1] < rest["RightUpLeg"][1] < rest["Chest"][1] < rest["Head."][1]


def test_a_placed_body_is_where_the_camera_saw_it(placed, tmp_path):
    write_bvh(placed[0], tmp_path / "man.bvh")
    places = read_bvh(tmp_path / "man.bvh")[0]
    np.testing.assert_allclose(places["Hips"] * 10, placed[0].root * (1, -1, -1), atol=0.01)


def test_angles_do_not_jump_while_he_turns_around_twice(tmp_path):
    body = person(0, 0, 240, joints=None)
    from tests.export.conftest import moving

    smooth = moving(240, turns=2.0) / (1 + 0 * 240)
    write_bvh(replace(body, joints=smooth), tmp_path / "man.bvh")
    angles = read_bvh(tmp_path / "man.bvh")[2]
    assert np.ptp(angles["Hips"][:, 2]) > 700
    for name, each in angles.items():
        print(name, np.abs(np.diff(each, axis=0)).max())
