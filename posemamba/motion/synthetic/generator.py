"""The generator: one random body in one random performance of an action, and clips of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from posemamba.motion.clips import SPLITS, Clip
from posemamba.motion.synthetic.actions import reach, sit, wave
from posemamba.motion.synthetic.bodies import Body, Pose, forward_kinematics
from posemamba.motion.synthetic.gaits import jog, turn, walk
from posemamba.motion.synthetic.jumping import jump

Movement = Callable[[np.random.Generator, Body, float, float], Pose]

ACTIONS: dict[str, Movement] = {
    "walking": walk,
    "jogging": jog,
    "turning": turn,
    "sitting": sit,
    "waving": wave,
    "reaching": reach,
    "jumping": jump,
}

# The slowest single movement (a jump with its crouch and landing) still fits.
SHORTEST = 4.0


def perform(
    action: str, seed: int | tuple[int, ...], seconds: float = 5.0, fps: float = 60.0
) -> tuple[Body, Pose]:
    """One random body in one random performance of an action.

    Args:
        action: a name in `ACTIONS`.
        seed: a whole number, or several; the same give the same performance.
        seconds: how long, at least 4.
        fps: frames a second, at least 10.

    Returns:
        The body and its pose; `bodies.forward_kinematics` makes joints of them.

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
    """Believable motion, the same for the same arguments. Each clip has a body, a heading and a manner of
    its own.

    A clip depends on the seed, its split, its action and its number alone: asking for more clips changes
    none.

    Args:
        seed: a whole number, 0 or more.
        train, test: clips of each action in each split.
        seconds, fps: as in `perform`.
        actions: names in `ACTIONS`, all where left out.

    Returns:
        The clips, training first.

    Raises:
        ValueError: arguments out of these ranges.
    """
    actions = list(actions)
    if seed < 0 or min(train, test) < 0 or train + test == 0 or not actions:
        raise ValueError(
            f"seed {seed}, {train} training and {test} test clips of {len(actions)} actions were asked for, "
            "expected a seed and counts of 0 or more, and at least one clip"
        )
    clips, order = [], list(ACTIONS)
    for split, count in zip(SPLITS, (train, test), strict=True):
        for action in actions:
            for number in range(count):
                place = order.index(action) if action in ACTIONS else 0
                body, pose = perform(action, (seed, SPLITS.index(split), place, number), seconds, fps)
                joints = forward_kinematics(body, pose).astype(np.float32)
                clips.append(Clip(joints, fps, f"synthetic/{split}/{action}/{number}", action, split))
    return clips
