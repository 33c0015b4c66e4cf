import ast
import json
import os
import struct
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from posemamba.motion import Clip, View, load_motion, open_motion, read_cmu, save_motion, select_split


def make_clips() -> list[Clip]:
    generator = np.random.default_rng(0)
    frames = {"a": (5, 60.0, "train"), "b": (1, 120.0, "test"), "weißer Ärmel": (7, 59.94, "test")}
    return [
        Clip(generator.normal(size=(count, 17, 3)).astype(np.float32) * 500, fps, name, f"do {name}", split)
        for name, (count, fps, split) in frames.items()
    ]


def same(ours: list[Clip], theirs: list[Clip]) -> bool:
    return len(ours) == len(theirs) and all(
        np.array_equal(a.joints, b.joints)
        and (a.fps, a.name, a.action, a.split) == (b.fps, b.name, b.action, b.split)
        for a, b in zip(ours, theirs, strict=True)
    )


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "motion.safetensors"
    save_motion(path, make_clips())
    return path


def rewrite(path: Path, change) -> Path:
    """The file with its header changed, and everything else as it was."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    return path


def relist(header: dict, **changes) -> None:
    """Changes the first clip in the header's list."""
    clips = json.loads(header["__metadata__"]["clips"])
    header["__metadata__"]["clips"] = json.dumps([clips[0] | changes, *clips[1:]])


def test_saved_clips_come_back(saved):
    clips = load_motion(saved)
    assert same(clips, make_clips()) and same(open_motion(saved), clips)
    assert [len(clip) / clip.fps for clip in clips][:2] == [5 / 60, 1 / 120]


def test_the_file_is_plain_safetensors(saved):
    joints = load_file(saved)["joints"]
    assert np.array_equal(joints, np.concatenate([clip.joints for clip in make_clips()]))


def test_clips_are_views_of_one_map_and_writing_leaves_the_file(saved):
    clips, content = load_motion(saved), saved.read_bytes()
    bases = set()
    for clip in clips:
        base = clip.joints
        while isinstance(base.base, np.ndarray):
            base = base.base
        bases.add((id(base), isinstance(base, np.memmap)))
    assert len(bases) == 1 and next(iter(bases))[1]
    clips[0].joints[:] = 7
    torch.from_numpy(clips[0].joints)
    del clips, clip, base
    assert saved.read_bytes() == content and same(load_motion(saved), make_clips())


def test_a_write_that_fails_leaves_the_old_file(saved, monkeypatch):
    content = saved.read_bytes()

    def full_disk(array, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "ascontiguousarray", full_disk)  # the header is written by then
    with pytest.raises(OSError, match=r"motion\.safetensors.*disk is full"):
        save_motion(saved, make_clips())
    assert saved.read_bytes() == content and os.listdir(saved.parent) == [saved.name]
    with pytest.raises(ValueError, match="no clips to save"):
        save_motion(saved, [])


def test_no_two_modules_of_motion_import_each_other():
    import posemamba

    root, graph = Path(posemamba.__file__).parent, {}
    for file in (root / "motion").rglob("*.py"):
        name = ".".join(("posemamba", *file.relative_to(root).with_suffix("").parts))
        name = name.removesuffix(".__init__")
        tree = ast.walk(ast.parse(file.read_text("utf-8")))
        imports = [node for node in tree if isinstance(node, ast.ImportFrom)]
        found = {f"{node.module}.{alias.name}" for node in imports for alias in node.names}
        found |= {node.module for node in imports}
        graph[name] = {module for module in found if module.startswith("posemamba.motion.")}
    assert graph["posemamba.motion.sources"] >= {"posemamba.motion.clips", "posemamba.motion.synthetic"}
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError


def test_select_split():
    assert [clip.name for clip in select_split(make_clips(), "test")] == ["b", "weißer Ärmel"]
    with pytest.raises(ValueError, match="no clip in its dev split, expected 'train'"):
        select_split(make_clips(), "dev")
    with pytest.raises(ValueError, match="no clip in its train split"):
        select_split(make_clips()[1:], "train")


GOOD = {"fps": 60.0, "name": "take 1", "action": "walk", "split": "train"}


