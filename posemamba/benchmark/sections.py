"""The sections of a record: scans, ours and other people's, and whole networks."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import product

import psutil
import torch
from torch import Tensor, nn

from posemamba.benchmark.runs import Run, Shape, Timer, compare, now, reason, timer
from posemamba.model import PoseMamba
from posemamba.scan import available_backends, selective_scan
from posemamba.skeleton import JOINTS


def _elsewhere(name: str, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Other people's scans, called as `selective_scan` is."""
    if name == "mamba-ssm":
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

        return selective_scan_fn(u, delta, A, B, C)

    def then(first, second):  # h -> a2 (a1 h + w1) + w2
        return second[0] * first[0], second[0] * first[1] + second[1]

    # The two others take ready-made decays and writes, (batch, tokens, channels, state), and return all h.
    B, C = (m.repeat_interleave(u.shape[1] // B.shape[1], 1).permute(0, 3, 1, 2) for m in (B, C))
    decay, write = torch.exp(delta.mT[..., None] * A), (delta * u).mT[..., None] * B
    if name == "mambapy":
        from mambapy.pscan import pscan

        states = pscan(decay, write)
    else:  # eager: autograd goes through its tree (its mode "pointwise" runs compiled on CUDA alone)
        from torch._higher_order_ops.associative_scan import associative_scan

        states = associative_scan(then, (decay, write), dim=1, combine_mode="generic")[1]
    return (states * C).sum(-1).mT


SCANS = {name: partial(_elsewhere, name) for name in ("mambapy", "torch associative_scan", "mamba-ssm")}
#: Numbers that are kept for each state at each token, gradients included, by those who keep many.
KEPT = {"mambapy": 17, "torch associative_scan": 12, "posemamba, associative": 9, "posemamba, reference": 5}
LOOP_TOKENS = 500


def everybody(device: str) -> tuple[dict[str, Callable[..., Tensor]], dict[str, str]]:
    """Those who scan on a device, with gradients, and why the others do not."""
    backends = available_backends()
    missing = {f"posemamba, {name}": why for name, why in backends.items() if why is not None}
    known = {f"posemamba, {name}": partial(selective_scan, backend=name) for name in backends} | SCANS
    for name in [name for name in known if name not in missing]:
        try:
            gradients_of(known[name], *Shape("probe", 1, 2, 16, 5, 16).inputs(device, 0))
        except Exception as error:  # whatever it is, the run goes on without this one
            absent = isinstance(error, ModuleNotFoundError)
            missing[name] = f"{error.name} is not installed" if absent else reason(error)
    return {name: call for name, call in known.items() if name not in missing}, missing


def refusal(name: str, shape: Shape, device: str = "cpu") -> str | None:
    """Why a scan of some size is not tried, or None. (A GPU says itself that its memory does not do.)"""
    if name == "posemamba, reference" and shape.tokens > LOOP_TOKENS:
        return f"a Python loop: timed up to {LOOP_TOKENS} tokens only"
    if name in SCANS and name in KEPT and shape.dtype != "float32":
        return "keeps its state in the inputs' dtype: timed in float32 only"
    need, free = 4 * KEPT.get(name, 1) * shape.exponentials, psutil.virtual_memory().available
    if device == "cpu" and need > 0.8 * free:  # a system short of memory may end more than this process
        return f"needs about {need / 2**30:.1f} GiB, of which {free / 2**30:.1f} GiB are free"
    return None


def gradients_of(call: Callable[..., Tensor], values: list[Tensor], cotangent: Tensor) -> list[Tensor]:
    """y and the gradients of all five inputs."""
    leaves = [value.detach().requires_grad_() for value in values]
    y = call(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, cotangent)]


def _scan_timer(call: Callable[..., Tensor], values: list[Tensor], cotangent: Tensor) -> Timer:
    """A contestant: "forward" is without gradients, "both" with the "backward" pass and all that it needs."""
    leaves, device = [value.detach().requires_grad_() for value in values], cotangent.device.type

    def measured() -> dict[str, float]:
        with torch.no_grad():
            found = timer(lambda: call(*values), device, "forward")()
        begin = now(device)
        y = call(*leaves)
        middle = now(device)
        torch.autograd.grad(y, leaves, cotangent)
        end = now(device)
        return found | {"backward": end - middle, "both": end - begin}

    return measured


def scans(run: Run, others: Callable[[Shape], dict[str, Timer]] = lambda shape: {}) -> Iterator[dict]:
    """The section "scan": from (u, delta, A, B, C) to y and to all five gradients, a row for each scan.

    `others` gives further contestants for a size, which get rows of the kind "bound".
    """
    here, missing = everybody(run.device)
    cases = []
    for shape in run.shapes:
        inputs, about = shape.inputs(run.device, run.seed), {}
        refused = {name: refusal(name, shape, run.device) for name in here}
        contestants = {name: _scan_timer(here[name], *inputs) for name, why in refused.items() if not why}
        contestants |= others(shape)
        for name in here | contestants:
            about[name] = {"kind": "peer" if name in SCANS else "backend" if name in here else "bound"}
            about[name] |= {"failed": refused[name]} if refused.get(name) else {}
        cases.append({"shape": asdict(shape), "rows": compare(run, contestants, about)})
        yield {"missing": missing, "cases": cases}


def forward_of(network: nn.Module, batch: int, run: Run, narrow: bool = False) -> Callable[[], Tensor]:
    """A forward pass on random keypoints, without gradients; in bfloat16, if `narrow`."""
    size = (batch, run.frames, JOINTS, 2 if isinstance(network, PoseMamba) else 3)
    keypoints = torch.rand(*size, generator=torch.Generator().manual_seed(run.seed)).to(run.device) - 0.5

    def forward() -> Tensor:
        with torch.no_grad(), torch.autocast(run.device, torch.bfloat16, enabled=narrow):
            return network(keypoints)

    return forward


def networks(run: Run) -> Iterator[dict]:
    """The section "network": forward passes of whole networks, ours and `run.peers`, with random weights."""
    there, cases, missing = {}, [], {} if run.peers else {"other networks": "no --peer was given"}
    made = {f"PoseMamba-{name}": partial(PoseMamba.from_variant, name) for name in run.variants}
    for name, make in (made | run.peers).items():
        run.log(f"network: building {name}")
        torch.manual_seed(run.seed)
        try:
            there[name] = make(frames=run.frames).eval().to(run.device)
        except Exception as error:
            missing[name] = reason(error)
    sizes = product((1, 16, 64), ("float32", "bfloat16")) if run.device == "cuda" else [(1, "float32")]
    for batch, precision in sizes:
        contestants, about = {}, {}
        for name, network in there.items():
            work = forward_of(network, batch, run, precision == "bfloat16")
            contestants[name] = timer(work, run.device, "forward")
            size = sum(parameter.numel() for parameter in network.parameters())
            about[name] = {"kind": "peer" if name in run.peers else "posemamba", "parameters": size}
        rows = compare(run, contestants, about)
        for row in (row for row in rows if row["kind"] == "posemamba" and "to_best" in row):
            rivals = [other for other in rows if other["kind"] == "peer" and "to_best" in other]
            beside = {r["name"]: r["to_best"]["forward"] / row["to_best"]["forward"] for r in rivals}
            row["times_as_fast_as"] = beside
        cases.append({"batch": batch, "precision": precision, "rows": rows})
        yield {"frames": run.frames, "missing": missing, "cases": cases}


SECTIONS = {"scan": scans, "network": networks}
