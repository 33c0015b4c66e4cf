"""Movements that begin and end on standing feet: waving, reaching, sitting down and up, jumping.

Root, trunk and arms follow key values at key times, and the legs' angles follow from root and feet.
"""

from itertools import pairwise

import numpy as np
from jaxtyping import Float

from posemamba.motion.synthetic.bodies import SIDES, Body, Pose, highest_root, place_feet
from posemamba.motion.synthetic.timing import Track, drift, ease, keys, quintic

_ARM = ("shoulder flexion", "shoulder abduction", "shoulder rotation", "elbow flexion")


class Stand:
    """A body on two planted feet that the movements below build on: it stands at ease, breathes and sways.

    `ahead`, `aside` and `up` say where the root is relative to the middle of the feet and to standing, mm.
    """

    def __init__(self, generator: np.random.Generator, body: Body, seconds: float, fps: float):
        self.generator, self.body = generator, body
        self.t: Track = np.arange(round(seconds * fps)) / fps
        self.pose = pose = Pose(len(self.t))
        draw, wander = generator.uniform, lambda size: drift(generator, self.t, size)
        self.facing, self.place = draw(0, 360), draw(-1000, 1000, 2)
        pose.heading = self.facing + wander(1.5)
        half, stagger = body.hip * draw(0.95, 1.5), draw(-40, 40)
        self.stance = {"right": (half, stagger), "left": (-half, -stagger)}
        self.splay = draw(4, 12)
        # At ease the root is a little before the ankles: the weight is on the middle of the foot.
        self.ahead, self.aside, self.up = 30 + wander(7), wander(9), np.zeros(len(self.t))
        pose["pelvis tilt"] = draw(0, 4) + wander(0.8)
        pose["lumbar flexion"] = draw(0, 5) + wander(1.2) + 0.6 * np.sin(2 * np.pi * self.t / 3.7)  # a breath
        pose["lumbar twist"], pose["lumbar bend"] = wander(3), wander(1.2)
        pose["neck twist"], pose["neck flexion"], pose["neck bend"] = wander(8), wander(5), wander(2)
        for side in SIDES:
            pose[f"{side} shoulder flexion"] = draw(-4, 4) + wander(2)
            pose[f"{side} shoulder abduction"] = draw(6, 13) + wander(1.5)
            pose[f"{side} shoulder rotation"] = draw(10, 28) + wander(2)
            pose[f"{side} elbow flexion"] = draw(10, 22) + wander(3)

    def floor(self, right: Track | float, ahead: Track | float) -> Float[np.ndarray, "frames 2"]:
        """Points over the floor, given to the right of and ahead of where the body stands, mm."""
        angle = np.radians(self.facing)
        right, ahead = np.broadcast_arrays(right, ahead)
        x = self.place[0] + right * np.cos(angle) - ahead * np.sin(angle)
        return np.stack([x, self.place[1] + right * np.sin(angle) + ahead * np.cos(angle)], axis=-1)

    def ankles(self, height: Track | float = 0.0, forward: Track | float = 0.0) -> dict[str, np.ndarray]:
        """The ankles, so much above and ahead of where they stand, mm."""
        still = np.zeros(len(self.t))
        return {
            side: np.column_stack([self.floor(x + still, y + forward), self.body.ankle + height + still])
            for side, (x, y) in self.stance.items()
        }

    def standing_height(self) -> float:
        """The root's height when the body stands straight, mm."""
        upright = Pose(1)
        upright.root[:, :2], upright.heading[:] = self.floor(0.0, 30.0), self.facing
        return float(highest_root(self.body, upright, {s: a[:1] for s, a in self.ankles().items()})[0]) - 1.5

    def finish(self, ankles: dict[str, np.ndarray] | None = None) -> Pose:
        """Puts the root over the floor and the feet on it.

        Where a movement plans no ankles they stand still, and the root comes down as far as the legs need.
        """
        pose = self.pose
        pose.root[:, :2] = self.floor(self.aside, self.ahead)
        standing, up = self.standing_height(), self.up
        if ankles is None:
            ankles = self.ankles()
            room = highest_root(self.body, pose, ankles) - standing
            # A smooth minimum: knees would jerk where a leg gets straight all at once.
            up = -4 * np.logaddexp(-up / 4, -room / 4)
        pose.root[:, 2] = standing + up
        toes = {"right": pose.heading - self.splay, "left": pose.heading + self.splay}
        place_feet(self.body, pose, ankles, toes)
        return pose


