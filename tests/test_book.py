"""What all chapters must keep: the parts of the chapter contract that a machine can check."""

import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

import posemamba
from posemamba import storage

nbformat = pytest.importorskip("nbformat", reason="the book's requirements are not installed")

from myst_parser.mdit_to_docutils.base import default_slugify  # noqa: E402

from tools import notebooks  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
REPOSITORY = CONFIG["repository"]["url"]
NOTEBOOKS = notebooks.find([BOOK])
CHAPTERS = [path for path in NOTEBOOKS if path.parent != BOOK]  # the intro is no chapter: it has no exercises
PAGES = [*NOTEBOOKS, *sorted(BOOK.rglob("*.md"))]

FIRST_CELL = f"""\
try:
    from posemamba import book
except ModuleNotFoundError:
    %pip install -q git+{REPOSITORY}@v{posemamba.__version__}
    from posemamba import book

SCALE = "small"  # @param ["small", "gpu"]
scale = book.setup(SCALE)"""

FIGURES = ("application/vnd.plotly.v1+json", "image/png", "image/svg+xml")
BOX = "> **Paper, code, truth.** "
KINDS = ("derive", "break and repair", "predict", "measure")
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def name(path):
    return path.relative_to(BOOK).as_posix()


each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=name)
each_page = pytest.mark.parametrize("path", PAGES, ids=name)


def code_cells(path):
    return [cell for cell in notebooks.read(path).cells if cell.cell_type == "code"]


