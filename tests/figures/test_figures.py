"""The commands that redraw the paper's figures and tables."""

import runpy
import sys
from pathlib import Path

import plotly.graph_objects as go
import pytest
import torch
from safetensors.torch import load_file

from posemamba import PoseMamba, record
from posemamba.motion import save_motion, synthetic_clips

FOLDER = Path(__file__).resolve().parents[2] / "figures"


def run(name: str, *arguments: str, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.syspath_prepend(str(FOLDER))  # as for a command that is run
    main = runpy.run_path(str(FOLDER / name))["main"]
    assert main() in (None, 0)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_each_figure_is_drawn_to_a_page_and_pictures(number, tmp_path, monkeypatch):
    # A browser takes seconds to start, and is not everywhere; tests/plotting/test_export.py starts one.
    monkeypatch.setattr(go.Figure, "to_image", lambda self, format, **_: f"a {format}".encode())
    run(f"figure_{number}.py", "--out", str(tmp_path / "new"), monkeypatch=monkeypatch)
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == [f"figure_{number}.{ending}" for ending in ("html", "png", "svg")]
    assert "plotly" in (tmp_path / "new" / f"figure_{number}.html").read_text(encoding="utf-8")


def test_the_tables_hold_the_papers_numbers(tmp_path, monkeypatch, capsys):
    run("tables_2_and_6.py", "--out", str(tmp_path), monkeypatch=monkeypatch)
    written = "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file())
    for number in ("0.860", "13.943", "27.881", "109.909", "0.450"):
        assert number in written + capsys.readouterr().out


def test_the_peers_count_starts_with_our_own(tmp_path, monkeypatch, capsys):
    path = tmp_path / "counts.json"
    run("count_peers.py", "--frames", "3", "--out", str(path), monkeypatch=monkeypatch)
    report = record.read(path)
    assert [row["name"] for row in report["rows"]] == [f"PoseMamba-{name}" for name in "SBLX"]
    assert report["peers"] == [] and report["rows"][0]["diagonal_macs"] == 0
    assert "PoseMamba-X" in capsys.readouterr().out


@pytest.mark.long
def test_the_first_run_leaves_its_figures_and_weights(tmp_path, monkeypatch, capsys):
    given = ("--steps", "2", "--seeds", "3", "4", "--folder", str(tmp_path / "run"))
    run("first_run.py", *given, monkeypatch=monkeypatch)
    assets = tmp_path / "run" / "assets"
    report = record.read(assets / "measured" / "first_run.json")
    assert [each["seed"] for each in report["runs"]] == [3, 4] and set(report["baselines"]) >= {"ridge"}
    assert report["runs"][0]["steps"] == 2 and report["config"]["steps"] == 2
    errors = [each["scores"]["mpjpe"]["over_actions"] for each in report["runs"]]
    assert errors[0] != errors[1]
    kept = assets / "small_cmu" / "model.safetensors"
    assert kept.read_bytes() == (tmp_path / "run" / "seed_3" / "model" / "model.safetensors").read_bytes()
    assert "model / ridge, over_actions" in capsys.readouterr().out
    kept.unlink()
    run("first_run.py", *given, monkeypatch=monkeypatch)  # what is trained is read again
    again = record.read(assets / "measured" / "first_run.json")
    assert again["runs"] == report["runs"] and kept.is_file()


def test_the_open_run_leaves_its_record_and_weights(tmp_path, monkeypatch):
    tiny = "steps=4 depth=2 channels=8 state=2 frames=9 batch_size=2 warmup=0 validation.subjects=[]"
    tiny = [*tiny.split(), "validation.every=2", "validation.windows=6"]
    motion = synthetic_clips(seed=0, train=3, test=1, seconds=4.0, actions=("walking", "waving"))
    save_motion(tmp_path / "some.safetensors", motion)
    given = ("--data", str(tmp_path / "some.safetensors"), "--folder", str(tmp_path / "runs"))
    given += ("--fit-windows", "200", "--set", *tiny)
    run("open_run.py", *given, "--only", "released", monkeypatch=monkeypatch)
    assert not (tmp_path / "runs" / "assets").exists()
    run("open_run.py", *given, monkeypatch=monkeypatch)
    assets = tmp_path / "runs" / "assets"
    report = record.read(assets / "measured" / "open_run.json")
    paper, released = report["runs"]
    assert [paper["base"], released["base"]] == ["paper", "released"]
    assert report["released"]["gradient"] == "released" and report["released"]["loss"]["n_mpjpe"] == 0.5
    for each in (paper, released):
        assert each["curve"][-1][0] == 4 and [row["step"] for row in each["validation"]] == [2, 4]
        assert each["choices"]["test"]["test_mpjpe"] == min(row["mpjpe"] for row in each["validation"])
        errors = {name: rows["mpjpe"]["over_actions"] for name, rows in each["scores"]["model"].items()}
        assert len(set(errors.values())) == 4
    assert set(report["baselines"]) == {"ridge", "mean pose"}
    weights = load_file(assets / "open_S" / "model.safetensors")
    full = load_file(tmp_path / "runs" / "paper" / "model" / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}
    kept = PoseMamba.from_pretrained(assets / "open_S")
    torch.testing.assert_close(kept.state_dict(), full, rtol=1e-3, atol=1e-6)


def test_every_command_is_listed():
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in FOLDER.rglob("*.py"):
        assert f"`{path.name}`" in listed, path.name
