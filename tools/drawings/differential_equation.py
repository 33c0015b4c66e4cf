"""Drawings of "From a differential equation to a recurrence"."""

import math

import numpy as np
from scipy.interpolate import CubicSpline

from tools.drawings.pen import BLUE, GREEN, ORANGE, SKY, arrow, boxed, cells, dot, line, shape, words

HELD = {"rate": -0.6, "step": 1.0, "start": 1.5, "inputs": (2.0, 1.0, 3.0)}
QUEUED = (12, 0, 0, 24)
FRAMES, JOINTS = 243, 17
AT_FRAME, AT_JOINT = 150, 9  # the token that looks back, in `memory_on_the_grid`


def _curve(points, colour="currentColor", width=2.0, dash="") -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    look = f' stroke-dasharray="{dash}"' * bool(dash)
    return f'<polyline points="{places}" stroke="{colour}" stroke-width="{width:g}" fill="none"{look}/>'


def _tank(left, top, width, height, level) -> list[str]:
    """A bucket, open above, and the water in it; `level` is a part of its height."""
    right, bottom, surface = left + width, top + height, top + height * (1 - level)
    water = [(left, surface), (right, surface), (right, bottom), (left, bottom)]
    filled = shape(water, "none", SKY, 0.45)
    return [filled, _curve([(left, top), (left, bottom), (right, bottom), (right, top)], width=2.5)]


def bucket() -> tuple[str, str, int, list[str]]:
    """Equation 1 with one state: what lands, what leaks, what is read and what runs past."""
    split, past, gauge = (110, 46), (416, 46), 178
    parts = [words((14, 52), "inflow u"), line((82, 46), (280, 46), width=2), line((312, 46), past, width=2)]
    parts += [line(split, (110, 70), width=2), *arrow((110, 100), (110, gauge), width=2), dot(split, 3.5)]
    parts += boxed((94, 70), (32, 30), "B", ORANGE, bold=True)
    parts += [words((136, 90), "what lands")]
    parts += _tank(60, 126, 150, 130, 0.6)
    parts += [words((135, 226), "level h", anchor="middle")]
    parts += [line((135, 256), (135, 262), BLUE, 7), *arrow((135, 262), (135, 306), BLUE, 2.5)]
    parts += [words((152, 290), "leaks: A h", BLUE), words((152, 309), "(fuller is faster)", BLUE)]
    parts += [line((210, gauge), (280, gauge), width=2), *arrow((312, gauge), (403, gauge), width=2)]
    parts += boxed((280, gauge - 15), (32, 30), "C", ORANGE, bold=True)
    parts += [words((296, gauge + 36), "how the level", anchor="middle")]
    parts += [words((296, gauge + 55), "is read off", anchor="middle")]
    parts += [*arrow(past, (416, gauge - 13), width=2)]
    parts += boxed((280, 31), (32, 30), "D", BLUE, bold=True)
    parts += [words((296, 84), "what runs past", anchor="middle")]
    parts += [
        f'<circle cx="416" cy="{gauge}" r="13" stroke="currentColor" stroke-width="1.5" fill="none"/>',
        words((416, gauge + 6), "+", size=18, anchor="middle"),
        *arrow((429, gauge), (474, gauge), width=2),
        words((482, gauge + 5), "y", bold=True),
    ]
    alt = (
        "An inflow u splits in two. One part, times B, falls into a bucket with a hole, out of which it "
        "leaks at A times the level h. The level, times C, goes to a sum. The other part runs past the "
        "bucket, times D, to the same sum, which is y."
    )
    return "A leaky bucket is Equation 1 with one state", alt, 324, parts


