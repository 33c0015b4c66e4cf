"""Measure the kept record of the scans again: `posemamba benchmark`, with lower bounds beside it.

    python figures/benchmark/kept.py --threads 2 --peer ../MotionAGFormer --peer ../MotionBERT

writes posemamba/assets/measured/benchmark.json, which "A kernel you can read" and the README draw from: the
scans of all sizes with the bound of bounds.py timed in turns with them, then the networks and the training
steps. It takes an hour on two cores. memory.py and lengths.py measure what is not in it.
"""

import argparse
import sys
from pathlib import Path

from bounds import bare_loop, gpu_bound
from peers import Peer
from steps import steps

from posemamba import record
from posemamba.benchmark import Run, measure
from posemamba.benchmark.runs import timer
from posemamba.benchmark.sections import SECTIONS, scans

OUT = Path(__file__).resolve().parents[2] / "posemamba" / "assets" / "measured" / "benchmark.json"
BOUND = "lower bound"


def bounded(run: Run):
    """The section "scan" with the bound, and each row's ratio to it."""

    def loop(shape):
        work = timer(bare_loop(shape, run.threads), "cpu", "forward")
        return {BOUND: work} if run.device == "cpu" else {}

    for content in scans(run, loop):
        for case, shape in zip(content["cases"], run.shapes, strict=False):
            if run.device == "cuda" and case["rows"][-1]["name"] != BOUND:
                case["rows"].append(gpu_bound(shape))
            *rows, bound = case["rows"]
            for row in rows:
                row["to_bound"] = {
                    part: found["median"] / bound["seconds"][part]["median"]
                    for part, found in row.get("seconds", {}).items()
                    if part in bound["seconds"]
                }
        yield content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=record.cores())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", action="append", default=[], help="a section; all without one")
    parser.add_argument("--shape", action="append", default=[], help="a size of the scan; all without one")
    parser.add_argument("--peer", action="append", default=[], help="a checkout, whose networks run too")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    peers = [Peer(path) for path in given.peer]
    makers = {name: make for peer in peers for name, make in peer.makers().items()}
    run = Run(device=given.device, threads=given.threads, rounds=given.rounds, peers=makers)
    run = run.choose(given.shape, quick=given.quick)
    options = [Path(word).name for word in sys.argv[1:]]  # a folder's place is somebody's own
    command = ["python", "figures/benchmark/kept.py", *options]
    sections = SECTIONS | {"scan": bounded, "training": steps}
    told = [peer.described() for peer in peers]
    measure(run, given.out, command, given.only, print, sections, peers=told)


if __name__ == "__main__":
    main()