def wave(generator: np.random.Generator, body: Body, seconds: float, fps: float) -> Pose:
    """Standing and waving with one hand, now and then with both."""
    stand = Stand(generator, body, seconds, fps)
    draw, t, pose = generator.uniform, stand.t, stand.pose
    main = generator.choice(SIDES)
    sides = SIDES if draw() < 0.25 else (main,)
    raised, at = np.zeros(len(t)), draw(0.1, 0.5)
    while True:
        up, hold, down = draw(0.5, 0.8), draw(1.0, 1.8), draw(0.6, 0.9)
        if at + up + hold + down > seconds:
            break
        raised = np.maximum(raised, ease(t, at, at + up) - ease(t, at + up + hold, at + up + hold + down))
        at += up + hold + down + draw(0.2, 0.6)
    rate, phase = draw(1.5, 2.3), draw(0, 2 * np.pi)
    for side in sides:
        swing = raised**2 * np.sin(2 * np.pi * rate * t + phase + (0 if side == main else draw(-0.5, 0.5)))
        wide, open_, bend = draw(65, 100), draw(60, 90), draw(75, 100)
        for name, goal in zip(_ARM, (draw(0, 20), wide, -open_, bend), strict=True):
            pose[f"{side} {name}"] = pose[f"{side} {name}"] * (1 - raised) + goal * raised
        pose[f"{side} shoulder abduction"] += draw(2, 6) * swing
        pose[f"{side} elbow flexion"] += draw(18, 30) * swing
    lean = (1 if main == "right" else -1) * raised * (len(sides) == 1)
    pose["lumbar bend"] -= draw(1, 4) * lean  # away from the raised arm
    pose["neck bend"] -= draw(0, 4) * lean
    stand.aside = stand.aside - draw(5, 20) * lean
    return stand.finish()


# What a hand reaches for: the angles of `_ARM`, the trunk's flexion and twist (towards the other side, so
# that the shoulder comes forward), the pelvis' tilt, how far the knees let the root down (shares of the leg).
_TARGETS = {
    "high shelf": (150, 12, 0, 15, -6, 6, -3, 0),
    "table": (72, 6, 10, 22, 18, 14, 10, 0.01),
    "far table": (92, 4, 5, 10, 26, 22, 24, 0.03),
    "to the side": (25, 85, 0, 18, 4, -18, 0, 0),
    "across": (85, -18, 15, 25, 10, 24, 4, 0),
    "low shelf": (70, 8, 5, 10, 34, 14, 34, 0.16),
    "floor": (72, 8, 5, 6, 42, 12, 46, 0.36),
}