def three_memories() -> tuple[str, str, int, list[str]]:
    """What a sum, a queue of three and a fading average hold after each of four inputs."""
    left, apart, wide = 214, 76, 58
    parts = [words((14, 30), "input", bold=True)]
    total, queue, fading = 0, [0, 0, 0], 0.0
    for name, y in (("cumulative sum", 84), ("moving average", 152), ("fading average", 298)):
        parts += [words((14, y), name, bold=True)]
    parts += [words((14, 103), "all is in it: 1 number")]
    parts += [words((14, 171), "a queue: 3 numbers,")]
    parts += [words((14, 190), "the oldest falls out")]
    parts += [words((14, 317), "half of it: 1 number")]
    for k, given in enumerate(QUEUED):
        x = left + k * apart
        middle = x + wide / 2
        total, queue, fading = total + given, [given, *queue[:2]], (fading + given) / 2
        parts += [words((middle, 30), str(given), ORANGE, size=17, anchor="middle", bold=True)]
        parts += arrow((middle, 38), (middle, 66), ORANGE)
        parts += cells((x, 72), wide, [total], BLUE)
        for depth, held in enumerate(queue):
            parts += cells((x, 136 + 34 * depth), wide, [held], GREEN, pale=() if held else (0,))
            if k < 3 and depth < 2:
                y = 146 + 34 * depth
                parts += arrow((x + wide + 1, y), (x + apart, y + 33), GREEN)
        if k < 3:
            for y, colour in ((82, BLUE), (296, ORANGE)):
                parts += arrow((x + wide + 1, y), (x + apart, y), colour)
            parts += [words((x + wide + 10, 282), "\u00bd", ORANGE, size=14, anchor="middle")]
        if k == 2:  # the first input falls out
            parts += arrow((x + wide + 1, 214), (x + apart, 236), GREEN)
        parts += [words((middle, 254), f"mean {sum(queue) // 3}", GREEN, size=14, anchor="middle")]
        parts += cells((x, 286), wide, [f"{fading:g}"], ORANGE)
    alt = (
        "Inputs 12, 0, 0 and 24. The cumulative sum holds 12, 12, 12, 36. The moving average holds a queue "
        "of three in which 12 moves down and falls out; its means are 4, 4, 4, 8. The fading average halves "
        "what it has and adds half of the input: 6, 3, 1.5, 12.75."
    )
    return "What three recurrences hold after each input", alt, 330, parts


def held_levels() -> list[list[float]]:
    """For `hold`: at each tick what is left of the start and of each input until then; sums are the level."""
    rate, step = HELD["rate"], HELD["step"]
    keep = math.exp(rate * step)
    left = [[HELD["start"]]]
    for given in HELD["inputs"]:
        left.append([keep * part for part in left[-1]] + [(keep - 1) / rate * given])
    return left


