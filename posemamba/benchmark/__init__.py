"""This machine's table of scans, networks and training steps: what `posemamba benchmark` measures and prints.

All take turns, so that whatever else the machine does meets them alike; medians and quartiles are kept. The
JSON file is written after each case: an interrupted run keeps what it has. ::

    from posemamba import benchmark
    report = benchmark.load("posemamba-benchmark.json")
    benchmark.table(report, "scan", "S")

A record begins with `record.head`; then come device, threads, rounds, budget, peers and the sections::

    scan      cases: [shape, rows: [name, kind, seconds, to_best]], missing
    network   cases: [batch, precision, rows: [name, kind, parameters, seconds, to_best, times_as_fast_as]],
              missing
    training  cases: [batch, precision, rows: [name, seconds]]

`seconds` holds for each part its median, lower_quartile, upper_quartile, least, most and rounds. What could
not be measured has `failed`, the reason. Lower bounds, memory, growth with length and first calls are
measured by the commands in figures/benchmark/ of a checkout.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from os import PathLike

import psutil
import torch
from jaxtyping import Float
from torch import Tensor, nn

from posemamba import record
from posemamba.benchmark.peers import PEERS, SCANS, Peer
from posemamba.benchmark.tables import Grid, table, tables
from posemamba.benchmark.timing import Timer, interleave, now, reason, timer
from posemamba.losses import pose_loss
from posemamba.model import PoseMamba
from posemamba.scan import available_backends, selective_scan
from posemamba.training import parameter_groups

__all__ = ["SHAPES", "Grid", "Run", "Shape", "interleave", "load", "measure", "table", "tables"]
JOINTS = 17


@dataclass(frozen=True)
class Shape:
    """The size of a scan: u is (batch, groups x inner, tokens), and each channel has `state` states.

    A group's `inner` channels share B and C. `dtype` is that of u, delta, B and C; A is always float32.
    """

    name: str
    batch: int
    groups: int
    inner: int
    tokens: int
    state: int
    dtype: str = "float32"

    @property
    def exponentials(self) -> int:
        """Of a forward pass: one for each state at each token."""
        return self.batch * self.groups * self.inner * self.state * self.tokens

    def inputs(self, device: str, seed: int) -> tuple[list[Tensor], Float[Tensor, "batch channels tokens"]]:
        """(u, delta, A, B, C) and a gradient that reaches y: steps in [0, 0.1], A = -1 to -N."""
        generator = torch.Generator().manual_seed(seed)

        def draw(kind, *size):
            return kind(*size, generator=generator).to(device, getattr(torch, self.dtype))

        tokens = (self.batch, self.groups * self.inner, self.tokens)
        chosen = (self.batch, self.groups, self.state, self.tokens)
        A = -torch.arange(1, self.state + 1.0).repeat(tokens[1], 1).to(device)
        u, delta = draw(torch.randn, *tokens), draw(torch.rand, *tokens) * 0.1
        B, C = draw(torch.randn, *chosen), draw(torch.randn, *chosen)
        return [u, delta, A, B, C], draw(torch.randn, *tokens)


#: On a CPU one block of S at 243 and at 27 frames, one of B and L, and one with more states. On a GPU batches
#: of S, and of B and L, whose scans are alike.
SHAPES = {
    "cpu": (
        Shape("S", 1, 4, 128, 243 * JOINTS, 16),
        Shape("S-27", 1, 4, 128, 27 * JOINTS, 16),
        Shape("BL", 1, 4, 256, 243 * JOINTS, 16),
        Shape("N64", 1, 4, 128, 81 * JOINTS, 64),
    ),
    "cuda": tuple(
        Shape(f"{name}-b{batch}{mark}", batch, 4, inner, 243 * JOINTS, 16, dtype)
        for dtype, mark in (("float32", ""), ("bfloat16", "-bf16"))
        for name, inner in (("S", 128), ("BL", 256))
        for batch in (4, 16, 64)
    ),
    "quick": (Shape("quick", 1, 4, 32, 3 * JOINTS, 16),),
}


@dataclass
class Run:
    """What is measured, and how: `rounds` measurements of each contestant. One that would take more than
    `budget` seconds joins fewer rounds, though never less than three."""

    shapes: Sequence[Shape] = SHAPES["cpu"]
    device: str = "cpu"
    threads: int = field(default_factory=record.cores)
    rounds: int = 15
    budget: float = 40.0
    seed: int = 0
    frames: int = 243
    variants: Sequence[str] = ("S", "B", "L")
    peers: Sequence[Peer] = ()
    log: Callable[[str], None] = lambda line: None

    def choose(self, shape: Sequence[str] = (), peer: Sequence[str] = (), quick: bool = False) -> "Run":
        """With the shapes of these names, the checkouts in these folders, and tiny sizes if `quick`.

        Raises ValueError for what is not there, the device included.
        """
        check("--device", [self.device], ["cpu", "cuda"])
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("--device is cuda, but torch finds no CUDA device here")
        known = {found.name: found for found in SHAPES["quick" if quick else self.device]}
        check("--shape", shape, known)
        less = dict(rounds=min(3, self.rounds), budget=2.0, frames=9, variants=("S",)) if quick else {}
        shapes = [known[name] for name in known if not shape or name in shape]
        return replace(self, shapes=shapes, peers=[Peer(path) for path in peer], **less)

    def precisions(self, batches: Sequence[int]) -> list[tuple[int, str]]:
        """Batches and precisions of whole networks: on a CPU one sequence in float32."""
        if self.device == "cpu":
            return [(1, "float32")]
        return [(batch, precision) for batch in batches for precision in ("float32", "bfloat16")]


def check(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    """ValueError for a name that is not known."""
    for name in given:
        if name not in known:
            raise ValueError(f"{option} is {name!r}, expected one of {', '.join(known)}")


def measure(
    run: Run,
    out: str | PathLike,
    command: Sequence[str],
    only: Sequence[str] = (),
    show: Callable[[Grid], None] = lambda grid: None,
    **instead: Callable[[Run], Iterator[dict]],
) -> dict:
    """Measure the sections and keep the record in a JSON file.

    Args:
        run: the sizes, as `Run.choose` gives them.
        out: the file; its folder must exist. It is replaced after each case, all or nothing.
        command: how it was called, for the record.
        only: some sections; all, if there is none.
        show: given each table when its section ends.
        instead: what measures a section, in place of that in `SECTIONS`.

    Returns:
        The record.

    Raises:
        ValueError, OSError: a section is not known, or the file cannot be written.
    """
    check("--only", only, SECTIONS)
    threads = torch.get_num_threads()
    torch.set_num_threads(run.threads)
    try:
        report = record.head("posemamba benchmark", command, [run.seed], run.device)
        report |= dict(device=run.device, threads=run.threads, rounds=run.rounds, budget=run.budget)
        report["peers"] = [peer.described() for peer in run.peers]
        report["sections"] = {}
        record.write(out, report)
        for name in (name for name in SECTIONS if not only or name in only):
            begin = time.perf_counter()
            for content in (SECTIONS | instead)[name](run):
                report["sections"][name] = {"took_seconds": time.perf_counter() - begin, **content}
                record.write(out, report)
            for grid in tables(report, name):
                show(grid)
    finally:
        torch.set_num_threads(threads)
    return report


def medians(rows: list[dict], part: str) -> dict[str, float]:
    """By name, of the rows that have that part. Each such row is also given its ratio to the best."""
    found = {row["name"]: row["seconds"][part]["median"] for row in rows if part in row.get("seconds", ())}
    for row in rows:
        if row["name"] in found:
            row.setdefault("to_best", {})[part] = found[row["name"]] / min(found.values())
    return found


#: Numbers that are kept for each state at each token, gradients included, by those who keep many.
KEPT = {"mambapy": 17, "torch associative_scan": 12, "posemamba, associative": 9, "posemamba, reference": 5}
LOOP_TOKENS = 500


def everybody(device: str) -> tuple[dict[str, Callable[..., Tensor]], dict[str, str]]:
    """Those who scan on a device, with gradients, and the others by name with the reason why they do not."""
    backends = available_backends()
    missing = {f"posemamba, {name}": why for name, why in backends.items() if why is not None}
    known = {f"posemamba, {name}": partial(selective_scan, backend=name) for name in backends} | SCANS
    for name, call in known.items():
        try:
            if name not in missing:
                gradients_of(call, *Shape("probe", 1, 2, 16, 5, 16).inputs(device, 0))
        except ModuleNotFoundError as error:
            missing[name] = f"{error.name} is not installed"
        except Exception as error:  # whatever it is, the run goes on without this one
            missing[name] = reason(error)
    return {name: call for name, call in known.items() if name not in missing}, missing


def refusal(name: str, shape: Shape, device: str = "cpu") -> str | None:
    """Why a scan of some size is not tried, or None. (A GPU says itself that its memory does not do.)"""
    if name == "posemamba, reference" and shape.tokens > LOOP_TOKENS:
        return f"a Python loop: timed up to {LOOP_TOKENS} tokens only"
    if name in SCANS and name in KEPT and shape.dtype != "float32":
        return "keeps its state in the inputs' dtype: timed in float32 only"
    need, free = 4 * KEPT.get(name, 1) * shape.exponentials, psutil.virtual_memory().available
    if (
        device == "cpu" and need > 0.8 * free
    ):  # a system short of memory may end more than the process that asks for it
        return f"needs about {need / 2**30:.1f} GiB, of which {free / 2**30:.1f} GiB are free"
    return None


def gradients_of(call: Callable[..., Tensor], values: list[Tensor], cotangent: Tensor) -> list[Tensor]:
    """y and the gradients of all five inputs."""
    leaves = [value.detach().requires_grad_() for value in values]
    y = call(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, cotangent)]


def scan_timer(call: Callable[..., Tensor], values: list[Tensor], cotangent: Tensor) -> Timer:
    """A contestant. "forward" is without gradients; "both" is a forward pass that keeps what the backward
    pass needs, and that pass, which is also timed as "backward"."""
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
        kinds = {name: "peer" if name in SCANS else "backend" for name in here}
        further, contestants, rows = others(shape), {}, {}
        values, cotangent = shape.inputs(run.device, run.seed)
        for name, call in here.items():
            refused = refusal(name, shape, run.device)
            rows[name] = {"failed": refused} if refused else {}
            if not refused:
                contestants[name] = scan_timer(call, values, cotangent)
        for name, timing in interleave(contestants | further, run).items():
            rows[name] = rows.get(name, {}) | timing
        rows = [{"name": name, "kind": kinds.get(name, "bound")} | row for name, row in rows.items()]
        for part in ("forward", "backward", "both"):
            medians([row for row in rows if row["kind"] != "bound"], part)
        cases.append({"shape": asdict(shape), "rows": rows})
        yield {"missing": missing, "cases": cases}


def ours(variant: str, frames: int, seed: int) -> nn.Module:
    """A PoseMamba with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    return PoseMamba.from_variant(variant, frames=frames).eval()


