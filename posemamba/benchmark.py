"""This machine's table of scans and networks: what `posemamba benchmark` measures and prints.

All take turns, so that whatever else the machine does meets them alike; medians and quartiles are kept. ::

    report = benchmark.load("posemamba-benchmark.json")
    benchmark.table(report, "scan", "S")

A record begins with `record.head`; then come device, threads, rounds, budget, peers and the sections::

    scan      cases: [shape, rows: [name, kind, seconds, to_best]], missing
    network   cases: [batch, precision, rows: [name, kind, parameters, seconds, to_best, times_as_fast_as]],
              missing

`seconds` holds for each part its median, lower_quartile, upper_quartile, least, most and rounds. What could
not be measured has `failed`, the reason. Lower bounds, training steps, memory, growth with length and first
calls are measured by the commands in figures/benchmark/ of a checkout.
"""

import gc
import random
import re
import runpy
import statistics
import time
from collections import ChainMap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import product
from os import PathLike

import psutil
import torch
from jaxtyping import Float
from torch import Tensor, nn

from posemamba import record
from posemamba.model import PoseMamba
from posemamba.scan import available_backends, selective_scan
from posemamba.skeleton import JOINTS

__all__ = ["SHAPES", "Grid", "Run", "Shape", "interleave", "load", "measure", "table", "tables"]
#: A contestant: does the work once, and returns the seconds of each of its parts.
Timer = Callable[[], dict[str, float]]


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
    `budget` seconds joins fewer rounds, though never less than three. `peers` are made for so many frames."""

    shapes: Sequence[Shape] = SHAPES["cpu"]
    device: str = "cpu"
    threads: int = field(default_factory=record.cores)
    rounds: int = 15
    budget: float = 40.0
    seed: int = 0
    frames: int = 243
    variants: Sequence[str] = ("S", "B", "L")
    peers: dict[str, Callable[[int], nn.Module]] = field(default_factory=dict)
    log: Callable[[str], None] = lambda line: None

    def choose(self, shape: Sequence[str] = (), peer: Sequence[str] = (), quick: bool = False) -> "Run":
        """With the shapes of these names, the `peers` of these files, and tiny sizes if `quick`.

        Raises ValueError for what is not there, the device included.
        """
        _check("--device", [self.device], ["cpu", "cuda"])
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("--device is cuda, but torch finds no CUDA device here")
        known = {found.name: found for found in SHAPES["quick" if quick else self.device]}
        _check("--shape", shape, known)
        less = dict(rounds=min(3, self.rounds), budget=2.0, frames=9, variants=("S",)) if quick else {}
        shapes = [known[name] for name in known if not shape or name in shape]
        return replace(self, shapes=shapes, peers=dict(ChainMap(self.peers, *map(peers, peer))), **less)


def _check(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(f"{option} is {name!r}, expected one of {', '.join(known)}")


def peers(path: str | PathLike) -> dict[str, Callable[[int], nn.Module]]:
    """Other networks: `NETWORKS` of a Python file, which is run. By name, what makes one for so many frames.

    Such a network takes (batch, frames, 17, 3): x, y and a confidence. ValueError where there is none.
    """
    try:
        return dict(runpy.run_path(str(path))["NETWORKS"])
    except Exception as error:  # a stranger's code may raise anything
        why = f"expected a Python file with NETWORKS, name -> function; {reason(error)}"
        raise ValueError(f"{path}: {why}") from error


def now(device: str) -> float:
    """Seconds, when all that was asked of the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def timer(work: Callable[[], object], device: str, part: str) -> Timer:
    """A contestant of one part."""

    def measured() -> dict[str, float]:
        begin = now(device)
        work()
        return {part: now(device) - begin}

    return measured


