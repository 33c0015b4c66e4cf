"""Scan paths: the order in which a direction reads the tokens, walked on small bodies, one a frame."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Int, Num

from posemamba import orders
from posemamba.plotting.style import COLOURS, GRID, INK, add_slider, animate, describe
from posemamba.skeleton import BONES, JOINT_NAMES, JOINTS, LIMB_ORDER, PARENTS

SPATIAL, TEMPORAL, MIXED, OTHER = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[4]
QUIET = dict(hoverinfo="skip", showlegend=False)

# A body seen from the front, drawn so that no two joints touch: x to the right, y up, no unit.
_STANDING = np.array(
    [
        *([0, 0], [-11, -3], [-12, -28], [-12, -54], [11, -3], [12, -28], [12, -54]),  # pelvis, legs
        *([0, 17], [0, 33], [0, 46], [0, 59]),  # the trunk, upwards
        *([15, 30], [26, 12], [30, -10], [-15, 30], [-26, 12], [-30, -10]),  # left arm, right arm
    ],
    dtype=np.int16,
)
# What swings while it walks, and to which side.
_SWING = {2: 2, 3: 5, 5: -2, 6: -5, 12: 2, 13: 5, 15: -2, 16: -5}
_APART = 76  # from one body to the next
_FLOOR, _TOP = -66, 70


def body_row(frames: int) -> Int[np.ndarray, "frames joints 2"]:
    """Where a row of small bodies is drawn, one body a frame, the frames from left to right."""
    row = np.repeat(_STANDING[None], frames, axis=0)
    for joint, swing in _SWING.items():
        row[:, joint, 0] += np.round(swing * np.sin(np.arange(frames) * np.pi / 2)).astype(np.int16)
    row[:, :, 0] += (_APART * np.arange(frames, dtype=np.int16))[:, None]
    return row


def row_of_bodies(frames: int, most: int) -> tuple[Int[np.ndarray, "frames joints 2"], list[str]]:
    """`body_row`, and all tokens in words. Raises ValueError for a number of frames that is out of range."""
    if isinstance(frames, bool) or not isinstance(frames, int) or not 1 <= frames <= most:
        raise ValueError(f"frames is {frames!r}, expected a whole number from 1 to {most}.")
    names = [f"{name} ({joint})" for joint, name in enumerate(JOINT_NAMES)]
    return body_row(frames), [f"{name}, frame {frame}" for frame in range(frames) for name in names]


def bones_trace(row: Num[np.ndarray, "frames joints 2"], axes: dict, width: int = 4) -> go.Scatter:
    """The bodies' bones as one faint line with gaps."""
    ends = [(body[a], body[b]) for body in row.tolist() for a, b in BONES]
    x, y = ([value for a, b in ends for value in (a[k], b[k], None)] for k in (0, 1))
    return go.Scatter(x=x, y=y, mode="lines", line=dict(color=GRID, width=width), **QUIET, **axes)


def points_of(tokens, row: Int[np.ndarray, "frames joints 2"]) -> dict[str, np.ndarray]:
    """x and y of some tokens, small enough to be sent once a step."""
    x, y = row.reshape(-1, 2)[np.asarray(tokens, dtype=int)].T
    return dict(x=np.ascontiguousarray(x), y=np.ascontiguousarray(y))


def panel_axes(number: int) -> dict:
    """Which axes the traces of the number-th panel have."""
    end = "" if number == 1 else str(number)
    return dict(xaxis=f"x{end}", yaxis=f"y{end}")


def body_axes(frames: int, number: int, x: tuple[float, float], y: tuple[float, float]) -> dict:
    """Layout of the number-th panel, which holds a row of bodies; x and y say where it stands on the page."""
    across, up = panel_axes(number).values()
    still = dict(visible=False, fixedrange=True, constrain="domain")
    wide = dict(still, domain=list(x), range=[-_APART / 2, _APART * (frames - 0.5)], anchor=up)
    high = dict(still, domain=list(y), range=[_FLOOR, _TOP], anchor=across, scaleanchor=across)
    return {across.replace("x", "xaxis"): wide, up.replace("y", "yaxis"): high}


