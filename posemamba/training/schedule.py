"""Learning rates over a run, by name.

A schedule is a function of the step (from 0) and of the run's steps that gives a factor; what else it needs
are keyword arguments, which a configuration sets beside its name. A new one is a function and a line in
`SCHEDULES`, and a field of `settings.Schedule` for an argument that no other has.
"""

import math


def constant(step: int, steps: int) -> float:
    """1 throughout."""
    return 1.0


def cosine(step: float, steps: float) -> float:
    """From 1 down to 0 along half a cosine (Loshchilov and Hutter, 2017)."""
    return 0.5 + 0.5 * math.cos(math.pi * step / steps)


def exponential(step: int, steps: int, *, decay: float, epoch: int) -> float:
    """Times `decay` after every `epoch` steps; the released training takes 0.99."""
    return decay ** (step // epoch)


def one_cycle(step: int, steps: int) -> float:
    """Up from 1/25 over three tenths, then down to next to nothing, both along half a cosine (Smith and
    Topin, 2019; in torch's form and with its defaults)."""
    peak, last, low, end = 0.3 * steps - 1, steps - 1, 1 / 25, 1e-4 / 25
    if step < peak:
        return 1 - (1 - low) * cosine(step, peak)
    return end + (1 - end) * cosine(step - peak, last - peak)


#: By name.
SCHEDULES = {"constant": constant, "cosine": cosine, "exponential": exponential, "one_cycle": one_cycle}
