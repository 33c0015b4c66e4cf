"""Gives the ledger the ids that its cells have now.

    python -m tools.ledger_cells        cells that were edited since the last commit
    python -m tools.ledger_cells v1.0.0 since that one

A cell's id is made from its text (tools/notebooks.py), so an edit changes it, and
`posemamba/assets/ledger.json` names cells by id. The cell most like the old one is taken, and said;
tests/test_paper.py holds the outcome.
"""

import argparse
import difflib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from posemamba.storage import atomic_path

ROOT = Path(__file__).parents[1]
LEDGER = ROOT / "posemamba" / "assets" / "ledger.json"
#: Texts less alike than this are not one cell before and after an edit.
ALIKE = 0.5


def moved(before: list[dict], after: list[dict], cited: set[str]) -> Iterator[tuple[str, str | None, float]]:
    """(old id, new id or None, likeness) of the cited cells of a notebook whose ids are gone."""
    known, there = {cell["id"] for cell in before}, {cell["id"] for cell in after}
    for old in (cell for cell in before if cell["id"] in cited - there):
        best = (0.0, None)
        for new in after:
            if new["cell_type"] == old["cell_type"] and new["id"] not in known:
                texts = ("".join(cell["source"]) for cell in (old, new))
                likeness = difflib.SequenceMatcher(None, *texts, autojunk=False).ratio()
                best = max(best, (likeness, new["id"]))
        yield old["id"], best[1] if best[0] >= ALIKE else None, best[0]


def main(arguments: list[str] | None = None) -> int:
    """Bring the ledger up to date; the exit code is 1 where a cell was not found again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit", nargs="?", default="HEAD", help="what the ledger fitted")
    given, text, lost = parser.parse_args(arguments), LEDGER.read_text(encoding="utf-8"), 0
    cited = re.findall(r'\["([a-z_]+/[a-z_]+)", "([0-9a-f]{8})"', text)
    for chapter in sorted({chapter for chapter, _ in cited}):
        path = f"book/{chapter}.ipynb"
        command = ["git", "show", f"{given.commit}:{path}"]
        shown = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True
        )
        notebooks = json.loads(shown.stdout), json.loads((ROOT / path).read_text(encoding="utf-8"))
        ids = {cell for name, cell in cited if name == chapter}
        for old, new, likeness in moved(*(notebook["cells"] for notebook in notebooks), ids):
            print(f"{chapter}: {old} is now {new or 'not to be found'} ({likeness:.0%} alike)")
            lost += new is None
            text = text.replace(f'"{old}"', f'"{new}"') if new else text
    with atomic_path(LEDGER) as target:
        target.write_text(text, encoding="utf-8")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
