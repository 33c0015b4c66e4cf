"""The settings of a run, in a few groups. `posemamba.training.recipe` reads them from YAML files."""

import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from posemamba.config import PoseMambaConfig
from posemamba.losses import LossWeights
from posemamba.training.schedule import SCHEDULES

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")

# What a unit of the answer is worth in mm, by target: metres; units of half the image's width, whose
# size in mm a factor tells frame by frame; 2 / 2048 of a mm, as MotionAGFormer's published settings.
UNITS = {"metric": 1000.0, "2.5d": None, "univ_annot3": 1024.0}

# What a setting may be: the words for it, and the test.
_COUNT = "a positive whole number", lambda x: isinstance(x, int) and 1 <= x < 2**31
_WHOLE = "a whole number, 0 or more", lambda x: isinstance(x, int) and 0 <= x < 2**31
_POSITIVE = "a positive number", lambda x: isinstance(x, int | float) and 0 < x < 1e12
_AMOUNT = "0 or a positive number", lambda x: isinstance(x, int | float) and 0 <= x < 1e12
_SHARE = "above 0 and not above 1", lambda x: isinstance(x, int | float) and 0 < x <= 1
_PART = "above 0 and below 1", lambda x: isinstance(x, int | float) and 0 < x < 1
_NAME = "a name", lambda x: isinstance(x, str) and x
_NAMES = '"last" or a list of names', lambda x: isinstance(x, tuple) or x == "last"
_RATES = "a list of positive numbers", lambda x: all(isinstance(each, int | float) and each > 0 for each in x)
_SWITCH = "true or false", lambda x: isinstance(x, bool)


def _one_of(*names: str):
    return f"one of {', '.join(names)}", lambda x: x in names


def _setting(default, kind):
    return field(default=default, metadata={"kind": kind})


def _check(path: str, value, setting: Field) -> None:
    expected, fits = kind = setting.metadata["kind"]
    if value is None and NoneType in get_args(setting.type):
        return
    if isinstance(value, bool) != (kind is _SWITCH) or not fits(value):
        raise ValueError(f"{path} must be {expected}, found {value!r}")


class _Group:
    def __post_init__(self):
        for each in fields(self):
            _check(f"{type(self).__name__.lower()}.{each.name}", getattr(self, each.name), each)


@dataclass(frozen=True)
class Data(_Group):
    """What a step is shown. `posemamba.motion.windows.WindowSampler` says more of what these mean.

    Attributes:
        fps: the windows' rate, frames a second; None takes each clip at its own. Their length is the
            network's, `model.frames`.
        rates: other rates at which training windows are cut too.
        batch_size: windows a step, over all processes and micro-batches.
        balance: "frames" draws all windows alike, "actions" an action first; "epochs" takes each window once
            an epoch, in an order of chance.
        stride: frames from one window's start to the next.
        short: "pad" or "resample" clips shorter than a window.
        views: "virtual" cameras, or those "given" with the clips; "auto": given where there are any.
        inputs: of given views, "detected", "projected", or "joint3d_image", the x and y of the 2.5D truth.
        targets: "metric", "2.5d", or a target of the views by name.
        noise: "none"; "detector", on projected joints; "wild", `motion.noise.WILD_NOISE`; or "auto",
            a detector's where virtual cameras stand in for detections.
        cameras: where virtual ones stand, "level" as Human3.6M's, or "wild", `motion.rig.WILD`.
        bodies: "recorded", or "varied" by `motion.variety.BodyVariety`.
        focal_error: with the view "person", how wrong the focal length is, the standard deviation of its
            logarithm.
        flip: mirror half of the windows.
    """

    fps: float | None = _setting(60.0, _POSITIVE)
    rates: tuple[float, ...] = _setting((), _RATES)
    batch_size: int = _setting(16, _COUNT)
    balance: str = _setting("frames", _one_of("frames", "actions", "epochs"))
    stride: int = _setting(1, _COUNT)
    short: str = _setting("pad", _one_of("pad", "resample"))
    views: str = _setting("virtual", _one_of("virtual", "given", "auto"))
    inputs: str = _setting("detected", _one_of("detected", "projected", "joint3d_image"))
    targets: str = _setting("metric", _NAME)
    noise: str = _setting("none", _one_of("none", "detector", "wild", "auto"))
    cameras: str = _setting("level", _one_of("level", "wild"))
    bodies: str = _setting("recorded", _one_of("recorded", "varied"))
    focal_error: float = _setting(0.0, _AMOUNT)
    flip: bool = _setting(True, _SWITCH)

    def __post_init__(self):
        if isinstance(self.rates, list):
            object.__setattr__(self, "rates", tuple(self.rates))
        super().__post_init__()


