"""Notebooks in normal form: once is enough, and running again changes nothing."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

nbformat = pytest.importorskip("nbformat", reason="the book's requirements are not installed")

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output  # noqa: E402

from tools import notebooks  # noqa: E402


def timing(text):
    return new_code_cell(
        "print(seconds)",
        execution_count=7,
        metadata={"tags": ["nbval-ignore-output"]},
        outputs=[new_output("stream", name="stdout", text=text)],
    )


def test_traces_of_a_run_go():
    cell = new_code_cell(
        "1 + 1\n\n",
        execution_count=12,
        metadata={"execution": {"iopub.status.busy": "2026-01-01"}, "collapsed": True, "tags": ["b", "a"]},
        outputs=[
            new_output("stream", name="stdout", text="one "),
            new_output("stream", name="stdout", text="line\n"),
            new_output("execute_result", data={"text/plain": "2"}, execution_count=12),
        ],
    )
    notebook = new_notebook(cells=[new_markdown_cell("# Title\n"), new_code_cell(""), cell])
    notebook.metadata = {"kernelspec": {"name": "py312", "display_name": "x"}, "widgets": {}}
    title, code = notebooks.normalise(notebook).cells
    assert title.source == "# Title" and code.source == "1 + 1"
    assert code.execution_count == 1 and code.metadata == {"tags": ["a", "b"]}
    assert [o.output_type for o in code.outputs] == ["stream", "execute_result"]
    assert code.outputs[0].text == "one line\n" and code.outputs[1].execution_count == 1
    assert notebooks.normalise(notebook).metadata == notebooks.METADATA


def test_a_cell_that_was_not_run_stays_so():
    (cell,) = notebooks.normalise(new_notebook(cells=[new_code_cell("x = 1")])).cells
    assert cell.execution_count is None


def test_solutions_are_folded_everywhere():
    (cell,) = notebooks.normalise(
        new_notebook(cells=[new_code_cell("x", metadata={"tags": ["solution"]})])
    ).cells
    assert cell.metadata.tags == ["hide-input", "solution"]
    assert cell.metadata.jupyter.source_hidden and cell.metadata.cellView == "form"


def test_ids_follow_the_content():
    cells = [new_code_cell("a"), new_code_cell("b"), new_code_cell("a")]
    first = [cell.id for cell in notebooks.normalise(new_notebook(cells=cells)).cells]
    assert len(set(first)) == 3
    again = [new_code_cell("new"), *copy.deepcopy(cells)]
    assert [cell.id for cell in notebooks.normalise(new_notebook(cells=again)).cells][1:] == first


def test_ignored_outputs_of_unchanged_cells_stay():
    earlier = new_notebook(cells=[timing("0.12\n")])
    kept = notebooks.normalise(new_notebook(cells=[timing("0.15\n")]), earlier)
    assert kept.cells[0].outputs[0].text == "0.12\n"
    fresh = notebooks.normalise(new_notebook(cells=[timing("0.15\n")]))
    assert fresh.cells[0].outputs[0].text == "0.15\n"
    changed = timing("0.15\n")
    changed.source += "  # once more"
    assert notebooks.normalise(new_notebook(cells=[changed]), earlier).cells[0].outputs[0].text == "0.15\n"


texts = st.text(alphabet="ab \n#$é", max_size=12)
cells = st.one_of(
    texts.map(new_markdown_cell),
    st.builds(
        lambda source, count, pieces, tags: new_code_cell(
            source,
            execution_count=count,
            metadata={"tags": tags, "scrolled": True},
            outputs=[new_output("stream", name=name, text=text) for name, text in pieces],
        ),
        texts,
        st.integers(1, 99),
        st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), texts), max_size=4),
        st.lists(st.sampled_from(["solution", "exercise", "nbval-ignore-output"]), max_size=2, unique=True),
    ),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(cells, max_size=6))
def test_normalising_twice_is_normalising_once(drawn):
    once = notebooks.normalise(new_notebook(cells=drawn))
    nbformat.validate(once)
    assert notebooks.text(notebooks.normalise(once)) == notebooks.text(once)
    assert notebooks.text(notebooks.normalise(once, once)) == notebooks.text(once)


def test_executing_twice_leaves_the_file_alone(tmp_path, capsys):
    path = tmp_path / "chapter.ipynb"
    source = "import random, pathlib\nprint(random.random())\npathlib.Path('made').touch()"
    cells = [
        new_markdown_cell("# A chapter"),
        new_code_cell(source, metadata={"tags": ["nbval-ignore-output"]}),
        new_code_cell("6 * 7"),
    ]
    path.write_text(nbformat.writes(new_notebook(cells=cells)), encoding="utf-8")
    assert notebooks.main(["execute", str(tmp_path)]) == 0
    first = path.read_bytes()
    assert (tmp_path / "made").exists(), "a notebook runs in its own folder"
    assert notebooks.read(path).cells[2].outputs[0].data["text/plain"] == "42"
    assert notebooks.main(["execute", str(tmp_path)]) == 0
    assert path.read_bytes() == first
    assert notebooks.main(["normalise", "--check", str(tmp_path)]) == 0
    assert "unchanged" in capsys.readouterr().out


def test_a_notebook_that_fails_stays_as_it_was(tmp_path, capsys):
    path = tmp_path / "broken.ipynb"
    path.write_text(nbformat.writes(new_notebook(cells=[new_code_cell("1 / 0")])), encoding="utf-8")
    before = path.read_bytes()
    assert notebooks.main(["execute", str(path)]) == 1
    assert path.read_bytes() == before
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_trying_runs_alone_and_stores_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SCALE", "gpu")
    path, seen = tmp_path / "chapter.ipynb", tmp_path / "seen"
    saw = f"pathlib.Path({str(seen)!r}).write_text(repr((os.listdir(), os.environ['SCALE'])))"
    path.write_text(
        nbformat.writes(new_notebook(cells=[new_code_cell("import os, pathlib\n" + saw)])), encoding="utf-8"
    )
    before = path.read_bytes()
    assert notebooks.main(["try", str(path)]) == 0
    assert seen.read_text() == "([], 'gpu')" and path.read_bytes() == before


def test_check_tells_and_normalise_mends(tmp_path, capsys):
    path = tmp_path / "loose.ipynb"
    path.write_text(
        nbformat.writes(new_notebook(cells=[new_code_cell("x", execution_count=5)])), encoding="utf-8"
    )
    assert notebooks.main(["normalise", "--check", str(path)]) == 1
    assert "loose.ipynb: not in normal form" in capsys.readouterr().out
    assert notebooks.main(["normalise", str(path)]) == 0
    assert notebooks.main(["normalise", "--check", str(path)]) == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.ipynb", None, "is not there, expected a notebook"),
        ("prose.md", "# A title", "is not a notebook, expected a name that ends in .ipynb"),
        ("empty.ipynb", "", "is not a notebook, expected nbformat 4"),
        ("other.ipynb", '{"cells": 3}', "is not a notebook, expected nbformat 4"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path, capsys, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert notebooks.main(["normalise", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
