"""What is measured, at which sizes, and how contestants take turns."""

import gc
import random
import re
import runpy
import statistics
import time
from collections import ChainMap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posemamba import record
from posemamba.skeleton import JOINTS

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
        check("--device", [self.device], ["cpu", "cuda"])
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("--device is cuda, but torch finds no CUDA device here")
        known = {found.name: found for found in SHAPES["quick" if quick else self.device]}
        check("--shape", shape, known)
        less = dict(rounds=min(3, self.rounds), budget=2.0, frames=9, variants=("S",)) if quick else {}
        shapes = [known[name] for name in known if not shape or name in shape]
        return replace(self, shapes=shapes, peers=dict(ChainMap(self.peers, *map(peers, peer))), **less)


def check(option: str, given: Sequence[str], known: Sequence[str]) -> None:
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


def compare(run: Run, contestants: dict[str, Timer], about: dict[str, dict]) -> list[dict]:
    """A row for each name: what is known about it, its timing and, but for bounds, its ratios to the best."""
    timings = interleave(contestants, run)
    rows = [{"name": name} | known | timings.get(name, {}) for name, known in about.items()]
    compared = [row for row in rows if row["kind"] != "bound" and row.get("seconds")]
    for row in compared:
        best = {part: min(r["seconds"][part]["median"] for r in compared) for part in row["seconds"]}
        row["to_best"] = {part: row["seconds"][part]["median"] / best[part] for part in best}
    return rows
