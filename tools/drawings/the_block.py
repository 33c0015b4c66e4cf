"""Drawings of "The block and the network"."""

from itertools import pairwise

import numpy as np

from posemamba import orders
from posemamba.config import VARIANTS, PoseMambaConfig
from posemamba.skeleton import BONES, JOINT_NAMES, JOINTS
from tools.drawings.from_a_body import COLOUR_OF, LIMB_OF
from tools.drawings.pen import BLUE, GREEN, ORANGE, arrow, boxed, dot, line, shape, words


def _round(place, sign: str, colour="currentColor") -> list[str]:
    """A circle with + or \u00d7 in it, drawn as lines."""
    x, y = place
    turn = np.array([[1, 0], [0, 1]]) if sign == "+" else np.array([[1, 1], [1, -1]]) / 2**0.5
    parts = [f'<circle cx="{x:g}" cy="{y:g}" r="11" fill="none" stroke="{colour}" stroke-width="1.5"/>']
    return parts + [line((x, y) - 6 * way, (x, y) + 6 * way, colour) for way in turn]


def _bend(points, colour="currentColor") -> list[str]:
    """A line round corners that ends in an arrow."""
    points = [np.array(point, float) for point in points]
    parts = [line(a, b, colour, 1.8) for a, b in pairwise(points[:-1])]
    return parts + arrow(points[-2], points[-1], colour)


def two_streams() -> tuple[str, str, int, list[str]]:
    """A block from top to bottom: the stream that is scanned, the gate beside it, the residual paths."""
    config = PoseMambaConfig(**VARIANTS["S"])
    model, inner = config.channels, config.inner
    x, z, aside = 190, 402, 40
    marks = [direction.mark for direction in orders.directions("bidirectional")]
    parts = [words((x + 14, 18), f"{model} channels a token", size=14)]
    parts += [*arrow((x, 4), (x, 46)), dot((x, 24), 3)]
    parts += _bend([(x, 24), (aside, 24), (aside, 482), (x - 12, 482)])
    parts += [*boxed((x - 50, 47), (100, 26), "LayerNorm"), *arrow((x, 74), (x, 92))]
    parts += boxed((x - 80, 93), (z - x + 130, 26), "in_proj")
    parts += [words((x + 10, 138), f"x: {inner}", size=14), words((z + 10, 138), f"z: {inner}", size=14)]
    parts += [*arrow((x, 120), (x, 148)), *boxed((x - 80, 149), (160, 26), "convolution 3\u00d73", ORANGE)]
    parts += [*arrow((x, 176), (x, 192)), *boxed((x - 50, 193), (100, 26), "SiLU")]
    for k, mark in enumerate(marks):
        middle = x - 84 + 56 * k
        parts += arrow((x, 220), (middle, 241), ORANGE) + boxed((middle - 22, 245), (44, 28), mark, ORANGE)
        parts += [line((middle, 274), (x + np.sign(middle - x) * 10, 295), ORANGE, 1.8)]
    parts += [words((x + 120, 264), "four scans")]
    parts += [
        *_round((x, 302), "+"),
        *arrow((x, 313), (x, 329)),
        *boxed((x - 50, 330), (100, 26), "LayerNorm"),
    ]
    parts += arrow((z, 120), (z, 192)) + boxed((z - 50, 193), (100, 26), "SiLU")
    parts += [*_bend([(z, 220), (z, 390), (x + 12, 390)]), words((z - 10, 350), "gate", anchor="end")]
    parts += [*arrow((x, 357), (x, 378)), *_round((x, 390), "\u00d7"), *arrow((x, 401), (x, 419))]
    parts += [*boxed((x - 50, 420), (100, 26), "out_proj"), words((x + 62, 438), f"back to {model}", size=14)]
    parts += [*arrow((x, 447), (x, 470)), *_round((x, 482), "+")]
    parts += [words((aside + 10, 300), "residual", size=14)]
    parts += [*arrow((x, 493), (x, 523)), dot((x, 506), 3)]
    parts += _bend([(x, 506), (aside, 506), (aside, 618), (x - 12, 618)])
    parts += [*boxed((x - 50, 524), (100, 26), "LayerNorm"), *arrow((x, 551), (x, 565))]
    parts += [*boxed((x - 50, 566), (100, 26), "MLP")]
    parts += [words((x + 62, 584), f"{model} to {inner} to {model}", size=14)]
    parts += [*arrow((x, 593), (x, 606)), *_round((x, 618), "+"), *arrow((x, 629), (x, 652))]
    for y, colour, text in (
        (606, ORANGE, "reads other tokens"),
        (634, "currentColor", "each token by itself"),
    ):
        box = [(336, y), (354, y), (354, y + 18), (336, y + 18)]
        parts += [shape(box, colour, colour if colour == ORANGE else "none", 0.2), words((362, y + 14), text)]
    alt = (
        f"A block from top to bottom. A token's {model} channels go through a LayerNorm and in_proj, which "
        f"makes two streams of {inner}. The stream x goes through a 3 by 3 convolution, SiLU and four "
        "scans, which are added and normed. The stream z goes through a SiLU and multiplies the result: "
        f"the gate. out_proj leads back to {model}, and what came in is added. Then LayerNorm and MLP, "
        "again beside a residual path. Only the convolution and the scans read other tokens."
    )
    return "A block: two streams and a gate", alt, 660, parts


