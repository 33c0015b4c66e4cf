"""Drawings of "In the wild"."""

import numpy as np

from posemamba.skeleton import JOINT_SETS
from tools.drawings.pen import BLUE, GREEN, ORANGE, SKY, WAVING, body, dot, line, shape, words


def _camera(place, way, colour="currentColor", size=26.0) -> list[str]:
    """A camera seen from above: its box, and in front of it the cone of what it sees."""
    place, way = np.array(place, float), np.array(way, float) / np.linalg.norm(way)
    aside = np.array([-way[1], way[0]])
    mouth = [place, place + size * (way + 0.5 * aside), place + size * (way - 0.5 * aside)]
    back = [place + 8 * aside, place - 8 * aside, place - 8 * aside - 16 * way, place + 8 * aside - 16 * way]
    return [shape(mouth, colour, colour), shape(back, colour, colour, 0.35)]


def rays() -> tuple[str, str, int, list[str]]:
    """Two cameras from above, the rays of one joint, and close up how these miss each other."""
    left, right = np.array([46.0, 306]), np.array([270.0, 314])
    near = np.array([168.0, 96])  # where the rays pass each other, on the page
    parts = []
    for place, colour, name, shift in (
        (left, BLUE, "camera 1", (-30, 30)),
        (right, ORANGE, "camera 2", (-34, 30)),
    ):
        way = (near - place) / np.linalg.norm(near - place)
        parts += [*_camera(place, way, colour), line(place + 28 * way, near + 70 * way, colour, 2)]
        parts += [words(place, name, colour, shift)]
    # Close up: the rays lie at two heights, so that they cross on the page and not in space.
    middle, radius = np.array([412.0, 150]), 96.0
    parts += [line(near + np.array([14, -2]), middle - [radius, 8], dash="2 5", opacity=0.7)]
    parts += [
        f'<circle cx="{middle[0]:g}" cy="{middle[1]:g}" r="{radius:g}" fill="none" stroke="currentColor"/>',
        f'<circle cx="{near[0]:g}" cy="{near[1]:g}" r="12" fill="none" stroke="currentColor"/>',
    ]
    top, low = middle + np.array([0, -34]), middle + np.array([0, 34])
    for at, way, colour in ((top, (0.82, -0.25), BLUE), (low, (-0.82, -0.22), ORANGE)):
        way = np.array(way) * 82
        parts += [line(at - way, at + way, colour, 2), dot(at, 4, colour)]
    parts += [line(top, low, GREEN, 2, "5 4"), dot(middle, 5.5, GREEN)]
    parts += [words(middle, "the point", GREEN, (12, 6)), words(near, "a joint", shift=(-66, 5))]
    parts += [words((316, 276), "close up: the rays miss,", size=15)]
    parts += [words((316, 296), "the point lies between", size=15)]
    alt = (
        "Two cameras from above, each with a ray to the same joint. Close up the two rays do not meet: one "
        "passes over the other. The point that is nearest to both lies in the middle of the shortest line "
        "between them."
    )
    return "Two rays that miss", alt, 352, parts


def person_view() -> tuple[str, str, int, list[str]]:
    """A camera with a person beside its axis, from above; and the virtual camera that faces them."""
    parts, person = [], np.array([86.0, -196])
    for corner, turned, name, told in (
        (np.array([106.0, 286]), False, "as it was filmed", "beside the middle, small"),
        (np.array([366.0, 286]), True, "their own view", "in the middle, one size"),
    ):
        place = corner + person
        way = person / np.linalg.norm(person) if turned else np.array([0.0, -1])
        aside = np.array([-way[1], way[0]])
        colour = GREEN if turned else BLUE
        parts += _camera(corner, way, colour)
        parts += [line(corner, corner + 240 * way, colour, 1.2, "2 5")]
        reach = 150 if turned else 92
        picture = corner + reach * way
        parts += [line(picture - 62 * aside, picture + 62 * aside, colour, 2)]
        # A person from above: shoulders and head. They do not turn with the camera.
        ends = place + np.array([[-24.0, 10], [24, -10]])
        parts += [line(*ends, ORANGE, 9), dot(place, 9, ORANGE)]
        seen = []
        for end in ends:
            ray = (end - corner) / ((end - corner) @ way) * reach
            parts += [line(corner, end, width=0.8, opacity=0.6)]
            seen.append(corner + ray)
        parts += [line(*seen, ORANGE, 5)]
        parts += [words((corner[0], 326), name, colour, anchor="middle", bold=True)]
        parts += [words((corner[0], 347), told, size=14, anchor="middle")]
    parts += [words((20, 40), "the axis", BLUE, (50, 0), 14)]
    parts += [words((22, 190), "picture", BLUE, (0, 0), 14)]
    alt = (
        "From above, a camera whose axis points past a person: in its picture they lie beside the middle. "
        "Beside it a virtual camera at the same place, turned until its axis meets them: in its picture "
        "they lie in the middle. The person stands as before."
    )
    return "A view of their own", alt, 360, parts


