"""Bodies: a 3D skeleton animation to play, scrub and turn, and 2D keypoints.

A body's right side and trunk are drawn in a strong colour, its left side in the light one beside it.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from posemamba.plotting.style import CLEAR, add_slider, describe, numbers
from posemamba.skeleton import JOINT_NAMES, LIMBS

_STRONG = ("#0072B2", "#D55E00", "#009E73", "#B0508A")  # right side and trunk
_LIGHT = ("#56B4E9", "#E69F00", "#7FCDB5", "#DFA6C8")  # left side
BODY_COLOURS = tuple(zip(_STRONG, _LIGHT, strict=True))  # one pair a skeleton
SIDES = (("trunk",), ("left leg", "left arm"), ("right leg", "right arm"))
GREYS = ("#7d7d7d", "#b5b5b5")
VIEW = (0.7, -1.75, 0.5)  # from where a scene is seen at first
EDGE_ROOM = (52, 8, 44)  # pixels at a scene's sides, above and below it: ticks and titles of its axes
AXES = {"world": ("x", "y", "z"), "camera": ("right", "depth", "up")}


def _poses(points, name: str, dims: int, frames: bool = True) -> np.ndarray:
    points = numbers(points)
    points = points if frames or points.ndim == 3 else points[None]
    if points.ndim != 3 or points.shape[1:] != (len(JOINT_NAMES), dims) or not len(points):
        wanted = f"(frames, 17, {dims})" + ("" if frames else f" or (17, {dims})")
        raise ValueError(f"{name} has shape {points.shape}, expected {wanted} with at least one frame.")
    return points


def _named(poses, name: str, dims: int, frames: bool = True) -> dict[str, np.ndarray]:
    """One array or a dict of them, as a dict of checked arrays with the same number of frames."""
    poses = poses if isinstance(poses, Mapping) else {"": poses}
    names = {key: f"{name}[{key!r}]" if key else name for key in poses}
    bodies = {key: _poses(value, names[key], dims, frames) for key, value in poses.items()}
    counts = {key: len(body) for key, body in bodies.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"{name} must hold skeletons with one number of frames, found {counts}.")
    if len(counts) > len(BODY_COLOURS):
        raise ValueError(f"{name} holds {len(counts)} skeletons, expected at most {len(BODY_COLOURS)}.")
    return bodies


def _path(*limbs: str) -> np.ndarray:
    """Joints along some limbs; -1 marks the gap between two of them."""
    return np.array([joint for limb in limbs for joint in (*LIMBS[limb], -1)][:-1])


def _along(points: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Points (..., 17, d) along a path: (d, ..., len(path)), NaN in the gaps, where Plotly lifts its pen."""
    line = np.where((path < 0)[:, None], np.float32(np.nan), points[..., path, :])
    return np.moveaxis(line.astype(np.float32), -1, 0)


def _names(path: np.ndarray) -> list[str]:
    return ["" if joint < 0 else JOINT_NAMES[joint] for joint in path]