def reach(generator: np.random.Generator, body: Body, seconds: float, fps: float) -> Pose:
    """Standing and reaching with one hand for things high, low, near and far."""
    stand = Stand(generator, body, seconds, fps)
    draw, t, pose = generator.uniform, stand.t, stand.pose
    at, names = draw(0.15, 0.4), []
    while True:
        names = names or list(generator.permutation(list(_TARGETS)))
        side, target = generator.choice(SIDES), _TARGETS[names.pop()]
        flex, wide, turn, elbow, trunk, twist, tilt, sink = np.array(target) * draw(0.88, 1.08, 8)
        out, hold, back = draw(0.6, 0.9) + 0.8 * sink, draw(0.15, 0.5), draw(0.6, 0.9) + 0.8 * sink
        if at + out + hold + back > seconds:
            break
        on = ease(t, at, at + out) - ease(t, at + out + hold, at + out + hold + back)
        # The trunk sets out a little before the arm.
        bow = ease(t, at - 0.1, at + out) - ease(t, at + out + hold - 0.05, at + out + hold + back)
        sign = 1 if side == "right" else -1
        # The elbow folds on the way out and on the way back.
        ways = ((at, at + out), (at + out + hold, at + out + hold + back))
        fold = sum(np.sin(np.pi * ease(t, *way)) for way in ways)
        for name, goal in zip(_ARM, (flex, wide, turn, elbow), strict=True):
            pose[f"{side} {name}"] = pose[f"{side} {name}"] * (1 - on) + goal * on
        pose[f"{side} elbow flexion"] += draw(15, 35) * fold
        other = "left" if side == "right" else "right"
        pose[f"{other} shoulder flexion"] += (0.25 * trunk + 0.4 * tilt - 8 * (flex > 120)) * bow
        pose[f"{other} elbow flexion"] += draw(4, 14) * bow
        pose["lumbar flexion"] += trunk * bow
        pose["lumbar twist"] += sign * twist * bow
        pose["pelvis tilt"] += tilt * bow
        pose["neck flexion"] += (-0.35 * (trunk + tilt) if flex < 120 else -18) * bow
        pose["neck twist"] -= sign * (0.5 * twist - (25 if wide > 60 else 0)) * bow
        stand.aside = stand.aside + sign * (35 if wide > 60 else 12) * bow
        # Hips go back as the trunk goes forward, and the root sinks with the knees.
        stand.ahead = stand.ahead - (2.2 * tilt + 0.8 * trunk + 120 * sink) * bow
        stand.up = stand.up - sink * body.leg * bow
        at += out + hold + back + draw(0.1, 0.4)
    return stand.finish()


