"""Motion files in an adversary's hands: cut, edited, contradictory, foreign, written by several at once."""

import json
import os
import re
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from posemamba.camera import Camera
from posemamba.motion import Clip, View, load_motion, open_motion, read_about, save_motion

HEADER_KEYS = ("clips", "cameras", "about")


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 300


def make_view(frames: int, name: str = "0", seed: int = 0, **changes) -> View:
    place = torch.tensor([4000.0, 300.0 * seed, 1500.0], dtype=torch.float64)
    camera = Camera.look_at(place, torch.zeros(3, dtype=torch.float64), 1145.0, 1000, 1002)
    arrays = dict(keypoints=floats(frames, 17, 2, seed=seed), confidence=floats(frames, 17, seed=seed + 1))
    arrays |= dict(valid=np.arange(frames) % 2 == 0, targets={"camera": floats(frames, 17, 3, seed=seed + 2)})
    return View(**(dict(name=name, width=1000, height=1002, camera=camera) | arrays | changes))


def make_clips() -> list[Clip]:
    facts = dict(fps=50.0, action="walk", split="train")
    views = (make_view(5, "left", 0), make_view(5, "right", 1))
    return [
        Clip(floats(5, 17, 3), name="seen", subject="S1", views=views, **facts),
        Clip(None, name="flat", views=(make_view(3, "left", 2),), **facts),
        Clip(floats(2, 17, 3, seed=9), name="plain", **facts),
    ]


@pytest.fixture
def saved(tmp_path) -> Path:
    save_motion(tmp_path / "motion.safetensors", make_clips(), {"credit": "nobody"})
    return tmp_path / "motion.safetensors"


