"""`posemamba evaluate` as a user meets it, on files in the official layouts."""

import json

import pytest
import torch

from posemamba import evaluation
from posemamba.cli import main
from posemamba.evaluation import tables
from posemamba.model import PoseMamba, PoseMambaConfig
from posemamba.motion import load_motion, save_motion, synthetic_clips
from tests.data_prep import human36m_layouts as h36m
from tests.data_prep import mpi_inf_3dhp_layouts as mpi

SIZE = dict(frames=9, depth=2, channels=8, state=2)


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """A folder with motion files and networks; "run" is a run's folder."""
    folder = tmp_path_factory.mktemp("evaluate")
    h36m.convert(folder, "motionbert", h36m.write_pickle(folder / "mb.pkl", h36m.rows(h36m.known_motion())))
    mpi.write_pair(folder / "pair")
    mpi.convert(folder / "pair", folder / "mpi.safetensors", "--allow-missing")
    save_motion(folder / "open.safetensors", synthetic_clips(seed=0, train=1, test=1, seconds=4.0))
    for seed, (name, unit) in enumerate(
        {"flat": None, "half": 1024.0, "metres": 1000.0, "run/model": None, "run/best_on_test": None}.items()
    ):
        torch.manual_seed(seed)
        PoseMamba(PoseMambaConfig(**SIZE, millimetres_per_unit=unit)).save_pretrained(folder / name)
    return folder


def run(capsys, monkeypatch, folder, *arguments) -> tuple[int, str, str]:
    monkeypatch.chdir(folder)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["evaluate", *map(str, arguments)])
    printed = capsys.readouterr()
    return end.value.code, printed.out, printed.err


def test_human36m_from_file_to_json(capsys, monkeypatch, there):
    code, out, _ = run(capsys, monkeypatch, there, "flat", "--data", "h36m.safetensors", "--json", "out.json")
    assert code == 0 and "Protocol: h36m, for h36m.safetensors holds views of S9 and S11." in out
    assert (
        "Scored 72 of 288 frames." in out and "188 of blocked takes (S9/Greeting/2, S9/SittingDown/2)" in out
    )
    clips = load_motion(there / "h36m.safetensors")
    wanted = evaluation.h36m(PoseMamba.from_pretrained(there / "flat"), clips)
    kept = json.loads((there / "out.json").read_text(encoding="utf-8"))
    for name, row in wanted.to_json()["scores"]["model"].items():
        assert kept["scores"]["model"][name] == pytest.approx(row)
    assert kept["protocol"]["name"] == "h36m" and kept["parts"]["model"]["mpjpe"]["limbs"].keys() >= {"trunk"}
    assert kept["command"][:2] == ["posemamba", "evaluate"] and kept["versions"]["torch"]
    assert f"{wanted.figure('p_mpjpe'):.2f}" in out and "Phone" in out and "left wrist" in out


def test_a_runs_folder_and_which_of_its_weights(capsys, monkeypatch, there):
    def p1(*arguments) -> float:
        where = ("--data", "h36m.safetensors", "--json", "w.json", "--no-flip")
        assert run(capsys, monkeypatch, there, *arguments, *where)[0] == 0
        kept = json.loads((there / "w.json").read_text(encoding="utf-8"))
        assert kept["protocol"]["flip_averaging"] is False
        return kept["scores"]["model"]["mpjpe"]["over_actions"]

    assert p1("run") == p1("run/model") != p1("run", "--weights", "test") == p1("run/best_on_test")
    for arguments, words in (
        (
            ("run", "--weights", "subjects"),
            "no best_on_subjects in this folder, it holds model, best_on_test",
        ),
        (("flat", "--weights", "test"), "--weights test is of a run's folder"),
    ):
        code, _, err = run(capsys, monkeypatch, there, *arguments, "--data", "h36m.safetensors")
        assert code == 2 and words in err


def test_the_authors_checkpoint_in_one_command(capsys, monkeypatch, there, fixtures):
    checkpoint = fixtures / "released_checkpoint_tiny.bin"
    where = ("--released", checkpoint, "--data", "h36m.safetensors")
    code, out, _ = run(capsys, monkeypatch, there, *where, "--table", 1)
    model = PoseMamba.from_released(checkpoint)
    wanted = evaluation.h36m(model, load_motion(there / "h36m.safetensors"))
    row = next(line for line in out.splitlines() if line.startswith("released_checkpoint_tiny *"))
    assert code == 0 and row.split()[-3:] == [f"{wanted.figure(m):.2f}" for m in ("mpjpe", "p_mpjpe")] + ["-"]
    assert "paper's numbers (Huang et al., AAAI 2025, Table 1), as printed" in out
    assert "* measured here: h36m.safetensors" in out
    printed = next(line.split() for line in out.splitlines() if line.startswith("PoseMamba-X"))
    assert printed[-3:] == ["37.1", "31.5", "14.8"]
    out = run(capsys, monkeypatch, there, "run/model", "--data", "h36m.safetensors", "--table", 1)[1]
    assert any(line.startswith("run/model *") for line in out.splitlines())
    # On the paper's ground-truth 2D the figure stands in its own column, and says when it is of depth alone.
    code, out, _ = run(capsys, monkeypatch, there, *where, "--inputs", "gt", "--overwrite-xy", "--table", 1)
    row = next(line for line in out.splitlines() if line.startswith("released_checkpoint_tiny *"))
    assert code == 0 and row.split()[-3:-1] == ["-", "-"] and "depth alone is measured" in out


