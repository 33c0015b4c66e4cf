"""Standing jumps: a crouch, a push, flight under gravity, a landing."""

from __future__ import annotations

import numpy as np

from posemamba.motion.synthetic.actions import Stand
from posemamba.motion.synthetic.bodies import SIDES, Body, Pose
from posemamba.motion.synthetic.timing import ease, keys, quintic

GRAVITY = 9810.0  # mm/s^2


def jump(generator: np.random.Generator, body: Body, seconds: float, fps: float) -> Pose:
    """Standing jumps: a crouch with the arms back, a push, flight under gravity, a landing on bent knees.

    In flight the root's height is a falling body's, with g = 9.81 m/s^2. Arguments as `gaits.walk`.
    """
    stand = Stand(generator, body, seconds, fps)
    draw, t, pose = generator.uniform, stand.t, stand.pose
    lifted, moved = np.zeros(len(t)), np.zeros(len(t))
    heel = 0.09 * body.leg  # how far the ankle rises before the toes leave the floor
    at = draw(0.05, 0.35)
    while True:
        speed = np.sqrt(2 * GRAVITY * draw(0.12, 0.33) * body.leg)
        leap = draw(0, 350) if draw() < 0.5 else 0.0
        crouch, landing = draw(0.2, 0.32) * body.leg, draw(0.14, 0.24) * body.leg
        top = heel - 0.01 * body.leg  # the root over standing when the toes leave
        dip, push = draw(0.42, 0.6), 1.9 * (top + crouch) / speed
        flight, absorb, recover = 2 * speed / GRAVITY, 2.1 * (top + landing) / speed, draw(0.5, 0.75)
        marks = np.cumsum([at, dip, push, flight, absorb, recover])
        if marks[-1] > seconds:
            break
        low, off, land, soft, done = marks[1:]
        root = quintic(t, at, low, (0, 0, 0), (-crouch, 0, 0))
        flying = (t >= off) & (t <= land)
        for begin, end, first, last in (
            (low, off, (-crouch, 0, 0), (top, speed, -GRAVITY)),
            (off, land, (top, speed, -GRAVITY), (top, -speed, -GRAVITY)),
            (land, soft, (top, -speed, -GRAVITY), (-landing, 0, 0)),
            (soft, done, (-landing, 0, 0), (0, 0, 0)),
        ):
            root = np.where(t > begin, quintic(t, begin, end, first, last), root)
        inside = (t > at) & (t < done)
        stand.up = np.where(inside, root, stand.up)
        # Heels rise just before the toes leave, and come down just after they touch, at the root's own speed.
        roll = 2.2 * heel / speed
        s = np.clip((t - off) / flight, 0, 1)
        tuck = draw(0.03, 0.12) * body.leg * 64 * (s * (1 - s)) ** 3
        up = quintic(t, off - roll, off, (0, 0, 0), (heel, speed, -GRAVITY))
        down = quintic(t, land, land + roll, (heel, -speed, -GRAVITY), (0, 0, 0))
        parts = [(t > off - roll) & (t < off), flying, (t > land) & (t < land + roll)]
        lifted += np.select(parts, [up, root - top + heel + tuck, down], 0.0)
        # Over the floor the root flies at one speed, and the feet swing ahead under it.
        begin, pace = off - 0.7 * push, 0.65 * leap / flight
        go = quintic(t, begin, off, (0, 0, 0), (0.2 * leap, pace, 0))
        stop = quintic(t, land, soft + 0.1, (0.85 * leap, pace, 0), (leap, 0, 0))
        parts = [t < begin, t < off, t <= land, t < soft + 0.1]
        stand.ahead = stand.ahead + np.select(parts, [0 * t, go, 0.2 * leap + pace * (t - off), stop], leap)
        moved += leap * ease(t, off - 0.3 * roll, land)
        _swing_arms(stand, at, low, off, land, soft, done)
        times = [at, low, off, off + 0.5 * flight, soft, done]
        bow = keys(stand.t, times, [0, draw(32, 46), 0, 2, draw(24, 36), 0])
        pose["pelvis tilt"] += 0.6 * bow
        pose["lumbar flexion"] += 0.4 * bow
        pose["neck flexion"] -= 0.45 * bow
        stand.ahead = stand.ahead - 2.6 * bow
        at = done + draw(0.1, 0.4)
    return stand.finish(stand.ankles(lifted, moved))


def _swing_arms(stand: Stand, at, low, off, land, soft, done) -> None:
    """Back in the crouch, up with the push, down again through the landing."""
    draw, high = stand.generator.uniform, stand.generator.uniform(60, 130)
    for side in SIDES:
        times = [at, low - 0.05, off + 0.03, land, soft + 0.05, done]
        swing = [0, draw(-38, -24), high + draw(-6, 6), 0.65 * high, draw(10, 30), 0]
        stand.pose[f"{side} shoulder flexion"] += keys(stand.t, times, swing, soft=0.08)
        stand.pose[f"{side} shoulder abduction"] += keys(stand.t, times, [0, 6, 8, 14, 10, 0])
        stand.pose[f"{side} elbow flexion"] += keys(stand.t, times, [0, 12, draw(5, 20), 25, 20, 0])
