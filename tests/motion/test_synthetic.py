import numpy as np
import pytest

from posemamba.motion import open_motion, synthetic_clips
from posemamba.motion.synthetic import ACTIONS, perform
from posemamba.motion.synthetic.bodies import LIMITS, forward_kinematics
from posemamba.skeleton import BONES, bone_lengths

R_HIP, R_KNEE, R_ANKLE, L_HIP, L_KNEE, L_ANKLE = 1, 2, 3, 4, 5, 6
L_WRIST, R_WRIST = 13, 16
LEGS = {"right": (R_HIP, R_KNEE, R_ANKLE), "left": (L_HIP, L_KNEE, L_ANKLE)}
ARMS = {"right": (14, 15, 16), "left": (11, 12, 13)}


@pytest.fixture(scope="module")
def clips():
    return synthetic_clips(seed=0, train=3, test=2)


@pytest.fixture(scope="module")
def performances():
    """Bodies and poses beyond the default seed, by action."""
    return {action: [perform(action, (17, number)) for number in range(8)] for action in ACTIONS}


def of(clips, action):
    return [clip.joints.astype(float) for clip in clips if clip.action == action]


def facing(joints):
    """Unit vectors to the body's right and forward over the floor, from the hips alone."""
    right = joints[:, R_HIP] - joints[:, L_HIP]
    right[:, 2] = 0
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return right, np.cross([0, 0, 1], right)


def acceleration(joints, fps=60):
    """Second differences, m/s^2."""
    return np.diff(joints, 2, axis=0) * fps**2 / 1000


def planted(joints, ankle):
    """Frames in which an ankle is as low as when its foot is flat."""
    return joints[:, ankle, 2] < min(joints[:, R_ANKLE, 2].min(), joints[:, L_ANKLE, 2].min()) + 5


# --- what is delivered


def test_all_actions_are_in_both_splits():
    clips = synthetic_clips()
    for split, count in (("train", 4), ("test", 2)):
        for action in ACTIONS:
            chosen = [clip for clip in clips if (clip.split, clip.action) == (split, action)]
            assert len(chosen) == count and all(len(clip) == 300 and clip.fps == 60 for clip in chosen)
    assert len({clip.name for clip in clips}) == len(clips)
    assert {clip.action for clip in clips} >= {
        "walking",
        "jogging",
        "sitting",
        "waving",
        "jumping",
        "turning",
    }


def test_the_same_seed_gives_the_same_motion_and_others_do_not(clips):
    again = {
        clip.name: clip.joints
        for clip in synthetic_clips(seed=0, train=4, test=1, actions=["jumping", "walking"])
    }
    other = {clip.name: clip.joints for clip in synthetic_clips(seed=1, train=1, test=1)}
    shared = 0
    for clip in clips:
        if clip.name in again:
            assert np.array_equal(again[clip.name], clip.joints)
            shared += 1
        assert clip.name not in other or not np.array_equal(other[clip.name], clip.joints)
    assert shared == 2 * (3 + 1)
    assert open_motion("synthetic", seed=1)[0].name in other


# How far the joints go in the first training clip of each action, metres, summed over joints and axes.
TRAVELLED = {
    0: (178.518, 306.726, 15.197, 29.203, 8.726, 36.427, 83.216),
    1: (125.391, 320.722, 16.322, 31.212, 7.093, 21.603, 79.734),
    5: (146.014, 315.388, 19.706, 27.601, 8.010, 14.904, 74.391),
}


@pytest.mark.parametrize("seed", TRAVELLED)
def test_the_generators_motion_is_the_one_that_the_measured_runs_saw(seed):
    clips = synthetic_clips(seed=seed, train=1, test=0)
    travelled = [np.abs(np.diff(clip.joints.astype(float), axis=0)).sum() / 1000 for clip in clips]
    np.testing.assert_allclose(travelled, TRAVELLED[seed], atol=0.001)


def test_other_rates_and_lengths():
    slow, fast = (
        synthetic_clips(train=1, test=0, seconds=6, fps=fps, actions=["walking"])[0] for fps in (30, 120)
    )
    assert len(slow) == 180 and len(fast) == 720
    # The same performance, sampled more finely.
    np.testing.assert_allclose(fast.joints[::4], slow.joints, atol=2)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="no action 'flying', expected one of walking"):
        synthetic_clips(actions=["flying"])
    with pytest.raises(ValueError, match="at least 4 s"):
        synthetic_clips(seconds=3)
    with pytest.raises(ValueError, match="at least 10 frames a second"):
        synthetic_clips(fps=0)
    for wrong in ({"seed": -1}, {"train": -1}, {"train": 0, "test": 0}, {"actions": []}):
        with pytest.raises(ValueError, match="at least one clip"):
            synthetic_clips(**wrong)


# --- bodies


