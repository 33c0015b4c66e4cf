"""The head of measured files: the same everywhere, and refused where it is not whole."""

import re
import subprocess
from pathlib import Path

import pytest
import torch

from posemamba import record

ROOT = Path(__file__).resolve().parents[1]
MEASURED = sorted((ROOT / "posemamba" / "assets" / "measured").glob("*.json"))


def test_head_write_and_read(tmp_path):
    head = record.head("a sum", ["python", Path("sum.py")], [0, 1])
    assert tuple(head) == record.HEAD
    assert head["command"] == ["python", "sum.py"] and head["seeds"] == [0, 1]
    assert head["versions"]["torch"] == torch.__version__ and "mambapy" in head["versions"]
    assert head["hardware"]["processor"] and head["hardware"]["cores"] >= 1
    assert head["hardware"]["memory_bytes"] > 2**28
    record.write(tmp_path / "sum.json", head | {"rows": [3]})
    assert record.read(tmp_path / "sum.json")["rows"] == [3]


def test_a_file_without_its_head_is_neither_written_nor_read(tmp_path):
    path = tmp_path / "other.json"
    with pytest.raises(ValueError, match=r"other\.json: not a measured record, its head lacks what, command"):
        record.write(path, {"seeds": [0]})
    assert not path.exists()
    for text in ("{}", "[]"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="not a measured record"):
            record.read(path)


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_shipped_records_have_one_form(path):
    report = record.read(path)
    assert tuple(report)[: len(record.HEAD)] == record.HEAD
    assert report["seeds"] and all(type(seed) is int for seed in report["seeds"])
    assert report["versions"]["torch"] and report["hardware"]["threads"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", report["date"])
    assert not any(word.startswith("/") for word in report["command"]), "a path of somebody's machine"


def test_commits_are_those_of_repositories_only(tmp_path):
    assert record.commit(tmp_path) is None
    assert record.commit(tmp_path / "nowhere") is None

    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "-m", "first")
    assert re.fullmatch("[0-9a-f]{12}", record.commit(tmp_path))
    (tmp_path / "inside").mkdir()
    assert record.commit(tmp_path / "inside") is None
