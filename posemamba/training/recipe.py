"""Recipes that ship: settings by name, and where each of the paper's comes from.

A file in `recipes/` holds settings in groups, such as `small.yaml`; or the rows of one of the paper's tables:
a `base`, settings that its `rows` share, and what each row changes. A base is a list of settings, each with
its value, the paper's words for it, its source, and the released code's value where that differs: so `paper`,
`released` and the table of their differences are one file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from posemamba.losses import LossWeights

RECIPES = Path(__file__).parent / "recipes"
BASES = ("paper", "released", "paper_3dhp")


@dataclass(frozen=True)
class Setting:
    """One setting of the paper's training.

    Attributes:
        setting: its path, "optimizer.learning_rate"; empty for what no setting changes.
        source: "paper", or where the value is from, the paper being silent: "release", "MotionAGFormer" or
            "ours".
        value: in the recipe `paper`.
        words: the paper's own, or empty.
        released: in the recipe `released`: the same value, or the one in which the code differs.
        note: what else there is to know.
    """

    setting: str
    source: str
    value: Any = None
    words: str = ""
    released: Any = None
    note: str = ""

    @property
    def differs(self) -> bool:
        """Whether the released code does something else than the paper's text says, or than we take it to."""
        return self.released != self.value


def rows(base: str = "paper") -> list[Setting]:
    """The settings of "paper" (which hold those of "released" too), or of "paper_3dhp", one a line."""
    known = {}
    for name in ("paper", "paper_3dhp")[: 2 if base == "paper_3dhp" else 1]:
        for each in _read(RECIPES / f"{name}.yaml", list):
            row = Setting(**dict(released=each.get("value")) | each)
            known[row.setting or row.note] = row
    return list(known.values())


def table(listed: Sequence[Setting]) -> list[tuple[str, ...]]:
    """Settings as words, a heading first: what it is, the paper's words, both recipes' values, and why."""
    lines = [("setting", "the paper's words", "`paper`", "`released`", "source and note")]
    for row in listed:
        words = f'"{row.words}"' if row.words else ""
        found = [_word(row.value), _word(row.released) if row.differs else "the same"]
        source = {"paper": "", "release": "the release. "}.get(row.source, f"{row.source}. ")
        setting = f"`{row.setting}`" if row.setting else "(no setting)"
        lines.append((setting, words, *found, (source + row.note).strip()))
    return lines


def _word(value) -> str:
    return "none" if value is None else ("no", "yes")[value] if isinstance(value, bool) else str(value)


def names() -> list[str]:
    """All that `settings` knows by name: "small", "table_1/S" and so on."""
    found = []
    for path in sorted(RECIPES.glob("*.yaml")):
        if path.stem not in BASES:
            content = _read(path, dict)
            found += [f"{path.stem}/{row}" for row in content["rows"]] if "rows" in content else [path.stem]
    return found


def settings(source: str | Path, base: str | None = None) -> dict[str, Any]:
    """The settings of a file or recipe, by path or in groups; arguments and errors: `TrainingConfig.load`."""
    name, _, row = str(source).partition("/")
    shipped = {path.stem: path for path in RECIPES.glob("*.yaml") if path.stem not in BASES}
    if Path(source).is_file():
        content, row = _read(Path(source), dict), ""
    elif name in shipped:
        content = _read(shipped[name], dict)
    else:
        known = ", ".join(names())
        raise FileNotFoundError(f"{source}: no such configuration file, nor one of the shipped: {known}")
    if "rows" not in content:
        if row or base is not None:
            extra = f"a row {row!r}" if row else f"a base {base!r}"
            raise ValueError(f"{source}: {name} is one recipe, {extra} was asked for")
        return content
    if row not in content["rows"]:
        raise ValueError(f"{source}: expected one of the rows {', '.join(content['rows'])} of {name}")
    base_of = content.get("base")
    if base_of is None and base is not None:
        raise ValueError(f"{source}: {name} has no base, {base!r} was asked for")
    if base not in (None, "paper", "released"):
        raise ValueError(f"the base is {base!r}, expected paper or released")
    if base_of == "paper_3dhp" and base == "released":
        raise ValueError(f"{source}: the released code has no training on MPI-INF-3DHP")
    released, own = base == "released", dict(content["rows"][row] or {})
    also = own.pop("released", {})
    listed = [row for row in (rows(base_of) if base_of else ()) if row.setting]
    given = {each.setting: each.released if released else each.value for each in listed}
    found = {}
    for part in (given, content.get("settings") or {}, own, also if released else {}):
        part = flat(part)
        if any(path.startswith("loss.") for path in part):  # it is complete: what it leaves out weighs 0
            found |= {f"loss.{term.name}": 0.0 for term in fields(LossWeights)}
        found = overlay(found, part)
    return found


def overlay(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by path, and others laid over them. Another schedule has no use for the former one's own."""
    gone = ("schedule.decay", "schedule.epoch") if "schedule.name" in changes else ()
    return {path: value for path, value in settings.items() if path not in gone} | dict(changes)


def flat(part: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by path."""
    found = {}
    for name, value in part.items():
        nested = isinstance(value, Mapping)
        found |= {f"{name}.{leaf}": one for leaf, one in value.items()} if nested else {name: value}
    return found


def _read(path: Path, kind: type):
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(content, kind):
        raise ValueError(f"{path}: expected settings by name, found {type(content).__name__}")
    return content