def take_apart(path: Path) -> tuple[dict, bytes]:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def put_together(path: Path, header: dict | bytes, body: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def refusal(path: Path, read=load_motion) -> str:
    """What is said of the file: one line that names it."""
    with pytest.raises(ValueError, match=re.escape(str(path))) as refused:
        read(path)
    told = str(refused.value)
    assert "\n" not in told
    return told.replace(str(path), "FILE")


def same(clips: list[Clip], others: list[Clip]) -> bool:
    def flat(clip: Clip) -> list:
        views = [(view.name, view.width, view.height, [*view.arrays()]) for view in clip.views]
        return [clip.name, clip.fps, clip.subject, clip.joints, views]

    return repr([flat(clip) for clip in clips]) == repr([flat(clip) for clip in others])


def test_other_kinds_of_files_are_named(tmp_path):
    for content, told in {
        b'{"key": 1}' * 99: "is not a motion file but a text file",
        b"\x89HDF\r\n" + b"\0" * 99: "is not a motion file but an HDF5 file",
        b"\x80\x04\x95" + b"\0" * 99: "is not a motion file but a plain pickle",
        b"\x80\x02\0\0\0\0\0\0{" + b" " * 99: "is damaged or cut short",  # a header of 640 bytes
    }.items():
        (tmp_path / "file").write_bytes(content)
        assert told in refusal(tmp_path / "file")


def test_cut_short_anywhere(saved):
    content = saved.read_bytes()
    for length in [*range(16), *range(16, len(content), 41), *range(len(content) - 8, len(content))]:
        saved.write_bytes(content[:length])
        refusal(saved)
    saved.write_bytes(content + b"\0")
    refusal(saved)
    saved.write_bytes(content)
    assert same(load_motion(saved), make_clips())


def test_another_byte_in_the_header_is_refused_or_harmless(saved):
    """Opened or refused in a line: nothing else may happen."""
    content, draw = bytearray(saved.read_bytes()), np.random.default_rng(0)
    size = 8 + int.from_bytes(content[:8], "little")
    opened, places = 0, [*range(8), *range(8, size, 11)]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= int(draw.integers(1, 256))
        saved.write_bytes(damaged)
        try:
            clips = load_motion(saved)
            opened += 1
            assert sum(map(len, clips)) == 10
        except ValueError as error:
            assert str(saved) in str(error)
    assert opened < len(places) / 4  # a letter of a name, a digit of a rate


TWISTS = {
    # a clip's own facts
    "frames negative": (("clips", 0), dict(frames=-5), "lists"),
    "frames huge": (("clips", 0), dict(frames=10**30), "frames but holds"),
    "frames a fraction": (("clips", 0), dict(frames=5.0), "clips, number 0, cannot be read: TypeError"),
    "frames NaN": (("clips", 0), dict(frames=float("nan")), "clips, number 0, cannot be read: TypeError"),
    "fps NaN": (("clips", 2), dict(fps=float("nan")), "clip 'plain': fps is nan"),
    "fps infinite": (("clips", 2), dict(fps=float("inf")), "clip 'plain': fps is inf"),
    "fps too large": (("clips", 2), dict(fps=10**400), "clips, number 2, cannot be read: OverflowError"),
    "name none": (("clips", 1), dict(name=None), "name is None, expected text"),
    "name of controls": (("clips", 1), dict(name="a\n\x1b[31m"), r"name is 'a\\n\\x1b\[31m', expected text"),
    "subject a number": (("clips", 0), dict(subject=5), "subject is 5, expected text"),
    "split unknown": (("clips", 0), dict(split="dev"), "split is 'dev'"),
    "unknown field": (("clips", 0), dict(mood="good"), "a clip with 'mood'"),
    "joints twice": (("clips", 0), dict(holds=["joints", "joints"]), "joints, joints, expected each once"),
    "holds text": (("clips", 0), dict(holds="joints"), "a clip with 'j'"),
    "views none": (("clips", 0), dict(views=None), "clips, number 0, cannot be read"),
    "views numbers": (("clips", 0), dict(views=[1]), "clips, number 0, cannot be read"),
    "nothing held": (("clips", 2), dict(holds=[]), "lists 5 frames but holds joints"),
    # a view's
    "width NaN": (("clips", 0, "views", 0), dict(width=float("nan")), "clips, number 0, cannot be read"),
    "width infinite": (("clips", 0, "views", 0), dict(width=float("inf")), "clips, number 0, cannot be read"),
    "height negative": (("clips", 0, "views", 0), dict(height=-1), "1000 x -1 pixels, expected positive"),
    "width of another": (("clips", 0, "views", 0), dict(width=2**70), "but has a camera of 1000 x 1002"),
    "view twice": (("clips", 0, "views", 1), dict(name="left"), "expected each name once"),
    "view unnamed": (("clips", 0, "views", 1), dict(name=["x"]), "expected text"),
    "camera none such": (("clips", 0, "views", 0), dict(camera=3), "camera 3, out of range: there are 3"),
    "camera negative": (("clips", 0, "views", 0), dict(camera=-1), "camera -1, out of range"),
    "camera huge": (("clips", 0, "views", 0), dict(camera=10**30), "out of range: there are 3"),
    "camera text": (("clips", 0, "views", 0), dict(camera="0"), "clips, number 0, cannot be read: TypeError"),
    "unknown lens": (("clips", 0, "views", 0), dict(lens="wide"), "a clip with 'lens'"),
    "unknown array": (("clips", 0, "views", 0), dict(holds=["depth"]), "a clip with 'depth'"),
    "array of none": (("clips", 0, "views", 0), dict(holds=[None]), "a clip with 'None'"),
    "target not there": (("clips", 1, "views", 0), dict(holds=["targets.x"]), "FILE lists"),
    # a camera's
    "focal NaN": (
        ("cameras", 0),
        dict(focal=[float("nan"), 1.0]),
        "cameras cannot be read: .*NaN or infinity",
    ),
    "far away": (("cameras", 1), dict(translation=[0, float("inf"), 0]), "cameras cannot be read: .*NaN"),
    "focal short": (("cameras", 0), dict(focal=[1.0]), "cameras cannot be read"),
    "focal text": (("cameras", 0), dict(focal=["a", "b"]), "cameras cannot be read"),
    "focal none": (("cameras", 0), dict(focal=None), "cameras cannot be read"),
    "focal too large": (("cameras", 0), dict(focal=[10**400, 1]), "cameras cannot be read"),
    "unknown part": (("cameras", 0), dict(skew=0.1), "'skew'"),
}


@pytest.mark.parametrize("twist", TWISTS)
def test_a_header_that_lies(saved, twist):
    (key, *where), changes, message = TWISTS[twist]
    header, body = take_apart(saved)
    content = json.loads(header["__metadata__"][key])
    part = content
    for step in where:
        part = part[step]
    part.update(changes)
    header["__metadata__"][key] = json.dumps(content)
    put_together(saved, header, body)
    with pytest.raises(ValueError, match=message.replace("FILE", "motion.safetensors")):
        load_motion(saved)
    refusal(saved)


@pytest.mark.parametrize("key", HEADER_KEYS)
@pytest.mark.parametrize(
    "text", ["{", "null", "5", '"x"', "[1]", "[null]", "[[]]", "[" * 100_000, '[{"a": 1}]']
)
def test_texts_of_the_metadata_that_are_something_else(saved, key, text):
    header, body = take_apart(saved)
    header["__metadata__"][key] = text
    put_together(saved, header, body)
    assert "damaged header" in refusal(saved, read_about if key == "about" else load_motion)


def test_metadata_that_is_missing_or_unknown(saved):
    for key in ("clips", "cameras"):
        header, body = take_apart(saved)
        put_together(
            saved,
            header | {"__metadata__": {k: v for k, v in header["__metadata__"].items() if k != key}},
            body,
        )
        assert "damaged header" in refusal(saved)
        put_together(saved, header, body)
    header["__metadata__"]["speed"] = "9"
    put_together(saved, header, body)
    assert "metadata 'speed', expected format, version, clips" in refusal(saved)
    for version in ("", "0", "3", "two"):
        header["__metadata__"] |= {"version": version}
        put_together(saved, header, body)
        assert f"version {version!r}" in refusal(saved)
        assert ("newer posemamba" in refusal(saved)) == version.isdecimal()


def test_an_array_twice_in_a_view_does_not_split_the_other_views_frames(saved):
    """Two halves of 4 frames, called 2 frames twice: the counts fit, the content would be a lie."""
    save_motion(saved, [replace(make_clips()[1], views=(View("0", 9, 9, keypoints=floats(4, 17, 2)),))])
    header, body = take_apart(saved)
    (clip,) = json.loads(header["__metadata__"]["clips"])
    clip["frames"], clip["views"][0]["holds"] = 2, ["keypoints", "keypoints"]
    header["__metadata__"]["clips"] = json.dumps([clip])
    put_together(saved, header, body)
    assert "keypoints, keypoints, expected each once" in refusal(saved)


def test_tensors_that_are_missing_moved_or_of_another_type(saved):
    header, body = take_apart(saved)
    tensors = [name for name in header if name != "__metadata__"]
    for name in tensors:
        start, end = header[name]["data_offsets"]
        shape = header[name]["shape"]
        for change in (
            None,
            dict(dtype="F64"),
            dict(dtype="I32"),
            dict(shape=shape[::-1]),
            dict(shape=[2**62, *shape[1:]]),
            dict(data_offsets=[start - 4, end - 4]),
            dict(data_offsets=[0, end - start]) if start else None,  # over the first one
        ):
            rest = {key: entry for key, entry in header.items() if key != name}
            put_together(saved, rest if change is None else rest | {name: header[name] | change}, body)
            if change != dict(shape=shape):  # of one dimension, reversed
                refusal(saved)
        put_together(saved, {("depth" if key == name else key): entry for key, entry in header.items()}, body)
        assert "'depth', which is no field of a motion file" in refusal(saved)


def test_keys_that_are_there_twice(saved):
    header, body = take_apart(saved)
    text, again = json.dumps(header)[:-1], json.dumps(header["joints"] | {"shape": [7 * 51]})
    put_together(saved, f'{text}, "joints": {again}}}'.encode(), body)
    refusal(saved)
    put_together(saved, f'{text}, "__metadata__": {{"format": "x"}}}}'.encode(), body)
    refusal(saved)
    put_together(saved, b'{"a":' * 100_000, body)
    refusal(saved)


def test_marks_that_are_neither_true_nor_false(saved):
    header, body = take_apart(saved)
    start, _ = header["valid"]["data_offsets"]
    put_together(saved, header, body[:start] + b"\x02" + body[start + 1 :])
    assert "valid holds bytes over 1" in refusal(saved)


def test_a_file_of_nothing(saved):
    metadata = dict(format="posemamba-motion", version="2", clips="[]", cameras="[]", about="{}")
    put_together(saved, {"__metadata__": metadata}, b"")
    assert "lists 0 frames" in refusal(saved)
    empty = dict(dtype="F32", shape=[0, 17, 3], data_offsets=[0, 0])
    put_together(saved, {"__metadata__": metadata, "joints": empty}, b"")
    assert "lists 0 frames" in refusal(saved)
    facts = dict(name="a", action="b", split="train", fps=1, subject="", frames=0, holds=["joints"], views=[])
    put_together(saved, {"__metadata__": metadata | {"clips": json.dumps([facts])}, "joints": empty}, b"")
    assert "lists 0 frames" in refusal(saved)


def test_a_header_of_any_length_opens(saved):
    """Floats may then stand at any byte."""
    header, body = take_apart(saved)
    for extra in range(8):
        text = json.dumps(header).encode()
        put_together(saved, text + b" " * extra, body)
        clips = load_motion(saved)
        assert same(clips, make_clips()) and torch.from_numpy(clips[0].joints).sum().isfinite()


def test_version_1_may_not_hold_what_version_2_has(saved):
    save_motion(saved, make_clips()[2:])
    header, body = take_apart(saved)
    facts = ("name", "action", "split", "fps", "frames")
    (clip,) = json.loads(header["__metadata__"]["clips"])
    old = {name: clip[name] for name in facts}
    for changes, message in (({}, None), ({"views": []}, "'views'"), ({"subject": "S1"}, "'subject'")):
        metadata = dict(format="posemamba-motion", version="1", clips=json.dumps([old | changes]))
        put_together(saved, {"__metadata__": metadata, "joints": header["joints"]}, body)
        if message is None:
            assert same(load_motion(saved), make_clips()[2:]) and read_about(saved) == {}
        else:
            assert message in refusal(saved)


@pytest.mark.parametrize("size", [np.int64(1000), np.uint16(1000), 1000.0])
def test_sizes_as_other_libraries_give_them_come_back(tmp_path, size):
    view = make_view(3, width=size, camera=None)
    save_motion(
        tmp_path / "m.safetensors", [Clip(None, np.float32(50), "a", "b", "test", np.str_("S"), (view,))]
    )
    (clip,) = load_motion(tmp_path / "m.safetensors")
    assert (clip.views[0].width, clip.subject, clip.fps) == (1000, "S", 50.0)


def test_what_could_not_be_read_again_is_not_made():
    good = make_clips()[0]
    camera = good.views[0].camera
    for changes, message in (
        (dict(width=1000.5), "expected positive sizes, whole pixels"),
        (dict(width=float("nan")), "expected positive sizes"),
        (dict(name=0), "name is 0, expected text"),
        (dict(targets={5: floats(3)}), "a target's name is 5, expected text"),
        (dict(targets={"a\udcff": floats(3)}), "expected text of printable characters"),
        (dict(camera=replace(camera, focal=camera.focal * np.nan)), "a camera that holds NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=message):
            make_view(3, **changes)
    for name in ("name", "action", "subject"):
        for text in (5, None, "a\nb", "a\udcff"):
            with pytest.raises(ValueError, match=f"clip .*: {name} is .*, expected text of printable"):
                replace(good, **{name: text})


@pytest.mark.skipif(os.name == "nt", reason="links need rights there, and mapped files cannot be replaced")
def test_links_are_followed_and_a_mapped_file_can_be_replaced(saved, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.safetensors"
    link.symlink_to(saved)
    clips = load_motion(link)
    assert same(clips, make_clips())
    save_motion(link, [replace(clips[2], name="new")])  # over the very file that its frames are read from
    assert link.is_symlink() and [clip.name for clip in load_motion(saved)] == ["new"]
    assert same(clips, make_clips())  # the older ones still have the older file
    link.unlink()
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_motion(link)


def test_a_folder_that_cannot_be_written_keeps_its_file(saved, monkeypatch):
    content, ordinary = saved.read_bytes(), open

    def refused(path, mode="r", *more, **named):  # as the system does, which lets root write anywhere
        if "w" in mode:
            raise PermissionError(13, "Permission denied", str(path))
        return ordinary(path, mode, *more, **named)

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(PermissionError):
        save_motion(saved, make_clips()[2:])
    monkeypatch.undo()
    assert saved.read_bytes() == content and same(load_motion(saved), make_clips())
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_file_that_may_only_be_read_opens_and_is_never_written(saved):
    content = saved.read_bytes()
    saved.chmod(0o400)
    clips = load_motion(saved)
    clips[0].joints[:] = 7
    clips[0].views[0].keypoints[:] = 7
    clips[0].views[0].valid[:] = True
    assert saved.read_bytes() == content
    saved.chmod(0o600)


@pytest.mark.skipif(os.name == "nt", reason="a mapped file cannot be replaced there")
def test_several_writers_and_a_reader(tmp_path):
    """Whoever is last wins; a reader gets one writer's file whole, and nothing is left over."""
    path, seen, stop = tmp_path / "m.safetensors", [], threading.Event()
    names = [f"writer {number}" for number in range(4)]
    save_motion(path, [replace(make_clips()[0], name=names[0])])

    def write(number: int) -> None:
        clip = replace(make_clips()[0], joints=np.full((5, 17, 3), number, np.float32), name=names[number])
        for _ in range(8):
            save_motion(path, [clip])

    def read() -> None:
        while not stop.is_set():
            (clip,) = load_motion(path)
            seen.append((clip.name, np.unique(clip.joints).tolist()))

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(1, 4)]
    reader.start()
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert seen and os.listdir(tmp_path) == [path.name]
    assert all(values == [names.index(name)] for name, values in seen if name != names[0])


def test_a_writer_that_fails_midway_leaves_the_old_file(saved):
    def clips():
        yield make_clips()[0]
        raise KeyboardInterrupt

    content = saved.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        save_motion(saved, clips())
    assert saved.read_bytes() == content and os.listdir(saved.parent) == [saved.name]


@pytest.mark.skipif(os.name == "nt", reason="holes in files need more there")
def test_millions_of_frames_open_without_being_read(tmp_path):
    """Human3.6M's size, 2.1 million frames of views, as a file of holes. (A real one of 1 GB opened in 18 ms
    from a warm cache, November 2026.)"""
    import resource  # Windows has none

    def page_faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    path, times = tmp_path / "m.safetensors", 2533
    views = tuple(make_view(1, str(number), number) for number in range(4))
    joints = floats(1, 17, 3)
    save_motion(path, [Clip(joints, 50.0, f"clip {n}", "walk", "train", "S1", views) for n in range(210)])
    header, body = take_apart(path)
    clips = json.loads(header["__metadata__"]["clips"])
    for clip in clips:
        clip["frames"] *= times
    header["__metadata__"]["clips"] = json.dumps(clips)
    for name in header.keys() - {"__metadata__"}:
        header[name]["shape"][0] *= times
        header[name]["data_offsets"] = [times * offset for offset in header[name]["data_offsets"]]
    put_together(path, header, b"")
    os.truncate(path, path.stat().st_size + times * len(body))
    load_motion(path)
    touched = [page_faults()]
    clips = load_motion(path)
    touched.append(page_faults())
    assert sum(len(clip) * len(clip.views) for clip in clips) == 4 * 210 * times
    assert sum(array.max() for clip in clips for view in clip.views for _, array in view.arrays()) == 0
    touched.append(page_faults())
    opening, reading = np.diff(touched)
    assert opening < reading / 10
