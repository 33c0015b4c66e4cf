"""Drawings of "Does the order matter?"."""

import numpy as np

from posemamba import book
from posemamba.orders import CONTROLS, STRATEGIES
from posemamba.skeleton import JOINTS
from tools.drawings.pen import BLUE, GREEN, ORANGE, arrow, dot, line, words
from tools.drawings.what_the_scan_attends_to import path

GRID = (3, 4)  # frames, joints


def six_strategies() -> tuple[str, str, int, list[str]]:
    """The directions of the six strategies, on three frames of four joints."""
    (frames, joints), gap, high = GRID, 28, 148
    parts, told = [words((14, 20), "Three frames across, four joints down", size=14)], []
    one_way = [name for name, strategy in STRATEGIES.items() if len(set(strategy)) < len(strategy)]
    places = {name: (14 + 258 * (k % 2), 52 + high * (k // 2)) for k, name in enumerate(one_way)}
    places |= {name: (14, 52 + high * (2 + k)) for k, name in enumerate(("bidirectional", "global-local"))}
    for name, (x, y) in places.items():
        shown = [*dict.fromkeys(STRATEGIES[name])]
        twice = name in one_way
        parts.append(words((x, y), name, bold=True))
        if twice:
            parts.append(words((x + 236, y), "each twice", size=14, anchor="end"))
        if any(direction.mix for direction in shown):
            parts.append(words((x + 110, y), "orange: with the limb\u2019s joint added", ORANGE, size=14))
        for k, direction in enumerate(shown):
            drawn = path((x + 24 + 129 * k, y + 20), gap, direction.permutation(frames, joints), joints)
            parts += [part.replace(BLUE, ORANGE) for part in drawn] if direction.mix else drawn
        told.append(f"{name}: {', '.join(d.name for d in shown)}{', each twice' * twice}")
    alt = (
        "For each of the six strategies a grid of three frames and four joints for each of its directions, "
        f"with the way through it. {'. '.join(told)}."
    )
    return "What the six strategies read", alt, 52 + high * 4 - 26, parts


def shuffled() -> list[int]:
    """The joint that "shuffled joints" reads at each place, in the run with seed 0."""
    runs = book.measured("order_sweep")["runs"]
    return next(run["joint_order"] for run in runs if (run["arm"], run["seed"]) == ("shuffled joints", 0))


def mixes() -> tuple[str, str, int, list[str]]:
    """What each control does to the 17 joints, and what it is there to ask."""
    rows = {
        "bidirectional": (None, "x", ""),
        "global-self": (CONTROLS["global-self"][0].mix, "x + x", "a larger input?"),
        "global-random": (CONTROLS["global-random-0"][0].mix, "x + x[random]", "any other joint?"),
        "global-local": (STRATEGIES["global-local"][0].mix, "x + x[limb]", "the limb\u2019s joint?"),
        "shuffled joints": (shuffled(), "x, in another order", "the order itself?"),
    }
    left, gap, drop, y, parts = 16.0, 30.0, 50, 22.0, []
    for name, (source, formula, question) in rows.items():
        parts += [words((14, y), name, bold=True), words((146, y), formula, BLUE)]
        parts += [words((506, y), question, ORANGE, anchor="end")] if question else []
        top, y = y + 20, y + 20 + (0 if source is None else drop)
        for j in range(JOINTS):
            here, label = (left + gap * j, y), j
            if source is not None:
                other = source[j]
                there, label = (left + gap * other, top), other if name == "shuffled joints" else j
                colour = BLUE if other == j else ORANGE
                parts += [line(there, here, colour, 1.6), dot((left + gap * j, top), 4)]
            parts += [dot(here, 4), words(here, str(label), shift=(0, 20), size=14, anchor="middle")]
        y += 54
    alt = (
        "Five rows of the 17 joints. Under bidirectional each joint is read as it is. Under global-self a "
        "line leads from each joint to itself. Under global-random lines lead from joints drawn at random; "
        "some joints are drawn twice and some never. Under global-local each joint has a joint of the limb "
        "order: mostly the one before it, the one after it, or itself. With shuffled joints each joint "
        "stands at another place, and nothing is added."
    )
    return "What each variant does to the joints", alt, int(y - 26), parts


def pairs() -> tuple[str, str, int, list[str]]:
    """What two variants with one seed share."""
    parts = []
    for row, (seed, y) in enumerate((("seed 0", 24), ("seed 1", 160))):
        middle = y + 58
        parts += [words((14, middle + 5), seed, bold=True)]
        parts += [
            words((86, middle - 6), "first weights", GREEN, size=14),
            words((86, middle + 14), "and batches", GREEN, size=14),
        ]
        ends = []
        for name, colour, up in (("global-local", ORANGE, -34), ("bidirectional", BLUE, 34)):
            at = np.array([206.0, middle + up])
            parts += arrow((180, middle + 0.15 * up), at + np.array([-2, -0.2 * up]), GREEN)
            parts += [words(at, name, colour, (4, 5), bold=True)]
            end = at + np.array([150, 0])
            parts += [*arrow(at + np.array([112, 0]), end, colour), words(end, "error", colour, (6, 5))]
            ends.append(end + np.array([48, 0]))
        parts += [
            line(*ends, width=1.5),
            words((ends[0] + ends[1]) / 2, f"difference {row + 1}", shift=(10, 5), size=14),
        ]
    parts += [words((14, 290), "and so on; then the mean of the differences, and its interval")]
    alt = (
        "Two seeds. In each, the same first weights and batches lead to global-local and to bidirectional; "
        "each gives an error, and the two errors one difference. The differences of all seeds are averaged."
    )
    return "What a pair shares", alt, 304, parts
