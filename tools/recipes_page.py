"""Writes the tables of `book/recipes.md` from the recipes that ship.

python tools/recipes_page.py
"""

from pathlib import Path

from posemamba.storage import atomic_path
from posemamba.training import recipe
from tools.pages import fill

PAGE = Path(__file__).parents[1] / "book" / "recipes.md"


def tables() -> dict[str, str]:
    """The page's tables by their names."""
    set_3dhp = [row for row in recipe.rows("paper_3dhp") if row not in recipe.rows()]
    listed = {"human36m": recipe.rows(), "3dhp": set_3dhp}
    names = "\n".join(f"- `{name}`" for name in recipe.names())
    return {name: markdown(recipe.table(rows)) for name, rows in listed.items()} | {"names": names}


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