def _column(x, rows, wide, above=26) -> list[str]:
    """Boxes below each other, (y, text, colour), with arrows between; + and \u00d7 are drawn as circles."""
    parts, last = [], rows[0][0] - above
    for y, text, colour in rows:
        high = 11 if text in "+\u00d7" else 13
        parts += arrow((x, last), (x, y - high))
        if text in "+\u00d7":
            parts += _round((x, y), text, colour)
        else:
            parts += boxed((x - wide / 2, y - 13), (wide, 26), text, colour)
        last = y + high
    return [*parts, *arrow((x, last), (x, last + 22))]


def equation_8() -> tuple[str, str, int, list[str]]:
    """The first half of a block: both readings of the printed bracket, and what the code does."""
    step, top = 40, 92
    at = {
        name: top + step * k
        for k, name in enumerate(("LN", "in", "DW", "s", "SSF", "LN2", "gate", "out", "+"))
    }
    at["last"] = at["+"] + 44
    plain = [("LN", "LN"), ("DW", "DW"), ("s", "\u03c3"), ("SSF", "SSF")]
    columns = (
        (("bracket closed", "before the +"), [*plain, ("LN2", "LN"), ("+", "+")]),
        (("bracket closed", "at the end"), [*plain, ("+", "+"), ("last", "LN")]),
        (
            ("the released", "code"),
            [
                *[plain[0], ("in", "in_proj"), *plain[1:], ("LN2", "LN")],
                *[("gate", "\u00d7"), ("out", "out_proj"), ("+", "+")],
            ],
        ),
    )
    parts = []
    for k, (title, rows) in enumerate(columns):
        x = 92 + 168 * k
        parts += [
            words((x, 18 + 18 * row), text, anchor="middle", bold=True) for row, text in enumerate(title)
        ]
        colours = {"in": GREEN, "gate": GREEN, "out": GREEN, "LN2": BLUE, "last": BLUE}
        parts += _column(
            x, [(at[name], text, colours.get(name, "currentColor")) for name, text in rows], 88, 44
        )
        aside = x - 68
        parts += [dot((x, 60), 3), *_bend([(x, 60), (aside, 60), (aside, at["+"]), (x - 12, at["+"])])]
    gate = (92 + 168 * 2, at["gate"])
    corner = gate[0] + 54
    way = [(gate[0] + 45, at["in"]), (corner, at["in"]), (corner, gate[1]), (gate[0] + 12, gate[1])]
    parts += [*_bend(way, GREEN), words((corner + 6, at["SSF"] + 5), "z")]
    alt = (
        "The first half of a block, three times. Equation 8 with its bracket closed before the plus: LN, "
        "DW, sigma, SSF, LN, then the residual is added. Closed at the end: LN, DW, sigma, SSF, the "
        "residual is added, then LN. The released code: LN, in_proj, DW, sigma, SSF, LN, times the gate z "
        "from in_proj, out_proj, then the residual is added."
    )
    return "Equation 8 and the code", alt, at["last"] + 44, parts


def equations_9_and_10() -> tuple[str, str, int, list[str]]:
    """Where the norms between blocks stand in the paper's equations, and in the code."""
    top, step = 60, 42
    names = ("embed", "joint", "n1", "spatial", "n2", "frame", "n3", "temporal", "n4", "spatial2", "n5")
    at = {name: top + step * k for k, name in enumerate((*names, "temporal2", "n6", "head"))}
    text = {"embed": "embedding", "joint": "+", "frame": "+", "head": "head"}
    text |= dict.fromkeys(("spatial", "spatial2"), "spatial block")
    text |= dict.fromkeys(("temporal", "temporal2"), "temporal block")
    text |= {"n1": "norm (9)", "n3": "norm (10)"}
    text |= dict.fromkeys(("n2", "n5"), "spatial norm") | dict.fromkeys(("n4", "n6"), "temporal norm")
    plain = ("embed", "joint", "spatial", "frame", "temporal", "spatial2", "temporal2", "head")
    printed, code = {"n1": BLUE, "n3": ORANGE}, {"n2": BLUE, "n4": ORANGE, "n5": BLUE, "n6": ORANGE}
    parts = []
    for x, title, norms in ((104, "as printed", printed), (372, "the released code", code)):
        rows = [
            (at[name], text[name], norms.get(name, "currentColor")) for name in at if name in {*plain, *norms}
        ]
        parts += [words((x, 20), title, anchor="middle", bold=True), *_column(x, rows, 124)]
        for name, told in (("joint", "joint position"), ("frame", "frame position")):
            parts += arrow((x + 32, at[name]), (x + 12, at[name]))
            parts += [words((x + 36, at[name] + 5), told, size=14)]
    alt = (
        "Two columns. As printed: embedding, plus joint position, norm (Equation 9), spatial block, plus "
        "frame position, norm (Equation 10), temporal block, and no norm after a block. The released code: "
        "embedding, plus joint position, spatial block, spatial norm, plus frame position, temporal block, "
        "temporal norm; the next pair again spatial block, the same spatial norm, temporal block, the same "
        "temporal norm; head."
    )
    return "Norms before the blocks, norms after", alt, at["head"] + 40, parts


