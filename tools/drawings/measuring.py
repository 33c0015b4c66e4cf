"""Drawings of "Measuring"."""

from itertools import pairwise

import numpy as np

from tools.drawings.pen import BLUE, GREEN, ORANGE, arrow, boxed, dot, line, words


def protocol() -> tuple[str, str, int, list[str]]:
    """From a network's answer to P1; what is not the network's stands on the left."""
    left, width, high, apart = 196, 308, 34, 54
    steps = [
        ("the answer: 2.5D, in half widths", None),
        ("the pelvis set to 0", None),
        ("times half the width: pixels", None),
        ("times the factor: millimetres", "mm a pixel"),
        ("distance to the truth, each joint", "2.5D pose in mm"),
        ("mean over 17 joints: a frame", None),
        ("mean over the frames of an action", "list of takes to skip"),
        ("mean over 15 actions: P1", None),
    ]
    parts = [words((14, 26), "told", ORANGE, bold=True)]
    parts += [words((left, 26), "from the network", BLUE, bold=True)]
    for k, (text, given) in enumerate(steps):
        y = 40 + apart * k
        parts += boxed((left, y), (width, high), text, BLUE, bold=k in (0, 7))
        if k:
            parts += arrow((left + width / 2, y - apart + high), (left + width / 2, y), BLUE)
        if given:
            parts += [
                *boxed((6, y), (158, high), given, ORANGE),
                *arrow((164, y + high / 2), (left, y + high / 2), ORANGE),
            ]
    bottom = 40 + apart * len(steps)
    parts += [words((14, bottom + 8), "Never asked for: what is left of a take after its last whole window.")]
    alt = (
        "Eight boxes from top to bottom: the answer in 2.5D, the pelvis set to 0, times half the width, "
        "times the factor, the distance to the truth of each joint, the mean over 17 joints, over the frames "
        "of an action, over 15 actions, which is P1. From the left, not from the network, come the factor, "
        "the true 2.5D pose in millimetres, and the list of takes to skip."
    )
    return "From an answer to P1", alt, bottom + 20, parts


def choosing() -> tuple[str, str, int, list[str]]:
    """Who chooses the epoch, and who grades it."""
    parts, heights = [], (0.55, 0.2, 0.45, 0.05, 0.4, 0.25, 0.5, 0.3)
    for row, (title, top) in enumerate((("As released", 0), ("With people held out", 196))):
        y = top + 96
        parts += [words((14, top + 22), title, bold=True)]
        parts += [
            line((150, y + 4), (500, y + 4), width=1),
            words((14, y), "the epochs\u2019"),
            words((14, y + 18), "test errors"),
        ]
        places = [np.array([172 + 44 * k, y - 10 - 78 * height]) for k, height in enumerate(heights)]
        parts += [line(a, b, width=1, opacity=0.6) for a, b in pairwise(places)]
        chosen = 3 if row == 0 else 5
        for k, place in enumerate(places):
            parts.append(dot(place, 7 if k == chosen else 3.5, GREEN if k == chosen else "currentColor"))
        under, target = top + 132, places[chosen] + [0, 8]
        if row == 0:
            parts += boxed((150, under), (350, 34), "test people: choose and grade", ORANGE)
            parts += arrow((target[0], under), target, ORANGE)
        else:
            parts += boxed((150, under), (190, 34), "held out: choose", BLUE)
            parts += boxed((354, under), (146, 34), "test: grade", ORANGE)
            parts += [
                *arrow((300, under), target - np.array([6, 0]), BLUE),
                *arrow((420, under), target + np.array([6, 2]), ORANGE),
            ]
    parts += [words((14, 384), "The least of many noisy errors is lower than what")]
    parts += [words((14, 403), "that network would get on other people.")]
    alt = (
        "Twice eight epochs with test errors that go up and down. Above, the test people choose the epoch "
        "with the lowest of their own errors, and that error is reported. Below, held-out people choose an "
        "epoch, and the test people only grade it; its error is a little higher."
    )
    return "Who chooses, who grades", alt, 414, parts
