"""What the build adds: drawings from stored figures, alternative text, boxes, signatures as written.

A notebook keeps a Plotly figure as JSON alone, and a picture's alternative text in its output's metadata.
Both are given their HTML form here, in memory, while a page is read.
"""

import ast
import html
import inspect
import json
import re
import shutil
import textwrap
from dataclasses import fields, is_dataclass
from importlib import resources
from pathlib import Path

from docutils import nodes

from posemamba import storage
from posemamba.plotting.export import figure_html

# A link within the book to a notebook; one with a colon leads elsewhere, and downloads lie in _sources.
_CHAPTER_LINK = re.compile(r'href="((?![^"]*_sources)[^":]*)\.ipynb(?=["#])')

# What axe-core finds serious in what theme, MyST-NB and bibliography write: names that are not the words
# shown, roles that their places do not have.
_SPOKEN = (
    (re.compile(r'<summary aria-label="[^"]*">'), "<summary>"),
    (re.compile(r'(<button class="[^"]*search-button-field[^>]*?) aria-label="Search"'), r"\1"),
    (re.compile(r'(<i class="theme-switch [^>]*?) title="[^"]*"'), r"\1"),
    (re.compile(r' role="(?:list"(?= class="citation-list)|doc-biblioentry")'), ""),
    (re.compile(r'(<div id="pst-primary-sidebar")'), r'\1 role="region" aria-label="Pages"'),
)

PLOTLY = "application/vnd.plotly.v1+json"
SVG = "image/svg+xml"
BOX = "Paper, code, truth."


def drawing_html(output: dict) -> str:
    """A drawing, put into the page as it is: so its lines and words take the page's colour."""
    alt = html.escape(output.get("metadata", {}).get(SVG, {}).get("alt", ""), quote=True)
    svg = "".join(output["data"][SVG])
    # The picture's own title and description would be read out, and shown by the pointer, once more.
    svg = re.sub(r"<(title|desc)>.*?</\1>\s*", "", svg, flags=re.DOTALL).replace(' role="img"', "", 1)
    return f'<div class="drawing" role="img" aria-label="{alt}">{svg}</div>'


def draw_outputs(app, docname, source):
    """Sphinx's source-read: figures get their HTML, pictures their alternative text and width."""
    if not str(app.env.doc2path(docname)).endswith(".ipynb"):
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        if "solution" in cell["metadata"].get("tags", ()):
            words = {"code_prompt_show": "Solution", "code_prompt_hide": "Hide the solution"}
            cell["metadata"].setdefault("mystnb", {}).update(words)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if PLOTLY in data:
                output["data"] = {"text/html": figure_html(data[PLOTLY])}
            elif SVG in data:
                output["data"] = {"text/html": drawing_html(output)}
            elif shown := output.get("metadata", {}).get("image/png"):
                image = {
                    "alt": shown.get("alt", ""),
                    "width": f"{shown['width']}px" if "width" in shown else None,
                }
                options = {key: value for key, value in image.items() if value}
                cell["metadata"].setdefault("mystnb", {})["image"] = options
    source[0] = json.dumps(notebook)


def box_discrepancies(app, doctree):
    """A block quote that opens with the words of BOX becomes the book's box for such differences."""
    for quote in list(doctree.findall(nodes.block_quote)):
        lead = next(iter(quote.findall(nodes.strong)), None)
        if lead is None or lead.astext() != BOX:
            continue
        box = nodes.admonition(classes=["discrepancy"])
        box += nodes.title("", BOX.rstrip("."))
        lead.parent.remove(lead)
        box += quote.children
        quote.replace_self(box)


def signature_as_written(app, what, name, thing, options, signature, returns):
    """Annotations as the source has them: Float[Tensor, "batch frames 17 3"], not what Python makes of it."""
    function = thing.__init__ if what == "class" else thing
    if what not in ("function", "method", "class"):
        return None
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    except (OSError, TypeError, IndentationError, SyntaxError):
        return None
    if not isinstance(tree, ast.FunctionDef):
        return None
    arguments = tree.args
    if what != "function" and arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments.args = arguments.args[1:]
    return f"({ast.unparse(arguments)})", ast.unparse(tree.returns) if tree.returns else None


def plain_docstring(app, what, name, thing, options, lines):
    """Docstrings are plain words for people; reStructuredText wants a little more.

    A list needs an empty line before it, and a bar that stands for itself a backslash. Settings that a module
    keeps as a dataclass show the values in which they differ from its defaults.
    """
    plain: list[str] = []
    sections = code = False  # Args:, Returns: and their like have begun; a literal block is open
    for line in lines:
        words = re.split(r"(`+[^`]*`+)", line)  # what is in backticks stays as it is
        line = "".join(word if k % 2 else word.replace("|", "\\|") for k, word in enumerate(words))
        last = plain[-1] if plain else ""
        after_words = last.strip() and not last.lstrip().startswith("- ") and _indent(last) == _indent(line)
        if line.lstrip().startswith("- ") and after_words:
            plain.append("")
        sections = sections or bool(re.match(r"[A-Z]\w+:$", line))
        code = line.endswith("::") or (code and (not line.strip() or line.startswith("    ")))
        if line.startswith("    ") and "=" in line and not (sections or code):  # a formula: its lines stay
            line = f"    | {line.lstrip()}"
        plain.append(line)
    if what == "data" and is_dataclass(thing):
        defaults = {each.name: each.default for each in fields(thing)}
        own = [
            f"{name}={value!r}" for name, value in vars(thing).items() if value != defaults.get(name, value)
        ]
        plain += ["", f"``{type(thing).__name__}({', '.join(own)})``"]
    if what in ("data", "attribute", "property") and ":" in plain[0]:
        # Napoleon would take what stands before the colon for a type. An escaped end of line is nothing.
        plain.insert(0, "\\")
    lines[:] = plain


def no_aliases(app, what, name, thing, skip, options):
    """A NamedTuple tells its fields itself; "Alias for field number 0" tells nothing."""
    return True if type(thing).__name__ == "_tuplegetter" else None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def copy_scripts(app):
    """plotly.js, MathJax and what draws our figures, out of the installed packages."""
    static = Path(app.outdir, "_static")
    static.mkdir(parents=True, exist_ok=True)
    shutil.copy(resources.files("plotly") / "package_data/plotly.min.js", static)
    shutil.copy(storage.asset("figures.js"), static)
    shutil.copy(resources.files("sphinx-mathjax-offline") / "static/mathjax/tex-svg.js", static)


def link_printed_pages(app, page, template, context, doctree):
    """Links to chapters in what a cell printed lead to the built pages; Sphinx resolves those in the text."""
    if body := context.get("body"):
        context["body"] = _CHAPTER_LINK.sub(r'href="\1.html', body)


def spoken(page: str) -> str:
    """A page's HTML as a screen reader should have it."""
    for found, instead in _SPOKEN:
        page = found.sub(instead, page)
    return page


def mend_pages(app, exception):
    """The last word on the written pages: the theme's own templates come after all other events."""
    if exception is None and app.builder.format == "html":
        for path in Path(app.outdir).rglob("*.html"):
            if "_static" not in path.parts:
                page = path.read_text(encoding="utf-8")
                path.write_text(spoken(page), encoding="utf-8")


def setup(app):
    app.connect("builder-inited", copy_scripts)
    app.connect("source-read", draw_outputs)
    app.connect("doctree-read", box_discrepancies)
    app.connect("html-page-context", link_printed_pages)
    app.connect("build-finished", mend_pages)
    app.connect("autodoc-process-docstring", plain_docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", signature_as_written)
    app.connect("autodoc-skip-member", no_aliases)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
