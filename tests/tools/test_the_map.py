"""The map of the book: drawn from the chapters' own openings, and told in the first page's table."""

import json
import re

from tools.drawings.the_map import ROOT, before, chapters, nearest


def table():
    """By chapter, its row on the first page: number, title, link, needs."""
    cells = json.loads((ROOT / "book/intro.ipynb").read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    rows = re.findall(r"^\| (\d+) \| \[(.*?)\]\((.*?)\.ipynb\) \| .+ \| (.*?) \|$", text, re.MULTILINE)
    return {link.rsplit("/", 1)[-1]: (int(n), title, needs) for n, title, link, needs in rows}


def test_the_first_pages_table_says_what_the_chapters_say():
    known, told = chapters(), table()
    numbers = {name: number for number, name in enumerate(known, 1)}
    assert list(told) == list(known) and len(known) == 17
    for name, chapter in known.items():
        needs = ", ".join(map(str, sorted(numbers[need] for need in chapter["needs"]))) or "none"
        assert told[name] == (numbers[name], chapter["title"], needs), (
            "run tools.drawings, then the first page"
        )


def test_a_chapter_needs_only_what_comes_before_it():
    known = chapters()
    order = list(known)
    for name, chapter in known.items():
        assert all(order.index(need) < order.index(name) for need in chapter["needs"])


def test_arcs_leave_out_what_another_need_stands_on():
    known = {"a": dict(needs=[]), "b": dict(needs=["a"]), "c": dict(needs=["a", "b"])}
    assert before("c", known) == {"a", "b"} and nearest("c", known) == ["b"]
