"""What drawings are made of: lines, words, arrows, boxes, and a body.

Lines and words are `currentColor`: the built book gives them the colour of its text, light or dark; as an
image they are the grey of the figures. A page on a phone shows a drawing at two thirds of its size, so words
are 14 units high or more.
"""

from html import escape
from itertools import pairwise

import numpy as np

from posemamba.plotting.style import COLOURS
from posemamba.skeleton import LIMBS

WIDTH = 520
BLUE, ORANGE, GREEN, _, YELLOW, SKY = COLOURS

# A body that faces the camera and waves with its left hand: x to the right and y down in the picture, in
# metres from the pelvis, and z, away from the camera.
WAVING = np.array(
    [
        *[(0, 0, 0), (-0.13, 0.02, 0.0), (-0.17, 0.46, -0.03), (-0.19, 0.88, 0.04)],
        *[(0.13, 0.02, 0.0), (0.2, 0.45, -0.08), (0.24, 0.88, 0.02)],
        *[(0.0, -0.24, 0.02), (0.0, -0.49, 0.0), (0.0, -0.6, -0.06), (0.0, -0.74, 0.0)],
        *[(0.17, -0.45, 0.0), (0.39, -0.36, -0.05), (0.46, -0.63, -0.1)],
        *[(-0.17, -0.45, 0.0), (-0.32, -0.19, 0.05), (-0.36, 0.07, -0.05)],
    ]
)


def number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0").replace("-0.0", "0")


def line(start, end, colour="currentColor", width=1.5, dash="", opacity=1.0) -> str:
    (x1, y1), (x2, y2) = ([number(v) for v in point] for point in (start, end))
    look = f' stroke-dasharray="{dash}"' * bool(dash) + f' opacity="{opacity:g}"' * (opacity != 1)
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="{width:g}"{look}/>'


def dot(place, radius=3.0, colour="currentColor") -> str:
    x, y = map(number, place)
    return f'<circle cx="{x}" cy="{y}" r="{radius:g}" fill="{colour}"/>'


def words(place, text, colour="currentColor", shift=(0, 0), size=15, anchor="start", bold=False) -> str:
    x, y = (number(at + by) for at, by in zip(place, shift, strict=True))
    look = f' text-anchor="{anchor}"' * (anchor != "start") + ' font-weight="bold"' * bold
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}"{look}>{escape(text)}</text>'


def shape(points, colour="currentColor", fill="none", opacity=0.12) -> str:
    corners = " ".join(",".join(map(number, point)) for point in points)
    inside = f'fill="{fill}" fill-opacity="{opacity:g}"' if fill != "none" else 'fill="none"'
    return f'<polygon points="{corners}" stroke="{colour}" stroke-width="1.5" {inside}/>'


def arrow(start, end, colour="currentColor", width=1.8) -> list[str]:
    start, end = np.array(start, float), np.array(end, float)
    way = (end - start) / np.linalg.norm(end - start)
    aside, neck = np.array([-way[1], way[0]]), end - 9 * way
    head = " ".join(",".join(map(number, point)) for point in (end, neck + 4 * aside, neck - 4 * aside))
    return [line(start, neck, colour, width), f'<polygon points="{head}" fill="{colour}"/>']


def body(places, right=BLUE, left=SKY, width=3.5) -> list[str]:
    """A skeleton from the places (17, 2) of its joints on the page."""
    parts = []
    for limb, joints in LIMBS.items():
        colour = left if limb.startswith("left") else right
        parts += [line(places[a], places[b], colour, width) for a, b in pairwise(joints)]
    return parts


def cells(place, size, numbers, colour="currentColor", pale=()) -> list[str]:
    """A row of frames from the upper left corner on, with their numbers; `pale` ones have a dashed edge."""
    parts, (x, y) = [], place
    for k, frame in enumerate(numbers):
        left, right = x + k * size + 1, x + (k + 1) * size - 1
        corners = [(left, y), (right, y), (right, y + 20), (left, y + 20)]
        box = shape(corners, colour, "none" if k in pale else colour, 0.25)
        parts.append(box.replace("/>", ' stroke-dasharray="3 3"/>') if k in pale else box)
        if frame is not None:
            parts.append(words(((left + right) / 2, y + 15), str(frame), size=14, anchor="middle"))
    return parts


def boxed(place, size, text, colour="currentColor", bold=False) -> list[str]:
    """A box from its upper left corner on, with a line of words in its middle."""
    (x, y), (width, height) = place, size
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    middle = (x + width / 2, y + height / 2 + 5)
    filled = colour if colour != "currentColor" else "none"
    return [shape(corners, colour, filled), words(middle, text, size=15, anchor="middle", bold=bold)]
