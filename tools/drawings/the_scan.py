"""Drawings of "The scan"."""

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from posemamba.plotting.style import INK
from tools.drawings.pen import BLUE, GREEN, ORANGE, SKY, YELLOW, arrow, boxed, dot, line, shape, words

FIRST, SECOND = (Fraction(1, 2), Fraction(2)), (Fraction(3, 4), Fraction(1))  # two maps, as pairs (a, b)
TOKENS, CHUNK = 12, 4
KEPT_EVERY = 32  # the CPU kernel's tile
Join = Callable[[object, object], object]


def loop(items: Sequence, join: Join) -> list:
    """All states of a scan, one after another."""
    states = list(items[:1])
    for item in items[1:]:
        states.append(join(states[-1], item))
    return states


def tree(items: Sequence, join: Join) -> list:
    """All states of a scan: join neighbours, scan the pairs, fill in."""
    if len(items) < 2:
        return list(items)
    odd = tree(list(map(join, items[0::2], items[1::2])), join)
    states = [items[0]] * len(items)
    states[1::2] = odd
    states[2::2] = map(join, odd, items[2::2])
    return states


def chunks(items: Sequence, join: Join, size: int = CHUNK) -> list:
    """All states of a scan: a loop in each chunk, then what came before is joined to all of it."""
    states = []
    for start in range(0, len(items), size):
        inside = loop(items[start : start + size], join)
        states += [join(states[start - 1], part) for part in inside] if start else inside
    return states


def trace(scan: Callable, tokens: int = TOKENS) -> list[tuple]:
    """The joins of a scan as (left, right, made); each is (first token, last token, round)."""
    joins = []

    def note(left, right):
        made = (left[0], right[1], max(left[2], right[2]) + 1)
        joins.append((left, right, made))
        return made

    scan([(k, k, 0) for k in range(tokens)], note)
    return joins


def join_maps(first: tuple, second: tuple) -> tuple:
    """Two maps h -> a h + b as one that does the first and then the second."""
    return second[0] * first[0], second[0] * first[1] + second[1]


def _joined(place: Callable, joins: list[tuple], tokens: int, radius=5.0, fill=ORANGE) -> list[str]:
    """A scan's joins as lines and dots; blue dots are states, grey ones parts; `fill`: waits for a state."""
    parts, made = [], [(k, k, 0) for k in range(tokens)] + [join[2] for join in joins]
    for left, right, node in joins:
        parts.append(line(place(left), place(node), INK if node[0] else fill, 1.6))
        parts.append(line(place(right), place(node), INK, 1.6))
    for node in made:
        parts.append(dot(place(node), radius if node[0] == 0 else radius - 1, INK if node[0] else BLUE))
    return parts


