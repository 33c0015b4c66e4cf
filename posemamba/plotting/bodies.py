"""Bodies: a 3D skeleton animation to play, scrub and turn, and 2D keypoints.

A body's right side and trunk are drawn in a strong colour, its left side in the light one beside it.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from posemamba.export.scene import SHADES
from posemamba.plotting.style import CLEAR, add_slider, describe, numbers
from posemamba.skeleton import JOINT_NAMES, LIMBS

GREYS = ("#7d7d7d", "#b5b5b5")
# The limbs along each line of a skeleton: in space all on one, in a picture a line for each colour.
LINES = {3: [tuple(LIMBS)], 2: [("trunk",), ("left leg", "left arm"), ("right leg", "right arm")]}
MOST_FRAMES = 81  # of an animation; of longer clips every n-th frame is shown, at the same speed
VIEW = (0.7, -1.75, 0.5)  # from where a scene is seen at first
EDGE_ROOM = (52, 8, 44)  # pixels at a scene's sides, above and below it: ticks and titles of its axes
FLAT_HOVER = "%{text}<br>x %{x:.4~g}<br>y %{y:.4~g}"
AXES = {"world": ("x", "y", "z"), "camera": ("right", "depth", "up")}


def _named(poses, name: str, dims: int, one: bool = False) -> tuple[dict[str, np.ndarray], int, int]:
    """Poses by name, checked and thinned to every n-th frame; how many frames they had, and n."""
    bodies, wanted = {}, f"(frames, 17, {dims})" + (f" or (17, {dims})" if one else "")
    for key, points in (poses if isinstance(poses, Mapping) else {"": poses}).items():
        body = numbers(points)
        body = body[None] if one and body.ndim == 2 else body
        if body.ndim != 3 or body.shape[1:] != (len(JOINT_NAMES), dims) or not len(body):
            label = f"{name}[{key!r}]" if key else name
            raise ValueError(f"{label} has shape {body.shape}, expected {wanted} with at least one frame.")
        bodies[key] = body
    counts = {key: len(body) for key, body in bodies.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"{name} must hold skeletons with one number of frames, found {counts}.")
    if len(counts) > len(SHADES):
        raise ValueError(f"{name} holds {len(counts)} skeletons, expected at most {len(SHADES)}.")
    stride = math.ceil(max(counts.values()) / MOST_FRAMES)
    return {key: body[::stride] for key, body in bodies.items()}, max(counts.values()), stride


def _path(limbs: tuple[str, ...]) -> np.ndarray:
    """Joints along some limbs; -1 marks the gap between two of them."""
    return np.array([joint for limb in limbs for joint in (*LIMBS[limb], -1)][:-1])


def _lines(points: np.ndarray) -> list[go.Scatter | go.Scatter3d]:
    """A skeleton (17, 2 or 3) as lines with NaN in the gaps, where Plotly lifts its pen."""
    kind = go.Scatter3d if points.shape[1] == 3 else go.Scatter
    paths = map(_path, LINES[points.shape[1]])
    lines = (np.where((path < 0)[:, None], np.float32(np.nan), points[path]).T for path in paths)
    return [kind(dict(zip("xyz", line, strict=False))) for line in lines]


def _add_body(figure: go.Figure, points: np.ndarray, group: str, colours: tuple, hover: str) -> None:
    """One skeleton (17, 2 or 3); in space each limb of its line has its side's colour."""
    width, size = (6, 3.5) if points.shape[1] == 3 else (3, 6)
    for limbs, line in zip(LINES[points.shape[1]], _lines(points), strict=True):
        shade = [colours[limb.startswith("left")] for limb in limbs for _ in (*LIMBS[limb], -1)][:-1]
        shade = shade if points.shape[1] == 3 else shade[0]
        look = dict(mode="lines+markers", line=dict(color=shade, width=width), legendgroup=group or "body")
        names = ["" if joint < 0 else JOINT_NAMES[joint] for joint in _path(limbs)]
        told = dict(text=names, hovertemplate=f"{hover}<extra></extra>", showlegend=False)
        figure.add_trace(line.update(marker=dict(color=shade, size=size), **look, **told))


def _add_legend(figure: go.Figure, names, axes: str) -> None:
    """Entries that stand for the skeletons' sides; a click on one hides the skeleton."""
    kind, gone = go.Scatter3d if axes == "xyz" else go.Scatter, {axis: [None] for axis in axes}
    for name, colours in zip(names, SHADES, strict=False):
        for side, colour in zip(("right", "left"), colours, strict=True):
            told = dict(name=f"{name}, {side}" if name else side, legendgroup=name or "body")
            figure.add_trace(kind(**gone, mode="lines", line=dict(color=colour, width=6), **told))


