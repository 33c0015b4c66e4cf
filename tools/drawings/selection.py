"""Drawings of "Selection"."""

import numpy as np

from tools.drawings.pen import BLUE, GREEN, ORANGE, YELLOW, arrow, boxed, dot, line, shape, words

# Two sequences that the chapter prints: letters at random places, dots, and three questions.
SEQUENCES = ("··A···············GB·???", "·C··········D·······G???")
BY_PLACE = (BLUE, ORANGE, GREEN)


def clock() -> tuple[str, str, int, list[str]]:
    """Two sequences whose dots have a step of 0: on the channel's clock they are the same."""
    size, start, tick, zero = 20, 20, 62, 82

    def box(left, top, text, colour) -> list[str]:
        corners = [(left + 1, top), (left + size - 1, top), (left + size - 1, top + 22), (left + 1, top + 22)]
        filled = colour if colour != "currentColor" else "none"
        return [
            shape(corners, colour, filled, 0.3),
            words((left + size / 2, top + 16), text, size=14, anchor="middle"),
        ]

    parts = [words((start, 18), "24 tokens; a dot has a step of 0", bold=True)]
    for sequence, row, stays_at in zip(SEQUENCES, (28, 286), (100, 218), strict=True):
        time, upper = 0, row < 100
        for place, sign in enumerate(sequence):
            left = start + size * place
            colour = "currentColor" if sign == "·" else BY_PLACE[time % 3]
            parts += box(left, row, sign, colour)
            if sign == "·":
                continue
            on_clock = zero + tick * time
            ends = (row + 22, stays_at) if upper else (row, stays_at + 22)
            parts += [line((left + size / 2, ends[0]), (on_clock + size / 2, ends[1]), colour, 1.2, "4 3")]
            parts += box(on_clock, stays_at, sign, colour)
            time += 1
    middle = zero + size / 2
    for k, colour in enumerate(BY_PLACE):
        high = 138 + 15 * k
        parts += arrow((middle + tick * k, high), (middle + tick * (k + 3), high), colour, 2.2)
    parts += [line((middle + tick * k, 184), (middle + tick * k, 194)) for k in range(6)]
    parts += arrow((30, 189), (500, 189))
    parts += [words((middle + tick * k, 211), str(k + 1), size=14, anchor="middle") for k in range(6)]
    parts += [words((500, 180), "clock \u03c4", anchor="end")]
    parts += [words((start, 335), "On the clock each letter stands 3 before its question.")]
    alt = (
        "Two sequences of 24 tokens. In the first the letters A, G, B stand at places 2, 18 and 19, in the "
        "second C, D, G at 1, 12 and 20; three questions end both. Lines lead from letters and questions to "
        "a clock between the two, where dots take no time: both have three letters at 1, 2, 3 and the "
        "questions at 4, 5, 6. Three arrows of one length lead from each letter to its question."
    )
    return "The clock stands still at the dots", alt, 346, parts


def whose() -> tuple[str, str, int, list[str]]:
    """Token by channel by state as a box; a number on a face is shared by all that lies behind it."""
    front, across = np.array([104.0, 176]), np.array([50.0, 0])
    down, back = np.array([0, 38.0]), np.array([30.0, -22])
    tokens, channels, states = 5, 4, 3

    def at(token, channel, state):
        return front + token * across + channel * down + state * back

    def face(*corners, colour) -> str:
        return shape([at(*corner) for corner in corners], colour, colour, 0.18)

    t, c, n = tokens, channels, states
    parts = [
        face((0, 0, 0), (t, 0, 0), (t, c, 0), (0, c, 0), colour=BLUE),
        face((0, 0, 0), (t, 0, 0), (t, 0, n), (0, 0, n), colour=ORANGE),
        face((t, 0, 0), (t, c, 0), (t, c, n), (t, 0, n), colour=GREEN),
    ]
    thin = [(at(k, 0, 0), at(k, c, 0), BLUE) for k in range(1, t)]
    thin += [(at(0, k, 0), at(t, k, 0), BLUE) for k in range(1, c)]
    thin += [(at(k, 0, 0), at(k, 0, n), ORANGE) for k in range(1, t)]
    thin += [(at(0, 0, k), at(t, 0, k), ORANGE) for k in range(1, n)]
    thin += [(at(t, k, 0), at(t, k, n), GREEN) for k in range(1, c)]
    thin += [(at(t, 0, k), at(t, c, k), GREEN) for k in range(1, n)]
    parts += [line(a, b, colour, 1, opacity=0.55) for a, b, colour in thin]
    parts += [line(at(0, 0, 0), at(0, c, 0), YELLOW, 6)]
    # One small cube, at the corner where three faces meet.
    for corners in (
        ((t - 1, 0, 0), (t, 0, 0), (t, 1, 0), (t - 1, 1, 0)),
        ((t - 1, 0, 0), (t, 0, 0), (t, 0, 1), (t - 1, 0, 1)),
        ((t, 0, 0), (t, 1, 0), (t, 1, 1), (t, 0, 1)),
    ):
        parts += [shape([at(*corner) for corner in corners], fill="currentColor", opacity=0.45)]
    parts += arrow((452, 82), at(t - 0.3, 0, 0.7))
    told = ("in each small cube:", "A-bar, what is written, h")
    parts += [words((506, 50 + 20 * k), text, anchor="end") for k, text in enumerate(told)]
    parts += [words(at(2, 2.1, 0), "u, \u0394, y", BLUE, size=20, anchor="middle", bold=True)]
    parts += [words(at(2.3, -0.15, 1.3), "B, C", ORANGE, size=20, anchor="middle", bold=True)]
    parts += [words(at(t, 2.6, 1.5), "A", GREEN, size=20, anchor="middle", bold=True)]
    told = ("D and", "the step\u2019s", "bias")
    parts += [words((94, 202 + 20 * k), text, anchor="end") for k, text in enumerate(told)]
    parts += [*arrow((104, 344), (104 + 50 * t, 344)), words((104, 364), "tokens")]
    parts += [*arrow((84, 270), (84, 330)), words((6, 306), "channels")]
    parts += [*arrow((90, 168), (180, 102)), words((112, 124), "states", anchor="end")]
    legend = (
        ("front: one number for all states behind it", BLUE),
        ("top: one number for all channels below it", ORANGE),
        ("side: one number for all tokens", GREEN),
        ("edge: one number for all tokens and states", YELLOW),
    )
    for k, (text, colour) in enumerate(legend):
        y = 385 + 21 * k
        parts += [shape([(104, y), (116, y), (116, y + 12), (104, y + 12)], colour, colour, 0.5)]
        parts += [words((126, y + 11), text)]
    alt = (
        "A box of small cubes with tokens to the right, channels downwards and states to the back. On its "
        "front, token by channel, stand u, the step delta and y; on its top, token by state, B and C; on its "
        "side, channel by state, A; along an edge, channels alone, D and the step's bias. A-bar, what is "
        "written and h have a number in each small cube. A number on a face serves all cubes behind it."
    )
    return "Which numbers belong to what", alt, 470, parts


