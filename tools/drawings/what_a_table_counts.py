"""Drawings of "What a table counts"."""

import numpy as np

from posemamba.accounting import count
from posemamba.config import VARIANTS, PoseMambaConfig
from tools.drawings.pen import BLUE, GREEN, ORANGE, arrow, boxed, cells, dot, line, shape, words


def multiply_add() -> tuple[str, str, int, list[str]]:
    """What a multiply-add is: a linear map has one for each weight at each token."""
    parts = []
    ins, outs = (
        [np.array([40.0, 18 + 34 * k]) for k in range(3)],
        [np.array([170.0, 35 + 34 * k]) for k in range(2)],
    )
    for a, start in enumerate(ins):
        for b, end in enumerate(outs):
            chosen = (a, b) == (0, 0)
            parts.append(line(start, end, ORANGE if chosen else BLUE, 3.5 if chosen else 1.5))
    parts += [dot(place, 5) for place in ins + outs]
    parts += [
        words((206, 28), "one weight at one token: times the", ORANGE),
        words((206, 47), "input, onto the sum. One multiply-add.", ORANGE),
        words(
            (206, 78), f"{len(ins) * len(outs)} weights, {len(ins) * len(outs)} multiply-adds a token", BLUE
        ),
    ]
    alt = (
        "Three dots joined to two by six lines, each a weight. One stands out: a weight times its input, "
        "added to a sum, is a multiply-add. Six weights make six multiply-adds a token."
    )
    return "What a multiply-add is", alt, 104, parts


def state_operations() -> tuple[str, str, int, list[str]]:
    """What a scan does for one state at one token."""
    parts = []
    # The recurrence, an operation a ring: h = exp(delta A) h + (delta B) u, and C h onto the output's sum.
    top, across, below = 38.0, (128.0, 226.0, 324.0, 420.0), (102.0, 160.0)
    kept, added, read, out = (np.array([x, top]) for x in across)
    decay, power = (np.array([across[0], y]) for y in below)
    written, scaled = (np.array([across[1], y]) for y in below)
    radius = 15

    def operation(place, sign) -> list[str]:
        ring = (
            f'<circle cx="{place[0]:g}" cy="{place[1]:g}" r="{radius}" stroke="{ORANGE}" stroke-width="1.5" '
        )
        size = 14 if len(sign) > 1 else 18
        return [ring + 'fill="none"/>', words(place, sign, ORANGE, (0, 5), size, "middle", True)]

    def wire(start, end) -> list[str]:
        way = (end - start) / np.linalg.norm(end - start)
        return arrow(start + radius * way, end - radius * way, width=1.4)

    for place, sign in zip(
        (kept, added, read, out, decay, power, written, scaled),
        ("\u00d7", "+", "\u00d7", "+", "exp", "\u00d7", "\u00d7", "\u00d7"),
        strict=True,
    ):
        parts += operation(place, sign)
    for start, end in (
        *((power, decay), (decay, kept), (kept, added), (scaled, written), (written, added)),
        *((added, read), (read, out)),
    ):
        parts += wire(start, end)
    ends = {
        "old h": (np.array([52.0, top]), kept, (-16, 5)),
        "y": (out, np.array([496.0, top]), (0, 5)),
        "C": (read + np.array([0, 58]), read, (0, 6)),
        "u": (written + np.array([58, 0]), written, (6, 5)),
        "A": (power + np.array([-58, 0]), power, (-6, 5)),
        "B": (scaled + np.array([58, 0]), scaled, (6, 5)),
    }
    for text, (start, end, by) in ends.items():
        if text == "y":
            parts += [*wire(start, end), words(end, text, shift=(-8, 5))]
            continue
        parts += [*wire(start, end), words(start, text, shift=by, anchor="middle")]
    step = (power + scaled) / 2
    parts += [*wire(step, power), *wire(step, scaled), words(step, "\u0394", shift=(0, 5), anchor="middle")]
    parts += [words((275, 28), "h", GREEN, anchor="middle", bold=True)]
    alt = (
        "Eight operations that a scan does for one state at one token, as rings: the step times A, its "
        "exponential, times the old state; the step times B, times the input; the sum of the two, which is "
        "the new state; times C; onto the output."
    )
    return "What a scan does for one state at one token", alt, 190, parts


