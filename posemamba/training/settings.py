"""Groups of a run's settings, each with what it may be; `TrainingConfig` holds one of each."""

import inspect
from dataclasses import Field, dataclass, field, fields
from types import NoneType
from typing import get_args

from posemamba.training.schedule import SCHEDULES

# What a setting may be: the words for it, and the test.
COUNT = "a positive whole number", lambda x: isinstance(x, int) and 1 <= x < 2**31
WHOLE = "a whole number, 0 or more", lambda x: isinstance(x, int) and 0 <= x < 2**31
_POSITIVE = "a positive number", lambda x: isinstance(x, int | float) and 0 < x < 1e12
_AMOUNT = "0 or a positive number", lambda x: isinstance(x, int | float) and 0 <= x < 1e12
_SHARE = "above 0 and not above 1", lambda x: isinstance(x, int | float) and 0 < x <= 1
_PART = "above 0 and below 1", lambda x: isinstance(x, int | float) and 0 < x < 1
_NAME = "a name", lambda x: isinstance(x, str) and x
_NAMES = '"last" or a list of names', lambda x: isinstance(x, tuple) or x == "last"
_RATES = "a list of positive numbers", lambda x: all(isinstance(each, int | float) and each > 0 for each in x)
_SWITCH = "true or false", lambda x: isinstance(x, bool)


def one_of(*names: str):
    return f"one of {', '.join(names)}", lambda x: x in names


def setting(default, kind):
    return field(default=default, metadata={"kind": kind})


def check(path: str, value, setting: Field) -> None:
    expected, fits = kind = setting.metadata["kind"]
    if value is None and NoneType in get_args(setting.type):
        return
    if isinstance(value, bool) != (kind is _SWITCH) or not fits(value):
        raise ValueError(f"{path} must be {expected}, found {value!r}")


class Group:
    def __post_init__(self):
        for each in fields(self):
            check(f"{type(self).__name__.lower()}.{each.name}", getattr(self, each.name), each)


@dataclass(frozen=True)
class Data(Group):
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

    fps: float | None = setting(60.0, _POSITIVE)
    rates: tuple[float, ...] = setting((), _RATES)
    batch_size: int = setting(16, COUNT)
    balance: str = setting("frames", one_of("frames", "actions", "epochs"))
    stride: int = setting(1, COUNT)
    short: str = setting("pad", one_of("pad", "resample"))
    views: str = setting("virtual", one_of("virtual", "given", "auto"))
    inputs: str = setting("detected", one_of("detected", "projected", "joint3d_image"))
    targets: str = setting("metric", _NAME)
    noise: str = setting("none", one_of("none", "detector", "wild", "auto"))
    cameras: str = setting("level", one_of("level", "wild"))
    bodies: str = setting("recorded", one_of("recorded", "varied"))
    focal_error: float = setting(0.0, _AMOUNT)
    flip: bool = setting(True, _SWITCH)

    def __post_init__(self):
        if isinstance(self.rates, list):
            object.__setattr__(self, "rates", tuple(self.rates))
        super().__post_init__()


@dataclass(frozen=True)
class Initial(Group):
    """The first weights: where they come from, and factors on them.

    Attributes:
        network: what to start from instead of chance, as `PoseMamba.from_pretrained` takes it: a folder, or
            the name of kept weights. The run goes on from its weights alone, with a schedule of its own.
        input_gain: of the embedding. Image coordinates (0.25 or so) are small beside the embedding's initial
            bias, and the norms behind it would drown them. A gain of 5 or so lets the picture through.
        output_gain: of the head; a small head starts near a zero pose.
    """

    network: str | None = setting(None, _NAME)
    input_gain: float = setting(1.0, _POSITIVE)
    output_gain: float = setting(1.0, _POSITIVE)


@dataclass(frozen=True)
class Optimizer(Group):
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

    learning_rate: float = setting(2e-3, _POSITIVE)
    weight_decay: float = setting(0.01, _AMOUNT)
    decays: str = setting("matrices", one_of("matrices", "all"))
    beta2: float = setting(0.99, _PART)
    clip_norm: float | None = setting(1.0, _POSITIVE)
    accumulate: int = setting(1, COUNT)
    ema: float | None = setting(None, _PART)


@dataclass(frozen=True)
class Schedule(Group):
    """The learning rate's course.

    Attributes:
        name: of a function in `training.schedule`.
        warmup: the steps over which the rate first rises, whatever the schedule.
        decay, epoch: of "exponential", None for the others; the epoch is in steps, or None where the data
            decides it.
    """

    name: str = setting("cosine", one_of(*SCHEDULES))
    warmup: int = setting(100, WHOLE)
    decay: float | None = setting(None, _SHARE)
    epoch: int | None = setting(None, COUNT)

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
class Validation(Group):
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

    every: int | None = setting(None, COUNT)
    test: bool = setting(False, _SWITCH)
    subjects: tuple[str, ...] | str = setting((), _NAMES)
    windows: int | None = setting(None, COUNT)
    flip: bool = setting(True, _SWITCH)

    def __post_init__(self):
        if isinstance(self.subjects, list | tuple):
            object.__setattr__(self, "subjects", tuple(map(str, self.subjects)))
        super().__post_init__()
