"""The least that a machine must do for a scan, measured here.

    python figures/benchmark/bounds.py --device cpu

On a CPU: a bare loop of its exponentials and multiply-adds. For each state of each channel at each token, the
recurrence h <- exp(step A) h + w needs one exponential, of an argument that is new each time, and one
multiply-add. The loop does exactly these, in registers: nothing is read, and one number is written for each
chain of L steps. The exponential is the package's own, of the same accuracy. What a kernel needs beyond (the
other products, B, C, the output, memory) is its to hide; the ratio to this bound says how well it does.

On a GPU: to move its bytes, or to compute its exponentials, whichever takes longer. Each input is read once
and each output written once; the backward pass reads the inputs and y's gradient and writes the five
gradients. Exponentials are computed once in the forward pass and again in the backward pass (to keep them
would move far more bytes). Both rates are measured, on the GPU at hand.
"""

import argparse
import statistics
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from numba import float32, int64, njit, types

from posemamba.benchmark.runs import Run, Shape, interleave, now, timer
from posemamba.benchmark.tables import short
from posemamba.scan.cpu.exponentials import decay as exponential  # exponential(step, rate) = 2^(step rate)
from posemamba.scan.cpu.lanes import LANES, load, spread, store

#: Independent chains in the inner loop, so that one's multiply-add does not wait for another's.
CHAINS = 4
#: How much the step grows at each token. The argument must change, or the compiler would take the
#: exponential out of the loop.
GROWTH = 2.0**-17


def _chains(rates, start, ends, tokens, first, end):
    """Run chains h <- 2^(step rate) h + w, CHAINS groups of LANES at a time; `ends` takes the last h."""
    zero, grow = spread(np.float32(0)), spread(np.float32(GROWTH))
    write = load(start, 1, 0)
    for task in range(first, end):
        r0, r1 = load(rates, task * 4, 0), load(rates, task * 4 + 1, 0)
        r2, r3 = load(rates, task * 4 + 2, 0), load(rates, task * 4 + 3, 0)
        h0, h1, h2, h3 = zero, zero, zero, zero
        step = load(start, 0, 0)
        for _ in range(tokens):
            step = step + grow
            h0 = exponential(step, r0) * h0 + write
            h1 = exponential(step, r1) * h1 + write
            h2 = exponential(step, r2) * h2 + write
            h3 = exponential(step, r3) * h3 + write
        store(ends, task * 4, 0, h0)
        store(ends, task * 4 + 1, 0, h1)
        store(ends, task * 4 + 2, 0, h2)
        store(ends, task * 4 + 3, 0, h3)


class BareLoop:
    """The CPU's loop for a scan of some size, dealt out to threads.

    Args:
        chains: states that are carried along: batch x channels x N.
        tokens: L.
        threads: how many work at it.
    """

    def __init__(self, chains: int, tokens: int, threads: int):
        table = types.Array(float32, 2, "C")
        signature = types.void(table, table, table, int64, int64, int64)
        self._kernel = njit(signature, nogil=True, cache=True, fastmath={"contract"})(_chains)
        self.tasks = -(-chains // (CHAINS * LANES))
        self.tokens, self.threads = tokens, threads
        # Rates -1 to -16, as the scans' A; steps from 0.05 on.
        rates = -np.arange(1, self.tasks * CHAINS * LANES + 1, dtype=np.float32).reshape(-1, LANES)
        self.rates = np.ascontiguousarray(rates % -16 - 1)
        self.start = np.array([[0.05] * LANES, [1.0] * LANES], np.float32)
        self.ends = np.zeros_like(self.rates)
        self._pool = ThreadPoolExecutor(threads)

    def __call__(self) -> None:
        self._run(self.rates)

    def count(self) -> int:
        """How many multiply-adds one call does, counted by the loop itself: with all rates 0 and w = 1 each
        step adds 1 to its h."""
        self._run(np.zeros_like(self.rates))
        return int(self.ends.sum(dtype=np.float64))

    def _run(self, rates: np.ndarray) -> None:
        arrays = (rates, self.start, self.ends, self.tokens)
        edges = [self.tasks * i // self.threads for i in range(self.threads + 1)]
        parts = [
            self._pool.submit(self._kernel, *arrays, edges[i], edges[i + 1]) for i in range(self.threads)
        ]
        for part in parts:
            part.result()


def bare_loop(shape: Shape, threads: int) -> BareLoop:
    """The CPU's bound for a scan."""
    return BareLoop(shape.exponentials // shape.tokens, shape.tokens, threads)


@lru_cache
def gpu_rates(rounds: int = 10) -> dict[str, float]:
    """Bytes a second of a copy of 1 GiB (read and written), and exponentials a second in registers, each
    with its multiply-add. Medians."""
    from exponentials_on_gpu import BLOCK, CHAINS_A_LANE, run_exponentials

    source = torch.ones(2**28, device="cuda")
    target = torch.empty_like(source)
    programs, tokens = 64 * torch.cuda.get_device_properties(0).multi_processor_count, 1024

    def median(work) -> float:
        times = []
        for _ in range(rounds + 2):
            begin = now("cuda")
            work()
            times.append(now("cuda") - begin)
        return statistics.median(times[2:])

    computed = CHAINS_A_LANE * BLOCK * programs * tokens
    return {
        "bytes_a_second": 2 * source.nbytes / median(lambda: target.copy_(source)),
        "exponentials_a_second": computed / median(lambda: run_exponentials(programs, tokens, "cuda")),
    }


def gpu_bound(shape: Shape) -> dict:
    """The GPU's bound as a row: seconds of the forward pass and of both, and which of the two decides."""
    size = getattr(torch, shape.dtype).itemsize
    output = shape.batch * shape.groups * shape.inner * shape.tokens * size
    chosen = shape.batch * shape.groups * shape.state * shape.tokens * size
    inputs = 2 * output + 2 * chosen + 4 * shape.groups * shape.inner * shape.state
    rates = gpu_rates()
    found = {"name": "lower bound", "kind": "bound", "seconds": {}, "decides": {}, "rates": rates}
    for part, moved, times in (("forward", inputs + output, 1), ("both", 3 * inputs + 2 * output, 2)):
        candidates = {
            "bytes": moved / rates["bytes_a_second"],
            "exponentials": times * shape.exponentials / rates["exponentials_a_second"],
        }
        found["decides"][part] = max(candidates, key=candidates.get)
        found["seconds"][part] = {"median": candidates[found["decides"][part]]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--quick", action="store_true", help="a tiny size, to see that it runs")
    given = parser.parse_args()
    run = Run(rounds=5).choose(quick=given.quick) if given.device == "cpu" else Run(device="cuda").choose()
    for shape in run.shapes:
        if given.device == "cuda":
            row = gpu_bound(shape)
            told = [f"{p} {short(1e3 * s['median'])} ms" for p, s in row["seconds"].items()]
            print(f"{shape.name}: {', '.join(told)}, by {row['decides']}")
        else:
            loop = bare_loop(shape, run.threads)
            (row,) = interleave({"": timer(loop, "cpu", "forward")}, run).values()
            seconds = row["seconds"]["forward"]["median"]
            rate = loop.count() / seconds / 1e9
            print(f"{shape.name}: forward {short(1e3 * seconds)} ms, {rate:.2f} exponentials a nanosecond")


if __name__ == "__main__":
    main()
