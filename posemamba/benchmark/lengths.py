"""The section "length": how time and memory of S grow with the number of frames."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from posemamba.benchmark import training
from posemamba.benchmark.cases import Settings
from posemamba.benchmark.memory import Peak, available
from posemamba.benchmark.networks import Case, ours, runner
from posemamba.benchmark.timing import Clock, Contestant, interleave, reason

VARIANT = "S"


def section(settings: Settings, log: Callable[[str], None], keep: Callable[[dict], None]) -> None:
    """Measure forward passes and training steps of one sequence, and fit cost ~ frames^exponent."""
    rows, contestants = [], []
    for frames in settings.lengths:
        row = {"frames": frames, "name": f"PoseMamba-{VARIANT}, {frames} frames"}
        rows.append(row)
        log(f"length: {frames} frames, memory")
        row["memory"] = memory(frames, rows, settings) if settings.fresh else {}
        if "failed" in row["memory"]:
            row["failed"] = row["memory"]["failed"]
            continue
        try:
            contestants.append(Contestant(row["name"], stopwatch(frames, settings), row))
        except Exception as error:  # out of memory, most likely
            row["failed"] = reason(error)
    keep({"rows": rows, "exponents": {}})
    timings = interleave(
        contestants, settings.device, settings.rounds, settings.budget, lambda line: log(f"length: {line}")
    )
    for contestant in contestants:
        contestant.row.update(timings[contestant.name].figures())
    keep({"rows": rows, "exponents": exponents(rows)})


def stopwatch(frames: int, settings: Settings) -> Callable[[Clock], dict[str, float]]:
    """A contestant's `measure`, with the parts "forward" and "step"."""
    step = training.Step(training.Case(VARIANT, 1, frames), settings.device, settings.seed)
    network = ours(VARIANT, frames, settings.seed)
    network.module.to(settings.device)
    forward = runner(network, Case(), settings.device, frames, settings.seed)

    def measure(clock: Clock) -> dict[str, float]:
        begin = clock.start()
        forward()
        middle = clock.mark()
        seconds = clock.between(begin, middle)
        begin = clock.start()
        step()
        return {"forward": seconds, "step": clock.between(begin, clock.mark())}

    return measure


def memory(frames: int, rows: list[dict], settings: Settings) -> dict:
    """Peak bytes of a forward pass and of a training step. What would not fit, going by the length before,
    is not tried: a system short of memory may end more than the process that asks for it."""
    known = [row for row in rows if row.get("memory", {}).get("step")]
    free = available(settings.device)
    if known and free is not None:
        expected = known[-1]["memory"]["step"]["bytes"] * frames / known[-1]["frames"]
        if expected > 0.8 * free:
            return {"failed": f"would need about {expected / 2**30:.0f} GiB of {free / 2**30:.0f} GiB free"}
    try:
        if settings.device == "cuda":
            return measure_memory(frames, settings.seed, settings.threads, "cuda")
        from posemamba.benchmark import isolated

        return isolated.call(
            "posemamba.benchmark.lengths:measure_memory",
            frames=frames,
            seed=settings.seed,
            threads=settings.threads,
            device="cpu",
        )
    except Exception as error:  # out of memory, or the end of the process
        return {"failed": reason(error)}


def measure_memory(frames: int, seed: int, threads: int, device: str) -> dict:
    """`memory`'s work; on a CPU in a process of its own."""
    import torch

    torch.set_num_threads(threads)
    network = ours(VARIANT, frames, seed)
    network.module.to(device)
    with torch.no_grad():
        network.module(torch.zeros(1, 1, 17, 2, device=device))
    run = runner(network, Case(), device, frames, seed)
    with Peak(device) as peak:
        run()
    forward = {"bytes": peak.bytes}
    step = training.Step(training.Case(VARIANT, 1, frames), device, seed)
    whole = step.keypoints, step.targets
    step.keypoints, step.targets = (part[:, :1].contiguous() for part in whole)
    step()  # loads and compiles everything and gives the optimiser its state
    step.keypoints, step.targets = whole
    return {"forward": forward} | step.memory()


def exponents(rows: list[dict]) -> dict:
    """For time and memory of both parts: the exponent e of cost ~ frames^e fitted to all lengths by least
    squares on logarithms, and that between each length and the next (1 is linear; small ones also pay for
    what does not depend on the length)."""
    found = {}
    for part in ("forward", "step"):
        for kind in ("seconds", "memory"):
            points = []
            for row in rows:
                figures = row.get(kind, {}).get(part)
                if figures:
                    value = figures["median"] if kind == "seconds" else figures["bytes"]
                    if value > 0:
                        points.append((math.log(row["frames"]), math.log(value)))
            if len(points) > 1:
                found[f"{part} {kind}"] = {
                    "fitted": float(np.polyfit(*zip(*points, strict=True), 1)[0]),
                    "between": [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in pairwise(points)],
                }
    return found
