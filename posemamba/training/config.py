"""The settings of a run. `posemamba.training.recipe` reads them from YAML files."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from posemamba.config import PoseMambaConfig
from posemamba.losses import LossWeights
from posemamba.training import settings as groups
from posemamba.training.schedule import SCHEDULES

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")

# What a unit of the answer is worth in mm, by target: metres; units of half the image's width, whose
# size in mm a factor tells frame by frame; 2 / 2048 of a mm, as MotionAGFormer's published settings.
UNITS = {"metric": 1000.0, "2.5d": None, "univ_annot3": 1024.0}

_GROUPS = dict(model=PoseMambaConfig, data=groups.Data, initial=groups.Initial, loss=LossWeights)
_GROUPS |= dict(optimizer=groups.Optimizer, schedule=groups.Schedule, validation=groups.Validation)
_DEFAULTS = dict(model=dict(frames=27, depth=6, channels=48, state=8), loss="metres")
# The group of each short name: "depth" is model.depth. Loss terms have none, which are metrics' names too,
# nor has validation, whose names others share.
_SHORT = {
    each.name: group
    for group, kind in _GROUPS.items()
    if group not in ("loss", "validation")
    for each in fields(kind)
}
del _SHORT["name"]


@dataclass(frozen=True, init=False)
class TrainingConfig:
    """Everything that decides the result of a run.

    A setting is given within its group, `TrainingConfig(model={"depth": 4})`, by its path,
    `**{"model.depth": 4}`, or by its short name, `depth=4`; it is read as `config.model.depth` or
    `config.depth`. What a group leaves out keeps its default. The loss is the exception: its mapping is
    complete, and a term that it leaves out weighs 0.

    Attributes:
        model: the network. Its frames are the windows' length; its unit in mm follows from the targets: 1000
            for metric ones, none for 2.5D.
        data: what a step is shown, `Data`.
        initial: the first weights, `Initial`.
        loss: the weights of Equation 11's terms for poses in metres; or the name of a set in `LOSS_WEIGHTS`.
        optimizer: AdamW's settings, `Optimizer`.
        schedule: the learning rate's course, `Schedule`, or the name of one.
        validation: what is measured on the way, `Validation`.
        steps: how long.
        epochs: how long in rounds of the data, which then decide the steps (`training.data.resolve`).
        seed: of everything.
        precision: of Lightning Fabric, "32-true", "bf16-mixed" or "16-mixed".

    Raises:
        ValueError: a setting that is not known or not possible.
    """

    model: PoseMambaConfig
    data: groups.Data
    initial: groups.Initial
    loss: LossWeights
    optimizer: groups.Optimizer
    schedule: groups.Schedule
    validation: groups.Validation
    steps: int = groups.setting(2000, groups.COUNT)
    epochs: int | None = groups.setting(None, groups.COUNT)
    seed: int = groups.setting(0, groups.WHOLE)
    precision: str = groups.setting("32-true", groups.one_of(*PRECISIONS))

    def __init__(self, **settings):
        found, unit = _paths(_DEFAULTS) | _paths(settings), "model.millimetres_per_unit"
        targets = found.get("data.targets", "metric")
        if found.get(unit) is None:
            found[unit] = UNITS.get(targets, UNITS["metric"])
        elif targets == "2.5d":
            raise ValueError(f"{unit} is {found[unit]!r}, expected none: in 2.5D each frame has its own")
        for each in fields(self):
            start = f"{each.name}."
            if each.name in _GROUPS:
                own = {path.removeprefix(start): found[path] for path in found if path.startswith(start)}
                value = _GROUPS[each.name](**own)
            else:
                value = found.get(each.name, each.default)
                groups.check(each.name, value, each)
            object.__setattr__(self, each.name, value)

    def __getattr__(self, name: str):
        if name in _SHORT and _SHORT[name] in self.__dict__:
            return getattr(self.__dict__[_SHORT[name]], name)
        raise AttributeError(f"'TrainingConfig' object has no attribute {name!r}")

    @classmethod
    def load(cls, source: str | Path, base: str | None = None, **changes) -> "TrainingConfig":
        """From a YAML file, or a recipe that ships with the package, with some settings changed.

        Args:
            source: the file; or a recipe's name, such as "small", or "table_1/S", a row of one. Files of
                earlier versions, without groups, are read too.
            base: for rows of the paper's tables, "released" in place of "paper": what the released code does
                where it differs from the text. `posemamba.training.recipe.rows` lists the differences.
            changes: as `TrainingConfig` takes them; they win. Steps that are changed win over epochs.

        Raises:
            FileNotFoundError, ValueError: no such file, or a setting that is not known or not possible.
        """
        from posemamba.training import recipe

        settings = recipe.settings(source, base)
        try:
            settings, changes = _paths(settings), _paths(changes)
            if "steps" in changes and "epochs" not in changes:
                changes["epochs"] = None
            return cls(**recipe.overlay(settings, changes))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{source}: {error}") from None

    def flat(self) -> dict[str, Any]:
        """All settings by short name or path, plain values, the loss by its terms: what the class takes."""
        found = {}
        for name, value in asdict(self).items():
            if name in _GROUPS and name != "loss":
                found |= {key if key in _SHORT else f"{name}.{key}": part for key, part in value.items()}
            else:
                found[name] = value
        return found

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        schedule = self.schedule
        factor = SCHEDULES[schedule.name](step, self.steps, **schedule.own)
        return self.optimizer.learning_rate * min(1.0, (step + 1) / max(schedule.warmup, 1)) * factor


def _paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by path, "model.depth" or "steps". What is given singly wins over what its group says."""
    found = {}
    for name, value in sorted(settings.items(), key=lambda item: item[0] not in _GROUPS):
        if name in _GROUPS:
            found |= {f"{name}.{leaf}": part for leaf, part in _parts(name, value).items()}
            continue
        path = f"{_SHORT[name]}.{name}" if name in _SHORT else str(name)
        group, _, leaf = path.partition(".")
        if isinstance(given := settings.get(group), Mapping) and leaf in given:
            raise ValueError(f"{path} is given twice, as {given[leaf]!r} and as {value!r}")
        found[path] = _number(value)
    for path in found:
        group, _, leaf = path.partition(".")
        known = [each.name for each in fields(_GROUPS.get(group, TrainingConfig))]
        if group not in _GROUPS:
            leaf, known = path, sorted({*known, *_SHORT})
        if leaf not in known:
            raise ValueError(f"unknown setting {path!r}, expected some of {', '.join(known)}")
    return found


def _parts(group: str, value) -> dict[str, Any]:
    """What was given for a group, by setting."""
    if isinstance(value, Mapping):
        value = {str(name): _number(part) for name, part in value.items()}
    if group == "loss":
        value = LossWeights.of(value)
    if isinstance(value, _GROUPS[group]):
        return asdict(value)
    if group == "schedule" and isinstance(value, str):
        return {"name": value}
    if not isinstance(value, dict):
        raise ValueError(f"{group} is {value!r}, expected settings by name")
    return value


def _number(value):
    """YAML 1.1 reads 1e-3 as text."""
    with suppress(ValueError):
        return float(value) if isinstance(value, str) else value
    return value
