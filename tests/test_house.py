"""The house: which room may use which, and what importing costs."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "posemamba"

#: From the ground up: a room may use those before it. CONTRIBUTING.md has the same list.
ROOMS = (
    *("storage", "record", "paper", "skeleton", "camera", "triangulation", "crops"),
    *("discretize", "scan", "orders", "config"),
    *("checkpoints", "capture", "model", "accounting", "attention", "motion", "keypoints", "losses"),
    *("metrics", "inference", "smoothing", "lifting", "video", "detectors", "live", "export"),
    *("evaluation", "experiments", "training"),
    *("plotting", "benchmark", "book", "cli"),
)
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path.name} imports relatively"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in inner}
    return {name for name in found if name in MODULES and name != "posemamba"}


def test_every_room_is_in_the_list():
    top = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert top - {"__init__"} - set(ROOMS) == set()


@pytest.mark.parametrize("name", [name for name in MODULES if name.count(".")])
def test_a_room_uses_only_those_below_it(name):
    room = ROOMS.index(name.split(".")[1])
    above = {used for used in imports(MODULES[name]) if ROOMS.index(used.split(".")[1]) > room}
    assert not above


def test_no_circle():
    graph = {name: imports(path) - {name} for name, path in MODULES.items() if name != "posemamba"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_rooms_stand_in_the_contributors_map_in_this_order():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = [word.strip("`,/ ").removesuffix(".py") for row in rows for word in row.split()]
    assert [room for room in named if room in ROOMS] == [room for room in ROOMS if room in named]
    assert set(ROOMS) <= set(named)


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("posemamba", ("torch", "numba", "plotly", "seaborn", "lightning_fabric")),
        ("posemamba.model", ("torch._dynamo", "numba", "triton", "plotly", "scipy", "huggingface_hub")),
        ("posemamba.cli", ("torch", "numba", "plotly")),
    ],
)
def test_heavy_things_load_when_used(module, heavy):
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
