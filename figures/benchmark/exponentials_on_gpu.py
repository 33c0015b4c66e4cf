"""Exponentials a second on a GPU, each with its multiply-add, in registers: a Triton loop for bounds.py."""

import torch
import triton
import triton.language as tl

BLOCK = 1024
CHAINS_A_LANE = 4


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
    """The loop on `programs` blocks: CHAINS_A_LANE x BLOCK x tokens exponentials each. Returns the sums."""
    ends = torch.empty(programs * BLOCK, device=device)
    _exponentials[(programs,)](ends, 2.0**-17, tokens, BLOCK)
    return ends
