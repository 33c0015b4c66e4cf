"""Writes the tables of `book/recipes.md` from the recipes that ship.

python tools/recipes_page.py
"""

from dataclasses import asdict
from pathlib import Path

from posemamba.storage import atomic_path
from posemamba.training import TrainingConfig, recipe
from tools.pages import fill

PAGE = Path(__file__).parents[1] / "book" / "recipes.md"
OURS = ("open/S", "orders", "small", "wild/bidirectional")


def tables() -> dict[str, str]:
    """The page's tables by their names."""
    set_3dhp = [row for row in recipe.rows("paper_3dhp") if row not in recipe.rows()]
    without_released = [line[:3] + line[4:] for line in recipe.table(set_3dhp)]
    return {
        "names": "\n".join(f"- `{name}`" for name in recipe.names()),
        "ours": markdown(ours()),
        "human36m": markdown(recipe.table(recipe.rows())),
        "3dhp": markdown(without_released),
    }


def ours() -> list[tuple[str, ...]]:
    """What this book's own recipes set, where not all are as S of Table 1; a heading first."""
    first, *others = (recipe.flat(asdict(TrainingConfig.load(name))) for name in ("table_1/S", *OURS))
    lines = [("setting", *(f"`{name}`" for name in OURS))]
    for setting, value in first.items():
        values = [other[setting] for other in others]
        if any(other != value for other in values):
            lines.append((f"`{setting}`", *map(word, values)))
    return lines


def word(value) -> str:
    """A setting's value as the page has it."""
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else ("no", "yes")[value] if isinstance(value, bool) else str(value)


def markdown(lines: list[tuple[str, ...]]) -> str:
    """Lines as a Markdown table; the first is its head."""
    head, *body = lines
    rule = tuple("---" for _ in head)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *body))


def page(text: str) -> str:
    """The page's text with the tables as the code has them."""
    return fill(text, tables())


if __name__ == "__main__":
    with atomic_path(PAGE) as path:
        path.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
