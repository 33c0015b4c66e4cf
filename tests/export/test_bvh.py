"""BVH files, opened again by a reader of our own that shares nothing with the writer."""

import numpy as np
import pytest

from posemamba.export import armature, write_bvh
from posemamba.export.armature import armature_motion
from tests.export.bodies import STANDING, constant, man, moving, person, placed

# Where each joint is found: a JOINT that begins there, or the End Site of one.
FOUND = (
    "Hips",
    "RightUpLeg",
    "RightLeg",
    "RightLeg.",
    "LeftUpLeg",
    "LeftLeg",
    "LeftLeg.",
    "Spine",
    "Chest",
    "Head",
)
FOUND += ("Head.", "LeftArm", "LeftForeArm", "LeftForeArm.", "RightArm", "RightForeArm", "RightForeArm.")
TURN = {
    "X": lambda c, s: [[1, 0, 0], [0, c, -s], [0, s, c]],
    "Y": lambda c, s: [[c, 0, s], [0, 1, 0], [-s, 0, c]],
    "Z": lambda c, s: [[c, -s, 0], [s, c, 0], [0, 0, 1]],
}


def read_bvh(path):
    """Each node's places by name ("NAME." is NAME's End Site), at rest too, its angles; a frame's seconds.

    As the format's description has it: channels act from left to right, each in the last one's axes."""
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
                parent = (
                    stack[-2] if len(stack) > 1 else dict(place=np.zeros(3), turn=np.eye(3), rest=np.zeros(3))
                )
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


@pytest.fixture
def opened(tmp_path):
    write_bvh(man(), tmp_path / "man.bvh")
    return read_bvh(tmp_path / "man.bvh")


def test_joints_come_back_with_bones_of_constant_length(opened):
    places, _, _, seconds = opened
    found = np.stack([places[name] for name in FOUND], axis=1) * 10
    np.testing.assert_allclose(found - found[:, :1], constant(man().joints), atol=0.05)
    assert seconds == pytest.approx(1 / 30)
    # Where he stands is not known: over the origin, his lowest joint on the floor.
    np.testing.assert_allclose(found[:, 0], np.tile((0, man().joints[..., 1].max(), 0), (60, 1)), atol=0.01)


def test_the_raised_hand_is_the_right_one_and_left_is_left(opened):
    places, rest, _, _ = opened
    first = {name: place[0] for name, place in places.items()}
    assert first["RightForeArm."][1] > first["Head."][1] > first["LeftForeArm."][1] > first["Hips"][1]
    # Facing the camera he looks along z; his left side is at positive x.
    assert first["LeftUpLeg"][0] > 5 > -5 > first["RightUpLeg"][0]
    assert first["Head"][2] > first["Chest"][2] and first["LeftForeArm."][2] > first["LeftArm"][2]
    # At rest: a T.
    assert rest["LeftForeArm."][0] > 40 and rest["RightForeArm."][0] < -40
    assert rest["LeftForeArm."][1] == rest["RightForeArm."][1] == pytest.approx(rest["Chest"][1])
    assert rest["RightLeg."][1] < rest["RightUpLeg"][1] < rest["Chest"][1] < rest["Head."][1]


def test_a_placed_body_is_where_the_camera_saw_it(tmp_path):
    body = placed()[0]
    write_bvh(body, tmp_path / "man.bvh")
    np.testing.assert_allclose(
        read_bvh(tmp_path / "man.bvh")[0]["Hips"] * 10, body.root * (1, -1, -1), atol=0.01
    )


def test_angles_do_not_jump_while_he_turns_around_twice(tmp_path):
    write_bvh(person(0, 0, 120, joints=moving(120, turns=2, noise=0)), tmp_path / "man.bvh")
    angles = read_bvh(tmp_path / "man.bvh")[2]
    assert 700 < np.ptp(angles["Hips"][:, 2]) < 730  # y, the last of Z, X, Y
    assert max(np.abs(np.diff(each, axis=0)).max() for each in angles.values()) < 20


def bend(joint: int, degrees: np.ndarray) -> np.ndarray:
    """The standing pose, what hangs from a joint turned about x, from down to back, by so many degrees."""
    joints = np.repeat(STANDING[None], len(degrees), axis=0)
    length, angle = np.linalg.norm(STANDING[joint + 1] - STANDING[joint]), np.radians(degrees)
    joints[:, joint + 1] = joints[:, joint] + length * np.stack(
        [0 * angle, np.cos(angle), np.sin(angle)], axis=-1
    )
    return joints


def test_a_knee_goes_through_a_right_angle_smoothly(tmp_path):
    write_bvh(person(0, 0, 31, joints=bend(2, np.linspace(0, 150, 31))), tmp_path / "man.bvh")
    knee = read_bvh(tmp_path / "man.bvh")[2]["RightLeg"]
    assert np.ptp(knee[:, 2]) > 140 and np.abs(np.diff(knee, axis=0)).max() < 8


def test_a_bone_turns_past_its_opposite_without_a_flip(monkeypatch):
    """Shin against thigh: there the least turn's axis swings round at once, which would spin the shin."""
    degrees = np.linspace(120, 240, 61)
    joints = bend(2, degrees)
    joints[:, 3, 0] += 5  # past it, not through it
    body = person(0, 0, 61, joints=joints)

    def steps():
        turns = armature_motion(body).turns[:, 3]
        return 2 * np.degrees(np.arccos(np.clip((turns[1:] * turns[:-1]).sum(-1), -1, 1)))

    assert steps()[:18].max() < 2.6 and steps().max() < 2 + 360 * 2 / 30
    monkeypatch.setattr(armature, "_UNTWIST", 1e9)
    assert steps().max() > 60


def test_nothing_twists_in_a_swing_and_signs_do_not_flip():
    turns = armature_motion(man()).turns
    assert (turns[1:] * turns[:-1]).sum(-1).min() > 0.8
    legs, arms = turns[:, [2, 3, 5, 6]], turns[:, [13, 14, 16, 17]]
    np.testing.assert_allclose(legs[..., 1], 0, atol=1e-9)  # a leg's rest direction is y, an arm's x
    np.testing.assert_allclose(arms[..., 0], 0, atol=1e-9)


def test_a_body_that_has_fallen_together_gives_finite_angles(tmp_path):
    joints = moving(8)
    joints[3:5] = 0
    for body in (person(0, 0, 8, joints=joints), person(0, 0, 8, joints=0 * joints), person(0, 0, 1)):
        write_bvh(body, tmp_path / "man.bvh")
        assert all(np.isfinite(each).all() for each in read_bvh(tmp_path / "man.bvh")[2].values())