def two_maps() -> tuple[str, str, int, list[str]]:
    """Two maps h -> a h + b on number lines, and the one map that does both."""
    joined, floor, unit, reach = join_maps(FIRST, SECOND), 268, 24, Fraction(8)
    fractions = {Fraction(1, 2): "\u00bd", Fraction(3, 4): "\u00be", Fraction(3, 8): "\u215c"}
    parts = []

    def at(x, value):
        return x, floor - unit * float(value)

    def draw(name, maps, places, colours):
        low, high = [Fraction(0)], [reach]
        parts.append(words((np.mean(places), 20), name, bold=True, anchor="middle"))
        for (a, b), x, to, colour in zip(maps, places, places[1:], colours, strict=False):
            low.append(a * low[-1] + b), high.append(a * high[-1] + b)
            told = f"h \u2192 {fractions[a]} h + {float(b):g}"
            parts.append(words(((x + to) / 2, 44), told, colour, anchor="middle"))
            ends = [at(x, low[-2]), at(x, high[-2]), at(to, high[-1]), at(to, low[-1])]
            parts.append(shape(ends, "none", colour, 0.15))
            parts.extend([*arrow(ends[0], ends[3], colour, 2.2), *arrow(ends[1], ends[2], colour, 2.2)])
        for x in places:
            parts.append(line(at(x, -0.3), at(x, 8.6), width=1.2))
            marks = [at(x, value)[1] for value in range(9)]
            parts.extend(line((x - 3, y), (x + 3, y), width=1) for y in marks)
        for values in (low, high):
            parts.append(words(at(places[0], values[0]), f"{values[0]}", shift=(-8, 5), anchor="end"))
            parts.append(words(at(places[-1], values[-1]), f"{float(values[-1]):g}", shift=(9, 5)))
        return low, high

    low, high = draw("two tokens", (FIRST, SECOND), (40, 160, 280), (BLUE, ORANGE))
    draw("joined", (joined,), (386, 488), (GREEN,))
    goes = " \u2192 ".join(f"{float(value):g}" for value in low)
    apart = " \u2192 ".join(f"{float(b - a):g}" for a, b in zip(low, high, strict=True))
    whole = f"{float(joined[1]):g}", f"{fractions[joined[0]]} of {reach} is {float(joined[0] * reach):g}"
    for y, told, seen in (
        (floor + 34, "b: where 0 arrives.", f"{goes}, and joined 0 \u2192 {whole[0]}"),
        (floor + 56, "a: how much of a distance is left.", f"{apart}, and {whole[1]}"),
    ):
        parts += [words((14, y), told, bold=True), words((14 + 7.65 * len(told), y), seen)]
    alt = (
        "Number lines from 0 to 8. A first token's map, half of h plus 2, takes 0 to 2 and 8 to 6; a "
        "second's, three quarters of h plus 1, takes these to 2.5 and 5.5. Beside it one map, three eighths "
        "of h plus 2.5, takes 0 and 8 to the same two places in one go."
    )
    return "Two maps in a row are one map", alt, floor + 68, parts


def three_ways() -> tuple[str, str, int, list[str]]:
    """One system over the same four tokens: as a recurrence, as a convolution and as a scan."""
    tokens, apart, top, foot = 4, 40, 70, 220
    panels = {"recurrence": 22, "convolution": 196, "scan": 370}
    lags = (GREEN, ORANGE, YELLOW, SKY)
    parts = []
    for name, left in panels.items():
        xs = [left + apart * k for k in range(tokens)]
        parts += [words((left + 1.5 * apart, 22), name, bold=True, anchor="middle")]
        for k, x in enumerate(xs):
            parts += [words((x, 52), f"u{chr(0x2080 + k)}", anchor="middle"), dot((x, top), 4)]
        if name == "recurrence":
            for k, x in enumerate(xs):
                y = top + 44 + 28 * k
                parts += arrow((x, top + 4), (x, y - 6), SKY)
                if k:
                    parts += arrow((xs[k - 1] + 5, y - 28), (x - 5, y - 4), BLUE)
                    parts += [words((x - 18, y - 1), "A\u0304", BLUE, size=14, anchor="end")]
                parts += [dot((x, y), 6, BLUE)]
        elif name == "convolution":
            for to in range(tokens):
                for lag in range(to + 1):
                    parts += [line((xs[to - lag], top + 4), (xs[to], foot - 22), lags[lag], 3.2 - 0.5 * lag)]
            parts += [dot((x, foot - 22), 6, BLUE) for x in xs]
        else:

            def place(node, left=left):
                return left + apart * node[1], top + 64 * node[2]

            # Grey: in this picture a colour is a factor of the convolution.
            parts += _joined(place, trace(tree, tokens), tokens, 6, INK)
    says = {
        "recurrence": ("one after another,", "4 turns"),
        "convolution": ("all at once: a colour", "is one number K"),
        "scan": ("joined in rounds,", "2 rounds"),
    }
    for name, told in says.items():
        for k, text in enumerate(told):
            parts += [words((panels[name] + 1.5 * apart, foot + 20 + 19 * k), text, anchor="middle")]
    x = 14
    for lag, colour in enumerate(lags):
        parts += [line((x, foot + 68), (x + 20, foot + 68), colour, 3.2)]
        told = f"K{chr(0x2080 + lag)}: {('now', '1 ago', '2 ago', '3 ago')[lag]}"
        parts += [words((x + 27, foot + 73), told)]
        x += 122
    alt = (
        "Four inputs, three times. As a recurrence each state waits for the one before it and its own input. "
        "As a convolution each of four outputs is joined to all inputs until then; lines over the same "
        "distance have the same colour, that is the same factor K. As a scan, neighbours are joined first, "
        "and all four states are there after two rounds."
    )
    return "One system, three ways", alt, foot + 86, parts


