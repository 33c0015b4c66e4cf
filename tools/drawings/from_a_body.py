"""Drawings of "From a body to a sequence"."""

from itertools import pairwise

import numpy as np

from posemamba import orders
from posemamba.skeleton import BONES, JOINTS, LIMB_ORDER, LIMBS
from tools.drawings.pen import BLUE, GREEN, ORANGE, SKY, WAVING, YELLOW, arrow, cells, dot, line, shape, words

COLOUR_OF = {
    "right leg": BLUE,
    "left leg": SKY,
    "trunk": "currentColor",
    "left arm": YELLOW,
    "right arm": ORANGE,
}
# The limb that a joint's colour names: the trunk keeps the two from which the others hang.
LIMB_OF = {joint: limb for limb, joints in LIMBS.items() for joint in joints}
_IN_WORDS = {"spatial": BLUE, "temporal": ORANGE}


def bones_between(start: int, end: int) -> int:
    """How many bones one walks along from one joint to another."""
    reached, distance = {start}, 0
    while end not in reached:
        reached = reached.union(*(bone for bone in BONES if reached & {*bone}))
        distance += 1
    return distance


def numbered_skeleton() -> tuple[str, str, int, list[str]]:
    """The body with its joints' numbers, its bones by limb, and the joints in their order as a row."""
    places = np.array([112.0, 186.0]) + 206.0 * WAVING[:, :2]
    aside = {0: (15, -4), 7: (14, 5), 8: (-13, 22), 9: (15, 6), 10: (0, -9), 11: (4, -9), 14: (-4, -9)}
    aside |= {12: (16, 8), 13: (17, 4)}
    parts = []
    for parent, child in BONES:
        parts += [line(places[parent], places[child], COLOUR_OF[LIMB_OF[child]], 5)]
    for joint, place in enumerate(places):
        shift = aside.get(joint, (-15 if WAVING[joint, 0] < 0 else 15, 5))
        parts += [dot(place, 4.5), words(place, str(joint), shift=shift, anchor="middle", bold=True)]
    for k, (limb, joints) in enumerate(LIMBS.items()):
        y = 66 + 58 * k
        pairs = ", ".join(f"{a}\u2013{b}" for a, b in pairwise(joints))
        parts += [line((262, y - 5), (280, y - 5), COLOUR_OF[limb], 5), words((292, y), limb, bold=True)]
        parts += [words((292, y + 21), pairs)]
    size, top = 30, 422
    parts += [words((6, top - 14), "in the order of their numbers; a bar is a bone")]
    for joint in range(JOINTS):
        x, colour = 6 + size * joint, COLOUR_OF[LIMB_OF[joint]]
        box = [(x, top), (x + 22, top), (x + 22, top + 24), (x, top + 24)]
        parts += [
            shape(box, colour, colour, 0.25),
            words((x + 11, top + 17), str(joint), size=14, anchor="middle"),
        ]
        if (joint, joint + 1) in BONES:
            parts += [line((x + 24.5, top + 12), (x + size - 2.5, top + 12), width=5)]
    walked = sum((a, a + 1) in BONES for a in range(JOINTS - 1))
    listed = "; ".join(f"{limb} {', '.join(f'{a}-{b}' for a, b in pairwise(j))}" for limb, j in LIMBS.items())
    alt = (
        f"A body that faces us, with numbers at its 17 joints. Its {len(BONES)} bones: {listed}. Below, the "
        f"joints 0 to 16 in a row: {walked} of the 16 neighbours are joined by a bone, but not 3 and 4, 6 "
        "and 7, 10 and 11, 13 and 14."
    )
    return "Seventeen joints, sixteen bones", alt, 462, parts