@dataclass(frozen=True)
class Initial(_Group):
    """The first weights: where they come from, and factors on them.

    Attributes:
        network: what to start from instead of chance, as `PoseMamba.from_pretrained` takes it: a folder, or
            the name of kept weights. The run goes on from its weights alone, with a schedule of its own.
        input_gain: of the embedding. Image coordinates (0.25 or so) are small beside the embedding's initial
            bias, and the norms behind it would drown them: with a gain of 5 the error leaves its first
            plateau many times sooner.
        output_gain: of the head; a small head starts near a zero pose.
    """

    network: str | None = _setting(None, _NAME)
    input_gain: float = _setting(1.0, _POSITIVE)
    output_gain: float = _setting(1.0, _POSITIVE)


@dataclass(frozen=True)
class Optimizer(_Group):
    """AdamW's settings.

    Attributes:
        learning_rate: at its peak; `Schedule` says how it rises and falls.
        weight_decay: see `decays`.
        decays: "matrices" alone: decaying A_log, the skip or a bias would pull the steps and memories of the
            SSM towards arbitrary values; or "all", as the released training.
        beta2: how long the squared gradients are remembered.
        clip_norm: the gradient's largest norm; None does not clip.
        accumulate: micro-batches that a step is worked through in.
        ema: decay of the running mean of the weights, which is then what is kept and validated; None: off.
    """

    learning_rate: float = _setting(2e-3, _POSITIVE)
    weight_decay: float = _setting(0.01, _AMOUNT)
    decays: str = _setting("matrices", _one_of("matrices", "all"))
    beta2: float = _setting(0.99, _PART)
    clip_norm: float | None = _setting(1.0, _POSITIVE)
    accumulate: int = _setting(1, _COUNT)
    ema: float | None = _setting(None, _PART)


@dataclass(frozen=True)
class Schedule(_Group):
    """The learning rate's course.

    Attributes:
        name: of a function in `training.schedule`.
        warmup: the steps over which the rate first rises, whatever the schedule.
        decay, epoch: of "exponential", None for the others; the epoch is in steps, or None where the data
            decides it.
    """

    name: str = _setting("cosine", _one_of(*SCHEDULES))
    warmup: int = _setting(100, _WHOLE)
    decay: float | None = _setting(None, _SHARE)
    epoch: int | None = _setting(None, _COUNT)

    def __post_init__(self):
        super().__post_init__()
        wanted = list(inspect.signature(SCHEDULES[self.name]).parameters)[2:]
        if not set(self.own) <= set(wanted) <= {*self.own, "epoch"}:
            raise ValueError(f"schedule {self.name!r} needs {wanted} beside its name, found {list(self.own)}")

    @property
    def own(self) -> dict[str, float]:
        """What this schedule takes and others do not."""
        own = dict(decay=self.decay, epoch=self.epoch)
        return {name: value for name, value in own.items() if value is not None}


@dataclass(frozen=True)
class Validation(_Group):
    """What is measured while training goes on, and by which the best weights so far are kept.

    Attributes:
        every: steps; None where an epoch of the data decides it.
        test: measure on the test split, as the released training, which keeps its best epoch of these. A
            choice made there is no longer a test: `subjects` are the honest way.
        subjects: people of the training split who are held out of training, by name, or "last": the last of
            them by number. With none given, nothing is held out.
        windows: measure on this many windows at most, spread evenly; None takes all.
        flip: average with the mirrored answer.
    """

    every: int | None = _setting(None, _COUNT)
    test: bool = _setting(False, _SWITCH)
    subjects: tuple[str, ...] | str = _setting((), _NAMES)
    windows: int | None = _setting(None, _COUNT)
    flip: bool = _setting(True, _SWITCH)

    def __post_init__(self):
        if isinstance(self.subjects, list | tuple):
            object.__setattr__(self, "subjects", tuple(map(str, self.subjects)))
        super().__post_init__()


_GROUPS = dict(model=PoseMambaConfig, data=Data, initial=Initial, loss=LossWeights)
_GROUPS |= dict(optimizer=Optimizer, schedule=Schedule, validation=Validation)
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
    data: Data
    initial: Initial
    loss: LossWeights
    optimizer: Optimizer
    schedule: Schedule
    validation: Validation
    steps: int = _setting(2000, _COUNT)
    epochs: int | None = _setting(None, _COUNT)
    seed: int = _setting(0, _WHOLE)
    precision: str = _setting("32-true", _one_of(*PRECISIONS))

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
                _check(each.name, value, each)
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
