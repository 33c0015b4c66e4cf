import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posemamba.motion.synthetic.bodies import Body, Pose, forward_kinematics, highest_root, hips, place_feet


def test_forward_kinematics_of_known_poses():
    body = Body(1700, 130, 430, 420, 230, 250, 120, 110, 150, 280, 250, 80)
    pose = Pose(5)
    pose.root[:, 2] = 930
    pose.heading[4] = 90
    pose["right knee flexion"] = [0, 90, 0, 0, 0]
    pose["left hip flexion"] = [0, 90, 0, 0, 0]
    pose["right shoulder abduction"] = [0, 0, 90, 0, 0]
    pose["left shoulder abduction"] = [0, 0, 90, 0, 0]
    pose["right elbow flexion"] = [0, 0, 0, 90, 0]
    pose["lumbar flexion"] = [0, 0, 0, 0, 60]
    pose["right shoulder rotation"] = [0, 0, 0, 90, 0]
    joints = forward_kinematics(body, pose)
    close = lambda value, wanted: np.testing.assert_allclose(value, wanted, atol=1e-9)  # noqa: E731
    close(joints[0, [0, 1, 2, 3]], [[0, 0, 930], [130, 0, 930], [130, 0, 500], [130, 0, 80]])
    close(joints[0, [4, 6, 7, 8]], [[-130, 0, 930], [-130, 0, 80], [0, 0, 1160], [0, 0, 1410]])
    assert joints[0, 9, 1] > 0 and joints[0, 16, 2] < joints[0, 15, 2] < joints[0, 14, 2]
    close(joints[1, 3] - joints[1, 2], [0, -420, 0])  # a bent knee brings the shank back
    close(joints[1, 5] - joints[1, 4], [0, 430, 0])  # a flexed hip brings the thigh forward
    close(joints[2, 15] - joints[2, 14], [280, 0, 0])  # abduction raises an arm to its own side
    close(joints[2, 12] - joints[2, 11], [-280, 0, 0])
    close(
        joints[3, 16] - joints[3, 15], [-250, 0, 0]
    )  # turned inward, the bent forearm lies before the belly
    close(joints[4, 1] - joints[4, 0], [0, 130, 0])  # facing left, the right hip is where ahead was
    close(joints[4, 8] - joints[4, 7], [-250 * np.sin(np.pi / 3), 0, 125])  # and a bow goes that way


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.55, 0.97), st.floats(-40, 40), st.floats(0, 360))
def test_feet_come_to_where_they_are_placed(seed, stretch, away, heading):
    generator = np.random.default_rng(seed)
    body, pose = Body.sample(generator), Pose(20)
    pose.root[:] = generator.normal(size=3) * 500 + (0, 0, 900)
    pose.heading[:] = heading
    pose["pelvis tilt"] = generator.uniform(-10, 40)
    pose["pelvis list"] = generator.uniform(-8, 8)
    directions = generator.normal(size=(20, 3)) * 0.25 - (0, 0, 1)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    ankles = {side: hip + stretch * body.leg * directions for side, hip in hips(body, pose).items()}
    place_feet(body, pose, ankles, {"right": pose.heading - away, "left": pose.heading + away})
    joints = forward_kinematics(body, pose)
    for side, ankle in (("right", 3), ("left", 6)):
        np.testing.assert_allclose(joints[:, ankle], ankles[side], atol=1e-6)
        # The knee angle is the one of the triangle, by the law of cosines.
        a, b, c = body.thigh, body.shank, stretch * body.leg
        inner = np.degrees(np.arccos((a * a + b * b - c * c) / (2 * a * b)))
        np.testing.assert_allclose(pose[f"{side} knee flexion"], 180 - inner, atol=1e-6)


def test_a_root_at_its_highest_has_one_leg_stretched():
    generator = np.random.default_rng(0)
    body, pose = Body.sample(generator), Pose(50)
    ankles = {
        side: np.array([0, 0, 300]) + generator.uniform(-250, 250, (50, 3)) for side in ("right", "left")
    }
    pose["pelvis list"] = generator.uniform(-10, 10, 50)
    pose.root[:, 2] = highest_root(body, pose, ankles)
    lengths = [
        np.linalg.norm(ankles[side] - hip, axis=1) / body.leg for side, hip in hips(body, pose).items()
    ]
    np.testing.assert_allclose(np.maximum(*lengths), 0.998, atol=1e-9)


def test_sampled_bodies_are_adults():
    bodies = [Body.sample(np.random.default_rng(seed)) for seed in range(200)]
    for body in bodies:
        upright = body.ankle + body.leg + body.spine + body.chest + 0.89 * body.neck + 0.95 * body.head
        assert 0.88 < upright / body.height < 1.05
        assert 1500 < body.height < 1940 and body.hip < body.shoulder < body.upper_arm
    assert np.std([body.leg / body.height for body in bodies]) > 0.005, "proportions vary"


def test_bad_arguments_are_refused():
    with pytest.raises(KeyError, match="no angle 'tail flexion'"):
        Pose(1)["tail flexion"] = 3
    with pytest.raises(ValueError, match="thigh is -1"):
        Body(*[1.0, 1.0, -1.0], *[1.0] * 9)