def sit(generator: np.random.Generator, body: Body, seconds: float, fps: float) -> Pose:
    """Sitting down on a chair (not drawn), staying, and standing up again."""
    stand = Stand(generator, body, seconds, fps)
    draw, t, pose = generator.uniform, stand.t, stand.pose
    height = stand.standing_height()
    style = generator.choice(["lap", "knees", "hang"])
    flex, elbow = {"lap": (24, 62), "knees": (38, 32), "hang": (6, 16)}[style]
    seat = draw(1.0, 1.12) * body.shank + body.ankle + 25  # the hips' height on the chair
    back, out = draw(0.9, 1.0) * body.thigh, draw(-5, 12)
    slot = seconds / max(1, int(seconds // 4.5))
    for begin in np.arange(0, seconds - 0.9 * slot, slot):
        down, up, lead, tail = draw(1.05, 1.35), draw(0.95, 1.2), draw(0.1, 0.4), draw(0.2, 0.4)
        start, rise = begin + lead, begin + slot - tail - up
        sat = ease(t, start, start + down) - ease(t, rise, rise + up)
        # Hips go back first and then down; on the way up they come forward a little before they rise.
        slid = ease(t, start - 0.05, start + 0.9 * down) - ease(t, rise + 0.05 * up, rise + up)
        lean, rest, first, last = draw(30, 42), draw(-8, 2), start + 1.1 * down, rise - 0.15 * up
        last = max(last, first + 0.05)
        nod = [start - 0.05, start + 0.55 * down, first, last, rise + 0.35 * up, rise + 1.05 * up]
        bow = keys(t, nod, [0, lean, rest, rest, lean, 0], soft=0.1)
        pose["pelvis tilt"] += 0.55 * bow - 6 * sat
        pose["lumbar flexion"] += 0.45 * bow + 8 * sat
        pose["neck flexion"] -= 0.4 * bow
        pose["neck twist"] += drift(generator, t, 14) * sat
        for side in SIDES:
            # The arms go forward with the bow, and lie on the thighs or hang beside the chair.
            swing = draw(0.35, 0.6) * np.maximum(bow, 0)
            pose[f"{side} shoulder flexion"] += (flex + draw(-4, 4)) * sat + swing
            pose[f"{side} shoulder rotation"] += draw(5, 15) * sat
            pose[f"{side} elbow flexion"] += (elbow + draw(-6, 6) - 14) * sat
            pose[f"{side} shoulder abduction"] += out * sat
        stand.ahead = stand.ahead - (back + 30) * slid
        stand.up = stand.up + (seat - height) * sat
    return stand.finish()


GRAVITY = 9810.0  # mm/s^2


def jump(generator: np.random.Generator, body: Body, seconds: float, fps: float) -> Pose:
    """Standing jumps: a crouch with the arms back, a push, flight under gravity, a landing on bent knees.

    In flight the root's height is a falling body's, with g = 9.81 m/s^2.
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
        # The root's height, velocity and acceleration at the six marks.
        still, leave, touch = (0, 0, 0), (top, speed, -GRAVITY), (top, -speed, -GRAVITY)
        states, root = (still, (-crouch, 0, 0), leave, touch, (-landing, 0, 0), still), 0 * t
        for (begin, first), (end, last) in pairwise(zip(marks, states, strict=True)):
            root = np.where(t > begin, quintic(t, begin, end, first, last), root)
        stand.up = np.where((t > at) & (t < done), root, stand.up)
        # Heels rise just before the toes leave, and come down just after they touch, at the root's own speed.
        roll = 2.2 * heel / speed
        s = np.clip((t - off) / flight, 0, 1)
        tuck = draw(0.03, 0.12) * body.leg * 64 * (s * (1 - s)) ** 3
        up = quintic(t, off - roll, off, still, (heel, speed, -GRAVITY))
        down = quintic(t, land, land + roll, (heel, -speed, -GRAVITY), still)
        parts = [(t > off - roll) & (t < off), (t >= off) & (t <= land), (t > land) & (t < land + roll)]
        lifted += np.select(parts, [up, root - top + heel + tuck, down], 0.0)
        # Over the floor the root flies at one speed, and the feet swing ahead under it.
        begin, pace = off - 0.7 * push, 0.65 * leap / flight
        go = quintic(t, begin, off, still, (0.2 * leap, pace, 0))
        stop = quintic(t, land, soft + 0.1, (0.85 * leap, pace, 0), (leap, 0, 0))
        parts = [t < begin, t < off, t <= land, t < soft + 0.1]
        stand.ahead = stand.ahead + np.select(parts, [0 * t, go, 0.2 * leap + pace * (t - off), stop], leap)
        moved += leap * ease(t, off - 0.3 * roll, land)
        # The arms go back in the crouch, up with the push, and down again through the landing.
        high, times = draw(60, 130), [at, low - 0.05, off + 0.03, land, soft + 0.05, done]
        for side in SIDES:
            swing = [0, draw(-38, -24), high + draw(-6, 6), 0.65 * high, draw(10, 30), 0]
            pose[f"{side} shoulder flexion"] += keys(t, times, swing, soft=0.08)
            pose[f"{side} shoulder abduction"] += keys(t, times, [0, 6, 8, 14, 10, 0])
            pose[f"{side} elbow flexion"] += keys(t, times, [0, 12, draw(5, 20), 25, 20, 0])
        times = [at, low, off, off + 0.5 * flight, soft, done]
        bow = keys(t, times, [0, draw(32, 46), 0, 2, draw(24, 36), 0])
        pose["pelvis tilt"] += 0.6 * bow
        pose["lumbar flexion"] += 0.4 * bow
        pose["neck flexion"] -= 0.45 * bow
        stand.ahead = stand.ahead - 2.6 * bow
        at = done + draw(0.1, 0.4)
    return stand.finish(stand.ankles(lifted, moved))
