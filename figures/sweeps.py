"""What commands that train many small networks share: their arguments, the runs in turn, what they write."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from posemamba import record
from posemamba.training import Interrupted


def arguments(name: str, about: str, seeds: Sequence[int], steps: int) -> argparse.ArgumentParser:
    """The parser of the command figures/NAME.py."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--data", default="synthetic", help="'synthetic', or a file of motion")
    parser.add_argument("--folder", default=f"runs/{name}", help="where the runs are kept")
    parser.add_argument("--out", help="the folder of assets to write to; FOLDER/assets by default")
    parser.add_argument("--steps", type=int, default=steps, help="of each run")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    parser.set_defaults(name=name)
    return parser


def command(given: argparse.Namespace, parser: argparse.ArgumentParser, *more: str) -> list[str]:
    """The words that make the record again: the data's name, and what differs from the defaults."""
    words = ["python", f"figures/{given.name}.py", "--data", Path(given.data).name]
    for option in ("steps", *more):
        if (value := getattr(given, option)) != parser.get_default(option):
            words += [f"--{option}", *map(str, value if isinstance(value, list) else [value])]
    return words


def in_turn(
    planned: Iterable[tuple[str, int]], run: Callable[[str, int], dict], told: Callable[[dict], str]
) -> list[dict] | None:
    """The runs (row, seed), each made or read, with a line for each; None where they were stopped."""
    runs = []
    try:
        for row, seed in planned:
            runs.append(run(row, seed))
            print(f"{row}, seed {seed}: {told(runs[-1])}", flush=True)
    except (Interrupted, KeyboardInterrupt):
        print("Stopped; what was done is kept. The same command goes on.")
        return None
    return runs


def write(given: argparse.Namespace, head: dict, runs: list[dict], **figures) -> Path:
    """The record of all runs; which machine and which code made them stands in its head."""
    machine = {name: runs[0][name] for name in ("date", "hardware", "versions")}
    commits = ", ".join(sorted({each["commit"] or "unknown" for each in runs}))
    own = [{k: v for k, v in run.items() if k not in (*record.HEAD, "config")} for run in runs]
    target = Path(given.out or Path(given.folder) / "assets") / "measured" / f"{given.name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    record.write(target, head | machine | {"commit": commits} | figures | {"runs": own})
    print(f"{len(runs)} runs written to {target}")
    return target