def test_bones_do_not_change_in_a_clip_and_bodies_differ(clips):
    bodies = []
    for clip in clips:
        lengths = bone_lengths(clip.joints.astype(float))
        assert np.ptp(lengths, axis=0).max() < 0.01, clip.name
        body = lengths.mean(axis=0)
        pairs = [
            ((0, 1), (0, 4)),
            ((1, 2), (4, 5)),
            ((2, 3), (5, 6)),
            ((8, 14), (8, 11)),
            ((14, 15), (11, 12)),
        ]
        for right, left in pairs:
            assert abs(body[BONES.index(right)] - body[BONES.index(left)]) < 0.01
        bodies.append(body)
    bodies = np.array(bodies)
    assert np.linalg.norm(bodies[:, None] - bodies, axis=-1)[np.triu_indices(len(bodies), 1)].min() > 3
    thighs = bodies[:, BONES.index((1, 2))]
    assert 340 < thighs.min() < thighs.max() < 520
    ratio = thighs / bodies[:, BONES.index((2, 3))]
    assert ratio.std() > 0.01 and abs(ratio.mean() - 1) < 0.1


# --- joints within human limits


def test_angles_stay_within_human_limits(performances):
    for action, made in performances.items():
        for number, (_, pose) in enumerate(made):
            for name, (low, high) in LIMITS.items():
                angle = pose[name]
                assert low <= angle.min() and angle.max() <= high, f"{action} {number}: {name}"


def test_knees_bend_backwards_only_and_joints_stay_open(clips):
    for clip in clips:
        joints = clip.joints.astype(float)
        across = joints[:, R_HIP] - joints[:, L_HIP]
        for hip, knee, ankle in LEGS.values():
            line = joints[:, hip] - joints[:, ankle]
            ahead = np.cross(line, across)
            ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
            # The knee lies ahead of the line from hip to ankle.
            assert ((joints[:, knee] - joints[:, ankle]) * ahead).sum(axis=1).min() > 0, clip.name
        for (top, middle, end), least in [
            *((leg, 30) for leg in LEGS.values()),
            *((arm, 30) for arm in ARMS.values()),
        ]:
            u, v = joints[:, top] - joints[:, middle], joints[:, end] - joints[:, middle]
            cosine = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
            assert np.degrees(np.arccos(cosine.clip(-1, 1))).min() > least, clip.name


def test_elbows_bend_forwards_when_arms_hang(clips):
    for joints in of(clips, "walking") + of(clips, "jogging"):
        _, ahead = facing(joints)
        for shoulder, elbow, wrist in ARMS.values():
            line = joints[:, wrist] - joints[:, shoulder]
            line /= np.linalg.norm(line, axis=1, keepdims=True)
            offset = joints[:, elbow] - joints[:, shoulder]
            offset -= (offset * line).sum(1, keepdims=True) * line
            assert (offset * ahead).sum(axis=1).max() < 0, (
                "the elbow lies behind the line from shoulder to wrist"
            )


# --- floor and feet


def test_nothing_goes_through_the_floor(clips):
    for clip in clips:
        assert clip.joints[:, [R_ANKLE, L_ANKLE], 2].min() > 50, clip.name
        assert clip.joints[..., 2].min() > 50, clip.name


def test_planted_feet_do_not_slide(clips, performances):
    made = [(clip.action, clip.joints.astype(float)) for clip in clips]
    made += [(action, forward_kinematics(*both)) for action, all_ in performances.items() for both in all_]
    for action, joints in made:
        standing = np.zeros(len(joints), bool)
        for ankle in (R_ANKLE, L_ANKLE):
            down = planted(joints, ankle)
            standing |= down
            speed = np.linalg.norm(np.diff(joints[:, ankle], axis=0)[:, :2], axis=1)
            assert speed[down[1:] & down[:-1]].max() < 1, f"{action}: mm a frame"
            share = {"walking": (0.3, 0.55), "jogging": (0.2, 0.4), "jumping": (0.4, 0.95)}.get(
                action, (0.5, 1)
            )
            assert share[0] <= down.mean() <= share[1], f"{action}: {down.mean()}"
        if action not in ("jogging", "jumping", "walking"):
            assert standing.all(), "one foot is always on the floor"


# --- smooth, and under gravity


def test_motion_is_smooth(clips, performances):
    # The real capture at the same rate: 99.9% under 140 m/s^2 in running, 160 in soccer.
    bound = {
        "walking": 60,
        "jogging": 110,
        "turning": 110,
        "sitting": 35,
        "waving": 80,
        "reaching": 55,
        "jumping": 140,
    }
    made = [(clip.action, clip.joints.astype(float)) for clip in clips]
    made += [(action, forward_kinematics(*both)) for action, all_ in performances.items() for both in all_]
    for action, joints in made:
        assert np.linalg.norm(acceleration(joints), axis=-1).max() < bound[action], action


def test_a_jump_has_a_crouch_and_a_flight_under_gravity(clips, performances):
    made = of(clips, "jumping") + [forward_kinematics(*both) for both in performances["jumping"]]
    for joints in made:
        rest, floor = joints[0, 0, 2], joints[:, R_ANKLE, 2].min()
        # Toes leave the floor when the ankles are about 80 mm up.
        up = (joints[:, [R_ANKLE, L_ANKLE], 2] > floor + 100).all(axis=1)
        assert up.sum() > 10
        inside = up[2:] & up[1:-1] & up[:-2]
        np.testing.assert_allclose(acceleration(joints)[inside, 0, 2], -9.81, atol=0.02)
        take_off, landing = np.flatnonzero(up)[0], np.flatnonzero(up)[-1]
        assert joints[:take_off, 0, 2].min() < rest - 120, "a crouch before"
        assert joints[landing:, 0, 2].min() < rest - 80, "bent knees after"
        assert joints[up, 0, 2].max() > rest + 100
        assert abs(joints[-1, 0, 2] - rest) < 60, "and up again"


