"""Movements on planned footsteps: walking, jogging, turning on the spot.

A planted foot cannot slide: footsteps are laid along the root's path first, an ankle stays on its step until
it is lifted, and the legs' angles follow from root and ankles. The root rides as high as the legs allow.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from posemamba.motion.synthetic.bodies import Body, Points, Pose, highest_root, place_feet
from posemamba.motion.synthetic.timing import Track, drift, ease

Path = Float[np.ndarray, "frames 2"]


@dataclass(frozen=True)
class Gait:
    """How one foot moves in a cycle. Phases count cycles from its heel's strike; the other foot is half off.

    Attributes:
        land, lift, under: when the foot lies flat, its heel leaves the floor, the root passes over it.
        rise: the ankle's way up and down between lift and landing, where it is 0: (share of the time, share
            of the clearance).
        travel: the part of that time in which the foot goes forward.
    """

    land: float
    lift: float
    under: float
    rise: tuple[tuple[float, float], ...]
    travel: tuple[float, float]


WALK = Gait(0.06, 0.37, 0.24, ((0.18, 0.3), (0.36, 0.82), (0.46, 1), (0.68, 0.5), (0.9, 0.22)), (0.05, 0.92))
JOG = Gait(0.04, 0.25, 0.15, ((0.15, 0.25), (0.45, 1), (0.75, 0.4), (0.92, 0.07)), (0.03, 0.94))
STEP = Gait(-0.05, 0.55, 0.25, ((0.25, 0.7), (0.5, 1), (0.75, 0.7)), (0.08, 0.92))


def step_feet(
    body: Body, gait: Gait, t: Track, phase: Track, path: Path, heading: Track, apart: float, clearance: float
) -> tuple[dict[str, Points], dict[str, Track]]:
    """Lays footsteps along a path and walks the ankles over them.

    Args:
        body, gait: how high the ankles are, and when the feet lift and land.
        t, phase: times, s, and the right foot's phase at them, never falling.
        path, heading: the root's way over the floor, mm, and degrees, 0 along y and turning left.
        apart, clearance: how far the feet's two lines are apart, and how high an ankle is lifted, mm.

    Returns:
        The ankles `(frames, 3)`, mm, and where the toes point, degrees, both by side.
    """
    from scipy.interpolate import CubicSpline

    rise = CubicSpline(*zip((0, 0), *gait.rise, (1, 0), strict=True), bc_type="clamped")
    # Where phase stands still, the last moment of it counts; np.interp wants it rising.
    moving = np.flatnonzero(np.diff(phase, append=phase[-1] + 1) > 1e-9)
    ankles, toes = {}, {}
    for side, offset, sign in (("right", 0.0, 1), ("left", 0.5, -1)):
        own = phase + offset
        count = np.floor(own - gait.lift).astype(int)
        first = count.min()
        # Step k is where the foot stands up to its lift at phase k + lift.
        when = np.interp(np.arange(first, count.max() + 2) + gait.under, own[moving], t[moving])
        turned = np.interp(when, t, heading)
        across = np.stack([np.cos(np.radians(turned)), np.sin(np.radians(turned))], axis=1)
        place = np.stack([np.interp(when, t, way) for way in path.T], axis=1) + sign * apart / 2 * across
        swing = np.clip((own - gait.lift - count) / (1 + gait.land - gait.lift), 0, 1)
        s = np.clip((swing - gait.travel[0]) / (gait.travel[1] - gait.travel[0]), 0, 1)
        # A slow start while the heel rises, a quick end at the strike: velocity 12 s^2 (1 - s).
        s = s**3 * (4 - 3 * s)
        here, there = place[count - first], place[count - first + 1]
        flat = here + s[:, None] * (there - here)
        ankles[side] = np.column_stack([flat, body.ankle + clearance * np.maximum(rise(swing), 0)])
        toes[side] = turned[count - first] + s * (turned[count - first + 1] - turned[count - first])
    return ankles, toes


def plant(body: Body, pose: Pose, ankles: dict, toes: dict, bob: Track, spare: float) -> None:
    """Sets the legs and the root's height: the bob, raised as far as all ankles are reached, less spare."""
    pose.root[:, 2] = bob + (highest_root(body, pose, ankles) - bob).min() - spare
    # Knees point half-way between the pelvis and the toes, and a little outward.
    outward = (("right", -6), ("left", 6))
    place_feet(body, pose, ankles, {side: (pose.heading + toes[side]) / 2 + out for side, out in outward})