def interleave(contestants: dict[str, Timer], run: Run) -> dict[str, dict]:
    """Time contestants in turns, in a new order each round, after each is warmed up.

    Returns for each `seconds` as summaries, `first_run` in seconds, and where it raised `failed`: it is left
    out from there on.
    """
    found = {name: {"seconds": {}} for name in contestants}

    def once(name: str) -> float:
        gc.collect()
        gc.disable()
        begin = time.perf_counter()
        try:
            for part, seconds in contestants[name]().items():
                found[name]["seconds"].setdefault(part, []).append(seconds)
        except Exception as error:  # the others go on
            found[name]["failed"] = reason(error)
        gc.enable()
        return time.perf_counter() - begin

    wanted = {}
    for name, figures in found.items():
        run.log(f"{name}, warming up")
        took = figures["first_run"] = once(name)
        if took < run.budget / 2 and "failed" not in figures:  # the first run may have compiled
            took = once(name)
        figures["seconds"] = {}
        wanted[name] = min(run.rounds, max(3, int(run.budget / took)))
    for round_ in range(run.rounds):
        for name in random.Random(round_).sample(list(found), len(found)):
            done, due = (i * wanted[name] // run.rounds for i in (round_, round_ + 1))  # spread evenly
            if "failed" not in found[name] and due > done:
                run.log(f"{name}, round {round_ + 1} of {run.rounds}")
                once(name)
    for figures in found.values():
        figures["seconds"] = {part: summary(values) for part, values in figures["seconds"].items()}
    return found


def summary(values: list[float]) -> dict[str, float]:
    """Median, quartiles, least and most of some seconds, and how many they are."""
    low, middle, high = statistics.quantiles(values * (1 + (len(values) == 1)), method="inclusive")
    quartiles = {"median": middle, "lower_quartile": low, "upper_quartile": high}
    return quartiles | {"least": min(values), "most": max(values), "rounds": len(values)}


def reason(error: BaseException) -> str:
    """An exception in one line, without the folders of absolute paths: it may go into a record."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "out of memory"
    first = re.sub(r"(?<![\w.])(\w:)?[\\/](\S+[\\/])+", "", str(error).strip().partition("\n")[0])
    return f"{type(error).__name__}: {first[:200]}".removesuffix(": ")


def _rows(run: Run, contestants: dict[str, Timer], about: dict[str, dict]) -> list[dict]:
    """A row for each name: what is known about it, its timing and, but for bounds, its ratios to the best."""
    timings = interleave(contestants, run)
    rows = [{"name": name} | known | timings.get(name, {}) for name, known in about.items()]
    compared = [row for row in rows if row["kind"] != "bound" and row.get("seconds")]
    for row in compared:
        best = {part: min(r["seconds"][part]["median"] for r in compared) for part in row["seconds"]}
        row["to_best"] = {part: row["seconds"][part]["median"] / best[part] for part in best}
    return rows


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
        cases.append({"shape": asdict(shape), "rows": _rows(run, contestants, about)})
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
        rows = _rows(run, contestants, about)
        for row in (row for row in rows if row["kind"] == "posemamba" and "to_best" in row):
            rivals = [other for other in rows if other["kind"] == "peer" and "to_best" in other]
            beside = {r["name"]: r["to_best"]["forward"] / row["to_best"]["forward"] for r in rivals}
            row["times_as_fast_as"] = beside
        cases.append({"batch": batch, "precision": precision, "rows": rows})
        yield {"frames": run.frames, "missing": missing, "cases": cases}


SECTIONS = {"scan": scans, "network": networks}


def measure(
    run: Run,
    out: str | PathLike,
    command: Sequence[str],
    only: Sequence[str] = (),
    show: Callable[["Grid"], None] = lambda grid: None,
    sections: dict[str, Callable[[Run], Iterator[dict]]] = SECTIONS,
    **about,
) -> dict:
    """Measure sections (all, or `only` some), and keep the record in a JSON file.

    Args:
        run: the sizes, as `Run.choose` gives them.
        out: the file. It is replaced after each case, all or nothing: what is interrupted keeps what it has.
        command: how it was called, for the record; `about` are further entries.
        show: given each table when its section ends.

    Raises:
        ValueError, OSError: a section is not known, or the file cannot be written.
    """
    _check("--only", only, sections)
    threads = torch.get_num_threads()
    torch.set_num_threads(run.threads)
    try:
        report = record.head("posemamba benchmark", command, [run.seed], run.device)
        report |= dict(device=run.device, threads=run.threads, rounds=run.rounds, budget=run.budget)
        report |= dict(peers=list(run.peers)) | about | dict(sections={})
        record.write(out, report)
        for name in (name for name in sections if not only or name in only):
            begin = time.perf_counter()
            for content in sections[name](run):
                report["sections"][name] = {"took_seconds": time.perf_counter() - begin, **content}
                record.write(out, report)
            for grid in tables(report, name):
                show(grid)
    finally:
        torch.set_num_threads(threads)
    return report


def load(path: str | PathLike) -> dict:
    """Read a benchmark's record. FileNotFoundError or ValueError says what is wrong with the file."""
    report = record.read(path)
    if report["what"] != "posemamba benchmark":
        raise ValueError(f"{path}: not a record of posemamba benchmark")
    return report


@dataclass(frozen=True)
class Grid:
    """A table of text, with notes below it."""

    title: str
    headings: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.headings, *self.rows, strict=True)]
        lines = []
        for name, *cells in (self.headings, *self.rows):
            lines.append("  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]).rstrip())
        return "\n".join([self.title, *lines, *self.notes])

    __repr__ = __str__


def table(report: dict, section: str, name: str | None = None) -> Grid:
    """One table of a record: of the scan of a size (its shape's name), or the first of a section.

    Raises ValueError where the record has none of that name.
    """
    for grid in tables(report, section):
        if name is None or grid.title.startswith(f"{section} {name}:"):
            return grid
    raise ValueError(f"this record has no table of {section}{f' {name}' if name else ''}")


#: The columns of each section's tables. One that would be empty is left out.
COLUMNS = {
    "scan": ("forward, ms", "backward, ms", "both, ms", "rounds", "both, to best", "forward, to bound"),
    "network": ("parameters", "forward, ms", "rounds", "forward, to best"),
    "training": ("step, ms", "rounds"),
}


def tables(report: dict, section: str) -> list[Grid]:
    """All tables of a section; none where it was not measured. ValueError for another section."""
    _check("section", [section], COLUMNS)
    content, found = report["sections"].get(section, {}), []
    for case in content.get("cases", ()):
        rows = {row["name"]: _cells(row) for row in case["rows"] if row.get("seconds")}
        columns = [name for name in COLUMNS[section] if any(name in cells for cells in rows.values())]
        lines = [[name, *(cells.get(column, "") for column in columns)] for name, cells in rows.items()]
        if section == "scan":
            s = Shape(**case["shape"])
            title = f"scan {s.name}: batch {s.batch}, {s.groups * s.inner} channels in {s.groups} groups, "
            title += f"{s.tokens} tokens, {s.state} states, {s.dtype}"
        else:
            title = f"{section}: batch {case['batch']}, {content['frames']} frames, {case['precision']}"
        notes = []
        for row in case["rows"]:
            notes += [f"{row['name']}: {row['failed']}"] if "failed" in row else []
            for name, times in row.get("times_as_fast_as", {}).items():
                notes.append(f"{row['name']} is {short(times)} times as fast as {name}")
        notes += [f"{name}: not here, {why}" for name, why in content.get("missing", {}).items()]
        headings = ["", *(column.replace("forward, to best", "to best") for column in columns)]
        found.append(Grid(title, headings, lines, notes))
    return found


def _cells(row: dict) -> dict[str, str]:
    """What there is for the columns: counts, ratios, and medians with their quartiles in milliseconds."""
    counts = row | next(iter(row["seconds"].values()))  # rounds are those of the first part
    cells = {name: f"{counts[name]:,}" for name in ("parameters", "rounds") if name in counts}
    for part, found in row["seconds"].items():
        cells[f"{part}, ms"] = short(1e3 * found["median"])
        if "lower_quartile" in found:
            low, high = (short(1e3 * found[key]) for key in ("lower_quartile", "upper_quartile"))
            cells[f"{part}, ms"] += f" ({low} to {high})"
    for ratio in ("to_best", "to_bound"):
        for part, times in row.get(ratio, {}).items():
            cells[f"{part}, {ratio.replace('_', ' ')}"] = f"{short(times)} x"
    return cells


def short(value: float) -> str:
    """Three digits or more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
