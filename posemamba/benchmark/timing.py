"""Fair timing: contestants take turns, so that whatever else the machine does meets them all alike."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

#: Rounds that even the slowest contestant gets.
LEAST_ROUNDS = 3


class Clock:
    """Marks in time on a device, and the seconds between them.

    On a CUDA device marks are events in the stream: `start` waits until the device is idle, so that what the
    host spends on launching is part of the time where the device has to wait for it.
    """

    def __init__(self, device: str):
        self.cuda = torch.device(device).type == "cuda"

    def start(self):
        """The first mark of a measurement."""
        if self.cuda:
            torch.cuda.synchronize()
        return self.mark()

    def mark(self):
        """A mark behind everything that was asked for so far."""
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, first, last) -> float:
        """Seconds from one mark to a later one."""
        if not self.cuda:
            return last - first
        last.synchronize()
        return first.elapsed_time(last) / 1e3


@dataclass
class Contestant:
    """Somebody to be timed.

    Attributes:
        name: how its row is called.
        measure: does the work once and returns the seconds of each of its parts, by name.
        row: what its row says besides.
    """

    name: str
    measure: Callable[[Clock], dict[str, float]]
    row: dict = field(default_factory=dict)


@dataclass
class Timing:
    """What was measured of a contestant.

    Attributes:
        seconds: of each part, one number a round.
        first: seconds of its first run, with whatever compiles then.
        failed: why there is no more.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    first: float | None = None
    failed: str | None = None

    def figures(self) -> dict:
        """For JSON: `seconds` as summaries, `first_run`, and `failed` where it did."""
        found = {"seconds": {part: summary(values) for part, values in self.seconds.items() if values}}
        if self.first is not None:
            found["first_run"] = self.first
        return found | ({"failed": self.failed} if self.failed else {})


def summary(values: list[float]) -> dict[str, float]:
    """Median, quartiles, least and most of some seconds, and how many they are."""
    low, middle, high = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    )
    return {
        "median": middle,
        "lower_quartile": low,
        "upper_quartile": high,
        "least": min(values),
        "most": max(values),
        "rounds": len(values),
    }


def turns(count: int, round_: int) -> list[int]:
    """The order of a round: each begins one further on, and every other one goes backwards, so that neither
    the place in a round nor the neighbour before stays the same."""
    order = [(i + round_) % count for i in range(count)]
    return order[::-1] if round_ % 2 else order


def takes_part(round_: int, rounds: int, wanted: int) -> bool:
    """Whether a contestant that wants fewer rounds than there are joins this one; they are spread evenly."""
    return (round_ + 1) * wanted // rounds > round_ * wanted // rounds


def rounds_within(seconds: float, rounds: int, budget: float) -> int:
    """How many rounds a contestant gets that takes so long: all, or what the budget of seconds allows."""
    return min(rounds, max(LEAST_ROUNDS, int(budget / max(seconds, 1e-9))))


def interleave(
    contestants: list[Contestant],
    device: str,
    rounds: int,
    budget: float = 60.0,
    log: Callable[[str], None] = lambda line: None,
) -> dict[str, Timing]:
    """Time contestants in turns.

    Each is warmed up first (twice, where that is quick). Garbage is collected before every measurement and
    not during one. A contestant that raises is left out from there on, with the reason.

    Arguments:
        rounds: measurements of each.
        budget: seconds for one contestant; a slow one joins fewer rounds, though never less than three.
        log: told what is being done.
    """
    timings = {contestant.name: Timing() for contestant in contestants}
    gc.collect()
    gc.freeze()  # what is here stays; a collection need not look at it each time
    try:
        _rounds(contestants, timings, Clock(device), rounds, budget, log)
    finally:
        gc.unfreeze()
    return timings


def _rounds(contestants: list[Contestant], timings: dict[str, Timing], clock, rounds, budget, log) -> None:
    wanted = {}
    for contestant in contestants:
        log(f"{contestant.name}, warming up")
        timing, begin = timings[contestant.name], time.perf_counter()
        if _once(contestant, clock, timing) is None:
            continue
        timing.first = took = time.perf_counter() - begin
        if took < budget / 2:  # the first run may have compiled
            begin = time.perf_counter()
            _once(contestant, clock, timing)
            took = time.perf_counter() - begin
        wanted[contestant.name] = rounds_within(took, rounds, budget)
    for round_ in range(rounds):
        for index in turns(len(contestants), round_):
            contestant = contestants[index]
            timing = timings[contestant.name]
            if timing.failed or not takes_part(round_, rounds, wanted[contestant.name]):
                continue
            log(f"{contestant.name}, round {round_ + 1} of {rounds}")
            for part, seconds in (_once(contestant, clock, timing) or {}).items():
                timing.seconds.setdefault(part, []).append(seconds)


def _once(contestant: Contestant, clock: Clock, timing: Timing) -> dict[str, float] | None:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        return contestant.measure(clock)
    except Exception as error:  # a stranger's code may raise anything, and the others go on
        timing.failed = reason(error)
        return None
    finally:
        if enabled:
            gc.enable()


def reason(error: BaseException) -> str:
    """An exception in one line."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return "out of memory"
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}".removesuffix(": ")