def chosen() -> tuple[str, str, int, list[str]]:
    """How one token's numbers become the steps, B and C of the scans of its channels."""
    rows = ("channel 0", "channel 1", "channel 2", "the last")
    pitch, high, under = 50, 34, 282
    ways = {"x": 128, "step": 172, "B": 318, "C": 346}
    parts = [words((10, 24), "one token x", bold=True), words((388, 24), "the scans", bold=True)]
    last = 40 + pitch * (len(rows) - 1)
    parts += [line((ways["x"], 40 + 22), (ways["x"], under), width=1.5)]
    parts += [line((ways["step"], 40 + 8), (ways["step"], under), BLUE)]
    parts += [line((ways["B"], 40 + 22), (ways["B"], under), ORANGE)]
    parts += [line((ways["C"], 40 + 29), (ways["C"], under), GREEN)]
    for k, name in enumerate(rows):
        y = 40 + pitch * k
        parts += boxed((10, y), (96, high), name)
        parts += [*arrow((106, y + 15), (388, y + 15)), words((112, y + 10), "u", size=14)]
        parts += [line((ways["x"], y + 15), (ways["x"], y + 22)), dot((ways["x"], y + 15), 3.5)]
        parts += arrow((ways["step"], y + 5), (206, y + 5), BLUE, 1.4)
        parts += [
            dot((ways["step"], y + 5), 2.5, BLUE),
            line((ways["step"], y + 5), (ways["step"], y + 9), BLUE),
        ]
        parts += [shape([(208, y - 6), (252, y - 6), (252, y + 11), (208, y + 11)], BLUE, BLUE, 0.25)]
        parts += [words((230, y + 8), "\u0394", size=14, anchor="middle")]
        parts += [*arrow((252, y + 5), (388, y + 5), BLUE, 1.4)]
        for letter, colour, by in (("B", ORANGE, 23), ("C", GREEN, 30)):
            parts += [
                *arrow((ways[letter], y + by), (388, y + by), colour, 1.4),
                dot((ways[letter], y + by), 2.5, colour),
            ]
        parts += boxed((388, y), (120, high), "its own A")
    assert last + high < under
    parts += boxed((84, under), (80, high), "select")
    parts += boxed((168, under), (100, high), "short form", BLUE)
    parts += boxed((302, under), (32, high), "B", ORANGE) + boxed((334, under), (32, high), "C", GREEN)
    parts += [
        line((124, under + high), (124, under + high + 10)),
        line((124, under + high + 10), (350, under + high + 10)),
    ]
    for x, colour in ((218, BLUE), (318, ORANGE), (350, GREEN)):
        parts += arrow((x, under + high + 10), (x, under + high), colour)
    parts += [words((10, 350), "select: all channels of the token, one linear map")]
    parts += [words((10, 371), "step, step_bias, softplus: one step for each channel")]
    parts += [words((10, 392), "B and C: the same for all channels")]
    alt = (
        "On the left the numbers of one token, one for each channel. Each goes as u straight to the scan of "
        "its channel, which has an A of its own. All of them together also go through the map select, which "
        "gives a short form, B and C. From the short form each channel gets a step of its own; B and C lead "
        "to all scans alike."
    )
    return "Where the step, B and C come from", alt, 404, parts