def prose(path):
    """A page's Markdown, without what stands in code fences."""
    if path.suffix == ".ipynb":
        text = "\n\n".join(cell.source for cell in notebooks.read(path).cells if cell.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    return re.sub(r"^(`{3,}|~{3,}).*?^\1\s*$", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(path):
    return [(len(m[1]), m[2].strip()) for m in re.finditer(r"^(#+) (.+)$", prose(path), re.MULTILINE)]


def places(path):
    """What a link may name after its #: the headings down to the third level, as the build spells them."""
    return {slug(text) for level, text in headings(path) if level < 4}


def slug(heading):
    return default_slugify(re.sub(r"\$[^$]*\$|[`*]", "", heading))


def tags(cell):
    return cell.metadata.get("tags", [])


def printed(cell):
    return [line for output in cell.outputs for line in output.get("text", "").splitlines()]


def toc_pages():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters]


def test_contents_list_every_page_and_no_other():
    existing = {p.relative_to(ROOT).with_suffix("").as_posix() for p in PAGES}
    listed = toc_pages()
    assert len(listed) == len(set(listed))
    assert set(listed) == existing
    assert CHAPTERS, "a book has chapters"


def test_citation_names_the_same_repository_and_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == REPOSITORY
    assert citation["version"] == posemamba.__version__
    paper = citation["preferred-citation"]
    assert [author["family-names"] for author in paper["authors"]] == ["Huang", "Liu", "Xian", "Qiu"]


@each_notebook
def test_first_code_cell_is_the_same_everywhere(path):
    first, *others = code_cells(path)
    assert first.source == FIRST_CELL
    assert not first.outputs
    assert not any("pip install" in cell.source for cell in others)


@each_notebook
def test_every_cell_was_run_in_order_without_errors(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert (
            "nbval-skip" not in tags(cell)
            and "NBVAL_" not in cell.source
            and "raises-exception" not in tags(cell)
        )
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", f"a warning or a progress bar: {output.text[:200]}"


@each_notebook
def test_normal_form(path):
    stored = path.read_bytes().decode("utf-8")
    assert notebooks.text(notebooks.normalise(notebooks.read(path))) == stored, "run: make chapters"


@each_notebook
def test_size(path):
    assert path.stat().st_size <= 2_000_000


@each_notebook
def test_nothing_depends_on_the_checkout(path):
    for cell in code_cells(path):
        assert (
            "../" not in cell.source
            and "shared/" not in cell.source
            and "book/" not in cell.source.replace(REPOSITORY, "")
        )


@each_chapter
def test_more_outputs_are_compared_than_ignored(path):
    compared = ignored = 0
    for cell in code_cells(path):
        if notebooks.IGNORED in tags(cell):
            ignored += bool(cell.outputs)
        else:  # of a picture nbval compares nothing
            compared += any(not set(FIGURES[1:]) & set(output.get("data", ())) for output in cell.outputs)
    assert compared > ignored


@each_chapter
def test_opening(path):
    first = notebooks.read(path).cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    bullets = re.findall(r"^- \*\*(.+?):\*\* (.+)$", first.source, re.MULTILINE)
    assert [label for label, _ in bullets] == ["For", "You will be able to", "Read first", "Run time"]
    seconds = re.fullmatch(r"(\d+) s on 2 cores", bullets[3][1])
    assert seconds and int(seconds[1]) <= 45
    assert LINK.search(bullets[2][1]), "the chapters to read first are linked"


def test_all_run_times_together():
    times = [
        re.search(r"\*\*Run time:\*\* (\d+) s", notebooks.read(path).cells[0].source) for path in CHAPTERS
    ]
    assert sum(int(time[1]) for time in times) < 13 * 60


@each_chapter
def test_end(path):
    titles = [title for level, title in headings(path) if level == 2]
    assert titles[-4:] == ["Exercises", "Summary", "References", "What comes next"]
    references = prose(path).split("## References")[1].split("## What comes next")[0]
    items = re.findall(r"^[-*] .+(?:\n  .+)*", references, re.MULTILINE)
    assert items, "a list of works"
    for item in items:
        assert re.search(r"https?://|doi\.org", item), f"no link: {item}"


@each_notebook
def test_its_drawings_are_those_of_the_package(path):
    """A drawing that was made anew stays as it was in a notebook that was not run again."""
    kept = {file.read_text(encoding="utf-8") for file in storage.asset("drawings").glob("*.svg")}
    for cell in code_cells(path):
        for output in cell.outputs:
            drawn = output.get("data", {}).get("image/svg+xml")
            assert drawn is None or "".join(drawn) in kept, f"run {path.name} again: {cell.source[:60]}"


@each_notebook
def test_what_a_chapter_cites_is_in_the_bibliography(path):
    listed = (BOOK / "references.bib").read_text(encoding="utf-8").lower()
    for cited in re.findall(r"(?:arxiv\.org/abs/|doi\.org/)([^\s)]+)", prose(path)):
        assert unquote(cited).lower() in listed, f"{cited} is not in references.bib"


@each_page
def test_headings_do_not_jump(path):
    levels = [level for level, _ in headings(path)]
    if path == BOOK / "changelog.md":  # it includes the repository's own
        return
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@each_page
def test_links_stay_in_the_book_and_lead_somewhere(path):
    listed = set(toc_pages())
    for target in LINK.findall(prose(path)):
        if re.match(r"https?://|mailto:", target):
            continue
        if target.startswith("#"):
            assert target[1:] in places(path), f"{target}: no such section here"
            continue
        file, _, place = target.partition("#")
        found = (path.parent / file).resolve()
        assert found.is_relative_to(BOOK) and found.is_file(), f"{target} leads nowhere in the book"
        if found.suffix in (".ipynb", ".md"):
            assert found.relative_to(ROOT).with_suffix("").as_posix() in listed
            assert not place or place in places(found), f"{target}: no such section"


@each_chapter
def test_every_section_answers_a_question(path):
    questions = BOOK / "questions.md"
    link = re.compile(rf"\({re.escape(path.relative_to(BOOK).as_posix())}#([^)\s]+)\)")
    asked, section, found = set(link.findall(prose(questions))), "", {}
    for level, text in headings(path)[1:]:
        section = text if level == 2 else section
        found.setdefault(section, set()).add(slug(text))
    own = ("What we are after", "Exercises", "Summary", "References", "What comes next")
    missing = [section for section, slugs in found.items() if section not in own and not slugs & asked]
    assert not missing, f"no line of {questions.name} leads to {missing}"


@each_notebook
def test_markup_is_portable(path):
    text = prose(path)
    raw = "\n".join(cell.source for cell in notebooks.read(path).cells if cell.cell_type == "markdown")
    assert not re.search(r"^:::|^(`{3,}|~{3,})\s*\{", raw, re.MULTILINE), "a directive reads badly in Jupyter"
    assert not re.search(r"\{[a-z:]+\}`", text), "a role reads badly in Jupyter"
    assert text.count("<details>") == text.count("</details>") == text.count("<summary>")
    assert {int(n) for n in re.findall(r"\\tag\{(\d+)\}", text)} <= set(range(1, 13)), (
        "the paper's equations only"
    )
    for line in re.findall(r"^> \*\*.*$", text, re.MULTILINE):
        assert line.startswith(BOX), f"one kind of box, and it starts with {BOX!r}"


@each_notebook
def test_figures_have_a_title_an_alternative_text_and_a_caption(path):
    cells = notebooks.read(path).cells
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        drawn = [o for o in cell.get("outputs", []) if set(FIGURES) & set(o.get("data", ()))]
        if not drawn:
            continue
        assert len(drawn) == 1, f"one figure a cell: {cell.source[:80]}"
        (output,) = drawn
        if FIGURES[0] in output.data:
            layout = output.data[FIGURES[0]]["layout"]
            assert layout["title"]["text"] and layout["meta"]["alt"], f"no title or alt: {cell.source[:80]}"
            assert output.data["text/plain"].startswith("Figure: "), "drawn by the book's renderer"
        else:
            (kind,) = set(FIGURES[1:]) & set(output.data)
            assert output.metadata[kind]["alt"], f"no alt: {cell.source[:80]}"
        caption = following is not None and following.cell_type == "markdown" and following.source
        assert caption and caption.startswith("**Figure.** "), f"no caption after: {cell.source[:80]}"


@each_chapter
def test_exercises(path):
    cells = notebooks.read(path).cells
    start = next(k for k, cell in enumerate(cells) if re.search(r"^## Exercises$", cell.source, re.MULTILINE))
    stop = next(k for k, cell in enumerate(cells) if re.search(r"^## Summary$", cell.source, re.MULTILINE))
    section = cells[start : stop + 1]
    text = "\n".join(cell.source for cell in section if cell.cell_type == "markdown")
    titles = re.findall(r"^### Exercise (\d+) \((.+?)\)\. .+$", text, re.MULTILINE)
    assert [int(number) for number, _ in titles] == list(range(1, len(titles) + 1)) and 3 <= len(titles) <= 5
    kinds = {kind for _, kind in titles}
    assert kinds <= set(KINDS) and len(kinds) >= 3

    code = [cell for cell in section if cell.cell_type == "code"]
    stubs = [cell for cell in code if "exercise" in tags(cell)]
    solutions = [cell for cell in code if "solution" in tags(cell)]
    assert [printed(cell)[-1:] for cell in stubs] == [[f"exercise {n}: not solved yet"] for n, _ in titles]
    assert [printed(cell)[-1:] for cell in solutions] == [[f"exercise {n}: correct"] for n, _ in titles]
    assert all("book.check" in cell.source for cell in stubs + solutions)
    assert all(cell.source.startswith("# @title Solution\n") for cell in solutions)
    assert not any({"exercise", "solution"} & set(tags(cell)) for cell in cells[:start])
