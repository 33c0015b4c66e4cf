"""Cells that were edited are found again by their text."""

import json
from types import SimpleNamespace

from tools import ledger_cells
from tools.ledger_cells import ROOT, moved


def cell(name, text, kind="code"):
    return {"id": name, "cell_type": kind, "source": text.splitlines(keepends=True)}


BEFORE = [cell("a", "x = 1\nprint(x)"), cell("b", "y = 2\nprint(y)"), cell("c", "Words.", "markdown")]


def test_an_edited_cell_is_the_one_most_like_it_and_of_its_kind():
    after = [
        cell("a", "x = 1\nprint(x)"),
        cell("d", "y = 3\nprint(y)"),
        cell("e", "y = 2\nprint(y)", "markdown"),
    ]
    assert list(moved(BEFORE, after, {"a", "b"})) == [("b", "d", 26 / 28)]


def test_what_is_gone_is_not_replaced_by_a_stranger():
    after = [cell("a", "x = 1\nprint(x)"), cell("f", "import os")]
    ((old, new, likeness),) = moved(BEFORE, after, {"b"})
    assert (old, new) == ("b", None) and likeness < 0.5


def test_cells_that_nobody_cites_are_left_alone():
    assert list(moved(BEFORE, [cell("g", "z")], set())) == []


def test_edited_notebooks_bring_the_ledger_up_to_date(monkeypatch, tmp_path, capsys):
    """Git is played by a folder of older notebooks, one of them with another id for a cell."""
    ledger = tmp_path / "ledger.json"
    cited = '["meaning/does_the_order_matter", "0123abcd", "Does the order matter?", "Paired differences"]'
    ledger.write_text(cited, encoding="utf-8")
    monkeypatch.setattr(ledger_cells, "LEDGER", ledger)
    path = ROOT / "book/meaning/does_the_order_matter.ipynb"
    now = json.loads(path.read_text(encoding="utf-8"))
    (there,) = [each for each in now["cells"] if "def paired(" in "".join(each["source"])]
    then = path.read_text(encoding="utf-8").replace(f'"{there["id"]}"', '"0123abcd"')
    asked = []

    def shown(command, **rules):
        asked.append(command)
        return SimpleNamespace(stdout=then)

    monkeypatch.setattr(ledger_cells.subprocess, "run", shown)
    assert ledger_cells.main(["v1.0.0"]) == 0
    assert asked == [["git", "show", "v1.0.0:book/meaning/does_the_order_matter.ipynb"]]
    assert ledger.read_text(encoding="utf-8") == cited.replace("0123abcd", there["id"])
    assert f"0123abcd is now {there['id']} (100% alike)" in capsys.readouterr().out
