"""`posemamba benchmark`."""

import sys
import time
from pathlib import Path
from typing import Annotated

from typer import Option

from posemamba.cli.terminal import Progress, Seed, say

Words = list[str] | None
Count = int | None
PEER = """A Python file with NETWORKS, by name a function of the frames that makes a network to time beside
ours. It is run: name only what you trust. Repeatable."""
OUT = "The JSON file; by default one in this folder, named by device and time."


def benchmark(
    only: Annotated[Words, Option(help="A section: scan or network. Repeatable.")] = None,
    shape: Annotated[Words, Option(help="A size of the scan, such as S, BL or N64. Repeatable.")] = None,
    device: Annotated[str, Option(help="cpu or cuda.")] = "cpu",
    rounds: Annotated[Count, Option(min=1, max=1000, help="Measurements of each.")] = None,
    threads: Annotated[Count, Option(min=1, max=1024, help="CPU threads, all cores by default.")] = None,
    peer: Annotated[Words, Option(help=PEER)] = None,
    seed: Seed = 0,
    quick: Annotated[bool, Option("--quick", help="Tiny sizes, to see that everything runs.")] = False,
    save: Annotated[Path | None, Option("--out", help=OUT)] = None,
) -> None:
    """Measure this machine: scans and networks, beside what else is installed.

    The record is written as it grows. Ctrl-C stops and keeps what is there.
    """
    from posemamba.benchmark import Run, measure

    given = {name: value for name, value in (("threads", threads), ("rounds", rounds)) if value is not None}
    with Progress(None) as progress:
        run = Run(device=device, seed=seed, log=progress.stage, **given)
        run = run.choose(shape or (), peer or (), quick)
        save = save or Path(time.strftime(f"posemamba-benchmark-{device}-%Y%m%d-%H%M%S.json"))
        say(f"The record grows in {save}.")
        command = [Path(word).name for word in sys.argv]  # a folder's place is somebody's own
        measure(run, save, command, only or (), lambda grid: say(grid, "", sep="\n"))
    say(f"Written to {save}.")
