"""Figures: what is drawn is the data, sizes stay small, wrong shapes get a sentence."""

import base64
import json
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest
import torch

from posemamba import plotting
from posemamba.plotting import (
    COLOURS,
    BookRenderer,
    curves,
    describe,
    heatmap,
    skeleton_2d,
    skeleton_animation,
    slider_figure,
    static_figure,
    use_book_style,
)
from posemamba.skeleton import BONES, JOINT_NAMES


@pytest.fixture
def clip():
    body = np.random.default_rng(0).normal(size=(1, 17, 3)) * 300 + [0, 0, 900]
    walk = np.arange(81)[:, None, None] * np.array([25.0, 5.0, 0.0])
    return (body + walk).astype(np.float32)


def bodies(traces):
    return [trace for trace in traces if trace.type == "scatter3d" and (trace.name is None)]


def drawn_bones(trace, points):
    """The pairs of joints that a line with gaps connects, found by their positions."""
    line = np.stack([trace.x, trace.y, trace.z], axis=-1)
    joint = [
        None if np.isnan(p).any() else int(np.abs(points - p).sum(-1).argmin())
        for p in np.asarray(line, float)
    ]
    pairs = pairwise(joint)
    return {(a, b) for a, b in pairs if a is not None and b is not None}


def test_animation_draws_every_bone_of_every_frame(clip):
    figure = skeleton_animation(clip, fps=30, title="A walk")
    assert len(figure.frames) == 81
    for k in (0, 40, 80):
        (trace,) = bodies(figure.frames[k].data)
        assert drawn_bones(trace, np.round(clip[k], 1)) == set(BONES)
        line = np.stack([trace.x, trace.y, trace.z], axis=-1)
        line = line[~np.isnan(line).any(-1)]
        nearest = np.linalg.norm(line[:, None] - clip[k][None], axis=-1).min(axis=1)
        assert nearest.max() < 0.1


def test_animation_names_joints_and_tells_sides_apart(clip):
    (trace,) = bodies(skeleton_animation(clip).data)
    points = np.round(clip[0], 1)
    for p, text, shade in zip(
        zip(trace.x, trace.y, trace.z, strict=True), trace.text, trace.line.color, strict=True
    ):
        if not text:
            continue
        assert text == JOINT_NAMES[int(np.abs(points - p).sum(-1).argmin())]
        if text.startswith(("left", "right")):
            assert shade == (COLOURS[5] if text.startswith("left") else COLOURS[0])


def test_an_81_frame_animation_is_small(clip):
    assert len(skeleton_animation(clip).to_json()) < 80_000


def test_axes_are_equal_fixed_and_hold_every_frame(clip):
    scene = skeleton_animation({"a": clip, "b": clip + 100}, spacing=900).layout.scene
    assert scene.aspectmode == "manual"
    spans = [np.ptp(scene[f"{axis}axis"].range) for axis in "xyz"]
    ratios = [scene.aspectratio[axis] for axis in "xyz"]
    assert np.allclose(np.divide(spans, ratios), spans[0] / ratios[0], rtol=2e-3)
    assert scene.zaxis.range[0] < clip[..., 2].min() and scene.zaxis.range[1] > clip[..., 2].max() + 100


def test_camera_space_is_turned_so_that_up_is_up(clip):
    (trace,) = bodies(skeleton_animation(clip, space="camera").data)
    at = list(trace.text).index("head")
    head = clip[0, JOINT_NAMES.index("head")]
    assert np.allclose([trace.x[at], trace.y[at], trace.z[at]], [head[0], head[2], -head[1]], atol=0.06)


def test_follow_and_spacing(clip):
    figure = skeleton_animation({"a": clip, "b": clip}, follow=True, spacing=1000)
    for k in (0, 80):
        first, second = bodies(figure.frames[k].data)
        at = list(bodies(figure.data)[0].text).index("pelvis")
        assert abs(first.x[at] + 500) < 0.1 and abs(second.x[at] - 500) < 0.1 and abs(first.y[at]) < 0.1


def test_long_clips_keep_their_speed(clip):
    long = np.concatenate([clip] * 4)
    figure = skeleton_animation(long, fps=60)
    assert len(figure.frames) == 81
    steps = figure.layout.sliders[0].steps
    assert steps[1].label == "0.07" and steps[-1].label == f"{320 / 60:.2f}"
    assert figure.layout.updatemenus[0].buttons[0].args[1]["frame"]["duration"] == pytest.approx(
        4000 / 60, 1e-3
    )


def test_2d_input_panel_moves_with_the_body(clip):
    keypoints = clip[..., :2] / 1000
    figure = skeleton_animation(clip, keypoints=keypoints)
    still = [trace for trace in figure.frames[80].data if trace.type == "scatter"]
    values = np.concatenate([np.stack([trace.x, trace.y], -1) for trace in still])
    values = values[~np.isnan(values).any(-1)]
    assert {tuple(p) for p in values} == {tuple(p) for p in keypoints[80]}
    low, high = figure.layout.yaxis.range
    assert low > high, "y runs downwards in a picture"


