"""How long a chapter, or some training steps, takes beside busy processes, and what environment helps.

    python figures/benchmark/under_load.py --run book/intro.ipynb --busy 0 --busy 2 --rounds 3
    python figures/benchmark/under_load.py --run train --steps 50

runs the same work under each of the environments named below, in turns, with so many busy processes beside
it, and prints the wall times, and the processors' time that the work itself took: where this does not grow
with the load, the work loses what others take of the cores, and no more. Half of the busy processes count in
plain Python; the others multiply matrices in torch with two threads, which spin while they wait for each
other, as most of a user's other work would.

torch's wheels for Linux bring libgomp, whose waiting threads spin by default: on cores that others want, they
hold up even the thread for which they wait. It reads OMP_WAIT_POLICY when it is loaded, that is, with torch.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from posemamba import record
from posemamba.benchmark.runs import summary

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = {
    # libgomp's own default, spelled out, since book.setup would choose PASSIVE; it wins over the policy.
    "as it comes": {"GOMP_SPINCOUNT": "300000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "short spins": {"GOMP_SPINCOUNT": "1000"},
    "one thread": {"OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "300000"},
}
CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
SPIN = "while True: pass"
MULTIPLY = "import torch; torch.set_num_threads(2); a = torch.rand(512, 512)\nwhile True: a @ a"


def busy(count: int) -> list[subprocess.Popen]:
    """So many busy processes: a Python loop, matrix products, a Python loop, ..."""
    works = [(SPIN, MULTIPLY)[i % 2] for i in range(count)]
    return [subprocess.Popen([sys.executable, "-c", work], env=environment({})) for work in works]


def environment(chosen: dict[str, str]) -> dict[str, str]:
    """This process's, with the chosen variables and no others of their kind."""
    return {name: value for name, value in os.environ.items() if name not in CHOICES} | chosen


def command(work: str, steps: int, folder: str) -> list[str]:
    """What is run: a notebook in an empty folder, or training."""
    if work.endswith(".ipynb"):
        return [sys.executable, str(ROOT / "tools" / "notebooks.py"), "try", work]
    if work == "train":
        code = "import sys; from posemamba.cli import main; main(sys.argv[1:])"
        return [sys.executable, "-c", code, "train", "--steps", str(steps), "--folder", folder]
    return [sys.executable, "-c", work]


def seconds(work: str, steps: int, chosen: dict[str, str]) -> tuple[float, float]:
    """Wall and processors' time of the work under an environment. SystemExit where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        begin, before = time.perf_counter(), os.times()
        done = subprocess.run(
            command(work, steps, folder), env=environment(chosen), capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{work} failed:\n{done.stderr or done.stdout}")
        wall, after = time.perf_counter() - begin, os.times()
        spent = sum(getattr(after, of) - getattr(before, of) for of in ("children_user", "children_system"))
        return wall, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="append", default=[], help="a notebook, 'train', or Python code")
    parser.add_argument("--busy", action="append", type=int, default=[], help="processes beside it")
    parser.add_argument("--under", action="append", default=[], choices=list(ENVIRONMENTS))
    parser.add_argument("--steps", type=int, default=50, help="of training")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="next to nothing once, to see that it runs")
    parser.add_argument("--out", type=Path, help="also write the times to this JSON file")
    given = parser.parse_args()
    works, loads = given.run or [str(ROOT / "book" / "intro.ipynb"), "train"], given.busy or [0, 2]
    names, rounds = given.under or list(ENVIRONMENTS), given.rounds
    if given.quick:
        works, loads, names, rounds = ["pass"], [1], names[:2], 1
    told = [Path(work).name if work.endswith(".ipynb") else work for work in works]
    words = [f"--run={work}" for work in told] + [f"--busy={load}" for load in loads]
    words += [*(f"--under={name}" for name in names), f"--steps={given.steps}", f"--rounds={rounds}"]
    script = ["python", "figures/benchmark/under_load.py"]
    report = record.head("wall times beside busy processes", [*script, *words], [0]) | {"rows": []}

    found = {(work, load, name): [] for work in works for load in loads for name in names}
    for round_ in range(rounds):
        for load in loads:
            beside = busy(load)
            try:
                for work in works:
                    for name in names if round_ % 2 else names[::-1]:
                        found[work, load, name].append(seconds(work, given.steps, ENVIRONMENTS[name]))
            finally:
                for process in beside:
                    process.kill()
                    process.wait()
    print(f"{'':<28} {'busy':>4} {'':<14} median, s   least to most, processors' s")
    for (work, load, name), times in found.items():
        values, spent = zip(*times, strict=True)
        row = {"work": told[works.index(work)], "busy": load, "environment": name}
        row |= {"seconds": summary([*values]), "processor_seconds": summary([*spent])}
        report["rows"].append(row)
        print(f"{row['work']:<28} {load:>4} {name:<14} {row['seconds']['median']:9.1f}", end="   ")
        print(f"{min(values):.1f} to {max(values):.1f}, {row['processor_seconds']['median']:.1f}", flush=True)
    if given.out:
        record.write(given.out, report)


if __name__ == "__main__":
    main()