def hold() -> tuple[str, str, int, list[str]]:
    """Samples, held for a step each, and what is left of each hold when the next begins."""
    start, wide, floor, unit = 110, 120, 152, 32
    ticks = [start + wide * k for k in range(4)]
    t = np.linspace(0, 3, 61)
    smooth = CubicSpline(np.arange(0, 3.1, 0.5), (2, 1.5, 1, 1.9, 3, 2.9, 2.2))(t)
    colours = (BLUE, ORANGE, GREEN)
    parts = [words((14, 24), "input", bold=True), line((start - 20, floor), (490, floor), width=1)]
    for k, (given, colour) in enumerate(zip(HELD["inputs"], colours, strict=True)):
        x, top = ticks[k], floor - unit * given
        block = [(x, top), (x + wide, top), (x + wide, floor), (x, floor)]
        parts += [shape(block, "none", colour, 0.3), line((x, top), (x + wide, top), colour, 3)]
        parts += [words((x + wide / 2, floor - 10), f"u = {given:g}", anchor="middle")]
    parts += [_curve(np.stack([start + wide * t, floor - unit * smooth], 1), width=1.5, dash="5 4")]
    parts += [dot((ticks[k], floor - unit * given), 5) for k, given in enumerate(HELD["inputs"])]
    parts += [words((start + 40, 34), "what it may have been:"), words((start + 40, 53), "never seen")]
    parts += [line((ticks[0], 170), (ticks[1], 170), width=1.2)]
    parts += [line((x, 165), (x, 175), width=1.2) for x in ticks[:2]]
    parts += [words((ticks[0] + wide / 2, 190), "\u0394", size=16, anchor="middle")]
    ground = 350
    parts += [words((14, 222), "level", bold=True), line((start - 20, ground), (490, ground), width=1)]
    tops = []
    for k, levels in enumerate(held_levels()):
        y, x = ground, ticks[k]
        tops.append([])
        for part, colour in zip(levels, ("currentColor", *colours), strict=False):
            higher = y - unit * part
            box = [(x - 17, higher), (x + 17, higher), (x + 17, y), (x - 17, y)]
            parts += [shape(box, colour, colour, 0.3)]
            tops[-1].append(higher)
            y = higher
        parts += [words((x, ground + 20), f"h{chr(0x2080 + k)}", anchor="middle", size=16)]
    for k in range(3):
        for level in range(k + 1):
            ends = (ticks[k] + 19, tops[k][level]), (ticks[k + 1] - 19, tops[k + 1][level])
            parts += [line(*ends, width=1, dash="2 4")]
    parts += [words((ticks[0] + 60, ground + 42), "each step: all blocks fade by A\u0304,", anchor="start")]
    parts += [words((ticks[0] + 60, ground + 61), "and one of B\u0304 u is put on top", anchor="start")]
    alt = (
        "Above, a wavy dashed input with three samples, 2, 1 and 3; each is held as a flat block for a step "
        "Delta. Below, the level at four instants as a stack of blocks: what is left of the start and of "
        "each held input. From one instant to the next all blocks shrink by the same factor A-bar, and a "
        "new block, B-bar u, is put on top."
    )
    return "Each input is held, then fades", alt, ground + 74, parts


def leaks() -> tuple[str, str, int, list[str]]:
    """One channel: N buckets with different holes, fed through B, read through C, and the bypass D."""
    top, high, wide, bus, past = 112, 96, 56, 322, 474
    places = {1: 66, 2: 164, 3: 262, 16: 392}
    parts = [words((14, 26), "u", bold=True), line((28, 21), (past, 21), width=2)]
    for n, middle in places.items():
        name = "".join(chr(0x2080 + int(digit)) for digit in str(n))
        left, level = middle - wide / 2, 0.9 / n
        surface, side = top + high * (1 - level), left - 14
        parts += [dot((middle, 21), 3), line((middle, 21), (middle, 44), width=2)]
        parts += arrow((middle, 74), (middle, min(surface, top + high - 10)), width=2)
        parts += boxed((middle - 19, 44), (38, 30), f"B{name}", ORANGE)
        parts += _tank(left, top, wide, high, level)
        hole = 1.5 + n * 0.6
        parts += [line((middle + 4, top + high), (middle + 4, top + high + 20), BLUE, hole)]
        parts += [words((middle + 4, top + high + 40), f"A = \u2212{n}", BLUE, anchor="middle")]
        route = [(left, surface), (side, surface), (side, 264)]
        parts += [_curve(route, width=1.5, dash="4 3"), *arrow((side, 258), (side, 268))]
        parts += boxed((side - 15, 268), (38, 30), f"C{name}", ORANGE)
        parts += [line((side + 4, 298), (side + 4, bus), width=2), dot((side + 4, bus), 3)]
    parts += [words((325, top + 56), "\u2026", size=22, anchor="middle")]
    parts += [words((325, bus - 10), "\u2026", size=22, anchor="middle")]
    parts += arrow((places[1] - wide / 2 - 10, bus), (past - 13, bus), width=2)
    parts += [line((past, 21), (past, 146), width=2), *arrow((past, 176), (past, bus - 13), width=2)]
    parts += boxed((past - 19, 146), (38, 30), "D", BLUE)
    parts += [
        f'<circle cx="{past}" cy="{bus}" r="13" stroke="currentColor" stroke-width="1.5" fill="none"/>',
        words((past, bus + 6), "+", size=18, anchor="middle"),
        *arrow((past, bus + 13), (past, bus + 38), width=2),
        words((past, bus + 54), "y", anchor="middle", bold=True),
    ]
    parts += [words((14, bus + 36), "orange: all channels share it", ORANGE)]
    parts += [words((14, bus + 56), "blue: the channel\u2019s own", BLUE)]
    alt = (
        "An input u feeds buckets side by side, each through its own B: the first with A = -1 and a small "
        "hole, the second with -2, the third with -3, and so on to -16 with a large one. Under the same "
        "steady inflow the level is 1/n of the first bucket's. Each level is read through its C, and the sum "
        "is y. A bypass takes u through D to the same sum. No bucket is joined to another."
    )
    return "One channel is N leaks", alt, bus + 66, parts