def forward_of(network: nn.Module, batch: int, run: Run, narrow: bool = False) -> Callable[[], Tensor]:
    """A forward pass on random keypoints, without gradients; in bfloat16, if `narrow`.

    PoseMamba takes x and y of each joint, the peers also a confidence.
    """
    generator = torch.Generator().manual_seed(run.seed)
    size = (batch, run.frames, JOINTS, 2 if isinstance(network, PoseMamba) else 3)
    keypoints = (torch.rand(*size, generator=generator) - 0.5).to(run.device)

    def forward() -> Tensor:
        with torch.no_grad(), torch.autocast(run.device, torch.bfloat16, enabled=narrow):
            return network(keypoints)

    return forward


def networks(run: Run) -> Iterator[dict]:
    """The section "network": forward passes of whole networks, ours and those of `run.peers`."""
    there, cases = {}, []
    missing = {} if run.peers else {", ".join(PEERS): "no --peer was given"}
    made = {f"PoseMamba-{variant}": partial(ours, variant) for variant in run.variants}
    rivals = {name: partial(peer.build, name) for peer in run.peers for name in peer.networks}
    for name, make in (made | rivals).items():
        run.log(f"network: building {name}")
        try:
            there[name] = make(frames=run.frames, seed=run.seed).to(run.device)
        except Exception as error:  # a stranger's code may raise anything, its paths among it
            missing[name] = reason(error)
            for peer in run.peers:
                missing[name] = missing[name].replace(str(peer.path), peer.name)
    for batch, precision in run.precisions((1, 16, 64)):
        narrow = precision == "bfloat16"
        forwards = {name: forward_of(net, batch, run, narrow) for name, net in there.items()}
        timings = interleave({n: timer(work, run.device, "forward") for n, work in forwards.items()}, run)
        rows = []
        for name, network in there.items():
            row = {"name": name, "kind": "peer" if name in rivals else "posemamba"}
            size = sum(parameter.numel() for parameter in network.parameters())
            rows.append(row | {"parameters": size} | timings[name])
        seconds = medians(rows, "forward")
        for row in rows:
            if row["kind"] == "posemamba" and row["name"] in seconds:
                beside = {name: seconds[name] / seconds[row["name"]] for name in rivals if name in seconds}
                row["times_as_fast_as"] = beside
        cases.append({"batch": batch, "precision": precision, "rows": rows})
        yield {"frames": run.frames, "missing": missing, "cases": cases}


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
    """The section "training": whole steps of the first and of the last of `run.variants`."""
    cases = []
    for batch, precision in run.precisions((4, 64)):
        contestants = {}
        for variant in dict.fromkeys((run.variants[0], run.variants[-1])):
            step = Step(variant, batch, run, precision == "bfloat16")
            contestants[f"PoseMamba-{variant}"] = timer(step, run.device, "step")
        rows = [{"name": name} | timing for name, timing in interleave(contestants, run).items()]
        cases.append({"batch": batch, "precision": precision, "rows": rows})
        yield {"frames": run.frames, "cases": cases}


SECTIONS = {"scan": scans, "network": networks, "training": steps}


def load(path: str | PathLike) -> dict:
    """Read a benchmark's record. FileNotFoundError or ValueError says what is wrong with the file."""
    report = record.read(path)
    if report["what"] != "posemamba benchmark":
        raise ValueError(f"{path}: not a record of posemamba benchmark")
    return report
