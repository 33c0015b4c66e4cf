"""Measure what one block costs over the number of frames: a scan, full attention, factored attention.

    python figures/benchmark/cost_over_length.py

times the forward passes of three blocks of 64 channels in turns, and of the parts of PoseMamba's own block,
and writes seconds, peak memory and multiply-adds to posemamba/assets/measured/cost_over_length.json. It takes
about two minutes on two cores. `nice -n -19` before it (as root) keeps others on the machine out of it.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import psutil
import torch
from memory import Peak, apart
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from posemamba import record
from posemamba.benchmark.runs import Run, interleave, summary, timer
from posemamba.model import Block, PoseMambaConfig

OUT = Path(__file__).resolve().parents[2] / "posemamba" / "assets" / "measured"
CHANNELS, HEADS, JOINTS = 64, 4, 17
WIDTHS = ((64, "S"), (128, "B, L"), (256, "X"))
LENGTHS = (27, 54, 81, 162, 243, 486, 972)
ARMS = ("scan", "full attention", "factored attention")


class Attention(nn.Module):
    """Self-attention over the last dimension but one, behind a norm."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.norm, self.heads = nn.LayerNorm(channels, eps=1e-6), heads
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, tokens):
        shape = tokens.shape
        tokens = self.norm(tokens).flatten(0, -3)  # one batch dimension: torch's fused kernel asks for it
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)).view(shape)


class AttentionBlock(nn.Module):
    """The usual block in place of the scan's: attention, and the MLP of PoseMamba's block.

    Full: every token sees all tokens of the sequence. Factored: the joints of its frame, then the frames of
    its joint.
    """

    def __init__(self, channels: int, heads: int, factored: bool):
        super().__init__()
        self.attentions = nn.ModuleList(Attention(channels, heads) for _ in range(1 + factored))
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )

    def forward(self, tokens):  # (batch, frames, joints, channels)
        if len(self.attentions) == 1:
            flat = tokens.flatten(1, 2)
            tokens = (flat + self.attentions[0](flat)).view_as(tokens)
        else:
            tokens = tokens + self.attentions[0](tokens)
            tokens = tokens + self.attentions[1](tokens.transpose(1, 2)).transpose(1, 2)
        return tokens + self.mlp(self.norm(tokens))


def block(arm: str, seed: int = 0) -> nn.Module:
    """One of the three, with random weights."""
    torch.manual_seed(seed)
    if arm == "scan":
        return Block(PoseMambaConfig(channels=CHANNELS)).eval()
    return AttentionBlock(CHANNELS, HEADS, arm == "factored attention").eval()


def tokens(frames: int, channels: int = CHANNELS, seed: int = 0) -> torch.Tensor:
    """A sequence for a block."""
    return torch.randn(1, frames, JOINTS, channels, generator=torch.Generator().manual_seed(seed))


def macs(module: nn.Module, sequence: torch.Tensor) -> int:
    """Multiply-adds by torch's FLOP counter. It counts nothing for the fused attention kernel of a CPU, so
    that attention is written out here as its two products."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(sequence)
    return counter.get_total_flops() // 2


def peak(arm: str, frames: int, threads: int) -> int:
    """Bytes that a forward pass needs at its peak, its output among them. For a process of its own."""
    torch.set_num_threads(threads)
    module, sequence = block(arm), tokens(frames)
    with torch.no_grad():
        module(tokens(1))
        with Peak() as found:
            module(sequence)
    return found.bytes


def forward(module: nn.Module, sequence: torch.Tensor):
    """A forward pass, without gradients."""

    def run() -> None:
        with torch.no_grad():
            module(sequence)

    return run


# Operators by what they do; what is not named here is the rest.
REST = "elementwise, copies"
KINDS = {
    "posemamba::scan": "scan",
    "aten::addmm": "matrix products",
    "aten::mm": "matrix products",
    "aten::bmm": "matrix products",
    "aten::native_layer_norm": "norms",
}


def parts(channels: int, frames: int, rounds: int, seed: int) -> dict[str, dict[str, float]]:
    """Seconds that PoseMamba's block spends in each kind of operator, by torch's profiler."""
    torch.manual_seed(seed)
    module, sequence = Block(PoseMambaConfig(channels=channels)).eval(), tokens(frames, channels)
    found = defaultdict(list)
    with torch.no_grad():
        for round_ in range(rounds + 2):
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
                module(sequence)
            if round_ < 2:  # warms up
                continue
            seconds = dict.fromkeys((*KINDS.values(), "convolution", REST), 0.0)
            for event in profile.key_averages():
                kind = "convolution" if "conv" in event.key else KINDS.get(event.key, REST)
                seconds[kind] += event.self_cpu_time_total / 1e6
            for kind, value in seconds.items():
                found[kind].append(value)
    return {kind: summary(values) for kind, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--limit", type=float, default=10.0, help="seconds; a longer sequence is not tried")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one length, to see that it runs")
    parser.add_argument("--out", default=str(OUT / "cost_over_length.json"))
    given = parser.parse_args()

    lengths, widths = (LENGTHS[:1], WIDTHS[:1]) if given.quick else (LENGTHS, WIDTHS)
    run = Run(threads=given.threads, rounds=2 if given.quick else given.rounds, budget=60.0, seed=given.seed)
    torch.set_num_threads(run.threads)
    command = ["python", "figures/benchmark/cost_over_length.py", "--threads", run.threads]
    command += ["--rounds", run.rounds, "--seed", run.seed]
    report = record.head("forward pass of one block, one sequence, float32", command, [run.seed])
    report |= {"threads": run.threads, "load_at_begin": round(psutil.getloadavg()[0], 2)}
    report |= {"nice": psutil.Process().nice(), "channels": CHANNELS, "heads": HEADS, "joints": JOINTS}
    rows, contestants = [], {}
    for arm in ARMS:
        module = block(arm, run.seed)
        for frames in lengths:
            work = timer(forward(module, tokens(frames, seed=run.seed)), "cpu", "forward")
            row = {"arm": arm, "frames": frames, "macs": macs(module, tokens(frames))}
            rows.append(row)
            contestants[f"{arm}, {frames}"] = work
            if work()["forward"] > given.limit:
                break
    for row, timing in zip(rows, interleave(contestants, run).values(), strict=True):
        row.update(timing)
    spent = []
    for channels, variants in widths:
        frames = lengths[-1] if given.quick else 243
        seconds = parts(channels, frames, run.rounds, run.seed)
        spent.append({"variants": variants, "channels": channels, "frames": frames, "seconds": seconds})
    for row in rows:
        row["bytes"] = apart(peak, row["arm"], row["frames"], run.threads)
        print(
            f"{row['arm']:<19} {row['frames']:>4} frames: {row['macs'] / 1e9:7.3f} G MACs, "
            f"{1e3 * row['seconds']['forward']['median']:8.2f} ms, {row['bytes'] / 2**20:7.1f} MiB"
        )
    for row in spent:
        told = ", ".join(f"{kind} {1e3 * found['median']:.2f} ms" for kind, found in row["seconds"].items())
        print(f"one block of {row['variants']}: {told}")
    record.write(given.out, report | {"rows": rows, "parts": spent})


if __name__ == "__main__":
    main()