def _walk(corner, direction: orders.Direction, frames=2, joints=3, apart=(62, 56)) -> list[str]:
    """A direction as a path through the grid of tokens, rows are frames; below it the sequence."""
    read, colour = direction.permutation(frames, joints).tolist(), _IN_WORDS[direction.axis]
    corner, radius = np.array(corner, float), 15
    first = corner + np.array([82, 58])
    places = first + np.array(apart) * [(k % joints, k // joints) for k in range(len(read))]
    parts = [words(corner, direction.name, shift=(0, 14), bold=True)]
    for joint in range(joints):
        parts += [words(places[joint], f"joint {joint}", shift=(0, -23), size=14, anchor="middle")]
    for frame in range(frames):
        parts += [words(places[frame * joints], f"frame {frame}", shift=(-24, 5), size=14, anchor="end")]
    for token, place in enumerate(places):
        parts += [
            f'<circle cx="{place[0]:g}" cy="{place[1]:g}" r="{radius}" fill="{colour}" fill-opacity="0.2" '
            f'stroke="{colour}" stroke-width="1.5"/>',
            words(place, str(token), shift=(0, 5), anchor="middle"),
        ]
    for start, end in pairwise(read):
        way = places[end] - places[start]
        way = way / np.linalg.norm(way)
        parts += arrow(places[start] + (radius + 2) * way, places[end] - (radius + 2) * way, colour)
    return parts + cells(places[-joints] + np.array([-radius, 30]), 26, read, colour)


def four_sequences() -> tuple[str, str, int, list[str]]:
    """The four directions of the bidirectional strategy on two frames of three joints."""
    parts, lists = [], []
    for k, direction in enumerate(orders.directions("bidirectional")):
        corner = (4 + 264 * (k % 2), 4 + 202 * (k // 2))
        parts += _walk(corner, direction)
        lists.append(f"{direction.name} {' '.join(map(str, direction.permutation(2, 3).tolist()))}")
    alt = (
        "Four grids of two frames by three joints, tokens 0 to 5, each with a path of arrows. The "
        f"sequences: {'; '.join(lists)}. The two below walk the paths above from their ends."
    )
    return "Four ways through one grid", alt, 388, parts


def two_backwards() -> tuple[str, str, int, list[str]]:
    """The whole list from its end, and only the inside of each frame or joint."""
    parts, told = [], []
    for k, (axis, way) in enumerate(
        [(a, w) for a in ("spatial", "temporal") for w in ("reversed", "backward")]
    ):
        direction = orders.reading(axis, way)
        parts += _walk((4 + 264 * (k % 2), 32 + 202 * (k // 2)), direction)
        told.append(f"{direction.name} {' '.join(map(str, direction.permutation(2, 3).tolist()))}")
    parts += [
        words((4, 18), "the whole list from its end"),
        words((268, 18), "each frame or joint by itself"),
    ]
    alt = (
        "Four grids of two frames by three joints with a path each. Left, reversed: the path begins with "
        "the last token. Right, backward: spatially it begins with the last joint of the first frame, in "
        f"time with the last frame of the first joint. The sequences: {'; '.join(told)}."
    )
    return "Two meanings of backward", alt, 416, parts


def way_home() -> tuple[str, str, int, list[str]]:
    """A gather into temporal order, and the scatter that undoes it, as two rows of crossing lines."""
    read = orders.temporal_forward(2, 3).tolist()
    letters, size, left = "abcdef", 44, 84
    tops = (16, 106, 196)
    middle = [left + size * (k + 0.5) for k in range(6)]
    parts = []
    for top, row, label, colour in (
        (tops[0], letters, "tokens", BLUE),
        (tops[1], [letters[k] for k in read], "sequence", ORANGE),
        (tops[2], letters, "home", BLUE),
    ):
        parts += [words((left - 10, top + 15), label, anchor="end"), *cells((left, top), size, row, colour)]
    for place, token in enumerate(read):
        parts += arrow((middle[token], tops[0] + 23), (middle[place], tops[1] - 3))
        parts += arrow((middle[place], tops[1] + 23), (middle[token], tops[2] - 3), GREEN)
    right = left + 6 * size + 14
    parts += [words((right, 68), "gather", bold=True), words((right, 158), "scatter", bold=True)]
    alt = (
        f"Six tokens a to f. Arrows bring them into the order {''.join(letters[k] for k in read)}. From "
        "there the same arrows, mirrored, bring each letter back to its own place."
    )
    return "Into the order and home again", alt, 226, parts


def who_reaches() -> tuple[str, str, int, list[str]]:
    """The tokens that reach one of a grid, along one direction, and along several."""
    frames = joints = 5
    marked, size = 2 * joints + 2, 24
    forward = orders.directions("forward-forward")[:2]
    every = orders.directions("bidirectional")
    panels = (
        ("spatial forward", forward[:1], BLUE),
        ("temporal forward", forward[1:], ORANGE),
        ("both", forward, GREEN),
        ("spatial reversed", every[2:3], BLUE),
        ("temporal reversed", every[3:], ORANGE),
        ("all four", every, GREEN),
    )
    parts, counts = [], []
    for k, (name, directions, colour) in enumerate(panels):
        x, y = 48 + 166 * (k % 3), 26 + 188 * (k // 3)
        reaches = orders.directions_reaching(directions, frames, joints)[marked] > 0
        counts.append(f"{name} {int(reaches.sum()) - 1}")
        parts += [words((x, y - 10), name, bold=True)]
        for token in range(frames * joints):
            left, top = x + size * (token % joints), y + size * (token // joints)
            box = [
                (left, top),
                (left + size - 3, top),
                (left + size - 3, top + size - 3),
                (left, top + size - 3),
            ]
            if reaches[token]:
                parts += [shape(box, colour, colour, 0.55)]
            else:
                parts += [shape(box).replace("/>", ' opacity="0.45"/>')]
        middle = (x + size * 2.5 - 1.5, y + size * 2.5 - 1.5)
        parts += [dot(middle, 6)]
        parts += arrow((x, y + joints * size + 8), (x + 118, y + joints * size + 8), width=1.2)
        parts += [words((x, y + joints * size + 26), "joints", size=14)]
        if k % 3 == 0:
            parts += arrow((x - 10, y), (x - 10, y + 118), width=1.2)
            parts += [words((x - 16, y + 14), "time", size=14, anchor="end")]
    alt = (
        "Grids of five frames by five joints; a dot marks the token in the middle, and filled cells reach "
        "it. Along spatial forward: all earlier frames, and the smaller joints of its own. Along temporal "
        "forward: all smaller joints, and its own past. Both together leave out what is later and of a "
        "higher joint. The reversed directions give the rest. Other tokens that reach it: "
        f"{', '.join(counts)}, of 24."
    )
    return "Who reaches the token in the middle", alt, 366, parts


def limb_order() -> tuple[str, str, int, list[str]]:
    """Joints 0 to 16, and under each the entry of the limb order that is added to it."""
    size, left = 29, 14
    parts = [words((left, 20), "joint", bold=True)]
    parts += cells((left, 30), size, range(JOINTS))
    apart = [bones_between(joint, added) for joint, added in enumerate(LIMB_ORDER)]
    colour = [(GREEN, BLUE, ORANGE)[min(bones, 2)] for bones in apart]
    for k in range(JOINTS):
        middle = left + size * (k + 0.5)
        parts += [line((middle - 5, 65), (middle + 5, 65)), line((middle, 60), (middle, 70))]
        parts += cells((left + k * size, 80), size, [LIMB_ORDER[k]], colour[k])
    start, limbs = 1, [limb for limb in LIMBS if limb != "trunk"]
    parts += [words((left + size / 2, 132), "root", size=14, anchor="middle")]
    for limb in limbs:
        ends = [left + size * start + 3, left + size * (start + len(LIMBS[limb])) - 3]
        assert LIMB_ORDER[start : start + len(LIMBS[limb])] == LIMBS[limb]
        parts += [line((ends[0], 109), (ends[1], 109), width=2.5)]
        parts += [words((sum(ends) / 2, 132), limb, size=14, anchor="middle")]
        start += len(LIMBS[limb])
    parts += [words((left, 168), "scanned"), *arrow((left + 66, 163), (left + 17 * size, 163), BLUE)]
    counts = [apart.count(0), apart.count(1), sum(bones > 1 for bones in apart)]
    told = [f"{counts[0]} are the joint itself", f"{counts[1]} a neighbour", f"{counts[2]} further away"]
    for x, text, shade in zip((left, 216, 364), told, (GREEN, BLUE, ORANGE), strict=True):
        box = [(x, 188), (x + 18, 188), (x + 18, 206), (x, 206)]
        parts += [shape(box, shade, shade, 0.4), words((x + 26, 203), text)]
    alt = (
        "Two rows of 17 cells. Above, joints 0 to 16. Below, the limb order: "
        f"{', '.join(map(str, LIMB_ORDER))}; the root, then right leg, left leg, left arm and right arm. "
        f"Each cell is added to the one above it, and the sums are scanned from left to right. {told[0]}, "
        f"{told[1]} on the skeleton, {told[2]}."
    )
    return "What the limb order is added to", alt, 218, parts


def dropped_gradient() -> tuple[str, str, int, list[str]]:
    """What goes from the pelvis into the sums, and what comes back of it, in truth and as released."""
    hosts = [joint for joint, added in enumerate(LIMB_ORDER) if added == 0]
    panels = (("forward", 1, True), ("the true gradient", -1, True), ("the released one", -1, False))
    parts, rows = [], {joint: 84 + 62 * k for k, joint in enumerate(hosts)}
    for k, (name, way, mixed) in enumerate(panels):
        left, right = 22 + 176 * k, 124 + 176 * k
        parts += [words((left - 16, 18), name, bold=True)]
        parts += [words((left, 50), "x", anchor="middle"), words((right, 50), "sums", anchor="middle")]
        for joint, y in rows.items():
            for x in (left, right):
                circle = f'<circle cx="{x}" cy="{y}" r="14" fill="currentColor" fill-opacity="0.1" stroke='
                parts += [f'{circle}"currentColor" stroke-width="1.5"/>']
                parts += [words((x, y + 5), str(joint), anchor="middle")]
            lift = 6 if joint == 0 else 0  # the pelvis goes into its own sum twice
            parts += arrow(*[(left + 17, y - lift), (right - 17, y - lift)][::way], BLUE, 2.2)
        for host in hosts:
            start, end = np.array([left, rows[0]], float), np.array([right, rows[host]], float)
            along = (end - start) / np.linalg.norm(end - start)
            shift = np.array([0, 6 if host == 0 else 0])
            ends = [start + 17 * along + shift, end - 17 * along + shift]
            if mixed:
                parts += arrow(*ends[::way], ORANGE, 2.2)
            else:
                parts += [line(*ends, ORANGE, 1.5, "2 6")]
    alt = (
        f"The pelvis, joint 0, goes into its own sum and is mixed into sums {', '.join(map(str, hosts))}. "
        "The true gradient comes back along all of these arrows. The released gradient comes back from "
        "each sum to its own joint alone; what was mixed in gets nothing."
    )
    return "What the released gradient leaves out", alt, 226, parts
