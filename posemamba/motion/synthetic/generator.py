"""The generator: one random body in one random performance of an action, and clips of many.

A movement takes the generator of all its variation, the body, the clip's seconds and its frames a second.
"""

from collections.abc import Callable, Iterable
from itertools import product

import numpy as np

from posemamba.motion.clips import SPLITS, Clip
from posemamba.motion.synthetic.actions import jump, reach, sit, wave
from posemamba.motion.synthetic.bodies import Body, Pose, forward_kinematics
from posemamba.motion.synthetic.gaits import jog, turn, walk

Movement = Callable[[np.random.Generator, Body, float, float], Pose]

ACTIONS: dict[str, Movement] = dict(
    walking=walk, jogging=jog, turning=turn, sitting=sit, waving=wave, reaching=reach, jumping=jump
)
SHORTEST = 4.0  # s: the slowest single movement (a jump with its crouch and landing) still fits


def perform(action: str, seed: int | tuple, seconds: float = 5.0, fps: float = 60.0) -> tuple[Body, Pose]:
    """One random body, and its pose in one random performance of an action.

    `bodies.forward_kinematics` makes joints of them.

    Args:
        action: its name, such as "walking"; `synthetic_clips` lists them.
        seed: a whole number, or several; the same give the same performance.
        seconds, fps: how long, at least 4 s, and frames a second, at least 10.

    Raises:
        ValueError: an unknown action, a time or a rate out of range.
    """
    if action not in ACTIONS:
        raise ValueError(f"there is no action {action!r}, expected one of {', '.join(ACTIONS)}")
    if not seconds >= SHORTEST:
        raise ValueError(f"a synthetic clip of {seconds} s was asked for, expected at least {SHORTEST:g} s")
    if not fps >= 10:
        raise ValueError(f"fps is {fps}, expected at least 10 frames a second")
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    body = Body.sample(generator)
    return body, ACTIONS[action](generator, body, seconds, fps)


def synthetic_clips(
    seed: int = 0,
    train: int = 4,
    test: int = 2,
    seconds: float = 5.0,
    fps: float = 60.0,
    actions: Iterable[str] = tuple(ACTIONS),
) -> list[Clip]:
    """Believable motion, training clips first. Each has a body, a heading and a manner of its own.

    A clip depends on the seed, its split, its action and its number alone: asking for more changes none.

    Args:
        seed: a whole number, 0 or more.
        train, test: clips of each action in each split.
        seconds, fps: as in `perform`.
        actions: some of "walking", "jogging", "turning", "sitting", "waving", "reaching" and "jumping".

    Raises:
        ValueError: arguments out of these ranges.
    """
    actions = list(actions)
    if seed < 0 or min(train, test) < 0 or train + test == 0 or not actions:
        found = f"seed {seed}, {train} training and {test} test clips of {len(actions)} actions"
        raise ValueError(f"{found} were asked for, expected numbers of 0 or more, and at least one clip")
    clips, order = [], [*ACTIONS, *actions]  # an unknown action is for `perform` to refuse
    for kind, count in enumerate((train, test)):
        for action, number in product(actions, range(count)):
            body, pose = perform(action, (seed, kind, order.index(action), number), seconds, fps)
            joints, split = forward_kinematics(body, pose).astype(np.float32), SPLITS[kind]
            clips.append(Clip(joints, fps, f"synthetic/{split}/{action}/{number}", action, split))
    return clips
