"""The least that a CPU must do for a scan: a bare loop of its exponentials and multiply-adds.

For each state of each channel at each token, the recurrence h <- exp(step A) h + w needs one exponential,
of an argument that is new each time, and one multiply-add. The loop here does exactly these, in registers:
nothing is read, and one number is written for each chain of L steps. The exponential is the package's own,
of the same accuracy. What a kernel needs beyond (the other products, B, C, the output, memory) is its to
hide; the ratio to this bound says how well it does.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import float32, int64, njit, types

from posemamba.scan.exponentials import decay as exponential  # exponential(step, rate) = 2^(step rate)
from posemamba.scan.lanes import LANES, load, spread, store

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
    """The loop for a scan of some size, dealt out to threads.

    Arguments:
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
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def __call__(self) -> None:
        self._run(self.rates)

    def count(self) -> int:
        """How many multiply-adds one call does, counted by the loop itself: with all rates 0 and w = 1 each
        step adds 1 to its h."""
        self._run(np.zeros_like(self.rates))
        return int(self.ends.sum(dtype=np.float64))

    def _run(self, rates: np.ndarray) -> None:
        arrays = (rates, self.start, self.ends, self.tokens)
        if self._pool is None:
            self._kernel(*arrays, 0, self.tasks)
            return
        edges = [self.tasks * i // self.threads for i in range(self.threads + 1)]
        parts = [
            self._pool.submit(self._kernel, *arrays, edges[i], edges[i + 1]) for i in range(self.threads)
        ]
        for part in parts:
            part.result()
