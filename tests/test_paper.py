"""The ledger: every row has its proof, every box its row, every printed number its claim."""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import yaml

from posemamba import paper
from posemamba.storage import asset, read_json

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
NUMBER = r"\d[\d,]*\.\d+|\d+,\d{3}[\d,]*\d|\d+%"
BOX = "> **Paper, code, truth.** "
LEDGER = paper.ledger()


def _cells():
    """(chapter, cell) -> its chapter's title, the heading above it, its text and outputs, is it a box."""
    found = {}
    for path in sorted(BOOK.glob("*/*.ipynb")):
        chapter, title, section = path.relative_to(BOOK).with_suffix("").as_posix(), "", ""
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            source, above = "".join(cell["source"]), section
            if cell["cell_type"] == "markdown":
                prose = re.sub(r"^(`{3,}|~{3,}).*?^\1\s*$", "", source, flags=re.MULTILINE | re.DOTALL)
                for level, words in re.findall(r"^(#+) (.+)$", prose, re.MULTILINE):
                    title, section = (words, "") if len(level) == 1 else (title, words)
                above = section if source.startswith("#") else above
            said = [source, "\n"]
            for output in cell.get("outputs", ()):
                said += output.get("text", []) + output.get("data", {}).get("text/plain", [])
            found[chapter, cell["id"]] = title, above, "".join(said), BOX in source
    return found


CELLS = _cells()


def test_rows_are_complete():
    for row in LEDGER:
        assert row.outcome in paper.OUTCOMES
        assert row.part and row.place and row.printed
        if row.outcome == "not run":
            assert row.reason and (row.command or row.reason.startswith("No command here would")), row
        else:
            assert row.cells and row.found and not row.reason, row


def test_no_row_stands_twice_and_parts_are_in_one_piece():
    assert len({(row.place, row.printed) for row in LEDGER}) == len(LEDGER)
    changes = sum(one.part != other.part for one, other in pairwise(LEDGER))
    assert changes + 1 == len({row.part for row in LEDGER})


def test_their_cells_are_there():
    # An id is made from a cell's text (tools/notebooks.py): a cell that was edited has a new one.
    cited = {evidence for row in LEDGER for evidence in row.cells}
    gone = [f"{e.chapter} {e.cell}" for e in cited if (e.chapter, e.cell) not in CELLS]
    assert not gone, "cells that assets/ledger.json names and that have other ids now"
    moved = {e: CELLS[e.chapter, e.cell][:2] for e in cited}
    assert not {e: now for e, now in moved.items() if (e.title, e.section) != now}


def test_what_they_say_was_found_is_in_their_cells():
    """Numbers with a point or a comma, and percentages: each stands in a cited cell or its output."""
    lost = []
    for row in LEDGER:
        cited = "\n".join(CELLS[evidence.chapter, evidence.cell][2] for evidence in row.cells)
        cited = set(re.findall(NUMBER, cited))
        lost += [(row.place, number) for number in re.findall(NUMBER, row.found) if number not in cited]
    assert not lost


def test_their_commands_name_what_there_is():
    for words in (row.command.split() for row in LEDGER if row.command):
        assert words[0] in ("posemamba", "python", "pytest")
        for word in words:
            if word.endswith(".py"):
                assert (ROOT / word).is_file(), word
        if words[0] == "pytest":
            pattern = rf"def test_\w*{words[words.index('-k') + 1]}"
            assert re.search(pattern, (ROOT / words[1]).read_text("utf-8")), words
        if words[0] == "posemamba":
            assert (ROOT / f"posemamba/cli/{words[1]}.py").is_file(), words
        if "--recipe" in words:
            table, line = words[words.index("--recipe") + 1].split("/", 1)
            recipe = ROOT / f"posemamba/training/recipes/{table}.yaml"
            assert line in yaml.safe_load(recipe.read_text("utf-8"))["rows"], words


def test_every_box_of_the_book_has_its_row():
    cited = {(evidence.chapter, evidence.cell) for row in LEDGER for evidence in row.cells}
    boxes = {key for key, (*_, box) in CELLS.items() if box}
    assert len(boxes) > 20
    assert not boxes - cited, "a box without a row in assets/ledger.json"


def test_every_printed_number_is_covered_by_a_row_of_its_table_and_by_one_only():
    printed = read_json(asset("paper.json"))
    numbers = {
        (table, i, k)
        for table, rows in printed.items()
        for i, row in enumerate(rows)
        for k, value in enumerate(row)
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    covered = Counter()
    for row in LEDGER:
        for table, lines, columns in row.numbers:
            assert table[-1] in re.match(r"Tables? ([\d, and]+)", row.place)[1]
            covered.update((table, i, k) for i in lines for k in columns)
    assert not numbers - set(covered), "printed numbers without a row"
    assert all(covered[number] == 1 for number in numbers)
    dashes = set(covered) - numbers  # of Table 1 only
    assert all(printed[table][i][k] is None for table, i, k in dashes)


def test_a_contradicted_row_says_by_what():
    # The last chapter counts them by these words.
    kinds = ("False: ", "Unlike the code: ", "Unlike another page: ")
    for row in LEDGER:
        assert row.found.startswith(kinds) == (row.outcome == "contradicted"), row.place


def test_all_equations_figures_and_tables_have_rows():
    places = " ".join(f"{row.place}." for row in LEDGER)
    for name, last in (("Equation", 12), ("Figure", 7), ("Table", 6)):
        for number in range(1, last + 1):
            assert re.search(rf"{name}s? (?:[\d, and()a-z]* )?{number}\b", places), f"{name} {number}"
