"""The API reference: every module has its place, and every name that a docstring mentions an entry."""

import inspect
import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import posemamba

pycode = pytest.importorskip("sphinx.pycode", reason="the book's requirements are not installed")

PAGE = (Path(__file__).resolve().parents[1] / "book" / "api.md").read_text("utf-8")
LISTED = re.findall(r"^\.\. automodule:: (posemamba[\w.]*)$", PAGE, re.MULTILINE)
SINGLE = re.findall(r"^\.\. autodata:: (posemamba[\w.]*)$", PAGE, re.MULTILINE)
PACKAGES = {module.name for module in iter_modules(posemamba.__path__)}
# Names of files, not of the package.
FILES = (".json", ".yaml", ".safetensors", ".txt", ".md")


def shown(module: str) -> dict[str, object]:
    """What the page shows of a module, by name; of data, what has a comment for it (`#:`)."""
    home = import_module(module)
    told = {name for _, name in pycode.ModuleAnalyzer.for_module(module).find_attr_docs()}
    own = [name for name, thing in vars(home).items() if getattr(thing, "__module__", None) == module]
    names = getattr(home, "__all__", None) or [name for name in (*own, *told) if name[0] != "_"]
    return {
        name: getattr(home, name)
        for name in names
        if hasattr(home, name) and (name in told or callable(getattr(home, name)))
    }


def docstrings(module: str) -> list[tuple[str, str]]:
    """A module's, its functions' and its classes' with their members'."""
    found = [(module, import_module(module).__doc__)]
    for name, thing in shown(module).items():
        if not callable(thing):
            continue
        found.append((f"{module}.{name}", thing.__doc__))
        for member, part in vars(thing).items() if inspect.isclass(thing) else ():
            if not member.startswith("_") and not isinstance(part, str | int | float | tuple):
                found.append((f"{module}.{name}.{member}", getattr(part, "__doc__", None)))
    return [(where, words) for where, words in found if words]


def entries() -> set[str]:
    """All names that the page has an entry for, by the module that shows them and by the one they live in."""
    found = {*LISTED, *SINGLE}
    for module in LISTED:
        for name, thing in shown(module).items():
            homes = {module, getattr(thing, "__module__", None) or module}
            found |= {f"{home}.{name}" for home in homes}
            if inspect.isclass(thing):
                members = {*vars(thing), *getattr(thing, "__annotations__", {})}
                found |= {f"{home}.{name}.{member}" for home in homes for member in members}
    return found


def mentioned(words: str) -> list[str]:
    """Names of the package in a docstring: dotted ones that begin with a module, and ones like `BodyVariety`
    or `WILD_NOISE`."""
    quoted = re.findall(r"(?<!`)`(?:posemamba\.)?([A-Za-z_][\w.]*)(?:\([^`]*\))?`(?!`)", words)
    quoted = [name for name in quoted if not name.endswith(FILES)]
    capital = re.compile(r"[A-Z][a-z]+[A-Z]\w+|[A-Z_]{4,}")
    dotted = [name for name in quoted if "." in name and name.split(".")[0] in PACKAGES - {"model", "config"}]
    return dotted + [name for name in quoted if capital.fullmatch(name.split(".")[-1]) and name not in dotted]


def test_reference_lists_every_public_module():
    modules = {name for name in PACKAGES if not name.startswith("_")}
    modules -= {"cli", "configs"}  # the command line, and an old path
    listed = [module.removeprefix("posemamba.") for module in LISTED]
    assert len(listed) == len(set(listed))
    assert {module for module in listed if "." not in module} == modules
    for module in LISTED:
        assert import_module(module).__doc__, f"{module} says nothing of itself"


def test_what_it_lists_is_there():
    for path in SINGLE:
        module, name = path.rsplit(".", 1)
        assert hasattr(import_module(module), name), path


def test_every_heading_has_one_module():
    """A module's words under another's heading read as if they belonged to what stands before them."""
    for block in re.findall(r"```\{eval-rst\}\n(.*?)```", PAGE, re.DOTALL):
        # After single data a module may follow: both stand under a heading for the two.
        assert block.count("automodule") == 1, block


@pytest.mark.parametrize("module", LISTED)
def test_names_in_docstrings_have_an_entry(module):
    known = entries()
    for where, words in docstrings(module):
        for name in mentioned(words):
            found = any(each == f"posemamba.{name}" or each.endswith(f".{name}") for each in known)
            assert found, f"{where} names {name}, for which the reference has no entry"


def test_a_name_without_an_entry_is_found():
    assert mentioned("as `motion.rig.WILD` and `BodyVariety(size=1)`, in `a.json`, `model.frames`, `x`") == [
        "motion.rig.WILD",
        "BodyVariety",
    ]
    assert "posemamba.motion.rig.WILD" in entries() and "posemamba.motion.rig.TAME" not in entries()
