"""The least that a GPU must do for a scan: move its bytes, and compute its exponentials.

Whichever of the two takes longer is the bound. Bytes: each input is read once and each output written once;
the backward pass reads the inputs and y's gradient and writes the five gradients. Exponentials: one for each
state at each token in the forward pass and again in the backward pass (to keep them would move far more
bytes). Both rates are measured here, on the GPU at hand.
"""

import statistics
from functools import lru_cache

import torch
import triton
import triton.language as tl

from posemamba.benchmark.cases import Shape
from posemamba.benchmark.timing import Clock

BLOCK = 1024
CHAINS = 4


@triton.jit
def _exponentials(ends, growth, tokens: tl.constexpr, BLOCK: tl.constexpr):
    """Chains h <- 2^(step rate) h + 1, four in each lane; `ends` takes their sum: none is left out."""
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    rate = -1.0 - (lane % 16).to(tl.float32)
    step = tl.full((BLOCK,), 0.05, tl.float32)
    h0 = tl.zeros((BLOCK,), tl.float32)
    h1, h2, h3 = h0, h0, h0
    for _ in range(tokens):
        step += growth
        h0 = tl.exp2(step * rate) * h0 + 1.0
        h1 = tl.exp2(step * (rate - 1.0)) * h1 + 1.0
        h2 = tl.exp2(step * (rate - 2.0)) * h2 + 1.0
        h3 = tl.exp2(step * (rate - 3.0)) * h3 + 1.0
    tl.store(ends + lane, h0 + h1 + h2 + h3)


def run_exponentials(programs: int, tokens: int, device: str) -> torch.Tensor:
    """The loop on `programs` blocks: CHAINS x BLOCK x tokens exponentials each. Returns the sums."""
    ends = torch.empty(programs * BLOCK, device=device)
    _exponentials[(programs,)](ends, 2.0**-17, tokens, BLOCK)
    return ends


@lru_cache
def rates(rounds: int = 10) -> dict[str, float]:
    """Bytes a second of a copy of 1 GiB (read and written), and exponentials a second in registers, each
    with its multiply-add. Medians."""
    clock = Clock("cuda")
    source = torch.ones(2**28, device="cuda")
    target = torch.empty_like(source)
    programs = 64 * torch.cuda.get_device_properties(0).multi_processor_count
    tokens = 1024

    def median(work) -> float:
        times = []
        for _ in range(rounds + 2):
            begin = clock.start()
            work()
            times.append(clock.between(begin, clock.mark()))
        return statistics.median(times[2:])

    return {
        "bytes_a_second": 2 * source.nbytes / median(lambda: target.copy_(source)),
        "exponentials_a_second": CHAINS
        * BLOCK
        * programs
        * tokens
        / median(lambda: run_exponentials(programs, tokens, "cuda")),
    }


def bounds(shape: Shape) -> dict:
    """The row of the lower bound: seconds of the forward pass and of both, and which of the two decides."""
    measured, moved = rates(), shape.bytes()
    bytes_ = {
        "forward": moved["inputs"] + moved["output"],
        "both": 2 * moved["inputs"] + 2 * moved["output"] + moved["inputs"],
    }
    exponentials = {"forward": shape.exponentials, "both": 2 * shape.exponentials}
    seconds, decides = {}, {}
    for part in ("forward", "both"):
        candidates = {
            "bytes": bytes_[part] / measured["bytes_a_second"],
            "exponentials": exponentials[part] / measured["exponentials_a_second"],
        }
        decides[part] = max(candidates, key=candidates.get)
        seconds[part] = {"median": candidates[decides[part]]}
    return {"seconds": seconds, "decides": decides, "bytes": bytes_, "exponentials": exponentials} | {
        "rates": measured
    }
