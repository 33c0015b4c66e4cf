"""Drawings of "What to optimise"."""

import numpy as np

from posemamba.losses import JOINT_WEIGHTS
from posemamba.plotting.style import INK
from tools.drawings.pen import BLUE, GREEN, ORANGE, SKY, WAVING, YELLOW, arrow, body, dot, line, words


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