@pytest.mark.parametrize(
    ("joints", "changes", "message"),
    [
        (np.zeros((4, 16, 3), np.float32), {}, r"shape \(4, 16, 3\), expected \(1 or more, 17, 3\)"),
        (np.zeros((0, 17, 3), np.float32), {}, r"shape \(0, 17, 3\), expected \(1 or more"),
        (np.zeros((4, 17), np.float32), {}, r"shape \(4, 17\)"),
        (np.zeros((), np.float32), {}, r"shape \(\)"),
        (np.zeros((4, 17, 3)), {}, "float64, expected a float32 array"),
        ([[0.0]], {}, "list, expected a float32 array"),
        (np.zeros((4, 17, 3), np.float32), {"fps": 0.0}, "fps is 0.0"),
        (np.zeros((4, 17, 3), np.float32), {"fps": float("nan")}, "fps is nan"),
        (np.zeros((4, 17, 3), np.float32), {"split": "dev"}, "split is 'dev'"),
    ],
)
def test_bad_clips_are_refused(joints, changes, message):
    with pytest.raises(ValueError, match=rf"clip 'take 1'.*{message}"):
        Clip(joints, **(GOOD | changes))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_names_clip_and_frame(value, tmp_path):
    joints = np.zeros((9, 17, 3), np.float32)
    joints[6:, 3, 1] = value
    with pytest.raises(ValueError, match="clip 'take 1': joints hold NaN or infinity in frame 6"):
        Clip(joints, **GOOD)
    view = {"name": "left", "width": 100, "height": 100}
    for name, array in {"keypoints": joints[..., :2], "confidence": joints[..., 1]}.items():
        with pytest.raises(ValueError, match=f"view 'left': {name} hold NaN or infinity in frame 6"):
            View(**view, **{name: array.copy()})
    with pytest.raises(ValueError, match=r"view 'left': targets\.camera hold NaN"):
        View(**view, targets={"camera": joints})


def test_opening_a_file_does_not_look_at_its_frames(tmp_path):
    path = tmp_path / "motion.safetensors"
    save_motion(path, [Clip(np.zeros((9, 17, 3), np.float32), **GOOD)])
    content = bytearray(path.read_bytes())
    content[-4:] = np.float32(np.nan).tobytes()
    path.write_bytes(content)
    (clip,) = load_motion(path)
    assert np.isnan(clip.joints[8, 16, 2]) and np.isfinite(clip.joints[:8]).all()


def test_missing_and_foreign_files(tmp_path):
    for read in (load_motion, read_cmu, open_motion):
        with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors does not exist"):
            read(tmp_path / "nowhere.safetensors")
    with pytest.raises(FileNotFoundError, match="'synthetic' for generated motion"):
        open_motion("cmu_mocap_17.npz")
    with pytest.raises(ValueError, match="is a folder"):
        open_motion(tmp_path)
    with pytest.raises(ValueError, match="is a folder"):
        load_motion(tmp_path)
    path = tmp_path / "some file"
    for content, message in {
        b"": "is empty",
        b"abc": "header too small",
        b"\xff" * 64: "header too large",
        struct.pack("<Q", 4) + b"nope" + b"\0" * 40: "invalid JSON",
        struct.pack("<Q", 2) + b"{}": "not a motion file: its metadata names no",
        struct.pack("<Q", 2) + b"{}" + b"\0" * 40: "not a motion file",
        b"text that goes on for a while, in a file of words": "header too large",
        b"<!doctype html><title>404</title>": "header too large",
    }.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as refusal:
            open_motion(path)
        assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_file_cut_short_anywhere_is_refused(saved):
    content = saved.read_bytes()
    for length in [1, 7, 8, 9, 100, len(content) - 400, len(content) - 1]:
        saved.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"cut short|is not a motion file"):
            load_motion(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda h: h["__metadata__"].update(version="3"),
            "version '3', expected '2' or '1': a newer posemamba",
        ),
        (lambda h: h["__metadata__"].update(version="new"), "format version 'new', expected '2' or '1'$"),
        (lambda h: h["__metadata__"].pop("version"), "format version ''"),
        (lambda h: h["__metadata__"].update(format="other"), "not a motion file"),
        (lambda h: h.pop("__metadata__"), "not a motion file"),
        (lambda h: h["__metadata__"].update(clips="[{]"), "damaged header"),
        (lambda h: h["__metadata__"].update(clips="[" * 100_000), "damaged header"),
        (lambda h: h["__metadata__"].update(clips="7"), "damaged header"),
        (lambda h: h["__metadata__"].update(clips="[]"), "lists 0 frames"),
        (lambda h: h["__metadata__"].update(clips='[{"name": "a"}]'), "damaged header"),
        (lambda h: relist(h, frames=float("inf")), "damaged header"),
        (lambda h: relist(h, frames="5"), "damaged header"),
        (lambda h: relist(h, fps=10**400), "damaged header"),
        (lambda h: relist(h, fps=float("nan")), "fps is nan"),
        (lambda h: relist(h, split=[]), "split is"),
        (lambda h: relist(h, frames=6), r"lists 14 frames but holds .*\(13, 17, 3\)"),
        (lambda h: relist(h, frames=-5), "lists 3 frames"),
        (lambda h: h.pop("joints"), "cut short|damaged"),
        (lambda h: h.update(other=h.pop("joints")), "holds 'other', which is no field"),
        (
            lambda h: h.update(other={"dtype": "F32", "shape": [0], "data_offsets": [2652, 2652]}),
            "holds 'other', which is no field",
        ),
        (lambda h: h["joints"].update(dtype="F16", shape=[26, 17, 3]), "type F16"),
        (lambda h: h["joints"].update(shape=[17, 13, 3]), r"shape \(17, 13, 3\)"),
        (lambda h: h["joints"].update(shape=[14, 17, 3]), "damaged"),
        (lambda h: h["joints"].update(shape=[13.0, 17, 3]), "damaged"),
        (lambda h: h["joints"].update(data_offsets=[0, 8]), "damaged"),
        (lambda h: h["joints"].update(data_offsets=[4, 2656]), "damaged"),
    ],
)
def test_headers_that_lie_are_refused(saved, change, message):
    with pytest.raises(ValueError, match=message) as refusal:
        load_motion(rewrite(saved, change))
    assert str(saved) in str(refusal.value)


