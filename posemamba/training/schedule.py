"""Learning rates over a run, by name.

A schedule is a function of the step (from 0) and of the run's steps that gives a factor; what else it needs
are its keyword arguments, which a configuration's `schedule` sets. A new one is a function and a line in
`SCHEDULES`.
"""

import inspect
import math
from dataclasses import dataclass


def constant(step: int, steps: int) -> float:
    """1 throughout."""
    return 1.0


def cosine(step: int, steps: int) -> float:
    """From 1 down to 0 along half a cosine (Loshchilov and Hutter, 2017)."""
    return 0.5 + 0.5 * math.cos(math.pi * step / steps)


def exponential(step: int, steps: int, *, decay: float, epoch: int) -> float:
    """Times `decay` after every `epoch` steps; the released training takes 0.99."""
    return decay ** (step // epoch)


SCHEDULES = {"constant": constant, "cosine": cosine, "exponential": exponential}


@dataclass(frozen=True)
class Schedule:
    """The learning rate's course.

    Attributes:
        name: one of `SCHEDULES`.
        warmup: the steps over which the rate first rises, whatever the schedule.
        decay, epoch: of "exponential"; None for the others.

    Raises:
        ValueError: an unknown name, a setting that the named schedule lacks or does not know, or a wrong one.
    """

    name: str = "cosine"
    warmup: int = 100
    decay: float | None = None
    epoch: int | None = None

    def __post_init__(self):
        if self.name not in SCHEDULES:
            raise ValueError(f"schedule is {self.name!r}, expected one of {', '.join(SCHEDULES)}")
        if type(self.warmup) is not int or not 0 <= self.warmup < 2**31:
            raise ValueError(f"schedule.warmup must be a whole number, 0 or more, found {self.warmup!r}")
        wanted = inspect.signature(SCHEDULES[self.name]).parameters
        for name in ("decay", "epoch"):
            value = getattr(self, name)
            if (value is None) != (name not in wanted):
                verb = "needs" if value is None else "has no"
                raise ValueError(f"schedule {self.name!r} {verb} {name}, found {name} = {value!r}")
        if self.decay is not None and not (isinstance(self.decay, int | float) and 0 < self.decay <= 1):
            raise ValueError(f"schedule.decay must lie above 0 and not above 1, found {self.decay!r}")
        if self.epoch is not None and (type(self.epoch) is not int or self.epoch < 1):
            raise ValueError(f"schedule.epoch must be a positive whole number, found {self.epoch!r}")

    def rate(self, peak: float, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 0, in a run of `steps`."""
        rise = min(1.0, (step + 1) / max(self.warmup, 1))
        own = {name: getattr(self, name) for name in ("decay", "epoch") if getattr(self, name) is not None}
        return peak * rise * SCHEDULES[self.name](step, steps, **own)
