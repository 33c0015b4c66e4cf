"""How time and memory of PoseMamba-S grow with the number of frames.

    python figures/benchmark/lengths.py --threads 2

times a forward pass and a training step of one sequence of each length, in turns, takes their peak memory in
processes of their own, and fits cost ~ frames^exponent.
"""

import argparse
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import torch
from memory import apart, of_network, of_step
from steps import Step, ours

from posemamba import record
from posemamba.benchmark.runs import Run, interleave, timer
from posemamba.benchmark.sections import forward_of
from posemamba.benchmark.tables import short

VARIANT, LENGTHS = "S", (27, 81, 243, 729, 2187)


def contestant(frames: int, run: Run):
    """Both parts of a length, one after the other."""
    one = Run(device=run.device, threads=run.threads, seed=run.seed, frames=frames)
    network = ours(VARIANT, frames, run.seed).to(run.device)
    parts = (timer(forward_of(network, 1, one), run.device, "forward"),)
    parts += (timer(Step(VARIANT, 1, one), run.device, "step"),)
    return lambda: parts[0]() | parts[1]()


def peaks(frames: int, rows: list[dict], run: Run) -> dict:
    """Peak bytes of both parts. What would not fit, going by the length before, is not tried: a system short
    of memory may end more than the process that asks for it."""
    free = psutil.virtual_memory().available
    if rows and "step" in rows[-1]["memory"] and run.device == "cpu":
        expected = rows[-1]["memory"]["step"] * frames / rows[-1]["frames"]
        if expected > 0.8 * free:
            return {"failed": f"would need about {expected / 2**30:.0f} GiB of {free / 2**30:.0f} GiB free"}
    common = (frames, run.device, run.seed, run.threads)
    try:
        return apart(of_network, VARIANT, None, *common) | apart(of_step, VARIANT, *common)
    except RuntimeError as error:
        return {"failed": str(error)}


def exponents(rows: list[dict]) -> dict:
    """For time and memory of both parts: the exponent e of cost ~ frames^e fitted to all lengths by least
    squares on logarithms, and that between each length and the next (1 is linear; small ones also pay for
    what does not depend on the length)."""
    found = {}
    for part in ("forward", "step"):
        costs = {
            f"{part} seconds": lambda row, part=part: row["seconds"].get(part, {}).get("median"),
            f"{part} memory": lambda row, part=part: row["memory"].get(part),
        }
        for name, cost in costs.items():
            points = [(math.log(row["frames"]), math.log(cost(row))) for row in rows if cost(row)]
            if len(points) > 1:
                found[name] = {
                    "fitted": float(np.polyfit(*zip(*points, strict=True), 1)[0]),
                    "between": [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in pairwise(points)],
                }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=record.cores())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="tiny lengths, to see that it runs")
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    given = parser.parse_args()
    lengths, rounds = ((2, 4), 1) if given.quick else (LENGTHS, given.rounds)
    run = Run(device=given.device, threads=given.threads, rounds=rounds).choose()
    torch.set_num_threads(run.threads)
    command = ["python", "figures/benchmark/lengths.py", "--device", run.device, "--threads", run.threads]
    what = f"PoseMamba-{VARIANT} by length, one sequence"
    report = record.head(what, [*command, "--rounds", rounds], [run.seed], run.device)
    rows, contestants = [], {}
    for frames in lengths:
        row = {"frames": frames, "seconds": {}, "memory": peaks(frames, rows, run)}
        if "failed" not in row["memory"]:
            contestants[frames] = contestant(frames, run)
        rows.append(row)
    for frames, timing in interleave(contestants, run).items():
        next(row for row in rows if row["frames"] == frames).update(timing)
    for row in rows:
        told = [f"{part} {short(1e3 * found['median'])} ms" for part, found in row["seconds"].items()]
        told += [
            f"{part} {peak if part == 'failed' else f'{peak / 2**20:.1f} MiB'}"
            for part, peak in row["memory"].items()
        ]
        print(f"{row['frames']:>5} frames: {', '.join(told)}")
    fitted = exponents(rows)
    print("exponents:", ", ".join(f"{name} {found['fitted']:.2f}" for name, found in fitted.items()))
    if given.out:
        record.write(given.out, report | {"rows": rows, "exponents": fitted})


if __name__ == "__main__":
    main()
