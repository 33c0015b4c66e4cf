"""The settings of a run: a few groups, read from YAML files; those that ship lie in `recipes/`."""

import inspect
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from posemamba.config import PoseMambaConfig
from posemamba.losses import LOSS_WEIGHTS, LossWeights
from posemamba.training.schedule import SCHEDULES

MILLIMETRES_PER_UNIT = 1000.0  # networks are trained in metres
PRECISIONS = ("32-true", "bf16-mixed")
RECIPES = Path(__file__).parent / "recipes"


_KINDS = {
    "a positive whole number": lambda x: isinstance(x, int) and 1 <= x < 2**31,
    "a whole number, 0 or more": lambda x: isinstance(x, int) and 0 <= x < 2**31,
    "a positive number": lambda x: isinstance(x, int | float) and 0 < x < 1e12,
    "0 or a positive number": lambda x: isinstance(x, int | float) and 0 <= x < 1e12,
    "above 0 and not above 1": lambda x: isinstance(x, int | float) and 0 < x <= 1,
}
COUNT, WHOLE, POSITIVE, AMOUNT, SHARE = _KINDS


def _check(group: str, settings, **kinds: str) -> None:
    for name, kind in kinds.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not _KINDS[kind](value):
            raise ValueError(f"{group}{name} must be {kind}, found {value!r}")


@dataclass(frozen=True)
class Data:
    """What a step is shown.

    Attributes:
        fps: the windows' rate, frames a second. Their length is the network's, `model.frames`.
        batch_size: windows a step.
        balance: "frames" draws all windows alike, "actions" draws an action first.
    """

    fps: float = 60.0
    batch_size: int = 16
    balance: str = "frames"

    def __post_init__(self):
        _check("data.", self, fps=POSITIVE, batch_size=COUNT)
        if self.balance not in ("frames", "actions"):
            raise ValueError(f"data.balance is {self.balance!r}, expected 'frames' or 'actions'")


@dataclass(frozen=True)
class Initial:
    """Factors on the first weights.

    Attributes:
        input_gain: of the embedding. Image coordinates (0.25 or so) are small beside the embedding's initial
            bias, and the norms behind it would drown them: with a gain of 5 the error leaves its first
            plateau many times sooner.
        output_gain: of the head; a small head starts near a zero pose.
    """

    input_gain: float = 1.0
    output_gain: float = 1.0

    def __post_init__(self):
        _check("initial.", self, input_gain=POSITIVE, output_gain=POSITIVE)


@dataclass(frozen=True)
class Optimizer:
    """AdamW's settings.

    Attributes:
        learning_rate: at its peak; `Schedule` says how it rises and falls.
        weight_decay: on matrices alone: decaying A_log, the skip or a bias would pull the steps and memories
            of the SSM towards arbitrary values. (The released training decays everything.)
        clip_norm: the gradient's largest norm.
    """

    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    clip_norm: float = 1.0

    def __post_init__(self):
        _check("optimizer.", self, learning_rate=POSITIVE, weight_decay=AMOUNT, clip_norm=POSITIVE)