def _span(values: np.ndarray, margin: float = 0.06) -> list[float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = margin * (high - low) or 1.0
    return [round(low - pad, 4), round(high + pad, 4)]


def _image_axes(points: np.ndarray) -> dict:
    """Axes of a picture: equal scales, y downwards, room for every frame."""
    across = dict(title="image x", range=_span(points[..., 0]), nticks=4, tickangle=0)
    down = dict(title="image y", range=_span(points[..., 1])[::-1], scaleanchor="x")
    return dict(xaxis=dict(across, constrain="domain"), yaxis=dict(down, constrain="domain"))


def _xyz(values) -> dict[str, float]:
    return dict(zip("xyz", np.round(values, 3).tolist(), strict=True))


def _scene(bodies: list[np.ndarray], labels: tuple[str, str, str]) -> dict:
    """A 3D scene with equal scales and room for every frame of every body."""
    spans = [_span(np.stack([body[..., axis] for body in bodies])) for axis in range(3)]
    extent = np.ptp(spans, axis=1)
    few = np.where(extent < 0.45 * extent.max(), 2, 4).tolist()  # numbers of a short axis would touch
    scene = {
        f"{key}axis": dict(range=span, title_text=f"{label} (mm)", nticks=ticks, tickangle=0)
        for key, span, label, ticks in zip("xyz", spans, labels, few, strict=True)
    }
    ratio = _xyz(1.8 * extent / np.linalg.norm(extent))
    # A reader's turn of the view outlives the next frame.
    return scene | dict(aspectmode="manual", aspectratio=ratio, bgcolor=CLEAR, uirevision="keep")


def _camera(sides: list[float], width: float, height: float) -> dict:
    """As near as a box of these sides is seen whole, with its labels, in a scene of so many pixels."""
    back = np.array(VIEW) / np.linalg.norm(VIEW)
    right = np.cross([0, 0, 1], back) / np.linalg.norm(np.cross([0, 0, 1], back))
    up = np.cross(back, right)
    corners = (np.indices((2, 2, 2)).reshape(3, -1).T - 0.5) * sides
    focal = height / 2 / math.tan(math.pi / 8)  # Plotly's view is 45 degrees high
    side, above, below = EDGE_ROOM
    rooms = ((right, width / 2 - side), (up, (height - above - below) / 2))
    away = max((corners @ back + focal * np.abs(corners @ way) / room).max() for way, room in rooms)
    centre = (above - below) / 2 / focal * away * up  # below it for what is written there
    return dict(eye=_xyz(centre + away * back), center=_xyz(centre))


def _lay_out(figure: go.Figure, flat: bool) -> None:
    """Places the scene and, beside it, the flat panel; on a narrow page one above the other."""
    ratio = [figure.layout.scene.aspectratio[key] for key in "xyz"]

    def placed(width: int, height: int, across: float, low: float, x: list[float], y: list[float]) -> dict:
        across, low = (across, low) if flat else (1, 0)
        camera = _camera(ratio, (width - 16) * across, (height - 148) * (1 - low))
        scene = dict(domain=dict(x=[0, across], y=[low, 1]), camera=camera)
        panel = dict(xaxis=dict(domain=x), yaxis=dict(domain=y)) if flat else {}
        return dict(panel, height=height, scene=scene)

    figure.update_layout(placed(620, 520, 0.68, 0, [0.77, 1], [0.1, 0.9]), margin=dict(l=8, r=8))
    narrow = placed(320, 760 if flat else 480, 1, 0.42, [0.1, 1], [0, 0.36])
    # No room for numbers: hover text has them.
    narrow["scene"] |= {f"{key}axis": dict(showticklabels=False) for key in "xyz"}
    figure.layout.meta = dict(narrow=narrow)


def _finish(
    figure: go.Figure,
    parts: list[np.ndarray],
    seconds: float,
    title: str,
    alt: str,
    steps: tuple | None = None,
) -> go.Figure:
    """Titles a figure; its last traces, the lines of skeletons (frames, 17, d), are set in motion."""
    describe(figure, alt).update_layout(title_text=title)
    if len(parts[0]) == 1:
        return figure
    moves = [[line for part in parts for line in _lines(part[k])] for k in range(len(parts[0]))]
    traces = list(range(len(figure.data) - len(moves[0]), len(figure.data)))
    figure.frames = [go.Frame(name=str(k), data=moved, traces=traces) for k, moved in enumerate(moves)]
    word, labels, unit = steps or ("time", [f"{k * seconds:.2f}" for k in range(len(moves))], "s")
    return add_slider(figure, [*labels], f"{word} ", f" {unit}", interval=round(1000 * seconds, 2))


def skeleton_animation(
    poses: Float[np.ndarray, "frames 17 3"] | Mapping[str, Float[np.ndarray, "frames 17 3"]],
    fps: float = 30.0,
    title: str = "",
    keypoints: Float[np.ndarray, "frames 17 2"] | None = None,
    space: str = "world",
    spacing: float = 0.0,
    follow: bool = False,
    steps: tuple[str, Sequence[str], str] | None = None,
    alt: str | None = None,
) -> go.Figure:
    """Skeletons in 3D, to play, scrub and turn; beside them, where given, the 2D input.

    The axes have equal scales and stay as they are while it plays.

    Args:
        poses: positions in mm, or a dict of named ones to draw in the same scene, each in its own colours;
            of more than 81 frames every n-th is shown, at the same speed.
        fps: frames a second of the poses.
        keypoints: 2D input of the same frames, y downwards; drawn in a panel of its own.
        space: "world" (z up) or "camera" (x right, y down, z forward), which is turned so that up is up.
        spacing: mm between the skeletons, along x; 0 lays them over each other.
        follow: keep the (first) skeleton's pelvis over the origin, for clips that walk away.
        steps: what the slider goes through, if not time: its name, a label a frame, and their unit.
        title, alt: the figure's title, and its alternative text; made from the names where not given.

    Raises:
        ValueError: for arrays of other shapes and for keypoints or steps of another length.
    """
    bodies, length, stride = _named(poses, "poses", 3)
    if space not in AXES:
        raise ValueError(f"space is {space!r}, expected 'world' or 'camera'.")
    flat, frames, _ = ({}, length, 1) if keypoints is None else _named({"": keypoints}, "keypoints", 2)
    if frames != length:
        raise ValueError(f"keypoints has {frames} frames, expected {length} as in poses.")
    if steps is not None and (len(steps[1]) != length or stride > 1):
        found = f"steps has {len(steps[1])} labels for {length} frames"
        raise ValueError(f"{found}, expected one each, and at most {MOST_FRAMES}.")
    if space == "camera":
        bodies = {name: body[..., [0, 2, 1]] * np.float32([1, 1, -1]) for name, body in bodies.items()}
    pelvis = next(iter(bodies.values()))[:, :1] * np.float32([1, 1, 0]) if follow else 0
    shift = spacing * (np.arange(len(bodies)) - (len(bodies) - 1) / 2)
    moved = zip(bodies.items(), shift, strict=True)
    bodies = {name: np.round(body - pelvis + np.float32([dx, 0, 0]), 1) for (name, body), dx in moved}

    figure = go.Figure()
    _add_legend(figure, bodies, "xyz")
    places = [f"{label} %{{{key}:.0f}} mm" for label, key in zip(AXES[space], "xyz", strict=True)]
    for (name, body), colours, aside in zip(bodies.items(), SHADES, shift, strict=False):
        note = [f"(drawn {aside:+.0f} mm aside)"] if aside else []
        hover = "<br>".join([*([name] if name else []), "%{text}", *places, *note])
        _add_body(figure, body[0], name, colours, hover)
    figure.update_layout(scene=_scene(list(bodies.values()), AXES[space]))
    for points in flat.values():
        _add_body(figure, points[0], "input", SHADES[0] if len(bodies) == 1 else GREYS, FLAT_HOVER)
        figure.update_layout(_image_axes(points))
    _lay_out(figure, bool(flat))
    drawn = ", ".join(name for name in bodies if name) or "one skeleton"
    drawn += ", the 2D input in a panel of its own" if flat else ""
    what = f"{length / fps:.1f} seconds of" if steps is None else f"{length} steps of {steps[0]}:"
    told = f"3D skeleton animation: {title or 'untitled'}. {what} {drawn}."
    return _finish(figure, [*bodies.values(), *flat.values()], stride / fps, title, alt or told, steps)


def skeleton_2d(
    keypoints: Float[np.ndarray, "*frames 17 2"] | Mapping[str, Float[np.ndarray, "*frames 17 2"]],
    fps: float = 30.0,
    title: str = "",
    alt: str | None = None,
) -> go.Figure:
    """2D keypoints as an image has them: x to the right, y down, equal scales; a clip can be played.

    Args:
        keypoints: one pose or a clip, or a dict of named ones, which are laid over each other;
            of more than 81 frames every n-th is shown, at the same speed.
        fps: frames a second.
        title, alt: the figure's title, and its alternative text; made from the names where not given.

    Raises:
        ValueError: for arrays of other shapes.
    """
    bodies, _, stride = _named(keypoints, "keypoints", 2, one=True)
    figure = go.Figure()
    _add_legend(figure, bodies, "xy")
    for (name, body), colours in zip(bodies.items(), SHADES, strict=False):
        _add_body(figure, body[0], name, colours, FLAT_HOVER)
    figure.update_layout(_image_axes(np.stack(list(bodies.values()))), height=480)
    drawn = ", ".join(name for name in bodies if name) or "one skeleton"
    told = f"2D keypoints: {title or 'untitled'}. Drawn: {drawn}."
    return _finish(figure, list(bodies.values()), stride / fps, title, alt or told)
