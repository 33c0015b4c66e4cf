"""Drawings of "The lifting problem"."""

import numpy as np

from posemamba.skeleton import FLIP_ORDER, LEFT
from tools.drawings.pen import (
    BLUE,
    GREEN,
    ORANGE,
    SKY,
    WAVING,
    WIDTH,
    YELLOW,
    arrow,
    body,
    dot,
    line,
    shape,
    words,
)


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
    before = np.array([mirror - 138, top]) + scale * WAVING[:, :2]
    negated = np.array([mirror + 138, top]) + scale * WAVING[:, :2] * [-1, 1]
    after = negated[list(FLIP_ORDER)]
    parts = [line((mirror, 8), (mirror, 300), dash="7 5")]
    aside = {0: (-15, -5), 7: (-11, 5), 8: (-11, 16), 9: (13, 6), 10: (0, -9)}
    for places, sign in ((before, 1), (after, -1)):
        parts += body(places)
        # Where a number is written depends on where its joint is drawn.
        for joint, place in enumerate(places):
            drawn = joint if sign == 1 else FLIP_ORDER[joint]
            colour = "currentColor" if joint in aside else SKY if joint in LEFT else BLUE
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