def what_waits() -> tuple[str, str, int, list[str]]:
    """What waits for what over twelve tokens: in a GRU, in a scan by chunks, and in a tree."""
    left, apart = 66, 39
    parts, top = [], 0

    def column(token):
        return left + apart * token

    def rounds(top, high, last):
        return [words((8, top + high * k + 5), str(k), INK, size=14) for k in range(1, last + 1)]

    parts += [words((8, 20), "a GRU: 12 rounds", bold=True)]
    parts += [words((510, 20), "each gate reads the state before", BLUE, anchor="end")]
    top, high = 34, 15
    for k in range(TOKENS):
        x, y = column(k), top + high * (k + 1)
        parts += [line((x, top), (x, y), INK, 1.2), dot((x, top), 4, INK)]
        if k:
            parts += [line((column(k - 1), y - high), (x, y), ORANGE, 1.8)]
    for k in range(TOKENS):
        x, y = column(k), top + high * (k + 1)
        parts += [shape([(x - 5, y - 5), (x + 5, y - 5), (x + 5, y + 5), (x - 5, y + 5)], BLUE, BLUE, 1)]
    parts += [
        words((8, top + high + 5), "1", INK, size=14),
        words((8, top + high * 12 + 5), "12", INK, size=14),
    ]
    for name, scan, head in (("by chunks", chunks, 268), ("a tree", tree, 450)):
        joins, high = trace(scan), 25
        last = max(join[2][2] for join in joins)
        parts += [words((8, head), f"{name}: {last} rounds, {len(joins)} joins", bold=True)]
        top = head + 16

        def place(node, top=top, high=high):
            return column(node[1]), top + high * node[2]

        if scan is chunks:
            parts += [words((510, head), "three loops at once, then fill", BLUE, anchor="end")]
            for k in range(CHUNK, TOKENS, CHUNK):
                x = column(k) - apart / 2
                parts += [line((x, top - 8), (x, top + high * last + 8), INK, 1, "3 4")]
        else:
            parts += [words((510, head), "neighbours first, then fill", BLUE, anchor="end")]
        parts += rounds(top, high, last)
        parts += _joined(place, joins, TOKENS)
    foot = 450 + 16 + 25 * last + 30
    parts += [dot((14, foot), 5, BLUE), words((26, foot + 5), "a finished state"), dot((166, foot), 4, INK)]
    parts += [words((178, foot + 5), "a token, or some joined"), line((358, foot), (384, foot), ORANGE, 2)]
    parts += [words((392, foot + 5), "waits for a state")]
    alt = (
        "Twelve tokens, three times, rounds from top to bottom. In a GRU each state waits for the one "
        "before: twelve rounds. By chunks of four, three loops run at once for three rounds; then the end of "
        "the first chunk is joined to all of the second, and the end of the second to all of the third: "
        "five rounds. A tree joins neighbours, pairs, fours, then fills in what is missing: five too."
    )
    return "What waits for what", alt, foot + 18, parts


