"""Drawings of "The data"."""

import numpy as np

from tools.drawings.pen import BLUE, GREEN, ORANGE, arrow, cells, dot, line, shape, words


def windows() -> tuple[str, str, int, list[str]]:
    """Windows of a long source, at two strides; a short source, resampled and padded."""
    size, start, window = 24, 20, 6
    parts = [words((start, 18), "A source of 20 frames; windows of T = 6", bold=True)]
    parts += cells((start, 28), size, range(20))
    parts += [words((start, 78), "test, stride 6: each frame once", BLUE)]
    for k in range(3):
        parts += cells((start + 6 * k * size, 86), 6 * size, [None], BLUE)
    parts += cells((start + 18 * size, 86), 2 * size, [None], ORANGE, pale=(0,))
    parts += [words((start + 20 * size, 78), "tail: dropped", ORANGE, anchor="end")]
    parts += [words((start, 138), "training, stride 2: inner frames three times", GREEN)]
    for k in range(8):
        parts += cells((start + 2 * k * size, 146 + 26 * (k % 3)), window * size, [None], GREEN)
    parts += [words((start, 262), "A source of 4 frames, shorter than T", bold=True)]
    drawn, padded = [0, 0, 2, 2, 3, 3], [0, 1, 2, 3, 3, 3]
    for left, chosen, colour, pale in ((start, drawn, ORANGE, ()), (start + 280, padded, BLUE, (4, 5))):
        step, over = 32, left + 32
        parts += cells((over, 272), step, range(4))
        for k, frame in enumerate(chosen):
            from_, to = (over + (frame + 0.5) * step, 293), (left + (k + 0.5) * step, 325)
            parts.append(line(from_, to, colour, 1.5, "3 3" if k in pale else ""))
        parts += cells((left, 326), step, chosen, colour, pale)
    parts += [words((start, 368), "resampled at random:", ORANGE)]
    parts += [words((start, 387), "frame 1 lost, all else twice", ORANGE)]
    parts += [words((start + 280, 368), "padded: the last one", BLUE)]
    parts += [words((start + 280, 387), "again, not scored", BLUE)]
    alt = (
        "Twenty frames in windows of six. At stride 6 three windows follow each other and a tail of two "
        "frames is dropped. At stride 2 eight windows overlap. Below, four frames fill six places: resampled "
        "at random as 0 0 2 2 3 3, where frame 1 is lost; or padded as 0 1 2 3 3 3, the last two not scored."
    )
    return "Windows, a tail, a short source", alt, 398, parts


def quarter_cells() -> tuple[str, str, int, list[str]]:
    """How a place is read off a heat map: the highest cell, moved a quarter towards its higher neighbour."""
    start, size, floor = 40, 88, 138
    heat, best = [12, 38, 96, 66, 20], 2
    parts = [words((start, 20), "A row of a heat map, five of its cells", bold=True)]
    for k, height in enumerate(heat):
        left, right = start + k * size + 6, start + (k + 1) * size - 6
        corners = [(left, floor), (left, floor - height), (right, floor - height), (right, floor)]
        parts.append(shape(corners, BLUE, BLUE, 0.4 if k == best else 0.15))
    parts.append(line((start, floor), (start + 5 * size, floor), width=1))
    middle = start + (best + 0.5) * size
    parts.append(line((middle, 42), (middle, 208), dash="3 4", opacity=0.7))
    places = [start + (k + 0.5 + side) * size for k in range(len(heat)) for side in (-0.25, 0.25)]
    named = middle + size / 4
    parts.append(words((named + 10, 173), "a quarter to the higher side", ORANGE))
    parts += [*arrow((middle, 168), (named, 168), ORANGE), line((named, 178), (named, 198), ORANGE, 1, "2 4")]
    parts += [line((start, 208), (start + 5 * size, 208), width=1)]
    parts += [
        dot((place, 208), 6 if place == named else 4, ORANGE if place == named else GREEN) for place in places
    ]
    parts.append(words((start, 236), "all places that it can name: half a cell apart", GREEN))
    alt = (
        "Five cells of a heat map, the third the highest, its right neighbour higher than its left one. The "
        "joint is put a quarter of a cell to the right of the third cell's middle. Below, all places that "
        "can be named so, two to a cell, evenly spaced by half a cell."
    )
    return "Two places to a cell", alt, 246, parts


def two_and_a_half() -> tuple[str, str, int, list[str]]:
    """The camera from above: a box at the root's depth says how many pixels a millimetre has."""
    hole, root, wrist, plane = np.array([26.0, 150.0]), np.array([318, 150.0]), np.array([430.0, 92.0]), 120

    def seen(point):
        return np.array([plane, hole[1] + (point[1] - hole[1]) * (plane - hole[0]) / (point[0] - hole[0])])

    half = np.array([0, 105])
    top, bottom = root - half, root + half
    parts = [line((plane, 80), (plane, 220), width=1), line(hole, root, dash="2 5", opacity=0.7)]
    for end in (top, bottom):
        parts += [line(hole, end, ORANGE, 1, "5 4"), dot(end, 3, ORANGE)]
    parts += [line(top, bottom, ORANGE, 2), line(seen(top), seen(bottom), ORANGE, 6, opacity=0.6)]
    parts += [line(hole, wrist, GREEN, 2), dot(wrist, 5, GREEN), dot(seen(wrist), 4.5, GREEN)]
    parts += [dot(root, 5, BLUE), dot(hole, 4.5), dot(seen(root), 4.5, BLUE)]
    parts += [*arrow((26, 206), (26, 250)), words((32, 246), "X")]
    parts += [words((8, 178), "pinhole"), words((plane, 70), "picture", anchor="middle")]
    parts += [words(root, "root", BLUE, (8, 20)), words(wrist, "wrist", GREEN, (0, -12), anchor="middle")]
    parts += [words(top, "a box 2 m wide", ORANGE, (0, -12), anchor="middle")]
    parts += [*arrow((hole[0], 278), (root[0], 278)), words((172, 271), "Z", anchor="middle")]
    parts += [*arrow((root[0], 278), (wrist[0], 278), GREEN)]
    parts += [words((374, 271), "\u0394Z", GREEN, anchor="middle")]
    parts += [line(wrist, (wrist[0], 282), GREEN, 1, "2 4"), line(bottom, (root[0], 282), ORANGE, 1, "2 4")]
    parts += [words((plane, 240), "the box in pixels", ORANGE, anchor="middle")]
    parts += [words((26, 310), "x, y: the ray\u2019s place in the picture, pixels", GREEN)]
    parts += [words((26, 331), "z: \u0394Z in the pixels of the root\u2019s depth", GREEN)]
    parts += [words((26, 352), "factor: millimetres to one of these pixels", ORANGE)]
    alt = (
        "From above: from a pinhole, rays go through the picture to the ends of a box two metres wide at the "
        "depth Z of the root. The box's image tells how many pixels a millimetre has there. A wrist lies "
        "deeper than the root by delta Z; its ray gives x and y, and delta Z in those pixels gives z."
    )
    return "2.5D: depth in the picture's own scale", alt, 362, parts
