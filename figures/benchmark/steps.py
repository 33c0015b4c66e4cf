"""Training steps: the section "training" of the kept record, which memory.py and lengths.py measure too."""

from collections.abc import Iterator
from itertools import product

import torch
from torch import nn

from posemamba.benchmark.runs import Run, interleave, timer
from posemamba.losses import pose_loss
from posemamba.model import PoseMamba
from posemamba.skeleton import JOINTS
from posemamba.training import parameter_groups


def ours(variant: str, frames: int, seed: int) -> nn.Module:
    """A PoseMamba with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    return PoseMamba.from_variant(variant, frames=frames).eval()


class Step:
    """A training step, forward, loss, backward and AdamW, on one random batch; call it again and again."""

    def __init__(self, variant: str, batch: int, run: Run, narrow: bool = False):
        self.network = ours(variant, run.frames, run.seed).train().to(run.device)
        self.optimizer = torch.optim.AdamW(parameter_groups(self.network, 0.01), lr=2e-4)
        self.keypoints = (torch.rand(batch, run.frames, JOINTS, 2) - 0.5).to(run.device)
        self.targets = (torch.rand(batch, run.frames, JOINTS, 3) - 0.5).to(run.device)
        self.device, self.narrow = run.device, narrow

    def __call__(self) -> None:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.narrow):
            poses = self.network(self.keypoints)
        loss, _ = pose_loss(poses.float(), self.targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


def steps(run: Run) -> Iterator[dict]:
    """Whole steps of the first and of the last of `run.variants`."""
    cases = []
    sizes = product((4, 64), ("float32", "bfloat16")) if run.device == "cuda" else [(1, "float32")]
    for batch, precision in sizes:
        contestants = {}
        for variant in dict.fromkeys((run.variants[0], run.variants[-1])):
            step = Step(variant, batch, run, precision == "bfloat16")
            contestants[f"PoseMamba-{variant}"] = timer(step, run.device, "step")
        rows = [{"name": name} | timing for name, timing in interleave(contestants, run).items()]
        cases.append({"batch": batch, "precision": precision, "rows": rows})
        yield {"frames": run.frames, "cases": cases}
