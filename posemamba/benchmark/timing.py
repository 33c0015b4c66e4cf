"""Fair timing: contestants take turns, so that whatever else the machine does meets them all alike."""

import gc
import random
import statistics
import time
from collections.abc import Callable

import torch

#: A contestant: does the work once, and returns the seconds of each of its parts.
Timer = Callable[[], dict[str, float]]


def now(device: str) -> float:
    """Seconds, when all that was asked of the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def timer(work: Callable[[], object], device: str, part: str) -> Timer:
    """A contestant of one part."""

    def measured() -> dict[str, float]:
        begin = now(device)
        work()
        return {part: now(device) - begin}

    return measured


def interleave(contestants: dict[str, Timer], run) -> dict[str, dict]:
    """Time contestants in turns, in a new order each round.

    Each is warmed up first. One that raises is left out from there on.

    Args:
        contestants: by name.
        run: a `Run`, whose rounds, budget and log count here.

    Returns:
        For each `seconds` as summaries, `first_run` in seconds, and `failed` where it did.
    """
    found = {name: {"seconds": {}} for name in contestants}

    def once(name: str) -> float:
        gc.collect()
        gc.disable()
        begin = time.perf_counter()
        try:
            for part, seconds in contestants[name]().items():
                found[name]["seconds"].setdefault(part, []).append(seconds)
        except Exception as error:  # a stranger's code may raise anything, and the others go on
            found[name]["failed"] = reason(error)
        gc.enable()
        return time.perf_counter() - begin

    wanted = {}
    for name, figures in found.items():
        run.log(f"{name}, warming up")
        took = figures["first_run"] = once(name)
        if took < run.budget / 2 and "failed" not in figures:  # the first run may have compiled
            took = once(name)
        figures["seconds"] = {}
        wanted[name] = min(run.rounds, max(3, int(run.budget / took)))
    for round_ in range(run.rounds):
        for name in random.Random(round_).sample(list(found), len(found)):
            done, due = (i * wanted[name] // run.rounds for i in (round_, round_ + 1))  # spread evenly
            if "failed" not in found[name] and due > done:
                run.log(f"{name}, round {round_ + 1} of {run.rounds}")
                once(name)
    for figures in found.values():
        figures["seconds"] = {part: summary(values) for part, values in figures["seconds"].items()}
    return found


def summary(values: list[float]) -> dict[str, float]:
    """Median, quartiles, least and most of some seconds, and how many they are."""
    low, middle, high = statistics.quantiles(values * (1 + (len(values) == 1)), method="inclusive")
    quartiles = {"median": middle, "lower_quartile": low, "upper_quartile": high}
    return quartiles | {"least": min(values), "most": max(values), "rounds": len(values)}


def reason(error: BaseException) -> str:
    """An exception in one line."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "out of memory"
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:200]}".removesuffix(": ")
