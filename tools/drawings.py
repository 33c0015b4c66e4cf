"""The book's drawings: what words would labour to say, as SVG.

    python tools/drawings.py            writes posemamba/assets/drawings/*.svg
    python tools/drawings.py --check    changes nothing, fails where something would change

A drawing is a function here that returns its parts. Lines and words are `currentColor`: the built book gives
them the colour of its text, light or dark; as an image they are the grey of the figures. A page on a phone
shows a drawing at two thirds of its size, so words are 14 units high or more.
"""

import argparse
import sys
from html import escape
from itertools import pairwise
from pathlib import Path

import numpy as np

from posemamba.losses import JOINT_WEIGHTS
from posemamba.plotting.style import COLOURS, INK
from posemamba.skeleton import FLIP_ORDER, LIMBS
from posemamba.storage import atomic_path

FOLDER = Path(__file__).resolve().parents[1] / "posemamba/assets/drawings"
WIDTH = 520
BLUE, ORANGE, GREEN, _, _, SKY = COLOURS
YELLOW = COLOURS[4]

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


def pinhole() -> tuple[str, str, int, list[str]]:
    """The camera from its right side: what is in its frame is drawn with depth to the right."""
    hole, axes = np.array([46.0, 148.0]), np.array([[-26.0, 17.0], [0.0, 66.0], [54.0, 0.0]])

    def page(points):
        return hole + np.asarray(points, float) @ axes

    turn = np.deg2rad(62)  # the near body is seen half from the side
    pose = WAVING.copy()
    pose[:, 0] = WAVING[:, 0] * np.cos(turn) - WAVING[:, 2] * np.sin(turn)
    pose[:, 2] = WAVING[:, 0] * np.sin(turn) + WAVING[:, 2] * np.cos(turn)
    near = pose + np.array([0.0, 0.05, 3.9])
    far, picture = 2.0 * near, 1.75 * near / near[:, 2:]
    edge = [(-0.62, -0.62, 1.75), (0.62, -0.62, 1.75), (0.62, 0.62, 1.75), (-0.62, 0.62, 1.75)]
    wrist, head, ankle = 13, 10, 3
    parts = [line(hole, page((0, 0, 8.5)), dash="2 5", opacity=0.7)]
    parts += [shape(page(edge), fill="currentColor")]
    for joint in (head, ankle):
        parts += [line(hole, page(far[joint]), width=1, dash="5 4", opacity=0.75)]
    parts += [line(hole, page(far[wrist]), GREEN, 2)]
    parts += body(page(far), ORANGE, YELLOW, 4) + body(page(near), BLUE, SKY, 3)
    parts += body(page(picture), width=1.6)
    for points, size in ((picture, 4), (near, 4.5), (far, 5)):
        parts += [dot(page(points[wrist]), size, GREEN)]
    parts += [dot(hole, 4.5)]
    parts += arrow(hole, page((1.15, 0, 0))) + arrow(hole, page((0, 1.1, 0))) + arrow(hole, page((0, 0, 1.2)))
    for name, tip, shift in (
        ("X", (1.15, 0, 0), (-8, 18)),
        ("Y", (0, 1.1, 0), (6, 4)),
        ("Z", (0, 0, 8.5), (3, 5)),
    ):
        parts += [words(page(tip), name, shift=shift)]
    tick, start, end = np.array([0, 4]), page((0, 1.35, 0)), page((0, 1.35, 1.75))
    parts += [line(start, end, width=1), *(line(at - tick, at + tick, width=1) for at in (start, end))]
    parts += [words((start + end) / 2, "f", shift=(0, 16), anchor="middle")]
    parts += [words((2, 130), "pinhole"), words((128, 88), "picture")]
    parts += [words((348, 135), "the wrist\u2019s ray", GREEN, anchor="middle")]
    parts += [words((232, 248), "near and small", BLUE), words((404, 308), "far and large", ORANGE)]
    # The world, with an axis up, on the floor.
    floor = np.array([166.0, 308.0])
    tips = {"x": (44, 8), "y": (30, -18), "z: up": (0, -46)}
    for name, tip in tips.items():
        parts += [*arrow(floor, floor + tip), words(floor + tip, name, shift=(6, 4))]
    parts += [words((92, 312), "world")]
    alt = (
        "From a pinhole, with axes X to the right, Y down and Z forward, a ray goes through a point of the "
        "picture, the wrist of a small near body and the same wrist of a body twice as large and twice as "
        "far away. Rays to head and ankle meet both bodies too. The world has axes of its own, z up."
    )
    return "One picture, two bodies", alt, 326, parts


