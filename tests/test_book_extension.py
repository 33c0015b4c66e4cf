"""The book's Sphinx extension: figures, boxes, docstrings and signatures, each without a build."""

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from jaxtyping import Float

pytest.importorskip("sphinx", reason="the book's requirements are not installed")
docutils_core = pytest.importorskip("docutils.core")

SOURCE = Path(__file__).resolve().parents[1] / "_ext" / "posemamba_book.py"
specification = importlib.util.spec_from_file_location("posemamba_book", SOURCE)
extension = importlib.util.module_from_spec(specification)
specification.loader.exec_module(extension)

FIGURE = {
    "data": [{"name": "</script><b>"}],
    "layout": {
        "title": {"text": "A walk"},
        "meta": {"alt": 'A "walk" & a turn'},
        "template": {"layout": {"height": 420}},
    },
}


def read(notebook):
    app = SimpleNamespace(env=SimpleNamespace(doc2path=lambda name: f"{name}.ipynb"))
    source = [json.dumps(notebook)]
    extension.draw_outputs(app, "chapter", source)
    return json.loads(source[0])["cells"]


def code(outputs, **metadata):
    return {"cell_type": "code", "metadata": metadata, "source": "", "outputs": outputs}


def test_a_figure_becomes_an_element_that_holds_its_json():
    (cell,) = read({"cells": [code([{"data": {extension.PLOTLY: FIGURE, "text/plain": "Figure"}}])]})
    text = cell["outputs"][0]["data"]["text/html"]
    assert set(cell["outputs"][0]["data"]) == {"text/html"}
    assert 'aria-label="A &quot;walk&quot; &amp; a turn"' in text and "min-height:420px" in text
    inner = re.fullmatch(
        r'<div class="plotly-fig".*?<script type="application/json">(.*)</script></div>', text
    )
    assert "</script" not in inner[1] and json.loads(inner[1]) == FIGURE


def test_a_drawing_is_put_into_the_page_as_it_is():
    svg = '<svg role="img" color="#7d7d7d"><title>T</title>\n<desc>Two\nlines</desc>\n<g/></svg>'
    shown = {"data": {extension.SVG: [svg], "text/plain": "T"}, "metadata": {extension.SVG: {"alt": 'A "T"'}}}
    (cell,) = read({"cells": [code([shown])]})
    wanted = (
        '<div class="drawing" role="img" aria-label="A &quot;T&quot;"><svg color="#7d7d7d"><g/></svg></div>'
    )
    assert cell["outputs"][0]["data"] == {"text/html": wanted}


def test_pictures_get_alternative_text_and_solutions_a_name():
    picture = {"data": {"image/png": "..."}, "metadata": {"image/png": {"alt": "A sine.", "width": 672}}}
    first, second, words = read(
        {
            "cells": [
                code([picture]),
                code([], tags=["solution"]),
                {"cell_type": "markdown", "metadata": {}, "source": "#"},
            ]
        }
    )
    assert first["metadata"]["mystnb"]["image"] == {"alt": "A sine.", "width": "672px"}
    assert second["metadata"]["mystnb"]["code_prompt_show"] == "Solution"
    assert words == {"cell_type": "markdown", "metadata": {}, "source": "#"}


def test_only_the_named_quote_becomes_a_box():
    text = (
        "One.\n\n   **Paper, code, truth.** They differ.\n\n   And more.\n\nTwo.\n\n   **Another** quote.\n"
    )
    tree = docutils_core.publish_doctree(text)
    extension.box_discrepancies(None, tree)
    (box,) = [node for node in tree.findall() if node.tagname == "admonition"]
    assert box["classes"] == ["discrepancy"]
    assert " ".join(box.astext().split()) == "Paper, code, truth They differ. And more."
    assert sum(node.tagname == "block_quote" for node in tree.findall()) == 1


