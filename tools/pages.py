"""Pages of the book that are written by hand around tables that the code writes."""

import re
from collections.abc import Mapping


def fill(text: str, tables: Mapping[str, str]) -> str:
    """A page's text with each table, by name, between its `<!-- NAME -->` and the next `<!-- end -->`.

    Raises:
        ValueError: a table has no such place, or several.
    """
    for name, table in tables.items():
        found = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, count = found.subn(lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", text)
        if count != 1:
            raise ValueError(f"the page has {count} places for the table {name!r}, expected 1")
    return text