@dataclass(frozen=True)
class Schedule:
    """The learning rate's course.

    Attributes:
        name: one of `SCHEDULES`.
        warmup: the steps over which the rate first rises, whatever the schedule.
        decay, epoch: of "exponential"; None for the others.
    """

    name: str = "cosine"
    warmup: int = 100
    decay: float | None = None
    epoch: int | None = None

    def __post_init__(self):
        if self.name not in SCHEDULES:
            raise ValueError(f"schedule is {self.name!r}, expected one of {', '.join(SCHEDULES)}")
        _check("schedule.", self, warmup=WHOLE)
        wanted = inspect.signature(SCHEDULES[self.name]).parameters
        for name, kind in (("decay", SHARE), ("epoch", COUNT)):
            if name in wanted:
                _check("schedule.", self, **{name: kind})
            elif getattr(self, name) is not None:
                raise ValueError(f"schedule {self.name!r} has no {name}, found {getattr(self, name)!r}")

    def rate(self, peak: float, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 0, in a run of `steps`."""
        rise = min(1.0, (step + 1) / max(self.warmup, 1))
        own = {name: getattr(self, name) for name in ("decay", "epoch") if getattr(self, name) is not None}
        return peak * rise * SCHEDULES[self.name](step, steps, **own)


_GROUPS = {
    "model": PoseMambaConfig,
    "data": Data,
    "initial": Initial,
    "loss": LossWeights,
    "optimizer": Optimizer,
    "schedule": Schedule,
}
_DEFAULTS = {
    "model": dict(frames=27, depth=6, channels=48, state=8, millimetres_per_unit=MILLIMETRES_PER_UNIT),
    "loss": asdict(LOSS_WEIGHTS["metres"]),
    **{name: {} for name in ("data", "initial", "optimizer", "schedule")},
}
# Short names, of one group alone: "depth" is model.depth. Loss terms have none, which are metrics' names too.
_LEAVES = [(f.name, group) for group, kind in _GROUPS.items() if group != "loss" for f in fields(kind)]
_SHORT = {
    leaf: group for leaf, group in _LEAVES if leaf != "name" and [n for n, _ in _LEAVES].count(leaf) == 1
}


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
    steps: int = 2000
    seed: int = 0
    precision: str = "32-true"

    def __init__(self, **settings):
        found = _merged(_DEFAULTS, settings)
        for field in fields(self):
            value = found.get(field.name, field.default)
            kind = _GROUPS.get(field.name)
            object.__setattr__(self, field.name, kind(**value) if kind else value)
        _check("", self, steps=COUNT, seed=WHOLE)
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}")
        if self.model.millimetres_per_unit != MILLIMETRES_PER_UNIT:
            raise ValueError(
                f"model.millimetres_per_unit is {self.model.millimetres_per_unit!r}, expected "
                f"{MILLIMETRES_PER_UNIT:g}: training is in metres"
            )

    def __getattr__(self, name: str):
        if name in _SHORT and _SHORT[name] in self.__dict__:
            return getattr(self.__dict__[_SHORT[name]], name)
        if name in ("model_config", "loss_weights"):
            group = name.split("_")[0]
            warnings.warn(f"TrainingConfig.{name}() is now .{group}", DeprecationWarning, stacklevel=2)
            return lambda: getattr(self, group)
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
            names = ", ".join(shipped)
            raise FileNotFoundError(
                f"{path}: no such configuration file, nor one of the shipped ones: {names}"
            )
        try:
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
            if not isinstance(settings, dict):
                raise ValueError(f"expected settings by name, found {type(settings).__name__}")
            return cls(**_merged(_merged({}, settings), changes))
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
        return self.schedule.rate(self.optimizer.learning_rate, step, self.steps)


def _merged(before: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, put into their groups and laid over those of `before`: groups first, then single ones."""
    found = {name: dict(value) if name in _GROUPS else value for name, value in before.items()}
    for name, value in sorted(settings.items(), key=lambda item: item[0] not in _GROUPS):
        group, _, leaf = str(name).rpartition(".")
        group = group or _SHORT.get(name)
        if name in _GROUPS:
            found[name] = ({} if name == "loss" else found.get(name, {})) | _mapping(name, value)
        elif group in _GROUPS:
            given = settings.get(group)
            if isinstance(given, Mapping) and leaf in given:
                raise ValueError(f"{group}.{leaf} is given twice, as {given[leaf]!r} and as {value!r}")
            found.setdefault(group, dict(_DEFAULTS[group]))[leaf] = _number(value)
        else:
            found[str(name)] = value
    plain = {field.name for field in fields(TrainingConfig)}
    if unknown := sorted(set(found) - plain):
        known = ", ".join(sorted(plain | set(_SHORT)))
        raise ValueError(f"unknown setting {unknown[0]!r}, expected some of {known}")
    for group in set(found) & set(_GROUPS):
        known = [field.name for field in fields(_GROUPS[group])]
        if unknown := sorted(set(found[group]) - set(known)):
            raise ValueError(f"unknown setting {group}.{unknown[0]}, expected some of {', '.join(known)}")
    return found


def _mapping(group: str, value) -> dict[str, Any]:
    """What was given for a group, by setting."""
    if isinstance(value, Mapping):
        value = {str(name): _number(part) for name, part in value.items()}
    if group == "loss":
        return asdict(LossWeights.of(value))
    if isinstance(value, _GROUPS[group]):
        value = asdict(value)
        if value.get("millimetres_per_unit", ...) is None:  # the network's own settings leave it open
            value["millimetres_per_unit"] = MILLIMETRES_PER_UNIT
    elif isinstance(value, str) and group == "schedule":
        value = {"name": value}
    if not isinstance(value, dict):
        raise ValueError(f"{group} is {value!r}, expected settings by name")
    return value


def _number(value):
    """YAML 1.1 reads 1e-3 as text."""
    if isinstance(value, str):
        with suppress(ValueError):
            return float(value)
    return value
