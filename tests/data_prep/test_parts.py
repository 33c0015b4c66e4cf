"""What converters share: a stop loses at most one source, a rerun changes nothing, a change is noticed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from data_prep import parts
from data_prep.parts import Source, convert, run
from posemamba.motion import Clip, load_motion, read_about

ABOUT = {"credit": "nobody"}


@pytest.fixture
def sources(tmp_path) -> list[Source]:
    (tmp_path / "in").mkdir()
    files = [tmp_path / "in" / f"{name}.txt" for name in "abcde"]
    for index, file in enumerate(files):
        file.write_text(f"{index + 1}", encoding="utf-8")
    return [Source(file.stem, (file,)) for file in files]


class Reader:
    """Turns a file with a number into one clip of that number, and remembers what it read."""

    def __init__(self, fails_at: str = ""):
        self.fails_at, self.read = fails_at, []

    def __call__(self, source: Source) -> list[Clip]:
        if source.key == self.fails_at:
            raise ValueError(f"{source.files[0]} is not to be read")
        self.read.append(source.key)
        number = float(source.files[0].read_text(encoding="utf-8"))
        return [Clip(np.full((3, 17, 3), number, np.float32), 50.0, source.key, "none", "train")]


def held(target: Path) -> list[tuple[str, float]]:
    return [(clip.name, clip.joints[0, 0, 0]) for clip in load_motion(target)]


def state(folder: Path) -> dict:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir() if p.is_file()}


def test_sources_are_joined_in_their_order(sources, tmp_path):
    target = tmp_path / "out.safetensors"
    outcome = convert(target, iter(sources), Reader(), ABOUT, {"version": 1})
    assert held(target) == [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)]
    assert (outcome.clips, outcome.frames, outcome.converted, outcome.kept) == (5, 15, 5, 0)
    assert "5 clips, 15 frames written" in str(outcome)
    assert read_about(target).keys() == {"credit", "fingerprint"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out.safetensors"]


def test_a_rerun_changes_nothing(sources, tmp_path):
    target, reader = tmp_path / "out.safetensors", Reader()
    convert(target, sources, reader, ABOUT, {"version": 1})
    before, reader.read = state(tmp_path), []
    for source in sources:
        os.utime(source.files[0], (1, 1))  # a copy of the same data has another date
    outcome = convert(target, sources, reader, ABOUT, {"version": 1})
    assert state(tmp_path) == before
    assert reader.read == []
    assert str(outcome) == f"{target} is up to date: 5 clips, 15 frames"


def test_the_same_input_gives_the_same_bytes(sources, tmp_path):
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    with pytest.raises(ValueError, match="not to be read"):
        convert(one, sources, Reader(fails_at="c"), ABOUT, {})
    convert(one, sources, Reader(), ABOUT, {})
    convert(two, sources, Reader(), ABOUT, {})
    assert one.read_bytes() == two.read_bytes()


def test_a_failure_halfway_keeps_what_is_done(sources, tmp_path):
    target, reader = tmp_path / "out.safetensors", Reader(fails_at="d")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"d\.txt is not to be read"):
            convert(target, sources, reader, ABOUT, {})
        assert not target.exists()
    assert reader.read == ["a", "b", "c"]
    reader = Reader()
    outcome = convert(target, sources, reader, ABOUT, {})
    assert reader.read == ["d", "e"]
    assert "3 of 5 sources were there from an earlier run" in str(outcome)
    assert len(held(target)) == 5


@pytest.mark.parametrize(
    "change", ["content", "settings", "about", "one less", "order", "files", "target", "motion"]
)
def test_what_changed_is_done_anew(change, sources, tmp_path):
    target, settings, about, wanted = tmp_path / "out.safetensors", {"fps": 50}, dict(ABOUT), "abcde"
    convert(target, sources, Reader(), about, settings)
    before, extra = target.read_bytes(), tmp_path / "calibration"
    extra.write_text("1", encoding="utf-8")
    if change == "content":
        sources[1].files[0].write_text("7", encoding="utf-8")
    elif change == "settings":
        settings["fps"] = 25
    elif change == "about":
        about["credit"] = "somebody"
    elif change == "one less":
        sources.pop(0)
        wanted = "bcde"
    elif change == "order":
        sources.reverse()
        wanted = "edcba"
    elif change == "files":
        sources[0] = Source("a", (*sources[0].files, extra))
    else:
        target.write_bytes(before[:-1] if change == "target" else b"<html>")
    outcome = convert(target, sources, Reader(), about, settings)
    assert outcome.converted == len(wanted)
    assert [name for name, _ in held(target)] == list(wanted)
    assert (target.read_bytes() == before) == (change in ("target", "motion"))
    if change == "content":
        assert held(target)[1] == ("b", 7)


def test_after_a_stop_only_the_changed_source_is_read_again(sources, tmp_path):
    target = tmp_path / "out.safetensors"
    with pytest.raises(ValueError, match="not to be read"):
        convert(target, sources, Reader(fails_at="e"), ABOUT, {})
    sources[2].files[0].write_text("9", encoding="utf-8")
    reader = Reader()
    convert(target, sources, reader, ABOUT, {})
    assert reader.read == ["c", "e"]
    assert held(target)[2] == ("c", 9)
    assert not target.with_name("out.safetensors.parts").exists()


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from data_prep.parts import Source, convert
from posemamba.motion import Clip

folder = Path(sys.argv[1])

def read(source):
    if source.key == "d":
        (folder / "reached").touch()
        time.sleep(60)
    number = float(source.files[0].read_text())
    return [Clip(np.full((3, 17, 3), number, np.float32), 50.0, source.key, "none", "train")]

files = sorted((folder / "in").iterdir())
convert(folder / "out.safetensors", [Source(f.stem, (f,)) for f in files], read, {"credit": "nobody"}, {})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_run_loses_one_source(sources, tmp_path):
    script, target = tmp_path / "script.py", tmp_path / "out.safetensors"
    script.write_text(textwrap.dedent(KILLED), encoding="utf-8")
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=environment)
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "reached").exists():
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not target.exists()
    # What a run leaves that is killed while it writes.
    (tmp_path / "out.safetensors.parts" / ".0123-ab.safetensors").write_bytes(b"half")
    reader = Reader()
    convert(target, sources, reader, ABOUT, {})
    assert reader.read == ["d", "e"]
    assert held(target) == [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)]
    assert not target.with_name("out.safetensors.parts").exists()


def test_more_sources_than_a_system_opens_files(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "AT_ONCE", 3)
    many = [Source(f"{i:02}", sources[i % 5].files) for i in range(11)]
    opened = []
    monkeypatch.setattr(parts, "load_motion", lambda path: opened.append(path) or load_motion(path))
    outcome = convert(tmp_path / "out.safetensors", many, Reader(), ABOUT, {})
    assert outcome.clips == 11
    assert held(tmp_path / "out.safetensors") == [(f"{i:02}", i % 5 + 1) for i in range(11)]
    assert len(opened) == 11 + 4 + 2
    assert not (tmp_path / "out.safetensors.parts").exists()


def test_a_source_may_hold_nothing_and_foreign_files_stay(sources, tmp_path):
    target, reader = tmp_path / "out.safetensors", Reader()
    folder = tmp_path / "out.safetensors.parts"
    folder.mkdir()
    (folder / "mine.txt").write_text("kept", encoding="utf-8")
    convert(target, sources, lambda s: [] if s.key in "bd" else reader(s), ABOUT, {})
    assert [name for name, _ in held(target)] == ["a", "c", "e"]
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    with pytest.raises(ValueError, match="no clips in the sources"):
        convert(tmp_path / "none.safetensors", sources, lambda _: [], ABOUT, {})


def test_bad_targets_and_sources_are_one_line_and_code_2(sources, tmp_path, capsys):
    gone = Source("gone", (tmp_path / "gone.mat",))
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    for target, given, words in (
        ("out.npz", sources, ("out.npz", ".safetensors")),
        ("none/out.safetensors", sources, ("folder", "does not exist")),
        ("folder.safetensors", sources, ("is a folder",)),
        ("out.safetensors", [*sources, sources[0]], ("'a' comes twice",)),
        ("out.safetensors", [*sources, gone], ("gone.mat does not exist",)),
        ("out.safetensors", [], ("no clips",)),
    ):
        assert run("tool", lambda t=target, g=given: convert(tmp_path / t, g, Reader(), ABOUT, {})) == 2
        error = capsys.readouterr().err
        assert error.startswith("tool: ") and len(error.strip().splitlines()) == 1
        assert all(word in error for word in words), error
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"x")
    assert run("tool", lambda: convert(own, [Source("own", (own,))], Reader(), ABOUT, {})) == 2
    assert "both read and written" in capsys.readouterr().err
    assert own.read_bytes() == b"x"


def test_run_prints_what_the_command_returns(capsys):
    def stop():
        raise KeyboardInterrupt

    assert run("tool", lambda: "done") == 0
    assert capsys.readouterr() == ("done\n", "")
    assert run("tool", stop) == 130
    assert capsys.readouterr().err == "tool: stopped; the same command goes on from here\n"


def test_quiet_where_nobody_looks(sources, tmp_path, capfd):
    convert(tmp_path / "out.safetensors", sources, Reader(), ABOUT, {})
    assert capfd.readouterr() == ("", "")


def test_progress_on_a_terminal_is_on_standard_error(sources, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    convert(tmp_path / "out.safetensors", sources, Reader(), ABOUT, {})
    out, error = capfd.readouterr()
    assert out == ""
    assert "checking" in error and "converting" in error and "/5" in error


def test_a_source_that_is_refused_at_once_leaves_no_folder(tmp_path):
    def refuse(source):
        raise ValueError("not a source")

    source = tmp_path / "source.txt"
    source.write_text("one")
    with pytest.raises(ValueError, match="not a source"):
        parts.convert(tmp_path / "out.safetensors", [parts.Source("one", [source])], refuse, {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["source.txt"]