def looks_back(tokens: float, by_frames: bool) -> list[tuple[float, float]]:
    """For `memory_on_the_grid`: the last `tokens` tokens in an order, as corners (frame, joint)."""
    length = JOINTS if by_frames else FRAMES
    line_of, place = (AT_FRAME, AT_JOINT) if by_frames else (AT_JOINT, AT_FRAME)
    end = line_of * length + place + 1  # one behind the token itself
    (first, begin), (last, until) = divmod(end - tokens, length), (line_of, place + 1)
    if first == last:
        corners = [(last, begin), (last, until), (last + 1, until), (last + 1, begin)]
    else:
        corners = [(first, begin), (first, length), (last, length), (last, until)]
        corners += [(last + 1, until), (last + 1, 0), (first + 1, 0), (first + 1, begin)]
    return corners if by_frames else [(frame, joint) for joint, frame in corners]


def memory_on_the_grid() -> tuple[str, str, int, list[str]]:
    """How far the slowest state looks back on the grid of frames and joints, in the two orders, to scale."""
    left, wide, high = 14, 2.0, 6.0
    parts = []
    for top, by_frames in ((52, True), (236, False)):
        told = "frame by frame: 17 joints, then the next frame"
        told = told if by_frames else "joint by joint: 243 frames, then the next joint"
        parts += [words((left, top - 26), told, bold=True)]

        def page(corner, top=top):
            return left + wide * corner[0], top + high * corner[1]

        for tokens, colour, clear in ((1000, SKY, 0.45), (100, BLUE, 0.8)):
            parts += [shape([page(c) for c in looks_back(tokens, by_frames)], "none", colour, clear)]
        whole = [page(c) for c in ((0, 0), (FRAMES, 0), (FRAMES, JOINTS), (0, JOINTS))]
        parts += [shape(whole)]
        parts += [dot(page((AT_FRAME + 0.5, AT_JOINT + 0.5)), 4.5, ORANGE)]
        parts += [words(page((0, JOINTS)), "243 frames wide, 17 joints high", shift=(0, 20), size=14)]
    foot = 384
    for k, (colour, clear, text) in enumerate(
        ((BLUE, 0.8, "100 tokens: the slowest state at a step of 0.01"), (SKY, 0.45, "1000 tokens: at 0.001"))
    ):
        y = foot + 24 * k
        parts += [shape([(14, y), (34, y), (34, y + 14), (14, y + 14)], "none", colour, clear)]
        parts += [words((42, y + 12), text)]
    parts += [dot((24, foot + 55), 4.5, ORANGE), words((42, foot + 60), "the token that reads")]
    parts += [words((226, foot + 60), "(not drawn: 10 tokens, at 0.1)")]
    alt = (
        "The grid of 243 frames and 17 joints, twice. In the order frame by frame the last 100 tokens are a "
        "strip 6 frames wide and as high as the body, and the last 1000 one 59 frames wide. In the order "
        "joint by joint the last 100 tokens are a thin line along one joint over 100 frames, and the last "
        "1000 all frames of four joints. Both strips have the same areas."
    )
    return "The same memory in two orders", alt, foot + 72, parts