# --- what each action is


@pytest.mark.parametrize(("action", "low", "high"), [("walking", 0.85, 1.6), ("jogging", 2.0, 3.5)])
def test_gaits_go_forward_with_arms_against_legs(clips, action, low, high):
    for joints in of(clips, action):
        right, ahead = facing(joints)
        velocity = np.diff(joints[:, 0], axis=0) * 60 / 1000
        forward = (velocity * ahead[1:]).sum(axis=1)
        assert low < forward.mean() < high
        assert forward.min() > 0.6 * forward.mean()
        assert abs((velocity * right[1:]).sum(axis=1)).mean() < 0.15 * forward.mean()

        place = {
            j: ((joints[:, j] - joints[:, 0]) * ahead).sum(axis=1)
            for j in (R_ANKLE, L_ANKLE, R_WRIST, L_WRIST)
        }
        together = np.corrcoef([place[j] for j in (R_ANKLE, L_ANKLE, R_WRIST, L_WRIST)])
        assert together[0, 1] < -0.8, "one leg against the other"
        assert together[0, 2] < -0.6 and together[1, 3] < -0.6, "an arm against its own leg"
        assert together[0, 3] > 0.6 and together[1, 2] > 0.6, "and with the other"
        assert np.ptp(place[R_WRIST]) > 150, "the arms swing"

        bob = np.ptp(joints[:, 0, 2])
        assert 12 < bob < 90
        # The pelvis rises twice for each time that the right foot comes by.
        spectrum = lambda x: np.abs(np.fft.rfft((x - x.mean()) * np.hanning(len(x)), 4096))  # noqa: E731
        rate = spectrum(joints[:, 0, 2]).argmax() / spectrum(place[R_ANKLE]).argmax()
        assert abs(rate - 2) < 0.15
        lying = planted(joints, R_ANKLE) | planted(joints, L_ANKLE)
        high_up = (joints[:, [R_ANKLE, L_ANKLE], 2].min(axis=1) - joints[:, R_ANKLE, 2].min()).max()
        # A jogger leaves the floor; a walker's lower ankle never rises by more than its heel.
        assert (high_up > 60) == (action == "jogging") and lying.mean() > 0.4


def test_sitting_goes_down_to_a_seat_and_up_again(clips):
    for joints in of(clips, "sitting"):
        height = joints[:, 0, 2]
        knees = joints[:, [R_KNEE, L_KNEE], 2].mean(axis=1)
        lowest = height.argmin()
        assert abs(height[lowest] - knees[lowest]) < 120, "thighs lie level"
        assert (height < height.min() + 30).sum() > 20, "and stay a while"
        assert min(height[0], height[-1]) > height.min() + 280
        _, ahead = facing(joints)
        back = ((joints[:, R_ANKLE] - joints[:, 0]) * ahead).sum(axis=1)
        assert back[lowest] > 250, "the hips are well behind the feet"


def test_waving_swings_a_raised_hand(clips):
    for joints in of(clips, "waving"):
        waves = 0
        for shoulder, elbow, wrist in ARMS.values():
            raised = joints[:, wrist, 2] > joints[:, shoulder, 2]
            right, _ = facing(joints)
            aside = ((joints[:, wrist] - joints[:, elbow]) * right).sum(axis=1)[raised]
            if raised.sum() > 30:
                turns = np.flatnonzero(np.diff(np.sign(np.diff(aside))))
                waves = max(waves, len(turns))
                assert np.ptp(aside) > 100
        assert waves >= 4


def test_turning_turns_on_the_spot(clips):
    for joints in of(clips, "turning"):
        _, ahead = facing(joints)
        angle = np.degrees(np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0])))
        assert np.ptp(angle) > 60
        assert np.ptp(joints[:, 0, :2], axis=0).max() < 250
        # The head is turned the way the body will go.
        head = joints[:, 9] - joints[:, 8]
        head = np.degrees(np.unwrap(np.arctan2(head[:, 1], head[:, 0])))
        rate = np.gradient(angle)
        lead = [np.corrcoef((head - angle)[: -k or None], rate[k:])[0, 1] for k in (0, 12, 24)]
        assert max(lead) > 0.3


def test_reaching_brings_a_hand_far_out_and_back(clips):
    for joints in of(clips, "reaching"):
        out = np.linalg.norm(joints[:, [L_WRIST, R_WRIST]] - joints[:, [L_HIP, R_HIP]], axis=-1)
        assert (out.max(axis=0) - out[0]).max() > 200
        moved = np.linalg.norm(joints[-1] - joints[0], axis=-1)
        assert moved.max() < 200, "and stands again"