def backwards() -> tuple[str, str, int, list[str]]:
    """States run to the right, their gradients to the left, over the same factors."""
    xs, up, bar, down = (74, 198, 322, 446), 66, (158, 188), 290
    parts = [words((14, 26), "forward: states", BLUE, bold=True)]
    parts += [words((14, down + 50), "backward: how the loss changes with each", ORANGE, bold=True)]
    corners = [(xs[0] - 36, bar[0]), (xs[-1] + 36, bar[0]), (xs[-1] + 36, bar[1]), (xs[0] - 36, bar[1])]
    parts += [shape(corners), words((260, bar[0] + 20), "the loss", anchor="middle")]
    for k, x in enumerate(xs):
        sub = chr(0x2080 + k)
        parts += [dot((x, up), 8, BLUE), words((x, up - 16), f"h{sub}", BLUE, anchor="middle", bold=True)]
        parts += [line((x, up + 8), (x, 94), width=1.5), *arrow((x, 122), (x, bar[0]))]
        parts += boxed((x - 18, 94), (36, 28), f"C{sub}")
        parts += [line((x, bar[1]), (x, 222), width=1.5), *arrow((x, 250), (x, down - 9))]
        parts += boxed((x - 18, 222), (36, 28), f"C{sub}")
        parts += [words((x + 6, 210), f"dy{sub}"), words((x + 6, 145), f"y{sub}")]
        parts += [dot((x, down), 8, ORANGE)]
        parts += [words((x, down + 27), f"g{sub}", ORANGE, anchor="middle", bold=True)]
        if k:
            middle = (x + xs[k - 1]) / 2
            parts += arrow((xs[k - 1] + 15, up), (x - 15, up), BLUE, 2.4)
            parts += arrow((x - 15, down), (xs[k - 1] + 15, down), ORANGE, 2.4)
            parts += [words((middle, up - 9), f"\u00d7 a{sub}", anchor="middle")]
            parts += [words((middle, down - 9), f"\u00d7 a{sub}", anchor="middle")]
    for place in ((xs[1], up), (xs[2], down)):
        x, y = place
        parts += [f'<circle cx="{x}" cy="{y}" r="13" stroke="{GREEN}" stroke-width="2.5" fill="none"/>']
    parts += [
        words((14, down + 78), "da\u2082 = g\u2082 h\u2081: the gradient wants the states again.", GREEN)
    ]
    alt = (
        "Four states h0 to h3 from left to right, each the one before times a1, a2, a3. Each is read through "
        "its C into the loss. Below, from the loss through the same C, the gradients g3 to g0 run from right "
        "to left, over the same a3, a2, a1. Circled: h1 and g2, whose product is the gradient of a2."
    )
    return "The gradient runs backwards over the same factors", alt, down + 90, parts


def kept_states() -> tuple[str, str, int, list[str]]:
    """What a loop keeps for the way back, and what a kernel keeps and computes again."""
    left, wide, tile = 14, 3.8, KEPT_EVERY
    size = 4 * tile
    parts = []

    def ticks(y, first, last, colour, high=11.0, opacity=1.0):
        xs = [left + wide * (k + 0.5) for k in range(first, last)]
        return [line((x, y - high), (x, y + high), colour, 1.6, opacity=opacity) for x in xs]

    def kept(y):
        return [dot((left + wide * k, y), 6, ORANGE) for k in range(0, size - 1, tile)]

    def frame(y):
        ends = (left, y + 17), (left + wide * size, y + 17)
        marks = [left + wide * k for k in range(0, size + 1, tile)]
        return [line(*ends, width=1), *(line((x, y + 17), (x, y + 22), width=1) for x in marks)]

    rows = [
        ("a loop: keeps the state of every token", None),
        (f"the kernel: keeps one state in {tile}", ()),
        (f"its way back: {tile} states computed again, used \u2026", (3 * tile, size)),
        (f"\u2026 and forgotten; then the {tile} before them", (2 * tile, 3 * tile)),
    ]
    for k, (name, again) in enumerate(rows):
        y = 54 + 88 * k
        parts += [words((14, y - 24), name, bold=True), *frame(y)]
        if again is None:
            parts += ticks(y, 0, size, ORANGE)
            continue
        if again:
            parts += ticks(y, *again, BLUE)
            ends = (left + wide * again[1], y + 30), (left + wide * again[0], y + 30)
            parts += arrow(*ends, GREEN, 2.2)
            parts += [words((ends[1][0] - 8, y + 35), "gradient", GREEN, anchor="end")]
        parts += kept(y)
    foot = 54 + 88 * 3 + 62
    parts += [dot((22, foot), 6, ORANGE), words((36, foot + 5), "kept in memory")]
    parts += [
        *ticks(foot, 46, 49, BLUE, 8),
        words((left + wide * 51, foot + 5), "in the cache, for a moment"),
    ]
    alt = (
        "128 tokens, four times. A loop keeps 128 states. The kernel keeps one in 32, the first of each "
        "stretch. On the way back it computes the 32 states of the last stretch again, uses them, forgets "
        "them, and does the same with the 32 before them."
    )
    return "What is kept for the gradient", alt, foot + 18, parts