def _run_up(seconds: float, fps: float) -> tuple[Track, int, int]:
    """Times with two seconds more at both ends, so that a clip's first and last steps have neighbours."""
    frames, extra = round(seconds * fps), round(2 * fps)
    return (np.arange(frames + 2 * extra) - extra) / fps, extra, extra + frames


def _trip(generator: np.random.Generator, t: Track, speed: float, stride: float, curve: float):
    """Phase, path, heading at about a speed (m/s) and stride (m a cycle); turns up to `curve` degrees/s."""
    phase = generator.uniform() + t * speed / stride + drift(generator, t, 0.01)
    curve = generator.uniform(-curve, curve)
    heading = generator.uniform(0, 360) + curve * t + drift(generator, t, 12)
    pace = 1000 * speed * (1 + drift(generator, t, 0.03))
    velocity = pace[:, None] * np.stack([-np.sin(np.radians(heading)), np.cos(np.radians(heading))], axis=1)
    # The trapezoid rule: the same path at any frame rate.
    steps = (velocity[1:] + velocity[:-1]) / 2 * (t[1] - t[0])
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return phase, path + generator.uniform(-1000, 1000, 2), heading


def walk(generator: np.random.Generator, body: Body, seconds: float, fps: float) -> Pose:
    """Walking along a gently curving path."""
    draw, (t, start, stop) = generator.uniform, _run_up(seconds, fps)
    speed = draw(0.95, 1.4) * (body.leg / 870) ** 0.5
    stride = 1.12 * speed**0.55 * (body.leg / 870) ** 0.7 * draw(0.95, 1.05)
    trip = _trip(generator, t, speed, stride, 12)
    lively = draw(0.75, 1.25)
    feet = {"apart": draw(0.9, 1.35) * body.hip, "clearance": draw(0.12, 0.145) * body.leg}
    bob = {"bob": 0.015 * body.leg * speed**1.3, "bob phase": 0.015, "spare": 0.0}
    trunk = {"sway": draw(12, 22), "twist": 5 * lively, "list": 3.5, "lean": draw(1, 6)}
    arms = {"swing": 20 * lively * speed, "arms": draw(-6, 2), "elbow": draw(14, 28), "fold": draw(6, 14)}
    return _locomotion(generator, body, WALK, t, *trip, feet | bob | trunk | arms).cut(start, stop)


def jog(generator: np.random.Generator, body: Body, seconds: float, fps: float) -> Pose:
    """Jogging along a gently curving path."""
    draw, (t, start, stop) = generator.uniform, _run_up(seconds, fps)
    speed = draw(2.2, 3.1) * (body.leg / 870) ** 0.5
    stride = speed * draw(0.68, 0.74) * (body.leg / 870) ** 0.5
    trip = _trip(generator, t, speed, stride, 20)
    lively = draw(0.8, 1.2)
    feet = {"apart": draw(0.5, 0.9) * body.hip, "clearance": draw(0.3, 0.42) * body.leg}
    # Runners do not stretch their knees: some of the leg is spared.
    bob = {"bob": 0.037 * body.leg, "bob phase": 0.16, "spare": 0.008 * body.leg}
    trunk = {"sway": draw(5, 10), "twist": 7 * lively, "list": 4, "lean": draw(5, 10)}
    arms = {"swing": 30 * lively, "arms": draw(-12, -4), "elbow": draw(75, 95), "fold": draw(8, 16)}
    return _locomotion(generator, body, JOG, t, *trip, feet | bob | trunk | arms).cut(start, stop)


