"""Drawings of "What the scan attends to"."""

from itertools import pairwise

import numpy as np

from posemamba.orders import STRATEGIES, Direction, reach, spatial_forward
from tools.drawings.pen import BLUE, GREEN, ORANGE, arrow, boxed, dot, line, shape, words

GRID = (2, 3)  # frames, joints
MIX = (0, 2, 1)  # joints 1 and 2 are added to each other, 0 to itself


def square(corner, size, colour="currentColor", fill="none", opacity=0.3) -> str:
    (x, y), edge = corner, size - 2
    corners = [(x + 1, y + 1), (x + 1 + edge, y + 1), (x + 1 + edge, y + 1 + edge), (x + 1, y + 1 + edge)]
    return shape(corners, colour, fill, opacity)


def matrix(place, size, values, shades) -> list[str]:
    """Cells from the upper left corner on, each in its value's shade: (colour, opacity), or None if empty."""
    values, parts = np.asarray(values), []
    rows, columns = values.shape
    for i in range(rows):
        for j in range(columns):
            corner, shade = (place[0] + size * j, place[1] + size * i), shades[values[i, j]]
            if shade is not None:
                parts.append(square(corner, size, shade[0], *shade))
    (x, y), (right, below) = place, (place[0] + size * columns, place[1] + size * rows)
    return [*parts, shape([(x, y), (right, y), (right, below), (x, below)])]


