"""The drawing of the first page: which chapter stands on which."""

import json
import re
from itertools import count
from pathlib import Path
from posixpath import basename

import yaml

from tools.drawings.pen import BLUE, GREEN, ORANGE, SKY, dot, words

ROOT = Path(__file__).resolve().parents[2]


def chapters() -> dict[str, dict]:
    """By file name, in order: each chapter's title, part, and the file names of those that it needs.

    The needs are the links of its line "Read first".
    """
    found = {}
    for part in yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))["parts"]:
        for name in (entry["file"] for entry in part["chapters"]):
            path = ROOT / f"{name}.ipynb"
            if path.exists() and "caption" in part:
                cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
                opening = "".join(cells[0]["source"])
                title = re.match(r"# (.*)", opening)[1]
                needs = re.search(r"\*\*Read first:\*\*(.*)", opening)[1]
                needed = [basename(link) for link in re.findall(r"\(([^)]*)\.ipynb\)", needs)]
                found[basename(name)] = dict(title=title, part=part["caption"], needs=needed)
    return found


def before(name: str, known: dict[str, dict]) -> set[str]:
    """All chapters that a chapter stands on, those of its needs too."""
    needs = known[name]["needs"]
    return {*needs, *(each for need in needs for each in before(need, known))}


def nearest(name: str, known: dict[str, dict]) -> list[str]:
    """A chapter's needs without those that another of its needs stands on."""
    needs = known[name]["needs"]
    return [each for each in needs if not any(each in before(other, known) for other in needs)]


def the_map() -> tuple[str, str, int, list[str]]:
    """The chapters in order, with an arc from each to those that need it: the shortest ways alone."""
    known, left, row, gap = chapters(), 126, 27, 30
    places, parts, y = {}, [], 0
    captions = list(dict.fromkeys(chapter["part"] for chapter in known.values()))
    colours = dict(zip(captions, (BLUE, GREEN, ORANGE, SKY), strict=True))
    for number, (name, chapter) in zip(count(1), known.items(), strict=False):
        if chapter["part"] in captions:
            captions.remove(chapter["part"])
            y += gap + 14 * bool(places)
            parts.append(words((left + 14, y), chapter["part"], bold=True))
        y += row
        places[name] = y
        parts += [dot((left, y - 5), 5, colours[chapter["part"]])]
        parts.append(words((left + 14, y), f"{number}  {chapter['title']}", size=15))
    arcs = []
    for name in known:
        for needed in nearest(name, known):
            top, bottom = places[needed] - 5, places[name] - 5
            reach = min((bottom - top) / 2, 40 + (bottom - top) / 5, left - 14)
            colour = colours[known[needed]["part"]]
            way = f"M{left - 7},{top} A{reach:.0f},{(bottom - top) / 2:.1f} 0 0 0 {left - 7},{bottom}"
            arcs.append(f'<path d="{way}" fill="none" stroke="{colour}" stroke-width="1.6" opacity="0.75"/>')
    numbers = {name: number for number, name in enumerate(known, 1)}
    told = []
    for name, chapter in known.items():
        needs = _listed([numbers[need] for need in nearest(name, known)])
        told.append(f"{numbers[name]} {chapter['title']} needs {needs}")
    alt = f"The {len(known)} chapters from top to bottom, arcs from each to those that need it. "
    alt += f"{'; '.join(told)}."
    return "Which chapter stands on which", alt, y + 16, arcs + parts


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) or "none"
