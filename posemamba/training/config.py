"""The settings of a run: a few groups, read from YAML files; those that ship lie in `recipes/`."""

import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from posemamba.config import PoseMambaConfig
from posemamba.losses import LossWeights
from posemamba.training.schedule import SCHEDULES

MILLIMETRES_PER_UNIT = 1000.0  # networks are trained in metres
PRECISIONS = ("32-true", "bf16-mixed")
RECIPES = Path(__file__).parent / "recipes"

# What a setting may be: the words for it, and the test.
_COUNT = "a positive whole number", lambda x: isinstance(x, int) and 1 <= x < 2**31
_WHOLE = "a whole number, 0 or more", lambda x: isinstance(x, int) and 0 <= x < 2**31
_POSITIVE = "a positive number", lambda x: isinstance(x, int | float) and 0 < x < 1e12
_AMOUNT = "0 or a positive number", lambda x: isinstance(x, int | float) and 0 <= x < 1e12
_SHARE = "above 0 and not above 1", lambda x: isinstance(x, int | float) and 0 < x <= 1


def _one_of(*names: str):
    return f"one of {', '.join(names)}", lambda x: x in names


def _setting(default, kind):
    return field(default=default, metadata={"kind": kind})


def _check(path: str, value, kind) -> None:
    expected, fits = kind
    if isinstance(value, bool) or not fits(value):
        raise ValueError(f"{path} must be {expected}, found {value!r}")


class _Group:
    def __post_init__(self):
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None or each.default is not None:
                _check(f"{type(self).__name__.lower()}.{each.name}", value, each.metadata["kind"])


@dataclass(frozen=True)
class Data(_Group):
    """What a step is shown.

    Attributes:
        fps: the windows' rate, frames a second. Their length is the network's, `model.frames`.
        batch_size: windows a step.
        balance: "frames" draws all windows alike, "actions" draws an action first.
    """

    fps: float = _setting(60.0, _POSITIVE)
    batch_size: int = _setting(16, _COUNT)
    balance: str = _setting("frames", _one_of("frames", "actions"))


@dataclass(frozen=True)
class Initial(_Group):
    """Factors on the first weights.

    Attributes:
        input_gain: of the embedding. Image coordinates (0.25 or so) are small beside the embedding's initial
            bias, and the norms behind it would drown them: with a gain of 5 the error leaves its first
            plateau many times sooner.
        output_gain: of the head; a small head starts near a zero pose.
    """

    input_gain: float = _setting(1.0, _POSITIVE)
    output_gain: float = _setting(1.0, _POSITIVE)


@dataclass(frozen=True)
class Optimizer(_Group):
    """AdamW's settings.

    Attributes:
        learning_rate: at its peak; `Schedule` says how it rises and falls.
        weight_decay: on matrices alone: decaying A_log, the skip or a bias would pull the steps and memories
            of the SSM towards arbitrary values. (The released training decays everything.)
        clip_norm: the gradient's largest norm.
    """

    learning_rate: float = _setting(2e-3, _POSITIVE)
    weight_decay: float = _setting(0.01, _AMOUNT)
    clip_norm: float = _setting(1.0, _POSITIVE)


@dataclass(frozen=True)
class Schedule(_Group):
    """The learning rate's course.

    Attributes:
        name: one of `SCHEDULES`.
        warmup: the steps over which the rate first rises, whatever the schedule.
        decay, epoch: of "exponential"; None for the others.
    """

    name: str = _setting("cosine", _one_of(*SCHEDULES))
    warmup: int = _setting(100, _WHOLE)
    decay: float | None = _setting(None, _SHARE)
    epoch: int | None = _setting(None, _COUNT)

    def __post_init__(self):
        super().__post_init__()
        wanted = list(inspect.signature(SCHEDULES[self.name]).parameters)[2:]
        if sorted(wanted) != sorted(self.own):
            raise ValueError(f"schedule {self.name!r} needs {wanted} beside its name, found {list(self.own)}")

    @property
    def own(self) -> dict[str, float]:
        """What this schedule takes and others do not."""
        own = {name: value for name, value in vars(self).items() if name not in ("name", "warmup")}
        return {name: value for name, value in own.items() if value is not None}