def path(place, gap, order, joints) -> list[str]:
    """A grid's tokens (frames across, joints down) and the way through them; it starts at the large dot."""
    order = [int(token) for token in order]
    spots = {token: np.array(place) + gap * np.array([token // joints, token % joints]) for token in order}
    parts = [dot(spot, 4, GREEN if token == order[0] else "currentColor") for token, spot in spots.items()]
    for a, b in pairwise(order):
        way = spots[b] - spots[a]
        way = way / np.linalg.norm(way)
        parts += arrow(spots[a] + 6 * way, spots[b] - 5 * way, BLUE, 1.4)
    return parts


def one_entry() -> tuple[str, str, int, list[str]]:
    """What an entry of M is made of: what is written, how it fades, how it is read."""
    top, gap, count, j, i = 66.0, 82.0, 6, 1, 4
    state = [np.array([50 + gap * k, top]) for k in range(count)]
    parts = [words((14, 24), "state", size=14)]
    parts += [line((14, top), (506, top), width=1.5, opacity=0.5)]
    for a, b in pairwise(state[j : i + 1]):
        parts.append(line(a, b, ORANGE, 6 * 0.78 ** (round((a[0] - state[j][0]) / gap))))
    for k, place in enumerate(state):
        foot = place + np.array([0, 88])
        parts += [dot(place, 4)]
        parts += boxed(
            foot - np.array([24, 12]), (48, 26), f"x{chr(0x2081 + k)}", ORANGE if k == j else "currentColor"
        )
    fading = ", then ".join(f"\u0394{chr(0x2081 + k)}" for k in range(j + 1, i + 1))
    parts += [words((state[j] + state[i]) / 2, f"fades by {fading}", ORANGE, (0, -14), anchor="middle")]
    parts += arrow(state[j] + np.array([0, 74]), state[j] + np.array([0, 6]), ORANGE)
    parts += [words(state[j], f"\u0394{chr(0x2081 + j)} B{chr(0x2081 + j)}", ORANGE, (8, 44))]
    parts += arrow(state[i] + np.array([0, 6]), state[i] + np.array([0, 74]), ORANGE)
    parts += [words(state[i], f"C{chr(0x2081 + i)}", ORANGE, (10, 44))]
    values = np.tril(np.ones((count, count), int))
    values[i, j] = 2
    size, corner = 24, (150.0, 206.0)
    parts += matrix(corner, size, values, {0: None, 1: (BLUE, 0.2), 2: (ORANGE, 0.9)})
    parts += [words(corner, "M", shift=(-30, 80), size=18, anchor="middle", bold=True)]
    tall = corner[1] + size * i + 17
    parts += [words((corner[0] + size * count + 12, tall), "row 5, column 2: the product", ORANGE)]
    parts += [words((corner[0] + size * count + 12, corner[1] + 30), "0: a scan looks back only", size=14)]
    alt = (
        "A line, the state, along six tokens. Token 2 is written into it with its step and B; the line "
        "gets thinner at tokens 3, 4 and 5 by their steps; token 5 reads it with C. Below, a lower "
        "triangle of six by six cells, with the cell of row 5 and column 2 marked: the product of these "
        "factors."
    )
    return "What an entry of the map is made of", alt, 360, parts


def zero_patterns() -> tuple[str, str, int, list[str]]:
    """Two frames of three joints: the four directions, and where each one's map has entries."""
    (frames, joints), size, gap = GRID, 17, 30
    four = STRATEGIES["bidirectional"]
    parts = [words((14, 22), "Tokens 0 to 5: two frames across, three joints down", size=15)]
    for k, direction in enumerate(four):
        left = 16 + 126 * k
        parts += path((left + 34, 52), gap, direction.permutation(frames, joints), joints)
        for token in range(frames * joints):
            t, j = divmod(token, joints)
            spot = (left + 34 + gap * t + (-20 if t == 0 else 12), 57 + gap * j)
            parts.append(words(spot, str(token), size=14))
        values = (reach(direction, frames, joints) > 0).astype(int)
        parts += matrix((left, 154), size, values, {0: None, 1: (BLUE, 0.55)})
        axis, way = direction.name.split()
        parts += [
            words((left + 51, 278), axis, size=14, anchor="middle"),
            words((left + 51, 295), way, size=14, anchor="middle"),
        ]
    alt = (
        "Four times six tokens in two frames of three joints, with the way in which a direction reads "
        "them, and below it the six by six cells of its map in token order. Spatial forward has the lower "
        "triangle, spatial reversed the upper. Temporal forward and temporal reversed have cells on both "
        "sides of the diagonal. Each has 21 of the 36 cells; a cell off the diagonal is in two of the four."
    )
    return "Where the four directions have entries", alt, 306, parts


def mixed_pattern() -> tuple[str, str, int, list[str]]:
    """A direction's map times I + G: what a mix does to its columns."""
    (frames, joints), size, top = GRID, 19, 40.0
    plain = Direction("plain", spatial_forward)
    mixed = Direction("mixed", spatial_forward, MIX)
    scan, product = reach(plain, frames, joints), reach(mixed, frames, joints).astype(int)
    gather = np.eye(frames * joints, dtype=int)
    for t in range(frames):
        for j, other in enumerate(MIX):
            gather[t * joints + j, t * joints + other] += 2 * (other != j)
    parts, wide = [], size * frames * joints
    lefts = (14.0, 194.0, 374.0)
    shades = {0: None, 1: (BLUE, 0.55), 2: (ORANGE, 0.9)}
    for left, values, name in zip(
        lefts, (scan, gather, product), ("P\u1d40 M P", "I + G", "what x meets"), strict=True
    ):
        parts += matrix((left, top), size, values, shades)
        parts.append(words((left + wide / 2, 26), name, anchor="middle", bold=True))
    for left, sign in zip(lefts[1:], ("\u00d7", "="), strict=True):
        parts.append(words((left - 33, top + wide / 2 + 6), sign, size=20, anchor="middle", bold=True))
    parts += [
        words((14, top + wide + 28), "orange: joints 1 and 2 are added to each other", ORANGE),
        words((14, top + wide + 48), "in the map: let in one place early", ORANGE),
    ]
    alt = (
        "Three matrices of six by six cells, two frames of three joints. The spatial scan's lower "
        "triangle, times I plus G, a diagonal with more cells where joints 1 and 2 of each frame are added "
        "to each other, gives the triangle with one cell more in each frame, above the diagonal."
    )
    return "What a mix does to the map", alt, int(top + wide + 60), parts


def down_to_a_picture() -> tuple[str, str, int, list[str]]:
    """Maps of tokens by tokens, summed to one; its cells summed to joints by joints, or frames by frames."""
    (frames, joints), size = GRID, 22
    tokens = frames * joints
    parts, (left, top) = [words((14, 22), "a map for each channel", bold=True)], (14.0, 44.0)
    side = size * tokens
    for k in (2, 1, 0):
        corner = np.array([left + 8 * k, top - 0 + 8 * k])
        box = shape(
            [
                corner,
                corner + np.array([side, 0]),
                corner + np.array([side, side]),
                corner + np.array([0, side]),
            ],
            BLUE,
            BLUE,
            0.08,
        )
        parts.append(box)
    start = np.array([left + side + 20, top + side / 2 + 8])
    parts += [*arrow(start, start + np.array([64, 0])), words(start, "sum", shift=(14, -8), size=14)]
    values = np.zeros((tokens, tokens), int)
    row, column = 2, 0  # a pair of joints
    values[row::joints, column::joints] = 1
    values[joints:, :joints] += 2  # a pair of frames
    shades = {0: None, 1: (ORANGE, 0.75), 2: (BLUE, 0.3), 3: (GREEN, 0.85)}
    place = (start[0] + 72, top + 8)
    parts += [words((place[0], 22), "tokens by tokens", bold=True), *matrix(place, size, values, shades)]
    middle = (place[0] + size * joints, place[1] + size * joints)
    parts += [line((middle[0], place[1]), (middle[0], place[1] + side), width=2.5)]
    parts += [line((place[0], middle[1]), (place[0] + side, middle[1]), width=2.5)]
    small = np.zeros((joints, joints), int)
    small[row, column] = 1
    below = place[1] + side + 62
    pair = (
        (place[0] - 26, joints, small, 1, "joints by joints"),
        (place[0] + side + 22, frames, None, 2, "frames by frames"),
    )
    for x, count, found, shade, name in pair:
        if found is None:
            found = np.zeros((count, count), int)
            found[1, 0] = 2
        parts += matrix((x, below), size, found, shades)
        parts.append(
            words((x + size * count / 2, below + size * count + 22), name, anchor="middle", bold=True)
        )
        colour = shades[shade][0]
        tip = (x + size * count / 2, below - 6)
        begin = (place[0] + side * (0.25 if shade == 1 else 0.75), place[1] + side + 6)
        parts += arrow(begin, tip, colour)
    parts += [
        words((14, below + 16), f"orange: {frames * frames} cells,", ORANGE, size=14),
        words((14, below + 34), "one pair of joints", ORANGE, size=14),
        words((14, below + 60), f"blue: {joints * joints} cells,", BLUE, size=14),
        words((14, below + 78), "one pair of frames", BLUE, size=14),
        words((14, below + 104), "green: in both", GREEN, size=14),
    ]
    alt = (
        "A stack of maps, one for each channel, is summed to one map of six tokens by six, two frames of "
        "three joints. Four of its cells, one in each pair of frames, make one cell of a three by three "
        "map of joints. Nine cells, a corner of three by three, make one cell of a two by two map of "
        "frames."
    )
    return "From a map for each channel to a picture", alt, int(below + 116), parts


#: The parts of a block in order, and what each is held at: a field of FrozenBlock, and its words.
HELD = (
    ("norm: \u2212 mean", "norm", "1 / deviation"),
    ("in_proj", "", ""),
    ("convolution", "activation", "SiLU: \u03c3(v)"),
    ("four scans", "record", "\u0394, B, C"),
    ("norm: \u2212 mean", "ssm_norm", "1 / deviation"),
    ("the gate", "gate", "SiLU(z)"),
    ("out_proj", "", ""),
    ("norm: \u2212 mean", "mlp_norm", "1 / deviation"),
    ("MLP in", "mlp_activation", "GELU(v) / v"),
    ("MLP out", "", ""),
    ("norm: \u2212 mean", "shared_norm", "1 / deviation"),
)


def held() -> tuple[str, str, int, list[str]]:
    """A block's way, and beside it the factors that its input chose, which the linear map holds."""
    left, width, right, high, top = 176, 150, 356, 46, 72
    middle = left + width / 2
    parts = [words((middle, 22), "linear in x", BLUE, anchor="middle", bold=True)]
    parts += [words((right + 75, 22), "chosen by x", ORANGE, anchor="middle", bold=True)]
    parts += [words((right + 75, 42), "W: held", ORANGE, size=14, anchor="middle")]
    centre = [top + high * k + 13 for k in range(len(HELD))]
    for k, (name, field, told) in enumerate(HELD):
        y = top + high * k
        parts += arrow((middle, y - high + 26 if k else y - 24), (middle, y), BLUE)
        parts += boxed((left, y), (width, 26), name, BLUE)
        if field:
            parts += boxed((right, y), (150, 26), told, ORANGE)
            parts += arrow((right, y + 13), (left + width, y + 13), ORANGE)
    bottom = top + high * len(HELD)
    parts += arrow((middle, bottom - high + 26), (middle, bottom + 4), BLUE)
    for first, last, at in ((0, 6, 138), (7, 9, 138)):
        up, down = centre[first] - (16 if first else 27), centre[last] + 20
        parts += [line((middle, up), (at, up), width=1.5), line((at, up), (at, down), width=1.5)]
        parts += arrow((at, down), (middle - 2, down))
        parts.append(words((at - 12, (up + down) / 2 + 5), "+ x", anchor="end"))
    alt = (
        "A block from top to bottom, norm, in_proj, convolution, scans, norm, gate, out_proj, norm, MLP, "
        "norm, in blue, with a way round the first seven and one round the MLP. From the right orange "
        "factors act on it: the norms' deviations, SiLU, the step, B and C, the gate, and GELU. They are "
        "what the input chose, and what the map W holds."
    )
    return "What is held to make the network linear", alt, bottom + 14, parts