class _Panel:
    """One direction on a row of bodies; or, without a direction, attention: every token looks at all."""

    def __init__(self, direction: orders.Direction | None, row: np.ndarray, number: int):
        self.row, frames = row, len(row)
        self.axes = panel_axes(number)
        self.read, self.mixed = np.arange(frames * JOINTS), None
        self.colour, self.star, self.jumps = COLOURS[3], direction is None, False
        if direction is not None:
            (self.read,), (mixed,) = (t.numpy() for t in orders.tables((direction,), frames, JOINTS))
            self.mixed = None if direction.mix is None else mixed
            self.jumps = direction.axis == "temporal"
            self.colour = {"spatial": SPATIAL, "temporal": TEMPORAL}.get(direction.axis, OTHER)

    def still(self, told: list[str]) -> list[go.Scatter]:
        place = np.argsort(self.read)
        text = told if self.star else [f"{name}<br>place {place[k]}" for k, name in enumerate(told)]
        hover = dict(text=text, hovertemplate="%{text}<extra></extra>", showlegend=False)
        marks = dict(mode="markers", marker=dict(size=5, color=INK))
        dots = go.Scatter(points_of(range(len(place)), self.row), **marks, **hover, **self.axes)
        return [bones_trace(self.row, self.axes), dots]

    def moving(self, step: int) -> list[dict]:
        """What a step changes: the path so far, and the token read now with what is mixed into it."""
        now = [self.read[step]]
        if self.star:
            others = np.arange(len(self.read))
            path = np.stack([np.full_like(others, now[0]), others], 1).ravel()
        else:
            path = self.read[: step + 1]
        line = points_of(path, self.row)
        if self.jumps:
            # Only the last way from one joint to the next is drawn: all of them would hide the joints' own.
            ends = np.flatnonzero(np.diff(path % JOINTS))[:-1] + 1
            line = dict(x=np.insert(line["x"], ends, 0), y=np.insert(line["y"].astype("f4"), ends, np.nan))
        if self.mixed is not None:
            now = [self.mixed[step], now[0]]
        return [line, points_of(now, self.row)]

    def traces(self, step: int) -> list[go.Scatter]:
        path, now = self.moving(step)
        faint = dict(color=self.colour, width=1 if self.star else 2)
        marks = dict(color=self.colour, size=11, symbol="circle", line=dict(width=0))
        if self.mixed is not None:
            marks |= dict(color=[MIXED, self.colour], symbol=["diamond", "circle"])
            marks |= dict(line=dict(width=1.5, color="white"))
        line = dict(mode="lines", line=faint, opacity=0.55 if self.star else 0.9)
        dots = dict(mode="lines+markers", line=dict(color=MIXED, width=3), marker=marks)
        return [go.Scatter(path | line | QUIET | self.axes), go.Scatter(now | dots | QUIET | self.axes)]


def _note(text: str, x: float, y: float, size: int, anchor: str = "left") -> dict:
    place = dict(x=x, y=round(y, 4), xref="paper", yref="paper", xanchor=anchor, yanchor="middle")
    return dict(text=text, showarrow=False, font=dict(size=size), **place)


def _page(lines: list[tuple[str, list]], frames: int, tall: int) -> dict:
    """Where the panels and their labels stand, for bodies of so many pixels."""
    height = sum(tall + 34 + (30 if heading else 0) for heading, _ in lines)  # of the drawing area
    top, notes, layout, number = height, [], {}, 0
    for heading, pair in lines:
        if heading:
            notes.append(_note(f"<b>{heading}</b>", 0, (top - 12) / height, 14))
            top -= 30
        for column, (_, label) in enumerate(pair):
            wide = (0.0, 1.0) if len(pair) == 1 else ((0.0, 0.485), (0.515, 1.0))[column]
            number += 1
            low, high = (top - 20 - tall) / height, (top - 20) / height
            layout |= body_axes(frames, number, wide, (round(low, 4), round(high, 4)))
            notes.append(_note(label, sum(wide) / 2, (top - 10) / height, 12, "center"))
        top -= tall + 34
    return dict(layout, annotations=notes, height=height + 128)