def _span(values: np.ndarray, margin: float = 0.06) -> list[float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = margin * (high - low) or 1.0
    return [round(low - pad, 4), round(high + pad, 4)]


def _legend(bodies: Mapping[str, np.ndarray], kind: type) -> go.Figure:
    """A figure with entries that stand for the skeletons' two sides; a click on one hides the skeleton."""
    figure, gone = go.Figure(), {key: [None] for key in ("xyz" if kind is go.Scatter3d else "xy")}
    for name, colours in zip(bodies, BODY_COLOURS, strict=False):
        for side, colour in zip(("right", "left"), colours, strict=True):
            line, label = dict(color=colour, width=6), f"{name}, {side}" if name else side
            figure.add_trace(kind(**gone, mode="lines", line=line, name=label, legendgroup=name or "body"))
    return figure


def _lines_2d(points: np.ndarray, group: str, colours: tuple[str, str]) -> list[go.Scatter]:
    """A 2D skeleton (17, 2) as three lines: the trunk, the left limbs, the right limbs."""
    lines, hover = [], "%{text}<br>x %{x:.4~g}<br>y %{y:.4~g}<extra></extra>"
    for limbs in SIDES:
        path, colour = _path(*limbs), colours["left leg" in limbs]
        x, y = _along(points, path)
        look = dict(mode="lines+markers", line=dict(color=colour, width=3), marker=dict(color=colour, size=6))
        told = dict(text=_names(path), hovertemplate=hover, legendgroup=group, showlegend=False)
        lines.append(go.Scatter(x=x, y=y, **look, **told))
    return lines


def _moved_2d(points: np.ndarray) -> list[go.Scatter]:
    """What a frame changes of these three lines."""
    return [go.Scatter(x=x, y=y) for x, y in (_along(points, _path(*limbs)) for limbs in SIDES)]


def _image_axes(points: np.ndarray, unit: str = "") -> dict:
    """Axes of a picture: equal scales, y downwards, room for every frame."""
    end, (x, y) = f" ({unit})" if unit else "", (_span(points[..., 0]), _span(points[..., 1])[::-1])
    across = dict(range=x, constrain="domain", title=f"image x{end}", nticks=4, tickangle=0)
    return dict(xaxis=across, yaxis=dict(range=y, constrain="domain", scaleanchor="x", title=f"image y{end}"))


def _xyz(values) -> dict[str, float]:
    return dict(zip("xyz", np.round(values, 3).tolist(), strict=True))


def _scene(bodies: list[np.ndarray], labels: tuple[str, str, str]) -> dict:
    """A 3D scene with equal scales and room for every frame of every body."""
    spans = [_span(np.stack([body[..., axis] for body in bodies])) for axis in range(3)]
    extent = np.array([high - low for low, high in spans])
    few = np.where(extent < 0.45 * extent.max(), 2, 4).tolist()  # numbers of a short axis would touch
    scene = {
        f"{key}axis": dict(range=span, title_text=f"{label} (mm)", nticks=ticks, tickangle=0)
        for key, span, label, ticks in zip("xyz", spans, labels, few, strict=True)
    }
    ratio = _xyz(1.8 * extent / np.linalg.norm(extent))
    # A reader's turn of the view outlives the next frame.
    return scene | dict(aspectmode="manual", aspectratio=ratio, bgcolor=CLEAR, uirevision="keep")


def _camera(sides: Sequence[float], width: float, height: float) -> dict:
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
    for narrow, width, height in ((False, 620, 520), (True, 320, 760 if flat else 480)):
        across, low, panel = 1, 0, {}
        if flat:
            across, low = (1, 0.42) if narrow else (0.68, 0)
            x, y = ([0.1, 1], [0, 0.36]) if narrow else ([0.77, 1], [0.1, 0.9])
            panel = dict(xaxis=dict(domain=x), yaxis=dict(domain=y))
        camera = _camera(ratio, (width - 16) * across, (height - 148) * (1 - low))
        scene = dict(domain=dict(x=[0, across], y=[low, 1]), camera=camera)
        if narrow:  # no room for numbers: hover text has them
            scene |= {f"{key}axis": dict(showticklabels=False) for key in "xyz"}
            figure.layout.meta = dict(narrow=dict(panel, height=height, scene=scene))
        else:
            figure.update_layout(panel, height=height, scene=scene, margin=dict(l=8, r=8))


def _place(bodies: dict[str, np.ndarray], space: str, follow: bool, shift: np.ndarray) -> dict:
    """Poses as the scene has them: z up, followed and set aside as asked, to a tenth of a millimetre."""
    if space == "camera":
        bodies = {name: body[..., [0, 2, 1]] * np.float32([1, 1, -1]) for name, body in bodies.items()}
    pelvis = next(iter(bodies.values()))[:, :1] * np.float32([1, 1, 0]) if follow else 0
    moved = zip(bodies.items(), shift, strict=True)
    return {name: np.round(body - pelvis + np.float32([dx, 0, 0]), 1) for (name, body), dx in moved}


def _body_3d(points: np.ndarray, name: str, colours: tuple[str, str], labels, aside: float) -> go.Scatter3d:
    """One skeleton (17, 3) as one line with gaps, each limb in its side's colour."""
    shades = [colours[limb.startswith("left")] for limb in LIMBS for _ in (*LIMBS[limb], -1)][:-1]
    x, y, z = _along(points, _path(*LIMBS))
    lines = [f"{label} %{{{key}:.0f}} mm" for label, key in zip(labels, "xyz", strict=True)]
    lines = [*([name] if name else []), "%{text}", *lines]
    lines += [f"(drawn {aside:+.0f} mm aside)"] if aside else []
    told = dict(text=_names(_path(*LIMBS)), hovertemplate="<br>".join(lines) + "<extra></extra>")
    look = dict(mode="lines+markers", line=dict(color=shades, width=6), marker=dict(color=shades, size=3.5))
    return go.Scatter3d(x=x, y=y, z=z, **told, **look, legendgroup=name or "body", showlegend=False)


def _animate(figure: go.Figure, moved, still: int, count: int, seconds: float) -> go.Figure:
    """Adds frames: ``moved(k)`` gives what frame k changes of the traces after the first ``still`` ones."""
    if count == 1:
        return figure
    traces = list(range(still, len(figure.data)))
    figure.frames = [go.Frame(name=str(k), data=moved(k), traces=traces) for k in range(count)]
    labels = [f"{k * seconds:.2f}" for k in range(count)]
    return add_slider(figure, labels, "time ", " s", interval=round(1000 * seconds, 2))


def skeleton_animation(
    poses: Float[np.ndarray, "frames 17 3"] | Mapping[str, Float[np.ndarray, "frames 17 3"]],
    fps: float = 30.0,
    title: str = "",
    keypoints: Float[np.ndarray, "frames 17 2"] | None = None,
    space: str = "world",
    spacing: float = 0.0,
    follow: bool = False,
    max_frames: int = 81,
    alt: str | None = None,
) -> go.Figure:
    """Skeletons in 3D, to play, scrub and turn, with equal scales; beside them, where given, the 2D input.

    Args:
        poses: positions in mm, or a dict of named ones to draw in the same scene, each in its own colours.
        fps: frames a second of the poses.
        keypoints: 2D input of the same frames, y downwards; drawn in a panel of its own.
        space: "world" (z up) or "camera" (x right, y down, z forward), which is turned so that up is up.
        spacing: mm between the skeletons, along x; 0 lays them over each other.
        follow: keep the (first) skeleton's pelvis over the origin, for clips that walk away.
        max_frames: longer clips keep every n-th frame only, at the same speed.

    Raises:
        ValueError: for arrays of other shapes and for keypoints of another length.
    """
    bodies = _named(poses, "poses", 3)
    length = len(next(iter(bodies.values())))
    flat = None if keypoints is None else _poses(keypoints, "keypoints", 2)
    if space not in AXES:
        raise ValueError(f"space is {space!r}, expected 'world' or 'camera'.")
    if flat is not None and len(flat) != length:
        raise ValueError(f"keypoints has {len(flat)} frames, expected {length} as in poses.")
    stride = max(1, math.ceil(length / max_frames))
    shift = spacing * (np.arange(len(bodies)) - (len(bodies) - 1) / 2)
    bodies = _place({name: body[::stride] for name, body in bodies.items()}, space, follow, shift)
    flat = None if flat is None else flat[::stride]

    figure = _legend(bodies, go.Scatter3d)
    for (name, body), colours, aside in zip(bodies.items(), BODY_COLOURS, shift, strict=False):
        figure.add_trace(_body_3d(body[0], name, colours, AXES[space], aside))
    figure.update_layout(title_text=title, scene=_scene(list(bodies.values()), AXES[space]))
    if flat is not None:
        figure.add_traces(_lines_2d(flat[0], "input", BODY_COLOURS[0] if len(bodies) == 1 else GREYS))
        figure.update_layout(**_image_axes(flat))
    _lay_out(figure, flat is not None)
    drawn = ", ".join(name for name in bodies if name) or "one skeleton"
    drawn += ", the 2D input in a panel of its own" if flat is not None else ""
    told = f"3D skeleton animation: {title or 'untitled'}. {length / fps:.1f} seconds of {drawn}."
    describe(figure, alt or told)

    def moved(k: int) -> list:
        lines = [_along(body[k], _path(*LIMBS)) for body in bodies.values()]
        turned = [go.Scatter3d(x=x, y=y, z=z) for x, y, z in lines]
        return turned if flat is None else turned + _moved_2d(flat[k])

    return _animate(figure, moved, 2 * len(bodies), -(-length // stride), stride / fps)


def skeleton_2d(
    keypoints: Float[np.ndarray, "*frames 17 2"] | Mapping[str, Float[np.ndarray, "*frames 17 2"]],
    fps: float = 30.0,
    title: str = "",
    unit: str = "",
    max_frames: int = 81,
    alt: str | None = None,
) -> go.Figure:
    """2D keypoints as an image has them: x to the right, y down, equal scales. A clip can be played.

    Args:
        keypoints: one pose or a clip, or a dict of named ones, which are laid over each other.
        fps: frames a second.
        unit: what the axes say, such as "px".
        max_frames: longer clips keep every n-th frame only, at the same speed.

    Raises:
        ValueError: for arrays of other shapes.
    """
    bodies = _named(keypoints, "keypoints", 2, frames=False)
    length = len(next(iter(bodies.values())))
    stride = max(1, math.ceil(length / max_frames))
    bodies = {name: body[::stride] for name, body in bodies.items()}
    figure = _legend(bodies, go.Scatter)
    for (name, body), colours in zip(bodies.items(), BODY_COLOURS, strict=False):
        figure.add_traces(_lines_2d(body[0], name or "body", colours))
    figure.update_layout(title_text=title, height=480, **_image_axes(np.stack(list(bodies.values())), unit))
    drawn = ", ".join(name for name in bodies if name) or "one skeleton"
    describe(figure, alt or f"2D keypoints: {title or 'untitled'}. Drawn: {drawn}.")

    def moved(k: int) -> list:
        return [line for body in bodies.values() for line in _moved_2d(body[k])]

    return _animate(figure, moved, 2 * len(bodies), -(-length // stride), stride / fps)