def test_3dhp_and_its_table_in_three_forms(capsys, monkeypatch, there):
    where = ("half", "--data", "mpi.safetensors")
    model, clips = PoseMamba.from_pretrained(there / "half"), load_motion(there / "mpi.safetensors")
    for scored in ("centre", "all"):
        wanted = evaluation.mpi_inf_3dhp(model, clips, scored)
        code, out, _ = run(capsys, monkeypatch, there, *where, "--scored", scored)
        assert code == 0 and "Scored 48 of 72 frames." in out
        assert (
            next(x for x in out.splitlines() if x.startswith("PCK")).split()[-1]
            == f"{wanted.figure('pck'):.2f}"
        )
    code, out, _ = run(capsys, monkeypatch, there, *where, "--table", 3, "--format", "markdown")
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert code == 0 and rows[1].replace("-", "") == "|||:|:|:|:|"[:1] + rows[1].replace("-", "")[1:]
    assert len({row.count("|") for row in rows}) == 1 and rows[-1].startswith("| half *")
    code, out, _ = run(capsys, monkeypatch, there, *where, "--format", "latex")
    assert (
        code == 0
        and out.count(r"\begin{tabular}") == out.count(r"\end{tabular}") == 2
        and r"150 mm, \%" in out
    )


def test_through_cameras(capsys, monkeypatch, there):
    for arguments in ((), ("--noise",)):
        where = ("--data", "open.safetensors", "--views", 1, "--no-baselines")
        code, out, _ = run(capsys, monkeypatch, there, "flat", *where, *arguments)
        assert code == 0 and "is neither Human3.6M nor MPI-INF-3DHP" in out and "ridge" not in out
    given = ("--protocol", "views", "--data", "h36m.safetensors", "--no-baselines")
    code, out, _ = run(capsys, monkeypatch, there, "flat", *given)
    assert code == 0 and "Scored 288 frames through the file's views, detected 2D joints." in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("flat", "--data", "open.safetensors", "--protocol", "h36m"), "expected Human3.6M's actions"),
        (("half", "--data", "open.safetensors", "--protocol", "3dhp"), "lacks univ_annot3"),
        (("flat", "--data", "mpi.safetensors"), "expected millimetres_per_unit"),
        (("metres", "--data", "h36m.safetensors"), "expected a camera and joints"),
        (("flat", "--data", "h36m.safetensors", "--overwrite-xy"), "overwritten with 'joint3d_image' inputs"),
        (
            ("flat", "--data", "open.safetensors", "--table", 1),
            "--table 1 belongs to the protocol h36m, found views",
        ),
        (
            ("half", "--data", "mpi.safetensors", "--overwrite-xy"),
            "--overwrite-xy belongs to the protocol h36m",
        ),
        (("half", "--data", "mpi.safetensors", "--inputs", "projected"), "expected detected or gt"),
        (("flat", "--data", "h36m.safetensors", "--noise"), "--noise belongs to the protocol views"),
        (("flat", "--protocol", "coco"), "--protocol is 'coco', expected one of auto, h36m, 3dhp, views"),
        (("flat", "--inputs", "2d"), "--inputs is '2d', expected one of detected, gt, projected"),
        (("flat", "--format", "html"), "--format is 'html'"),
        (("flat", "--table", 2), "--table is 2, expected one of 1, 3"),
        (("flat", "--views", "all"), "--views is 'all', expected 1 or more, or 'given'"),
        (("flat", "--released", "x.bin"), "expected one network"),
        (("--released", "x.bin"), "x.bin"),
        (("pair", "--data", "h36m.safetensors"), "neither a network nor a run"),
        (("flat", "--data", "nowhere"), "nowhere"),
        (("flat", "--device", "abacus"), "--device is 'abacus', which torch has not here"),
        (("flat", "--json", "nowhere/x.json"), "the folder nowhere does not exist"),
    ],
)
def test_what_does_not_fit_is_one_line(capsys, monkeypatch, there, arguments, words):
    code, _, err = run(capsys, monkeypatch, there, *arguments)
    assert code == 2 and words in err and len(err.strip().splitlines()) == 1, err


def test_tables_line_up(there):
    table = tables.Table(
        "Of what", ("", "a", "b & c"), [("row", "1.0", "22.00"), (), ("longer", "10", "2")], ("So.",)
    )
    text = table.render().splitlines()
    assert text[2:7] == ["          a  b & c", "-" * 18, "row     1.0  22.00", "-" * 18, "longer   10      2"]
    assert r" & a & b \& c \\" in table.render("latex") and r"\midrule" in table.render("latex")
    assert table.render("markdown").splitlines()[3] == "|--------|----:|------:|"
    with pytest.raises(ValueError, match="format is 'html', expected one of text, markdown, latex"):
        table.render("html")