def test_signatures_are_shown_as_written():
    def lift(x: Float[np.ndarray, "frames 17 2"], flip: bool = True) -> Float[np.ndarray, "frames 17 3"]: ...

    arguments, returns = extension.signature_as_written(None, "function", "lift", lift, None, "", "")
    assert arguments == "(x: Float[np.ndarray, 'frames 17 2'], flip: bool=True)"
    assert returns == "Float[np.ndarray, 'frames 17 3']"

    class Lifter:
        def __call__(self, x: int): ...

    assert extension.signature_as_written(None, "method", "", Lifter.__call__, None, "", "") == (
        "(x: int)",
        None,
    )
    assert extension.signature_as_written(None, "function", "len", len, None, "", "") is None


def test_plain_docstrings_become_valid_markup():
    lines = ["Mean of |a - b|, not `|a|`.", "", "Three things:", "- one", "  goes on", "- two"]
    extension.plain_docstring(None, "", "", None, None, lines)
    assert lines == [
        "Mean of \\|a - b\\|, not `|a|`.",
        "",
        "Three things:",
        "",
        "- one",
        "  goes on",
        "- two",
    ]


def test_formulas_keep_their_lines_and_code_stays_code():
    lines = [
        "With h a state,",
        "",
        "    h = a h + b",
        "    y = c h",
        "",
        "Args:",
        "    a: by default a = 1.",
        "",
    ]
    extension.plain_docstring(None, "", "", None, None, lines)
    assert lines[2:4] == ["    | h = a h + b", "    | y = c h"] and lines[6] == "    a: by default a = 1."
    code = ["It is called so::", "", "    y = scan(u)", "    z = y + 1", ""]
    extension.plain_docstring(None, "", "", None, None, found := list(code))
    assert found == code


def test_fields_of_a_named_tuple_are_not_told_twice():
    class Shot(NamedTuple):
        number: int

    assert extension.no_aliases(None, "class", "number", Shot.number, False, None) is True
    assert extension.no_aliases(None, "class", "count", Shot.count, False, None) is None


def test_data_keep_their_sentence_whole_and_show_their_values():
    """Before a colon Napoleon looks for a type."""
    lines = ["Sizes of a name: two.", ""]
    extension.plain_docstring(None, "data", "", 3, None, lines)
    assert lines == ["\\", "Sizes of a name: two.", ""]

    @dataclass
    class Noise:
        jitter: float = 1.0
        drift: float = 0.0

    lines = ["Poor cameras."]
    extension.plain_docstring(None, "data", "", Noise(drift=2.0), None, lines)
    assert lines == ["Poor cameras.", "", "``Noise(drift=2.0)``"]


def test_links_that_a_cell_printed_lead_to_built_pages():
    body = '<a href="../bodies/the_data.ipynb">x</a> <a href="here.ipynb#a">y</a> <a href="plain.html">z</a>'
    others = '<a href="../_sources/book/x.ipynb">w</a> <a href="https://host/x.ipynb">v</a>'
    context = {"body": body + others}
    extension.link_printed_pages(None, "page", "page.html", context, None)
    built = body.replace("the_data.ipynb", "the_data.html").replace("here.ipynb#a", "here.html#a")
    assert context["body"] == built + others
    empty = {}
    extension.link_printed_pages(None, "genindex", "genindex.html", empty, None)
    assert empty == {}


@pytest.mark.parametrize(
    "page, wanted",
    [
        ('<summary aria-label="Toggle hidden content"><p>Show</p>', "<summary><p>Show</p>"),
        (
            '<button class="btn search-button-field x" title="S" aria-label="Search" data-a="b">Search K',
            '<button class="btn search-button-field x" title="S" data-a="b">Search K',
        ),
        (
            '<i class="theme-switch fa" data-mode="a" title="Dark">',
            '<i class="theme-switch fa" data-mode="a">',
        ),
        ('<div role="list" class="citation-list">', '<div class="citation-list">'),
        ('<div class="citation" id="i" role="doc-biblioentry">B', '<div class="citation" id="i">B'),
        (
            '<div id="pst-primary-sidebar" c>',
            '<div id="pst-primary-sidebar" role="region" aria-label="Pages" c>',
        ),
        ('<ul role="list"><li aria-label="Search">', '<ul role="list"><li aria-label="Search">'),
    ],
)
def test_a_screen_reader_says_what_is_shown(page, wanted):
    assert extension.spoken(page) == wanted
