"""The book in one file: ids that do not meet, links and pictures that stay inside, nothing to fetch."""

import re

import pytest
from bs4 import BeautifulSoup

from tools import one_file

TOC = """\
root: book/intro
parts:
  - chapters:
      - file: book/notation
  - caption: State spaces
    chapters:
      - file: book/state_spaces/the_scan
"""
PAGES = {
    "intro": """<section id="hello"><h1>Hello &amp; more<a href="#hello">#</a></h1>
        <section id="map"><h2>The map<a href="#map">#</a></h2>
        <p><a href="state_spaces/the_scan.html#map">there</a> <a href="#map">here</a>
        <a href="notation.html">signs</a> <a href="https://example.org/x#y">away</a></p>
        <svg><marker id="tip"></marker><line marker-end="url(#tip)"/></svg></section></section>""",
    "notation": """<section id="signs"><h1>Signs</h1><span class="math">\\(x\\)</span></section>""",
    "state_spaces/the_scan": """<section id="the-scan"><h1>The scan</h1>
        <p id="map" aria-labelledby="map">text</p>
        <a class="image-reference" href="../../_images/dot.png">
          <img alt="a dot" src="../../_images/dot.png"></a>
        <a href="../intro.html">first</a></section>""",
}


@pytest.fixture
def built(tmp_path):
    """A built book of three pages, and its table of contents."""
    (tmp_path / "_toc.yml").write_text(TOC)
    for name, body in PAGES.items():
        page = tmp_path / "html/book" / f"{name}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(
            f"<html><body><nav>no</nav><article class='bd-article'>{body}</article></body></html>"
        )
    static = tmp_path / "html/_static"
    (static / "styles").mkdir(parents=True)
    for script in ("plotly.min.js", "figures.js", "outputs.js", "tex-svg.js"):
        (static / script).write_text(f'"{script} </script> ends"')
    style = '@font-face {src: url("x.woff2")} a {background: url(icon.svg)} b {background: url("data:x")}'
    (static / "styles/pydata-sphinx-theme.css").write_text(style)
    (static / "book.css").write_text(".own {color: red}")
    (tmp_path / "html/_images").mkdir()
    (tmp_path / "html/_images/dot.png").write_bytes(b"\x89PNG")
    return tmp_path


def test_pages_come_in_order_and_nothing_is_fetched(built):
    text = one_file.one_file(built / "html", built / "_toc.yml")
    page = BeautifulSoup(text, "html.parser")
    assert [part["id"] for part in page.select(".page")] == ["intro", "notation", "the_scan"]
    assert not page.select("link, script[src], iframe") and "woff2" not in text and "icon.svg" not in text
    assert page.img["src"].startswith("data:image/png;base64,") and page.img["alt"] == "a dot"
    assert not page.select("a.image-reference, .pages nav") and ".own {color: red}" in text
    assert text.count("</script>") == text.count("<script"), "a script's own closing tag would end it"


def test_links_lead_to_one_place_each(built):
    page = BeautifulSoup(one_file.one_file(built / "html", built / "_toc.yml"), "html.parser")
    ids = [tag["id"] for tag in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    inside = [a["href"][1:] for a in page.find_all("a", href=True) if a["href"].startswith("#")]
    assert set(inside) <= set(ids)
    where = {a.get_text(): a["href"] for a in page.select(".page a")}
    assert (
        where["there"] == "#the_scan--map" and where["here"] == "#intro--map" and where["first"] == "#intro"
    )
    assert where["away"] == "https://example.org/x#y"
    assert page.line["marker-end"] == f"url(#{page.marker['id']})"
    assert page.select_one("#the_scan--map")["aria-labelledby"] == "the_scan--map"
    listed = [a.get_text() for a in page.select("nav a")]
    assert listed == ["Hello & more", "The map", "Signs", "The scan"]


def test_a_link_to_nothing_is_named(built, capsys, monkeypatch):
    scan = built / "html/book/state_spaces/the_scan.html"
    scan.write_text(scan.read_text().replace("../intro.html", "../intro.html#gone"))
    with pytest.raises(ValueError, match=re.escape("the_scan: its link ../intro.html#gone leads to nothing")):
        one_file.one_file(built / "html", built / "_toc.yml")
    assert one_file.main([str(built / "nowhere"), str(built / "out.html")]) == 2
    assert "nowhere" in capsys.readouterr().err and not (built / "out.html").exists()