def scan_paths(
    strategies: str | Sequence[str] = "global-local",
    frames: int = 3,
    attention: bool = False,
    title: str = "",
) -> go.Figure:
    """The paths of one strategy or several, walked token by token (the paper's Figures 3 and 4).

    A panel is a direction; in it stands one small body a frame, time going to the right. The line is the
    path so far, the dot the token that is read now. Where a direction mixes, a diamond marks the token that
    is added to it. A direction that a strategy uses twice is drawn once.

    Args:
        strategies: names that `posemamba.orders.directions` knows.
        frames: bodies in a row, 1 to 5.
        attention: put a panel before the others in which every token looks at all.
        title: made from the names where not given.

    Raises:
        ValueError: an unknown strategy, none at all, or a number of frames that is out of range.
    """
    row, told = row_of_bodies(frames, 5)
    start = JOINTS * (frames // 2) + 12  # an arm: there mixes show
    strategies = [strategies] if isinstance(strategies, str) else list(strategies)
    if not strategies:
        raise ValueError("strategies is empty, expected at least one name of a strategy.")
    sections = [("attention", [(None, "each token looks at all")])] if attention else []
    often = {1: "", 2: ", twice"}
    for strategy in strategies:
        found = Counter(orders.directions(strategy)).items()
        sections.append((strategy, [(d, d.name + often.get(k, f", {k} times")) for d, k in found]))
    lines = []  # panels two a line; a section begins a new one, under its letter and name
    for place, (name, found) in enumerate(sections):
        heading = f"({chr(ord('a') + place)}) {name}" if len(sections) > 1 else ""
        lines += [("" if k else heading, found[k : k + 2]) for k in range(0, len(found), 2)]
    drawn = [direction for _, found in sections for direction, _ in found]
    panels = [_Panel(direction, row, number) for number, direction in enumerate(drawn, 1)]
    figure = go.Figure([trace for panel in panels for trace in panel.still(told)])
    still = len(figure.data)
    figure.add_traces([trace for panel in panels for trace in panel.traces(start)])
    steps = range(len(told))
    changes = ([change for panel in panels for change in panel.moving(step)] for step in steps)
    animate(figure, list(range(still, len(figure.data))), changes)
    title = title or f"Scan paths: {', '.join(strategies)}"
    figure.update_layout(title_text=title, margin=dict(l=4, r=4, t=44), **_page(lines, frames, tall=190))
    figure.layout.meta = dict(narrow=_page(lines, frames, tall=90))
    add_slider(figure, [str(step) for step in steps], "place ", f" of {len(steps)}", interval=300)
    figure.layout.sliders[0].active = start
    drawn = "; ".join(f"{name}: {', '.join(label for _, label in found)}" for name, found in sections)
    told = f"{title}. Rows of {frames} bodies, one a frame, with the path through their joints. {drawn}."
    return describe(figure, f"{told} A slider walks along the sequence.")


def limb_meetings() -> go.Figure:
    """Which joint the limb order adds to which, drawn on one body (global-local's spatial directions).

    An arrow goes from the added joint to the one that is counted; a ring marks a joint that meets itself.
    """
    body = _STANDING * [1.5, 1.0]
    spots = body.tolist()
    kinds = {"itself": [], "a neighbour on the skeleton": [], "another joint": []}
    for joint, added in enumerate(LIMB_ORDER):
        near = PARENTS[joint] == added or PARENTS[added] == joint
        kind = "itself" if added == joint else "a neighbour on the skeleton" if near else "another joint"
        kinds[kind].append((joint, added))
    figure = go.Figure(bones_trace(body[None], {}, width=6))
    colours = dict(zip(kinds, (INK, MIXED, TEMPORAL), strict=True))
    heads = dict(axref="x", ayref="y", xref="x", yref="y", text="", showarrow=True, arrowhead=2)
    heads |= dict(arrowsize=1.1, arrowwidth=1.8, standoff=13, startstandoff=11)
    arrows = []
    for kind, pairs in kinds.items():
        texts = [f"{JOINT_NAMES[i]} ({i}) meets {JOINT_NAMES[j]} ({j})" for i, j in pairs]
        ring = dict(size=23, color=colours[kind], symbol="circle-open", line=dict(width=2.5))
        hover = dict(text=texts, name=f"meets {kind}", hovertemplate="%{text}<extra></extra>")
        x, y = ([spots[i][k] for i, _ in pairs] for k in (0, 1))
        figure.add_scatter(x=x, y=y, mode="markers", marker=ring, **hover)
        for joint, added in pairs:
            if joint != added:
                (x, y), (ax, ay) = spots[joint], spots[added]
                arrows.append(dict(heads, x=x, y=y, ax=ax, ay=ay, arrowcolor=colours[kind]))
    note = dict(showarrow=False, font=dict(size=12))
    numbers = [dict(note, text=str(joint), x=x, y=y) for joint, (x, y) in enumerate(spots)]
    still = dict(visible=False, fixedrange=True, constrain="domain")
    across, up = dict(still, range=[-56, 56]), dict(still, range=[-64, 68], scaleanchor="x")
    figure.update_layout(title_text="Which joint meets which", annotations=[*arrows, *numbers])
    figure.update_layout(xaxis=across, yaxis=up, height=560, margin=dict(l=4, r=4, t=84, b=8))
    figure.layout.meta = dict(narrow=dict(margin=dict(t=116)))
    counts = ", ".join(f"{len(pairs)} meet {kind}" for kind, pairs in kinds.items())
    told = f"A body seen from the front with an arrow to each joint from the joint added to it: {counts}."
    return describe(figure, told)
