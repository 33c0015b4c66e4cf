"""The whole book in one HTML file, to be read without a network: mailed, put on a phone, kept.

    python -m tools.one_file _build/html _build/posemamba-book.html

takes the pages that `jupyter-book build` made, in the order of `_toc.yml`, and puts them, their pictures and
the scripts that draw figures and formulas into one file. One page shows at a time; the browser's search finds
words in all of them.
"""

import argparse
import base64
import html
import mimetypes
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag

ROOT = Path(__file__).resolve().parents[1]
SHELL = Path(__file__).with_name("one_file.html")
STYLES = (
    "styles/pydata-sphinx-theme.css",
    "styles/sphinx-book-theme.css",
    "pygments.css",
    "mystnb.*.css",
    "book.css",
)
#: Attributes whose value is an id, or a list of them.
REFERENCES = ("for", "aria-labelledby", "aria-describedby", "aria-controls", "headers")


def contents(toc: Path) -> Iterator[tuple[str, list[str]]]:
    """(caption, pages) of each part, in reading order; the first has no caption."""
    told = yaml.safe_load(toc.read_text(encoding="utf-8"))
    first, *parts = told["parts"]
    yield "", [told["root"], *(chapter["file"] for chapter in first["chapters"])]
    for part in parts:
        yield part["caption"], [chapter["file"] for chapter in part["chapters"]]


class Pages:
    """The built pages, brought into one name space of ids.

    Args:
        built: the folder of the built book.
        names: its pages, such as "book/intro", in order.
    """

    def __init__(self, built: Path, names: list[str]):
        self.built, self.names = built, names
        self.articles = {name: self._article(name) for name in names}
        self.ids = {name: {tag["id"] for tag in self.articles[name].find_all(id=True)} for name in names}

    def _article(self, name: str) -> Tag:
        path = self.built / f"{name}.html"
        article = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").select_one("article")
        if article is None:
            raise ValueError(f"{path}: no article in it, expected a page of the built book")
        for link in article.select("a.image-reference"):  # to the picture that it holds
            link.unwrap()
        return article

    def merged(self, name: str) -> Tag:
        """A page whose ids begin with its name and whose links and pictures are in the file."""
        article, near = self.articles[name], posixpath.dirname(name)
        for tag in article.find_all(True):
            if tag.name == "a" and "href" in tag.attrs:
                tag["href"] = self._link(name, near, tag["href"])
            elif tag.name == "img":
                tag["src"], tag["loading"] = self._picture(near, tag["src"]), "lazy"
            for attribute in tag.attrs:
                value = tag[attribute]
                if attribute == "id":
                    tag["id"] = anchor(name, value)
                elif attribute in REFERENCES:
                    words = value.split() if isinstance(value, str) else value
                    tag[attribute] = " ".join(anchor(name, word) for word in words)
                elif isinstance(value, str) and "url(#" in value:
                    tag[attribute] = re.sub(r"url\(#", f"url(#{anchor(name, '')}", value)
        return article

    def _link(self, name: str, near: str, link: str) -> str:
        """Where a link leads within the file; ValueError where its page or its place is missing."""
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return link
        target = (
            posixpath.normpath(posixpath.join(near, unquote(parts.path))) if parts.path else f"{name}.html"
        )
        page, place = target.removesuffix(".html"), parts.fragment
        if page not in self.ids or (place and place not in self.ids[page]):
            raise ValueError(f"{name}: its link {link} leads to nothing in the file")
        return f"#{anchor(page, place) if place else slug(page)}"

    def _picture(self, near: str, source: str) -> str:
        if source.startswith("data:"):
            return source
        path = self.built / posixpath.normpath(posixpath.join(near, unquote(source)))
        kind, code = mimetypes.guess_type(path)[0], base64.b64encode(path.read_bytes()).decode()
        return f"data:{kind};base64,{code}"


def slug(page: str) -> str:
    return page.rsplit("/", 1)[-1]


def anchor(page: str, place: str) -> str:
    return f"{slug(page)}--{place}"


def styles(static: Path) -> str:
    """The book's style sheets without what they would fetch: fonts of icons."""
    paths = [path for pattern in STYLES for path in sorted(static.glob(pattern))]
    sheets = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    sheets = re.sub(r"@font-face\s*{[^}]*}|@import[^;]*;|/\*#.*?\*/", "", sheets)
    return re.sub(r"url\((?!['\"]?(?:data:|#))[^)]*\)", "none", sheets).replace("</", "<\\/")


def navigation(parts: list[tuple[str, list[str]]], pages: Pages) -> str:
    """The list of pages, with the headings of each."""
    lines = []
    for caption, names in parts:
        lines.append(f"<p>{html.escape(caption)}</p>" if caption else "")
        lines.append("<ul>")
        for name in names:
            article = pages.articles[name]
            title = _words(article.find("h1"))
            inner = "".join(
                f'<li><a href="#{section["id"]}">{html.escape(_words(section.find("h2")))}</a></li>'
                for section in article.select("section section[id]")
                if section.find("h2", recursive=False)
            )
            inner = f"<ul>{inner}</ul>" if inner else ""
            lines.append(f'<li><a href="#{slug(name)}">{html.escape(title)}</a>{inner}</li>')
        lines.append("</ul>")
    return "\n".join(lines)


def _words(heading: Tag | None) -> str:
    words = heading.get_text() if heading else ""
    return " ".join(words.rstrip("#").replace("\\(", "").replace("\\)", "").split())


def one_file(built: Path, toc: Path = ROOT / "_toc.yml") -> str:
    """The book as one HTML text.

    Raises:
        ValueError: a page that is not the built book's, or a link that leads to nothing.
    """
    parts, static = list(contents(toc)), built / "_static"
    pages = Pages(built, [name for _, names in parts for name in names])
    bodies = []
    for name in pages.names:
        article = pages.merged(name)
        bodies.append(
            f'<main class="page bd-content" id="{slug(name)}" hidden="until-found">{article}</main>'
        )
    scripts = {}
    for script in ("plotly.min.js", "figures.js", "outputs.js", "tex-svg.js"):
        # Within HTML a script ends at its first closing tag, whatever surrounds that.
        scripts[script] = (static / script).read_text(encoding="utf-8").replace("</script", "<\\/script")
    slots = {f"script {name}": text for name, text in scripts.items()}
    slots |= {"styles": styles(static), "navigation": navigation(parts, pages), "pages": "\n".join(bodies)}
    shell = SHELL.read_text(encoding="utf-8")
    return re.sub(r"/\*\[(.*?)\]\*/|<!--\[(.*?)\]-->", lambda slot: slots[slot[1] or slot[2]], shell)


def main(arguments: list[str] | None = None) -> int:
    """Write it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("built", type=Path, help="the folder of the built book")
    parser.add_argument("out", type=Path, help="the file to write")
    given = parser.parse_args(arguments)
    try:
        text = one_file(given.built)
    except (OSError, ValueError) as error:
        print(f"one_file: {error}", file=sys.stderr)
        return 2
    given.out.write_text(text, encoding="utf-8")
    print(f"The book in one file: {given.out} ({given.out.stat().st_size / 1e6:.0f} MB).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