def _locomotion(generator, body, gait, t, phase, path, heading, style) -> Pose:
    """A whole body over footsteps. The right heel strikes where phase is whole; the rest follows it."""
    pose = Pose(len(t))
    turn, twice = 2 * np.pi * phase, 4 * np.pi * (phase - style["bob phase"])
    ankles, toes = step_feet(body, gait, t, phase, path, heading, style["apart"], style["clearance"])
    forward, aside = np.cos(turn), np.sin(turn)  # the right leg is ahead; the body is over the right leg
    right = np.stack([np.cos(np.radians(heading)), np.sin(np.radians(heading))], axis=1)
    pose.root[:, :2] = path + (style["sway"] * aside)[:, None] * right
    pose.heading = heading + style["twist"] * forward
    pose["pelvis tilt"] = style["lean"] + 1.5 * np.cos(twice)
    pose["pelvis list"] = -style["list"] * aside
    # The chest turns against the pelvis and stays level; the head looks ahead.
    pose["lumbar twist"] = -2 * style["twist"] * forward
    pose["lumbar bend"] = 0.7 * style["list"] * aside
    pose["lumbar flexion"] = 0.4 * style["lean"] + 2 + 1.5 * np.cos(twice)
    pose["neck twist"] = style["twist"] * forward + drift(generator, t, 8)
    pose["neck flexion"] = -0.9 * style["lean"] + drift(generator, t, 4)
    for side, sign in (("right", -1), ("left", 1)):
        # Each arm goes with the other leg, a little late; the elbow bends as it comes forward.
        wave = sign * np.cos(turn - 0.25)
        pose[f"{side} shoulder flexion"] = style["arms"] + style["swing"] * wave + drift(generator, t, 2)
        pose[f"{side} shoulder abduction"] = generator.uniform(6, 12) + 1.5 * np.cos(twice)
        pose[f"{side} shoulder rotation"] = generator.uniform(10, 25) + 5 * wave
        pose[f"{side} elbow flexion"] = style["elbow"] + style["fold"] * wave
    plant(body, pose, ankles, toes, -style["bob"] * np.cos(twice), style["spare"])
    return pose


def turn(generator: np.random.Generator, body: Body, seconds: float, fps: float) -> Pose:
    """Turning on the spot in small steps, one way and another, the head first."""
    t, start, stop = _run_up(seconds, fps)
    draw, wander, pose = generator.uniform, lambda size: drift(generator, t, size), Pose(len(t))
    heading, ahead, phase = np.full(len(t), draw(0, 360)), np.zeros(len(t)), np.zeros(len(t))
    at, way = draw(0.2, 0.6), generator.choice([-1, 1])
    while at < seconds - 0.8:
        angle = way * draw(70, 190)
        cycles = max(1, round(abs(angle) / draw(55, 75)))
        length = cycles * draw(0.95, 1.2)
        s = np.clip((t - at) / length, 0, 1)
        phase += cycles * (0.4 * s + 0.6 * s * s * (3 - 2 * s))
        heading += angle * ease(t, at, at + length)
        ahead += angle * (ease(t, at - 0.25, at + 0.85 * length) - ease(t, at, at + length))
        at += length + draw(0.4, 1.0)
        way = -way if draw() < 0.7 else way
    path = np.stack([wander(15), wander(15)], axis=1) + draw(-1000, 1000, 2)
    window = np.hanning(round(0.4 * fps))
    busy = np.clip(np.convolve(np.gradient(phase, t), window / window.sum(), "same"), 0, 1)
    lift = draw(0.07, 0.11) * body.leg
    ankles, toes = step_feet(body, STEP, t, phase, path, heading, 2.1 * body.hip, lift)
    aside = np.sin(2 * np.pi * phase) * busy
    across = np.stack([np.cos(np.radians(heading)), np.sin(np.radians(heading))], axis=1)
    pose.root[:, :2] = path + (25 * aside)[:, None] * across
    pose.heading = heading
    pose["pelvis tilt"] = draw(0, 4)
    pose["pelvis list"] = -2 * aside
    pose["lumbar twist"] = np.clip(0.35 * ahead, -25, 25)
    pose["lumbar flexion"] = draw(0, 5) + wander(1.5)
    pose["lumbar bend"] = 1.5 * aside
    pose["neck twist"] = np.clip(0.9 * ahead, -50, 50) + wander(5)
    pose["neck flexion"] = wander(4)
    hang = draw(6, 12)
    for side, sign in (("right", -1), ("left", 1)):
        pose[f"{side} shoulder flexion"] = wander(3) + 5 * sign * aside + 0.12 * sign * ahead
        pose[f"{side} shoulder abduction"] = hang + 5 * busy + wander(1.5)
        pose[f"{side} shoulder rotation"] = draw(10, 25)
        pose[f"{side} elbow flexion"] = draw(12, 24) + 8 * busy
    plant(body, pose, ankles, toes, 0 * t, 0.004 * body.leg)
    return pose.cut(start, stop)