def test_skeleton_2d_is_still_for_one_pose_and_takes_tensors(clip):
    assert not skeleton_2d(clip[0, :, :2]).frames
    assert len(skeleton_2d(torch.from_numpy(clip[..., :2])).frames) == 81
    assert (
        skeleton_2d({"truth": clip[0, :, :2], "detected": clip[0, :, :2] + 3}).layout.yaxis.scaleanchor == "x"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda clip: skeleton_animation(clip[:, :16]),
            r"poses has shape \(81, 16, 3\), expected \(frames, 17, 3\)",
        ),
        (lambda clip: skeleton_animation({"a": clip, "b": clip[:5]}), "one number of frames"),
        (
            lambda clip: skeleton_animation(clip, keypoints=clip[:3, :, :2]),
            "keypoints has 3 frames, expected 81",
        ),
        (lambda clip: skeleton_animation(clip, space="image"), "space is 'image'"),
        (lambda clip: skeleton_2d(clip), r"keypoints has shape \(81, 17, 3\)"),
        (lambda clip: heatmap(clip), r"matrix has shape \(81, 17, 3\)"),
        (lambda clip: heatmap(clip[0], x=["a"]), "x has 1 labels, expected 3"),
        (lambda clip: curves({"a": ([1, 2], [1])}), r"lines\['a'\] has shapes"),
        (lambda clip: curves({"a": ([1], [1])}, spread={"a": ([1], [1, 2])}), "with its spread has shapes"),
        (lambda clip: curves({"a": ([1], [1])}, spread={"b": ([1], [1])}), "spread names"),
        (lambda clip: slider_figure({"1": go.Figure(), "2": curves({"a": ([1], [1])})}, "p"), "same traces"),
        (lambda clip: describe(go.Figure(), " "), "alt is empty"),
    ],
)
def test_wrong_input_gets_a_sentence(clip, call, message):
    with pytest.raises(ValueError, match=message):
        call(clip)


def test_a_heat_maps_scale_holds_all_its_values():
    (trace,) = heatmap([[-1.0, 4.0]]).data
    assert (trace.zmin, trace.zmax) == (-1, 4)


def test_slider_frames_hold_each_figure_and_the_axes_hold_all():
    x = np.linspace(0, 1, 20)
    parts = {f"{s}": curves({"line": (x, s * x)}, title=f"slope {s}") for s in (1, 2, 5)}
    figure = slider_figure(parts, "slope", start="2")
    assert figure.layout.sliders[0].active == 1 and figure.layout.title.text == "slope 2"
    assert [frame.layout.title.text for frame in figure.frames] == ["slope 1", "slope 2", "slope 5"]
    for frame, s in zip(figure.frames, (1, 2, 5), strict=True):
        assert np.allclose(frame.data[0].y, s * x)
        assert frame.data[0].x is None, "numbers that do not change are kept once"
    low, high = figure.layout.yaxis.range
    assert low < 0 and 5 < high < 6
    parts = {"a": heatmap([[0.0, 1.0]]).update_xaxes(range=[0, 1]), "b": heatmap([[3.0, -2.0]])}
    maps = slider_figure(parts, "which")
    assert (maps.data[0].zmin, maps.data[0].zmax) == (-2, 3)
    assert maps.layout.xaxis.range == (0, 1)


def test_slider_on_log_axes():
    parts = {s: curves({"line": ([1, 10], [float(s), 100.0])}, logx=True, logy=True) for s in ("1", "0.01")}
    assert slider_figure(parts, "s").layout.yaxis.range[0] == pytest.approx(-2, abs=0.2)


def test_book_renderer_keeps_json_and_one_line(clip):
    bundle = BookRenderer().to_mimebundle(curves({"a": ([0, 1], [1, 2])}, title="Two points").to_dict())
    assert bundle["text/plain"] == "Figure: Two points (1 traces, 0 frames)"
    assert set(bundle) == {"application/vnd.plotly.v1+json", "text/plain"}


def test_data_are_float32_in_the_file():
    trace = json.loads(curves({"a": (np.arange(3.0), np.arange(3.0))}).to_json())["data"][0]
    assert trace["y"]["dtype"] == "f4"
    assert np.frombuffer(base64.b64decode(trace["y"]["bdata"]), "f4").tolist() == [0, 1, 2]


def test_style_is_transparent_and_keeps_a_foreign_renderer(monkeypatch):
    import matplotlib

    with matplotlib.rc_context():
        monkeypatch.setattr(pio.templates, "default", "plotly")
        monkeypatch.setattr(pio.renderers, "default", "json")
        monkeypatch.setenv("COLAB_RELEASE_TAG", "1")
        monkeypatch.delenv("POSEMAMBA_RENDERER", raising=False)
        use_book_style()
        assert pio.renderers.default == "json" and pio.templates.default == "book"
        assert matplotlib.rcParams["figure.facecolor"] == "none"
        monkeypatch.setenv("POSEMAMBA_RENDERER", "book")
        use_book_style()
        assert pio.renderers.default == "book"


