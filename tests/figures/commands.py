"""The commands in figures/, as modules."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

FIGURES = Path(__file__).resolve().parents[2] / "figures"


def load(name: str) -> ModuleType:
    """A command as it is when it is run: it looks for its neighbours in its own folder."""
    sys.path.insert(0, str(FIGURES))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FIGURES))