def cmu_arrays() -> dict[str, np.ndarray]:
    joints = np.random.default_rng(1).normal(size=(9, 17, 3)).astype(np.float32)
    texts = {"split": ["train", "test"], "action": ["walk", "run"], "name": ["one", "two"]}
    arrays = {key: np.array(value) for key, value in texts.items()}
    return {"joints": joints, "length": np.array([4, 5]), "fps": np.float32(120), **arrays}


def test_read_cmu_cuts_clips_in_order(tmp_path):
    arrays = cmu_arrays()
    np.savez(tmp_path / "m.npz", **arrays, subject=np.array([7, 9]), description=np.array(["a", "b"]))
    first, second = open_motion(tmp_path / "m.npz")
    assert np.array_equal(first.joints, arrays["joints"][:4])
    assert np.array_equal(second.joints, arrays["joints"][4:])
    assert (second.fps, second.name, second.action, second.split) == (120.0, "two", "run", "test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": None}, "array 'fps' is missing, expected .* in joints"),
        ({"length": np.array([4, 4])}, "lists 8 frames"),
        ({"joints": np.zeros((9, 16, 3), np.float32)}, r"shape \(4, 16, 3\)"),
        ({"joints": np.float32(3)}, "holds joints of shape"),
        (
            {"joints": np.full((9, 17, 3), np.nan, np.float32)},
            "clip 'one': joints hold NaN or infinity in frame 0",
        ),
        ({"name": np.array(["one"])}, "expected one entry a clip"),
        ({"fps": np.array([1.0, 2.0])}, "expected one entry a clip and one fps"),
        ({"length": np.array([4.0, 5.0])}, "array 'length' is float64"),
        # An object array is a pickle inside the file.
        ({"name": np.array(["one", {"two": 2}], dtype=object)}, "name.*(object|damaged|expected)"),
    ],
)
def test_damaged_cmu_files_are_refused(tmp_path, changes, message):
    path = tmp_path / "m.npz"
    np.savez(path, **{key: value for key, value in (cmu_arrays() | changes).items() if value is not None})
    with pytest.raises(ValueError, match=message) as refusal:
        read_cmu(path)
    assert str(path) in str(refusal.value)


def test_a_cmu_file_cut_short_is_refused(tmp_path):
    path = tmp_path / "m.npz"
    np.savez_compressed(path, **cmu_arrays())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"m\.npz"):
        open_motion(path)