def seams() -> tuple[str, str, int, list[str]]:
    """The convolution's image, frames by joints, with one of its squares and the seams between limbs."""
    size, left, top, frames = 28, 38, 52, 5
    row, column = 2, 3  # the right ankle
    parts = []
    for frame in range(frames):
        for joint in range(JOINTS):
            x, y = left + size * joint, top + size * frame
            inside = abs(frame - row) <= 1 and abs(joint - column) <= 1
            colour = COLOUR_OF[LIMB_OF[joint]]
            box = [(x + 2, y + 2), (x + size - 2, y + 2), (x + size - 2, y + size - 2), (x + 2, y + size - 2)]
            parts += [shape(box, colour, colour, 0.75 if inside else 0.15)]
    parts += [words((left + size * (j + 0.5), 44), str(j), size=14, anchor="middle") for j in range(JOINTS)]
    x, y = left + size * (column - 1) - 1, top + size * (row - 1) - 1
    far = 3 * size + 2
    square = shape([(x, y), (x + far, y), (x + far, y + far), (x, y + far)])
    parts += [square.replace('stroke-width="1.5"', 'stroke-width="3"')]
    bottom, where = top + size * frames, []
    apart = [joint for joint in range(JOINTS - 1) if (joint, joint + 1) not in BONES]
    for k, joint in enumerate(apart):
        x, low = left + size * (joint + 1), bottom + 22 + 24 * (k % 2)
        names = [JOINT_NAMES[j].split()[-1] for j in (joint, joint + 1)]
        where.append(" and ".join(JOINT_NAMES[j] for j in (joint, joint + 1)))
        parts += [line((x, top - 2), (x, low + 4), ORANGE, 3, "6 4")]
        parts += [
            words((x - 7, low), names[0], size=14, anchor="end"),
            words((x + 7, low), names[1], size=14),
        ]
    parts += [words((left, 20), "joints"), *arrow((left + 52, 15), (left + 140, 15), width=1.4)]
    parts += [words((left - 8, top + 15), "time", size=14, anchor="end")]
    parts += arrow((left - 20, top + 24), (left - 20, bottom), width=1.4)
    alt = (
        "A grid of five frames by 17 joints, coloured by limb, with a square of 3 by 3 around the right "
        f"ankle: it holds the left hip too. Dashed lines mark the {len(apart)} places where neighbours in "
        f"the row are joined by no bone: {'; '.join(where)}."
    )
    return "What the convolution blends", alt, bottom + 60, parts


def one_token_reads() -> tuple[str, str, int, list[str]]:
    """What one token reads in a layer: attention of three kinds, and a block's scans."""
    frames, joints, size = 5, 7, 15
    row, column = 2, 3
    rows, columns = np.indices((frames, joints))
    block = orders.directions_reaching("bidirectional", frames, joints)[row * joints + column] > 0
    panels = (
        (("attention,", "all tokens"), np.full((frames, joints), True), BLUE),
        (("attention,", "in the frame"), rows == row, BLUE),
        (("attention,", "in the joint"), columns == column, BLUE),
        (("a block\u2019s", "four scans"), block.reshape(frames, joints), ORANGE),
    )
    parts, counts = [], []
    for k, (names, reads, colour) in enumerate(panels):
        x, y = 14 + 126 * k, 48
        parts += [words((x, 16 + 18 * n), name, bold=True) for n, name in enumerate(names)]
        for frame, joint in np.ndindex(frames, joints):
            at, down = x + size * joint, y + size * frame
            box = [(at, down), (at + size - 2, down), (at + size - 2, down + size - 2), (at, down + size - 2)]
            drawn = shape(box, colour, colour, 0.55) if reads[frame, joint] else shape(box)
            parts += [drawn if reads[frame, joint] else drawn.replace("/>", ' opacity="0.45"/>')]
        parts += [dot((x + size * (column + 0.5) - 1, y + size * (row + 0.5) - 1), 4)]
        counts.append(f"{names[0]} {names[1]}: {int(reads.sum())}")
    parts += [words((14, 146), "a row is a frame, a column a joint", size=14)]
    alt = (
        "Four grids of five frames by seven joints, each with the token in the middle marked and what it "
        f"reads filled. {'; '.join(counts)}, of {frames * joints}."
    )
    return "What one token reads in one layer", alt, 158, parts