def block_costs(variant: str = "S") -> dict[str, tuple[int, int, bool] | None]:
    """The parts of a block in order: weights, multiply-adds a token, and whether the paper's rule sees it."""
    config = PoseMambaConfig(depth=2, **{"channels": VARIANTS[variant]["channels"]})
    counted = count(config)
    tokens, terms = config.frames * config.joints, {term.name: term for term in counted.terms}

    def some(*names, blocks=2) -> tuple[int, int, bool]:
        found = [terms[name] for name in names]
        weights, macs = (sum(getattr(t, what) for t in found) for what in ("parameters", "macs"))
        return weights // blocks, macs // (blocks * tokens), found[0].in_paper

    norm = some("block norms", blocks=4)
    return {
        "norm": norm,
        "in_proj": some("in_proj"),
        "convolution": some("conv 3x3"),
        "SiLU": None,
        "low-rank step, B, C": some("select: low-rank step, B and C"),
        "step": some("step", "step bias"),
        "four scans": some("A_log and the scan", "skip"),
        "norm ": some("SSM norms"),
        "gate": None,
        "out_proj": some("out_proj"),
        "norm  ": norm,
        "MLP": some("MLP", "MLP, back"),
    }


def where_the_work_is() -> tuple[str, str, int, list[str]]:
    """The parts of a block of PoseMamba-S, with their weights and multiply-adds, and what the paper sees."""
    costs, high, first, start, middle = block_costs(), 30, 62, 170, 312
    scale = (500 - middle - 44) / max(cost[1] for cost in costs.values() if cost)
    parts = [
        words((14, 22), "In Tables 2 and 6", BLUE, bold=True),
        words((166, 22), "not in them", ORANGE, bold=True),
        words((start, 48), "weights", size=14),
        words((middle, 48), "multiply-adds a token", size=14),
    ]
    for k, (name, cost) in enumerate(costs.items()):
        y = first + high * k
        colour = "currentColor" if cost is None else BLUE if cost[2] else ORANGE
        parts += boxed((14, y), (146, 24), name.strip(), colour)
        if k:
            parts.append(line((87, y - 6), (87, y), width=1.5))
        if cost is None:
            parts.append(words((middle, y + 17), "no rule counts it", size=14))
            continue
        for x, value in ((start, cost[0]), (middle, cost[1])):
            right, told = x + max(scale * value, 2), f"{value / 1000:.1f} k"
            corners = [(x, y + 3), (right, y + 3), (right, y + 21), (x, y + 21)]
            bar = shape(corners, colour, colour, 0.45 if cost[2] else 0.15)
            parts.append(bar if cost[2] else bar.replace("/>", ' stroke-dasharray="4 3"/>'))
            parts.append(words((right + 6, y + 17), told, size=14))
    found = [cost for cost in costs.values() if cost]
    seen, unseen = (sum(cost[1] for cost in found if cost[2] == sees) / 1000 for sees in (True, False))
    alt = (
        "The parts of a block of PoseMamba-S from top to bottom, each with a bar for its weights and one "
        "for its multiply-adds a token. In linear maps the two are about equal. The largest bar is the "
        f"four scans', with {costs['four scans'][1] / 1000:.1f} thousand multiply-adds on "
        f"{costs['four scans'][0] / 1000:.1f} thousand weights. The paper's tables have norms, in_proj, "
        f"convolution, out_proj and MLP: {seen:.1f} thousand; not in them are the step, B, C and the scans: "
        f"{unseen:.1f} thousand. SiLU and gate no rule counts."
    )
    return "Where a block's work is", alt, first + high * len(costs) + 6, parts


