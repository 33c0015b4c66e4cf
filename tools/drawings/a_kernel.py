"""Drawings of "A kernel you can read"."""

from collections.abc import Iterator

from tools.drawings.pen import BLUE, GREEN, ORANGE, YELLOW, arrow, line, shape, words

# A small stand-in for the scan: tokens by blocks of channels, and tokens in a tile.
TOKENS, BLOCKS, TILE = 8, 4, 4


def order(
    rung: int, tokens: int = TOKENS, blocks: int = BLOCKS, tile: int = TILE
) -> Iterator[tuple[int, int]]:
    """The cells (token, block of channels) in the order in which a rung of the ladder walks them."""
    if rung == 6:
        yield from ((i, c) for c in range(blocks) for i in range(tokens))
    elif rung == 7:
        for first in range(0, tokens, tile):
            yield from ((i, c) for c in range(blocks) for i in range(first, min(first + tile, tokens)))
    else:
        yield from ((i, c) for i in range(tokens) for c in range(blocks))


def rungs() -> tuple[str, str, int, list[str]]:
    """Six small tables, tokens down and channels across, and how the rungs walk through each."""
    high, wide, apart, tall = 17, 34, 176, 214
    told = (
        (0, "0 and 3", "number by number,", "16 states at each"),
        (1, "1", "a token\u2019s channels", "and states at once"),
        (2, "2: the tree", "all of it at once,", "round after round"),
        (4, "4 and 5", "a token\u2019s channels,", "16 times: by state"),
        (6, "6", "16 channels, from", "first token to last"),
        (7, "7 to 9", "a tile: 16 channels,", "then the next 16"),
    )
    parts = [*arrow((8, 30), (8, 150)), words((2, 18), "tokens down, channels across", bold=True)]
    for k, (rung, name, *lines) in enumerate(told):
        left, top = 20 + apart * (k % 3) - 6 * (k % 3), 52 + tall * (k // 3)
        right, bottom = left + wide * BLOCKS, top + high * TOKENS

        def middle(cell, right=0, down=0, left=left, top=top):
            return left + wide * (cell[1] + 0.5) + right, top + high * (cell[0] + 0.5) + down

        parts += [words((left, top - 8), name, bold=True)]
        if rung == 2:
            parts += [
                shape([(left, top), (right, top), (right, bottom), (left, bottom)], ORANGE, ORANGE, 0.35)
            ]
        parts += [
            line((left, top + high * i), (right, top + high * i), width=0.8, opacity=0.5) for i in range(9)
        ]
        parts += [
            line((left + wide * c, top), (left + wide * c, bottom), width=0.8, opacity=0.5) for c in range(5)
        ]
        walk = list(order(rung))
        if rung in (0, 4):
            for i in range(TOKENS):
                for again in (-4, 0, 4) if rung == 4 else (0,):
                    start, end = middle((i, 0), -12, again), middle((i, BLOCKS - 1), 13, again)
                    parts += arrow(start, end, BLUE, 1.2) if rung == 0 else [line(start, end, BLUE, 1.2)]
        elif rung == 1:
            for i in range(TOKENS):
                ends = (left + 3, top + high * i + 3), (right - 3, top + high * i + 3)
                low = (right - 3, top + high * (i + 1) - 3), (left + 3, top + high * (i + 1) - 3)
                parts += [shape([*ends, *low], BLUE, BLUE, 0.4 if i < 3 else 0.12)]
        elif rung in (6, 7):
            # A piece of the walk is a run down one block of channels.
            length = TOKENS if rung == 6 else TILE
            for first in range(0, len(walk), length):
                piece = walk[first : first + length]
                colour = BLUE if rung == 6 or piece[0][1] < BLOCKS // 2 else GREEN
                parts += arrow(middle(piece[0], 0, -6), middle(piece[-1], 0, 7), colour, 2.4)
                following = walk[first + length : first + length + 1]
                if following:
                    parts += [line(middle(piece[-1], 0, 7), middle(following[0], 0, -6), colour, 1, "3 3")]
        if rung == 7:
            parts += [line((left - 5, top + high * TILE), (right + 5, top + high * TILE), ORANGE, 2.5)]
        parts += [words((left, bottom + 19 + 18 * j), text, size=14) for j, text in enumerate(lines)]
    alt = (
        "Six tables of eight tokens by four blocks of 16 channels. The definition and rung 3 walk row by "
        "row, number by number. Rung 1 takes a row at once, rung 2 the whole table. Rungs 4 and 5 walk each "
        "row 16 times, once a state. Rung 6 goes down one block of channels from the first token to the "
        "last, then down the next. Rung 7 and the package go down each block for the tokens of one tile, "
        "and then start the next tile; on rung 9 two cores share the blocks."
    )
    return "In which order the rungs walk", alt, 446, parts


def fold(rows: list[list]) -> list[list[list]]:
    """The rows of each round as the package's `totals` folds them; a number is a set of what it adds up."""
    lanes, rounds, g = len(rows[0]), [rows], len(rows) // 2
    while g:
        pairs = [(rows[i], rows[i + g]) for i in range(g)]
        rows = []
        for one, two in pairs:
            low = [one[k] if k & g == 0 else two[k - g] for k in range(lanes)]
            high = [one[k + g] if k & g == 0 else two[k] for k in range(lanes)]
            rows.append([a + b for a, b in zip(low, high, strict=True)])
        rounds.append(rows)
        g //= 2
    return rounds


def sums() -> tuple[str, str, int, list[str]]:
    """Four vectors of four lanes folded into one that holds their four sums."""
    letters, colours = "abcd", dict(zip("abcd", (BLUE, ORANGE, GREEN, YELLOW), strict=True))
    rounds = fold([[[(letter, k)] for k in range(4)] for letter in letters])
    size, high = 66, 26
    parts = [words((20, 20), "four vectors of four numbers", bold=True)]
    tops = ([32, 64, 96, 128], [200, 232], [304])
    for rows, places in zip(rounds, tops, strict=True):
        for row, top in zip(rows, places, strict=True):
            for k, number in enumerate(row):
                left, letter = 20 + size * k, number[0][0]
                corners = [
                    (left + 1, top),
                    (left + size - 1, top),
                    (left + size - 1, top + high),
                    (left + 1, top + high),
                ]
                added = "".join(str(lane) for _, lane in sorted(number))
                text = letter + added if len(added) < 4 else f"all of {letter}"
                text = text if len(added) != 2 else f"{letter}{added[0]}+{letter}{added[1]}"
                parts += [shape(corners, colours[letter], colours[letter], 0.3)]
                parts += [words((left + size / 2, top + 18), text, size=14, anchor="middle")]
    for upper, lower in ((158, 196), (262, 300)):
        parts += arrow((20 + 2 * size, upper), (20 + 2 * size, lower), "currentColor")
    right = 20 + 4 * size + 16
    lines = (
        (172, "a with c, b with d:"),
        (191, "2 additions"),
        (236, "half sums of two in each"),
        (286, "1 addition"),
        (322, "the four sums"),
    )
    parts += [words((right, y), text, bold="addition" in text) for y, text in lines]
    parts += [words((20, 362), "3 additions for 4 sums; of 16 vectors 8 + 4 + 2 + 1 = 15 for 16.")]
    parts += [words((20, 384), "One by one: 2 for each of 4 sums, 4 for each of 16.")]
    alt = (
        "Four vectors a, b, c, d of four numbers. One addition folds a and c into a vector with two half "
        "sums of each, another does so with b and d. A third addition folds these two into one vector that "
        "holds the whole sums of a, b, c and d: three additions for four sums. Sixteen vectors take fifteen."
    )
    return "Fifteen additions for sixteen sums", alt, 396, parts


def chains() -> tuple[str, str, int, list[str]]:
    """Eight multiply-adds of four ticks each: as one chain, and as four that do not wait for each other."""
    latency, tick, start = 4, 14, 54
    parts = []
    for title, linked, top in (("one chain", 1, 20), ("four chains", 4, 166)):
        parts += [words((6, top), title, bold=True)]
        end = [0] * linked  # when a chain's last number is there
        for k in range(8):
            chain, free = k % linked, k
            begin = max(end[chain], free)
            end[chain] = begin + latency
            left, right, y = start + tick * begin, start + tick * end[chain], top + 12 + 13 * k
            colour = (BLUE, ORANGE, GREEN, YELLOW)[chain]
            parts += [
                shape([(left, y), (right - 1, y), (right - 1, y + 10), (left, y + 10)], colour, colour, 0.5)
            ]
        bottom = top + 12 + 13 * 8
        last = start + tick * max(end)
        parts += [line((last, top + 8), (last, bottom + 2), dash="3 3")]
        beside, side = (last - 8, "end") if linked == 1 else (last + 8, "start")
        middle = top + 42 if linked == 1 else top + 70
        parts += [words((beside, middle), f"8 results after {max(end)} ticks", anchor=side)]
    parts += [
        *arrow((start, 292), (start + tick * 32, 292)),
        words((start, 312), "ticks of the core\u2019s clock"),
    ]
    alt = (
        "Eight multiply-adds, each four ticks long; the core can begin one a tick. As one chain each begins "
        "when the one before is done: 32 ticks. As four chains one begins at every tick, and all are done "
        "after 11."
    )
    return "One chain and four", alt, 322, parts