def test_static_figure_is_sharp_and_described():
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(3, 2))
    axes.plot([0, 1])
    image = static_figure(axes, alt="A rising line.")
    assert image.data[:8] == b"\x89PNG\r\n\x1a\n" and int.from_bytes(image.data[16:20], "big") == 576
    assert image.width == 288 and image._repr_mimebundle_()[1]["image/png"]["alt"] == "A rising line."
    assert not plt.fignum_exists(figure.number)


def test_every_figure_says_what_it_shows(clip):
    for figure in (
        skeleton_animation({"truth": clip}, title="Walk"),
        skeleton_2d(clip[..., :2], title="Walk"),
        curves({"truth": ([1], [2])}, title="Walk"),
        heatmap([[1.0]], title="Walk"),
        slider_figure({"1": curves({"truth": ([1], [2])}, title="Walk")}, "step"),
    ):
        assert "Walk" in figure.layout.meta["alt"]


def test_frames_carry_an_x_that_any_figure_changes():
    """A frame is laid over whatever is drawn: going back to the first figure must bring back its x too."""
    parts = {n: curves({"a": (range(n), range(n)), "b": ([0, 1], [0, n])}) for n in (3, 5)}
    first, second = slider_figure(parts, "n").frames
    assert [len(frame.data[0].x) for frame in (first, second)] == [3, 5]
    assert [frame.data[1].x for frame in (first, second)] == [None, None]


def legend(figure):
    return [trace.name for trace in figure.data if trace.name and trace.showlegend is not False]


def test_no_two_entries_of_a_legend_are_alike(clip):
    flat = clip[..., :2]
    for figure in (
        skeleton_animation({"truth": clip, "lifted": clip}, keypoints=flat),
        skeleton_2d({"truth": flat, "detected": flat}),
        skeleton_2d(flat),
    ):
        assert legend(figure) and len(set(legend(figure))) == len(legend(figure))
    assert legend(skeleton_2d({"a": flat, "b": flat})) == ["a, right", "a, left", "b, right", "b, left"]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("narrow", [False, True])
def test_a_scene_leaves_room_for_what_is_written_at_its_edges(clip, count, flat, narrow):
    """The corners of the box, seen from the camera as Plotly sees them, keep off the scene's borders."""
    poses = {f"{k}": clip for k in range(count)}
    figure = skeleton_animation(poses, keypoints=clip[..., :2] if flat else None, spacing=1100, follow=True)
    width = 320 if narrow else 620
    if narrow:
        assert all(
            figure.layout.meta["narrow"]["scene"][f"{key}axis"]["showticklabels"] is False for key in "xyz"
        )
        figure.update_layout(figure.layout.meta["narrow"])
    scene, top = figure.layout.scene, pio.templates["book"].layout.margin.t
    wide = (width - figure.layout.margin.l - figure.layout.margin.r) * np.diff(scene.domain.x)[0]
    high = (figure.layout.height - top - figure.layout.margin.b) * np.diff(scene.domain.y)[0]
    eye, centre = (np.array([place.x, place.y, place.z]) for place in (scene.camera.eye, scene.camera.center))
    ahead = (centre - eye) / np.linalg.norm(centre - eye)
    right = np.cross(ahead, [0, 0, 1]) / np.linalg.norm(np.cross(ahead, [0, 0, 1]))
    sides = np.array([scene.aspectratio[key] for key in "xyz"])
    corners = (np.indices((2, 2, 2)).reshape(3, -1).T - 0.5) * sides - eye
    focal = high / 2 / np.tan(np.radians(22.5)) / (corners @ ahead)
    x, y = corners @ right * focal, corners @ np.cross(right, ahead) * focal
    assert wide / 2 - np.abs(x).max() >= 48
    assert high / 2 - y.max() >= 2 and high / 2 + y.min() >= 36
    assert max(np.ptp(x) / wide, np.ptp(y) / high) > 0.4, "and the box is not lost in its scene"


def test_no_figure_of_the_package_names_two_things_alike():
    figures = (
        plotting.error_against_macs({"PoseMamba-S": 1}),
        plotting.stacked_shares({"a": {"u": 1, "v": 3}}, unit="s"),
        plotting.crossings({"counted": {"full": 31, "factored": 377}}),
        plotting.scan_paths("global-local"),
        plotting.limb_meetings(),
        plotting.order_playground(),
        plotting.reach_counts(),
    )
    for figure in figures:
        shown = [[True] * len(figure.data)]
        if figure.layout.updatemenus and figure.layout.updatemenus[-1].type != "buttons":
            shown = [choice.args[0]["visible"] for choice in figure.layout.updatemenus[-1].buttons]
        for seen in shown:
            entries = [trace for trace, there in zip(figure.data, seen, strict=True) if there]
            entries = legend(go.Figure(entries))
            assert len(set(entries)) == len(entries)
