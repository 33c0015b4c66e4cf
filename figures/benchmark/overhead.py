"""What the training loop adds to the network's own forward and backward pass.

    python figures/benchmark/overhead.py --variant S --frames 243 --batch 4 --steps 20

trains for so many steps with everything on: windows through virtual cameras with a detector's noise, the
loss, clipping, AdamW, a running mean, curves, checkpoints as they fall due. After each step a second network
of the same shape goes forward and backward on a batch of the same size. So the two take turns, step by step,
and what else the machine has to do meets both alike. Told are medians of wall time and of processor time (of
all threads of the process, which other processes' load changes little). The first step, which warms up, is
left out.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `posemamba train` has it, before torch comes

import torch

from posemamba import VARIANTS, record
from posemamba.benchmark.runs import summary
from posemamba.losses import LOSS_WEIGHTS
from posemamba.model import PoseMamba
from posemamba.motion import synthetic_clips
from posemamba.training import TrainingConfig, train

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def clocks() -> dict[str, float]:
    return {name: clock() for name, clock in CLOCKS.items()}


class Turns:
    """The loop's log, which lets the bare network have its turn; seconds by clock of both."""

    def __init__(self, config: TrainingConfig):
        torch.manual_seed(0)
        shape = config.data.batch_size, config.frames, config.model.joints
        self.bare, self.inputs = PoseMamba(config.model).train(), torch.rand(*shape, 2) - 0.5
        self.pull = torch.rand(*shape, 3) - 0.5
        self.loop, self.alone = [], []
        self.began = clocks()

    def __call__(self, step: int, figures: dict[str, float]) -> None:
        ended = clocks()
        self.bare(self.inputs).backward(self.pull)
        now = clocks()
        self.loop.append({name: ended[name] - self.began[name] for name in CLOCKS})
        self.alone.append({name: now[name] - ended[name] for name in CLOCKS})
        self.bare.zero_grad()
        self.began = clocks()


def measure(variant: str, frames: int, batch: int, steps: int, save_every: float) -> dict:
    """{clock: {"loop", "alone": seconds a step, "overhead": share}}"""
    config = TrainingConfig(
        **VARIANTS[variant] | dict(frames=frames, batch_size=batch, steps=steps + 1, drop_path=0.0),
        **dict(noise="detector", balance="epochs", stride=9, targets="2.5d", ema=0.999),
        loss=LOSS_WEIGHTS["released"],
    )
    turns = Turns(config)
    with tempfile.TemporaryDirectory() as folder:
        clips = synthetic_clips(seed=0, train=1, test=1, seconds=8.0)
        train(config, clips, folder, save_every=save_every, log=turns, device="cpu")
    found = {}
    for name in CLOCKS:
        loop, alone = ([each[name] for each in part[1:]] for part in (turns.loop, turns.alone))
        more = sum(loop) / sum(alone) - 1
        found[name] = dict(loop=summary(loop), alone=summary(alone), overhead_of_sums=more)
        found[name]["overhead"] = found[name]["loop"]["median"] / found[name]["alone"]["median"] - 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="S", choices=list(VARIANTS))
    parser.add_argument("--frames", type=int, default=243)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--save-every", type=float, default=30.0, help="seconds between checkpoints")
    parser.add_argument("--quick", action="store_true", help="next to nothing once, to see that it runs")
    parser.add_argument("--out", type=Path, help="also write the times to this JSON file")
    given = parser.parse_args()
    if given.quick:
        given.frames, given.batch, given.steps = 9, 2, 2
    command = ["python", "figures/benchmark/overhead.py", f"--variant={given.variant}"]
    command += [f"--{name}={getattr(given, name)}" for name in ("frames", "batch", "steps")]
    report = record.head("what the training loop adds to forward and backward", command, [0])
    report |= measure(given.variant, given.frames, given.batch, given.steps, given.save_every)
    print(f"{'':<10} {'loop, s':>8} {'alone, s':>8}  overhead: of medians, of sums")
    for name in CLOCKS:
        loop, alone = (report[name][part]["median"] for part in ("loop", "alone"))
        shares = f"{report[name]['overhead']:.1%}, {report[name]['overhead_of_sums']:.1%}"
        print(f"{name:<10} {loop:8.3f} {alone:8.3f}  {shares}", flush=True)
    if given.out:
        record.write(given.out, report)


if __name__ == "__main__":
    main()