def frames_out() -> tuple[str, str, int, list[str]]:
    """What comes out of a window: its centre frame alone, or all its frames."""
    size, left, T, video = 36, 14, 5, 10
    parts = [words((14, 22), "One frame out: a run for each frame", ORANGE, bold=True)]
    for run in range(3):
        y, at = 36 + 62 * run, left + size * run
        parts += cells((at, y), size, [None] * T, ORANGE)
        centre = at + size * (T // 2) + size / 2
        parts += [*arrow((centre, y + 22), (centre, y + 46), ORANGE), dot((centre, y + 50), 4.5, ORANGE)]
    parts += [words((left + size * (T + 2) + 30, 36 + 62 * 1 + 15), "3 runs, 3 frames")]
    top = 36 + 62 * 3 + 24
    parts += [words((14, top), "All frames out: a run for each window", BLUE, bold=True)]
    for run in range(video // T):
        at = left + size * T * run
        parts += cells((at + 4 * run, top + 14), size, [None] * T, BLUE)
        for k in range(T):
            x = at + 4 * run + size * k + size / 2
            parts += [*arrow((x, top + 36), (x, top + 60), BLUE), dot((x, top + 64), 4.5, BLUE)]
    parts += [
        words((left + size * video + 22, top + 29), "2 runs,"),
        words((left + size * video + 22, top + 48), "10 frames"),
    ]
    alt = (
        "Above, a window of five frames gives its middle frame alone; for the next frame it moves by one "
        "and runs again: three runs for three frames. Below, each of two windows side by side gives all "
        "its five frames: two runs for ten frames."
    )
    return "What comes out of a window", alt, top + 78, parts


def partners() -> tuple[str, str, int, list[str]]:
    """What one token takes part in under three mixers, and what that costs at the paper's length."""
    config = PoseMambaConfig()
    T, J, N = config.frames, config.joints, config.state
    frames, joints, ring = 5, 4, (2, 1)
    # For each token and each channel of the block; a scan has two inner channels for each of them.
    costs = {"full attention": 2 * J * T, "factored attention": 2 * (J + T), "four scans": 9 * 4 * 2 * N // 2}
    formulas = ("2 \u00b7 17 T", "2 (17 + T)", "4.5 \u00b7 4 \u00b7 2 N")
    parts = []
    for panel, (name, cost) in enumerate(costs.items()):
        left, top, gap = 26 + 172 * panel, 54, 25
        place = lambda t, j: np.array([left + gap * t, top + gap * j])  # noqa: E731, B023
        grid = [(t, j) for t in range(frames) for j in range(joints)]
        parts += [words((left - 12, 26), name, bold=True)]
        met = {
            "full attention": grid,
            "factored attention": [(t, j) for t, j in grid if t == ring[0] or j == ring[1]],
            "four scans": [],
        }[name]
        parts += [line(place(*ring), place(*other), BLUE, 1.3) for other in met if other != ring]
        if name == "four scans":
            t, j = ring
            for step in ((0, -1), (0, 1), (-1, 0), (1, 0)):
                near = place(t + step[0], j + step[1])
                way = place(t, j) - near
                parts += arrow(near + 0.12 * way, near + 0.76 * way, ORANGE, 2)
        parts += [dot(place(*other), 4) for other in grid if other != ring]
        parts += [dot(place(*ring), 6, GREEN)]
        below = top + gap * joints + 10
        parts += [words((left - 12, below), formulas[panel])]
        parts += [words((left - 12, below + 24), f"{cost:,}", BLUE if met else ORANGE, size=18, bold=True)]
    parts += [words((14, 226), f"Multiply-adds for a token and a channel, at T = {T} and N = {N}")]
    told = ", ".join(f"{name} {way}, {costs[name]:,}" for name, way in zip(costs, formulas, strict=True))
    alt = (
        "Three times a grid of five frames and four joints, with one token marked. Under full attention "
        "lines join it to all others; under factored attention to its frame's joints and to its own joint "
        "in all frames; in four scans four arrows bring it a state, whatever the length. Multiply-adds for "
        f"a token and channel at {T} frames: {told}."
    )
    return "What a token takes part in", alt, 240, parts
