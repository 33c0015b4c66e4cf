"""Drawings by hand, where what stands where is said faster by a picture than by words."""

import xml.etree.ElementTree as ElementTree

from posemamba import storage

SVG = "{http://www.w3.org/2000/svg}"


class Drawing:
    """An SVG picture, to be the last value of a cell.

    Its lines and words take the colour of the text around them where a page puts it in as it is, and a grey
    that reads on white and on black where a page shows it as an image.

    Attributes:
        svg: the picture's source.
        title: its title.
        alt: what a reader who cannot see it should know.
    """

    def __init__(self, svg: str):
        self.svg, root = svg, ElementTree.fromstring(svg)
        self.title, self.alt = (root.findtext(SVG + name, "").strip() for name in ("title", "desc"))
        if not (self.title and self.alt):
            raise ValueError("a drawing needs a title and a desc, in which its alternative text stands")

    def _repr_mimebundle_(self, include=None, exclude=None):
        shown = {"image/svg+xml": self.svg, "text/plain": f"Drawing: {self.title}"}
        return shown, {"image/svg+xml": {"alt": self.alt}}


def drawing(name: str) -> Drawing:
    """A drawing that ships with the package, assets/drawings/NAME.svg; FileNotFoundError without it."""
    return Drawing(storage.asset(f"drawings/{name}.svg").read_text(encoding="utf-8"))
