"""Atomic writes, JSON and assets."""

import errno
import os

import numpy as np
import pytest

from posemamba.storage import asset, atomic_path, read_json, write_json
from tests.sentences import HTML, one_sentence


def test_a_write_replaces_the_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "model.bin"
    target.write_bytes(b"old")
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".bin"
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["model.bin"]


@pytest.mark.parametrize(
    "interrupt", [KeyboardInterrupt, SystemExit, ValueError, OSError(errno.EACCES, "no")]
)
def test_an_interrupted_write_leaves_the_old_file_whole(tmp_path, interrupt):
    target = tmp_path / "model.bin"
    target.write_bytes(b"old")
    with pytest.raises(BaseException) as caught, atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise interrupt
    assert type(caught.value) is (interrupt if isinstance(interrupt, type) else PermissionError)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.bin"]


@pytest.mark.parametrize("words", [OSError(errno.ENOSPC, "full"), RuntimeError("No space left on device")])
def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path, words):
    target = tmp_path / "model.bin"
    target.write_bytes(b"old")
    with pytest.raises(OSError) as caught, atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise words
    one_sentence(caught.value, str(target), "disk is full", "unchanged")
    assert caught.value.errno == errno.ENOSPC
    assert target.read_bytes() == b"old" and os.listdir(tmp_path) == ["model.bin"]


def test_a_disk_that_fills_at_the_flush_is_noticed(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk is full"):
        write_json(tmp_path / "a.json", {})
    assert os.listdir(tmp_path) == []


def test_a_write_without_a_place_or_content_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"), atomic_path(tmp_path / "no" / "a.bin"):
        pass
    with pytest.raises(FileNotFoundError, match="nothing was written"), atomic_path(tmp_path / "a.bin"):
        pass
    with pytest.raises(IsADirectoryError, match="is a folder"), atomic_path(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="links and modes are POSIX here")
def test_links_are_followed_and_modes_kept(tmp_path):
    (tmp_path / "real.json").write_text("1", encoding="utf-8")
    (tmp_path / "real.json").chmod(0o640)
    (tmp_path / "link.json").symlink_to("real.json")
    write_json(tmp_path / "link.json", 2)
    assert (tmp_path / "link.json").is_symlink() and read_json(tmp_path / "real.json") == 2
    assert (tmp_path / "real.json").stat().st_mode & 0o777 == 0o640


def test_json_comes_back_as_written(tmp_path):
    path = tmp_path / "figures.json"
    content = {
        "mean": 52.1,
        "name": "Schüßler 骨",
        "flags": [True, None],
        "numpy": np.float32(0.5),
        "n": np.arange(3),
    }
    write_json(path, content)
    assert read_json(path) == content | {"numpy": 0.5, "n": [0, 1, 2]}
    assert "骨".encode() in path.read_bytes() and path.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize(
    "bad", [float("nan"), [float("inf")], {"a": np.float64("nan")}, np.array([1, np.nan])]
)
def test_json_without_nan(tmp_path, bad):
    path = tmp_path / "figures.json"
    write_json(path, 1)
    with pytest.raises(ValueError) as caught:
        write_json(path, bad)
    one_sentence(caught.value, str(path), "finite")
    with pytest.raises(TypeError, match="set"):
        write_json(path, {1, 2})
    assert read_json(path) == 1


@pytest.mark.parametrize(
    "text", [b"{'a': 1}", b"[1,", b"NaN", b"1e999", b"[-1e999]", b"\xff\xfe1", b"[" * 100_000, HTML, b""]
)
def test_bad_json_is_named(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_bytes(text)
    with pytest.raises(ValueError) as caught:
        read_json(path)
    one_sentence(caught.value, str(path))


def test_asset_names_what_there_is():
    with pytest.raises(FileNotFoundError) as caught:
        asset("nothing.json")
    one_sentence(caught.value, "nothing.json")
    with pytest.raises(FileNotFoundError):
        asset("../__init__.py")