def landmarks() -> tuple[str, str, int, list[str]]:
    """The points that BlazePose finds, and those of the 17 joints that are made of them."""
    scale, top = 176.0, np.array([212.0, 168.0])
    places = top + scale * WAVING[:, :2]
    head, found = places[10] + np.array([0, 20]), JOINT_SETS["BlazePose-33"]
    parts = ['<g opacity="0.35">', *body(places, BLUE, SKY, 3), "</g>"]
    nose = head + np.array([0, 8])
    face = [
        nose + np.array([s * x, y])
        for s in (-1, 1)
        for x, y in ((5, -9), (9, -9), (13, -8), (20, -4), (6, 10))
    ]
    hands = [places[w] + d for w in (13, 16) for d in ([-8, 14], [1, 18], [9, 12])]
    hands = [p if k >= 3 else 2 * places[13] - p for k, p in enumerate(hands)]
    feet = [places[a] + d for a, s in ((3, -1), (6, 1)) for d in ([-4 * s, 12], [16 * s, 16])]
    joints = [places[k] for k in (1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16)] + [nose]
    assert len([*face, *hands, *feet, *joints]) == len(found.joints)
    ring = '<circle cx="{:.1f}" cy="{:.1f}" r="2.6" fill="none" stroke="currentColor"/>'
    parts += [ring.format(*place) for place in (*face, *hands, *feet)]
    shoulders, hips = places[[11, 14]], places[[1, 4]]
    thorax, pelvis = shoulders.mean(0), hips.mean(0)
    made = {
        "head": nose + np.array([0, -32]),
        "thorax": thorax,
        "spine": (thorax + pelvis) / 2,
        "pelvis": pelvis,
    }
    for ends in (shoulders, hips, (thorax, pelvis)):
        parts += [line(*ends, ORANGE, 1.4, "4 4")]
    parts += [line(thorax, made["head"], ORANGE, 1.4, "4 4")]
    parts += [dot(place, 4.2, BLUE) for place in joints]
    for place in made.values():
        parts += [
            dot(place, 5.5, ORANGE),
            line(place + np.array([9, 0]), (330, place[1]), width=0.8, opacity=0.6),
        ]
    told = dict(head="head: beyond the ears", thorax="thorax: shoulders' middle")
    told |= dict(spine="spine: half way", pelvis="pelvis: hips' middle")
    for name, text in told.items():
        parts += [words((334, made[name][1]), text.replace("'", "\u2019"), ORANGE, (0, 5), 14)]
    key = np.array([334.0, 262])
    parts += [dot(key, 4.2, BLUE), words(key, "found, and ours: 13", shift=(12, 5), size=14)]
    parts += [
        dot(key + np.array([0, 26]), 5.5, ORANGE),
        words(key, "made of others: 4", shift=(12, 31), size=14),
    ]
    parts += [
        ring.format(*(key + np.array([0, 52]))),
        words(key, "found, not ours: 20", shift=(12, 57), size=14),
    ]
    alt = (
        "A waving body with the 33 points that BlazePose finds: 13 are joints of ours, 20 more lie on face, "
        "hands and feet. The pelvis is made of the hips, the thorax of the shoulders, the spine lies half "
        "way, and the head beyond the ears."
    )
    return "From 33 points to 17 joints", alt, 346, parts