def flip() -> tuple[str, str, int, list[str]]:
    """A body with its joints' numbers, and its mirror image."""
    scale, top = 148.0, 146.0
    mirror = WIDTH / 2
    flat = WAVING[:, :2] * [1.0, 1.0]
    before = np.array([mirror - 138, top]) + scale * flat
    negated = np.array([mirror + 138, top]) + scale * flat * [-1, 1]
    after = negated[list(FLIP_ORDER)]
    parts = [line((mirror, 8), (mirror, 300), dash="7 5")]
    aside = {0: (-15, -5), 7: (-11, 5), 8: (-11, 16), 9: (13, 6), 10: (0, -9)}
    for places, sign in ((before, 1), (after, -1)):
        parts += body(places)
        # Where a number is written depends on where its joint is drawn.
        for joint, place in enumerate(places):
            drawn = joint if sign == 1 else FLIP_ORDER[joint]
            colour = {3: SKY, 2: BLUE}.get(2 + (joint in (4, 5, 6, 11, 12, 13)))
            colour = "currentColor" if joint in aside else colour
            outward = np.sign(WAVING[drawn, 0])
            dx, dy = aside.get(drawn, (13 * outward, 5))
            if drawn in (11, 14):
                dx, dy = 4 * outward, -8
            if drawn in (1, 4):
                dx, dy = 15 * outward, 4
            parts += [dot(place, 3.4, colour)]
            bold = joint in (13, 16)
            parts += [words(place, str(joint), "currentColor", (sign * dx, dy), 14, "middle", bold)]
    parts += [words((mirror, 318), "x = 0", anchor="middle")]
    parts += arrow((mirror - 52, 30), (mirror + 52, 30), GREEN)
    parts += [words((mirror - 6, 22), "x", GREEN, anchor="end"), words((mirror + 6, 22), "\u2212x", GREEN)]
    parts += [words((20, 340), "Negated: x. As they are: y and z.")]
    parts += [words((20, 362), "Swapped: 1\u21944  2\u21945  3\u21946  11\u219414  12\u219415  13\u219416.")]
    alt = (
        "Left, a body that waves with its left hand, joint 13. Across the line x = 0 its mirror image, which "
        "waves with its right hand, joint 16. Every joint keeps its height; right and left joints have "
        "exchanged their numbers, pelvis, spine and head have not."
    )
    return "What a flip negates and what it swaps", alt, 372, parts


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


def loss_terms() -> tuple[str, str, int, list[str]]:
    """One joint in two frames, true and answered, and what each term of the loss measures there."""
    truth, answer = np.array([(30.0, 92), (132, 66)]), np.array([(52.0, 50), (94, 18)])
    scene, plain, velocity, still, scaled, flat = (
        np.array([left, top], float) for top in (20, 188, 374) for left in (14, 274)
    )

    def panel(corner, name, *told) -> list[str]:
        lines = [words(corner, text, GREEN, (0, 126 + 18 * k), 14) for k, text in enumerate(told)]
        return [words(corner, name, bold=True), *lines]

    def step(points, colour, opacity=1.0) -> list[str]:
        drawn = [*arrow(*points, colour), *(dot(place, 4.5, colour) for place in points)]
        return [f'<g opacity="{opacity:g}">', *drawn, "</g>"]

    parts = panel(scene, "A joint in two frames")
    parts += step(scene + truth, BLUE) + step(scene + answer, ORANGE)
    parts += [words(scene, "the truth", BLUE, (142, 71)), words(scene, "the answer", ORANGE, (104, 26))]
    parts += panel(plain, "MPJPE", "from the truth to the answer")
    parts += step(plain + truth, BLUE) + step(plain + answer, ORANGE)
    parts += [line(*ends, GREEN, 3) for ends in zip(plain + truth, plain + answer, strict=True)]
    foot = velocity + np.array([36.0, 86])
    ways = [np.array([foot, foot + points[1] - points[0]]) for points in (truth, answer)]
    parts += panel(velocity, "MPJVE", "from the true step to the", "answer\u2019s, wherever they are")
    parts += step(ways[0], BLUE) + step(ways[1], ORANGE) + [line(ways[0][1], ways[1][1], GREEN, 3)]
    parts += panel(still, "TC", "the answer\u2019s step, squared;", "the truth does not matter")
    parts += step(still + truth, BLUE, 0.25) + step(still + answer, ORANGE)
    parts += [line(*(still + answer - np.array([2.5, 9])), GREEN, 3)]
    pelvis, joint, said = (scaled + np.array(place) for place in ((20.0, 96), (136.0, 30), (86.0, 84)))
    way = said - pelvis
    fitted = pelvis + way * (way @ (joint - pelvis)) / (way @ way)
    parts += panel(
        scaled, "N-MPJPE: 2D in the code", "what is left when the answer", "is as large as fits best"
    )
    parts += [line(pelvis, fitted, ORANGE, 1.2, "4 4"), line(joint, fitted, GREEN, 3)]
    parts += [dot(pelvis, 4.5), dot(joint, 4.5, BLUE), dot(said, 4.5, ORANGE)]
    parts += [words(pelvis, "pelvis", shift=(10, 8), size=14)]
    place, other = (flat + np.array(point) for point in ((120.0, 30), (150.0, 92)))
    plane = flat + np.array([44.0, 0])
    parts += panel(
        flat, "Re-projection: 2D in words", "how far apart in the picture;", "depth does not matter"
    )
    parts += [line((plane[0], flat[1] + 14), (plane[0], flat[1] + 108))]
    for point, colour in ((place, BLUE), (other, ORANGE)):
        seen = (plane[0], point[1])
        parts += [line(point, seen, colour, 1.2, "4 4"), dot(point, 4.5, colour), dot(seen, 3.5, colour)]
    parts += [line((plane[0], place[1]), (plane[0], other[1]), GREEN, 3)]
    parts += [words(plane, "x, y", shift=(-8, 66), anchor="end")]
    parts += [
        *arrow(plane + np.array([14, 61]), plane + np.array([60, 61])),
        words(plane, "z", shift=(66, 66)),
    ]
    alt = (
        "A joint in two frames, where it is and where it is said to be. MPJPE measures the two distances; "
        "MPJVE how the two steps differ when they start at one point; TC the answer's step alone, squared. "
        "N-MPJPE first makes the answer longer from the pelvis, as far as fits best, and measures what is "
        "left. A re-projection drops the depth and measures the distance in the picture."
    )
    return "What each term of the loss measures", alt, 526, parts