_GROUPS = dict(model=PoseMambaConfig, data=Data, initial=Initial)
_GROUPS |= dict(loss=LossWeights, optimizer=Optimizer, schedule=Schedule)
_DEFAULTS = dict(model=dict(frames=27, depth=6, channels=48, state=8), loss="metres")
# The group of each short name: "depth" is model.depth. Loss terms have none, which are metrics' names too.
_SHORT = {each.name: group for group, kind in _GROUPS.items() if group != "loss" for each in fields(kind)}
del _SHORT["name"]


@dataclass(frozen=True, init=False)
class TrainingConfig:
    """Everything that decides the result of a run.

    A setting is given within its group, `TrainingConfig(model={"depth": 4})`, by its path,
    `**{"model.depth": 4}`, or by its short name, `depth=4`; it is read as `config.model.depth` or
    `config.depth`. What a group leaves out keeps its default. The loss is the exception: its mapping is
    complete, and a term that it leaves out weighs 0.

    Attributes:
        model: the network. Its frames are the windows' length; it is trained in metres.
        data: what a step is shown, `Data`.
        initial: factors on the first weights, `Initial`.
        loss: the weights of Equation 11's terms for poses in metres; or the name of a set in `LOSS_WEIGHTS`.
        optimizer: AdamW's settings, `Optimizer`.
        schedule: the learning rate's course, `Schedule`, or the name of one.
        steps: how long.
        seed: of everything.
        precision: of Lightning Fabric, "32-true" or "bf16-mixed".

    Raises:
        ValueError: a setting that is not known or not possible.
    """

    model: PoseMambaConfig
    data: Data
    initial: Initial
    loss: LossWeights
    optimizer: Optimizer
    schedule: Schedule
    steps: int = _setting(2000, _COUNT)
    seed: int = _setting(0, _WHOLE)
    precision: str = _setting("32-true", _one_of(*PRECISIONS))

    def __init__(self, **settings):
        found, unit = _paths(_DEFAULTS) | _paths(settings), "model.millimetres_per_unit"
        if found.get(unit) not in (None, MILLIMETRES_PER_UNIT):
            raise ValueError(f"{unit} is {found[unit]!r}, expected 1000: training is in metres")
        found[unit] = MILLIMETRES_PER_UNIT
        for each in fields(self):
            start = f"{each.name}."
            if each.name in _GROUPS:
                own = {path.removeprefix(start): found[path] for path in found if path.startswith(start)}
                value = _GROUPS[each.name](**own)
            else:
                value = found.get(each.name, each.default)
                _check(each.name, value, each.metadata["kind"])
            object.__setattr__(self, each.name, value)

    def __getattr__(self, name: str):
        if name in _SHORT and _SHORT[name] in self.__dict__:
            return getattr(self.__dict__[_SHORT[name]], name)
        raise AttributeError(f"'TrainingConfig' object has no attribute {name!r}")

    @classmethod
    def load(cls, source: str | Path, **changes) -> "TrainingConfig":
        """From a YAML file, or the name of one that ships with the package, with some settings changed.

        Args:
            source: the file or the name. Files of earlier versions, without groups, are read too.
            changes: as `TrainingConfig` takes them; they win over the file's.

        Raises:
            FileNotFoundError, ValueError: no such file, or a setting that is not known or not possible.
        """
        shipped = {path.stem: path for path in sorted(RECIPES.glob("*.yaml"))}
        path = shipped.get(str(source), Path(source))
        if not path.is_file():
            known = ", ".join(shipped)
            raise FileNotFoundError(f"{path}: no such configuration file, nor one of the shipped: {known}")
        try:
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
            if not isinstance(settings, dict):
                raise ValueError(f"expected settings by name, found {type(settings).__name__}")
            return cls(**(_paths(settings) | _paths(changes)))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not readable as YAML ({str(error).splitlines()[0]})") from None
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from None

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
        if group in _GROUPS:
            known = [each.name for each in fields(_GROUPS[group])]
        else:
            leaf, known = path, sorted({each.name for each in fields(TrainingConfig)} | set(_SHORT))
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
