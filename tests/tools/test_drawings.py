"""The drawings that ship are what the script draws, and they hold what a page needs of them."""

import re
from xml.etree import ElementTree

import pytest

from posemamba.plotting import Drawing, drawing
from posemamba.plotting.style import INK
from posemamba.skeleton import LEFT, RIGHT
from tools import drawings


@pytest.mark.parametrize("name", drawings.DRAWINGS)
def test_what_ships_is_what_the_script_draws(name):
    shown = drawing(name)
    assert shown.svg == drawings.draw(name), "run: python -m tools.drawings"
    data, metadata = shown._repr_mimebundle_()
    assert data == {"image/svg+xml": shown.svg, "text/plain": f"Drawing: {shown.title}"}
    assert metadata["image/svg+xml"]["alt"] == shown.alt and len(shown.alt.split()) > 10
    root = ElementTree.fromstring(shown.svg)
    assert root.get("color") == INK, "grey where a page does not say otherwise"
    width, height = map(float, root.get("viewBox").split()[2:])
    assert width <= 520, "a phone shows two thirds of it"
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        assert float(text.get("font-size")) >= 14
        assert 0 <= float(text.get("x")) < width and 0 < float(text.get("y")) < height
    # A page may hold several drawings: nothing in them has a name that another could have too.
    assert not re.search(r"\b(id|class|style)=", shown.svg)


def test_every_drawing_that_ships_has_a_function():
    assert {path.stem for path in drawings.FOLDER.glob("*.svg")} == set(drawings.DRAWINGS)


def test_a_run_writes_and_a_check_does_not(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(drawings, "FOLDER", tmp_path / "made")
    assert drawings.main(["--check"]) == 1 and not (tmp_path / "made").exists()
    assert drawings.main([]) == 0 and drawings.main(["--check"]) == 0
    assert "flip.svg: written" in capsys.readouterr().out
    (tmp_path / "made/flip.svg").write_text("<svg/>")
    assert drawings.main(["--check"]) == 1
    assert "flip.svg: not what this script draws" in capsys.readouterr().out


def test_the_flip_names_the_pairs_that_the_skeleton_has():
    swaps = re.search(r"Swapped: (.*)\.<", drawings.draw("flip"))[1]
    pairs = {frozenset(map(int, pair.split("\u2194"))) for pair in swaps.split()}
    assert pairs == {frozenset(pair) for pair in zip(LEFT, RIGHT, strict=True)}


@pytest.mark.parametrize("inside", ["", "<title>A line</title>", "<desc>It goes up.</desc>"])
def test_a_drawing_without_words_is_refused(inside):
    with pytest.raises(ValueError, match="needs a title and a desc"):
        Drawing(f'<svg xmlns="http://www.w3.org/2000/svg">{inside}</svg>')