def joint_weights() -> tuple[str, str, int, list[str]]:
    """The body with a disc at each joint, as large as its weight in the consistency term."""
    places = np.array([196.0, 170.0]) + 172.0 * WAVING[:, :2]
    parts = ['<g opacity="0.45">', *body(places, INK, INK, 3), "</g>"]
    shades = {1: BLUE, 1.5: SKY, 2.5: YELLOW, 4: ORANGE}
    parts += [
        dot(place, 7 * weight**0.5, shades[weight])
        for place, weight in zip(places, JOINT_WEIGHTS, strict=True)
    ]
    said = {1: "pelvis, hips, trunk, nose", 1.5: "head, shoulders", 2.5: "knees, ankles", 4: "elbows, wrists"}
    for k, (weight, joints) in enumerate(said.items()):
        place = np.array([318.0, 128 + 42 * k])
        parts += [
            dot(place, 7 * weight**0.5, shades[weight]),
            words(place, f"{weight:g}", shift=(24, 5), bold=True),
        ]
        parts += [words(place, joints, shift=(52, 5), size=14)]
    alt = (
        "A waving body with a disc at each joint. Pelvis, hips, trunk and nose weigh 1, head and shoulders "
        "1.5, knees and ankles 2.5, elbows and wrists 4."
    )
    return "How much a joint's movement weighs in TC", alt, 346, parts


def boxed(place, size, text, colour="currentColor", bold=False) -> list[str]:
    """A box from its upper left corner on, with a line of words in its middle."""
    (x, y), (width, height) = place, size
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    middle = (x + width / 2, y + height / 2 + 5)
    filled = colour if colour != "currentColor" else "none"
    return [shape(corners, colour, filled), words(middle, text, size=15, anchor="middle", bold=bold)]


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


DRAWINGS = {"pinhole": pinhole, "flip": flip}
DRAWINGS |= {"windows": windows, "two_and_a_half": two_and_a_half}
DRAWINGS |= {"loss_terms": loss_terms, "joint_weights": joint_weights}
DRAWINGS |= {"protocol": protocol, "choosing": choosing}


def draw(name: str) -> str:
    """The SVG source of a drawing."""
    title, alt, height, parts = DRAWINGS[name]()
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'color="{INK}" font-family="sans-serif" stroke-linecap="round" role="img">'
    )
    told = [f"<title>{escape(title)}</title>", f"<desc>{escape(alt)}</desc>"]
    return "\n".join([head, *told, *parts, "</svg>"]) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python tools/drawings.py", description="The book's drawings.")
    parser.add_argument("--check", action="store_true", help="change nothing, fail where something would")
    check = parser.parse_args(arguments).check
    different = 0
    for name in DRAWINGS:
        path, new = FOLDER / f"{name}.svg", draw(name)
        if path.exists() and path.read_text(encoding="utf-8") == new:
            continue
        different += 1
        print(f"{path.name}: {'not what this script draws' if check else 'written'}")
        if not check:
            FOLDER.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                Path(temporary).write_bytes(new.encode("utf-8"))
    return int(check and different > 0)


if __name__ == "__main__":
    sys.exit(main())
