"""What is measured: the sizes of scans, and the settings of a run."""

import os
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

#: The parts of a run, in its order.
SECTIONS = ("scan", "network", "training", "length")
JOINTS = 17


@dataclass(frozen=True)
class Shape:
    """The size of a scan.

    Attributes:
        name: as `--shape` knows it.
        batch, groups, inner, tokens, state: u is (batch, groups x inner, tokens); a group's `inner` channels
            share B and C; each channel has N = `state` states.
        dtype: of u, delta, B and C. A is float32 always.
    """

    name: str
    batch: int
    groups: int
    inner: int
    tokens: int
    state: int
    dtype: str = "float32"

    @property
    def channels(self) -> int:
        return self.groups * self.inner

    @property
    def chains(self) -> int:
        """States that are carried along."""
        return self.batch * self.channels * self.state

    @property
    def exponentials(self) -> int:
        """Exponentials of a forward pass: one for each state at each token. As many multiply-adds carry the
        states on."""
        return self.chains * self.tokens

    def bytes(self) -> dict[str, int]:
        """Of the inputs u, delta, A, B and C together, and of the output."""
        size = getattr(torch, self.dtype).itemsize
        output = self.batch * self.channels * self.tokens * size
        chosen = self.batch * self.groups * self.state * self.tokens * size
        return {"inputs": 2 * output + 2 * chosen + 4 * self.channels * self.state, "output": output}

    def inputs(self, device: str, seed: int) -> tuple[list[Tensor], Float[Tensor, "batch channels tokens"]]:
        """(u, delta, A, B, C) and a gradient that reaches y: steps in [0, 0.1], A = -1 to -N."""
        generator = torch.Generator().manual_seed(seed)

        def random(kind, *size):
            return kind(*size, generator=generator).to(device, getattr(torch, self.dtype))

        tokens = (self.batch, self.channels, self.tokens)
        chosen = (self.batch, self.groups, self.state, self.tokens)
        A = -torch.arange(1, self.state + 1.0).repeat(self.channels, 1).to(device)
        u, delta = random(torch.randn, *tokens), random(torch.rand, *tokens) * 0.1
        B, C = random(torch.randn, *chosen), random(torch.randn, *chosen)
        return [u, delta, A, B, C], random(torch.randn, *tokens)


#: One block of S at 243 and at 27 frames, one of B and L, and one with more states.
CPU_SHAPES = (
    Shape("S", 1, 4, 128, 243 * JOINTS, 16),
    Shape("S-27", 1, 4, 128, 27 * JOINTS, 16),
    Shape("BL", 1, 4, 256, 243 * JOINTS, 16),
    Shape("N64", 1, 4, 128, 81 * JOINTS, 64),
)
#: The training shapes of S and of B and L, whose scans are alike.
CUDA_SHAPES = tuple(
    Shape(f"{name}-b{batch}{mark}", batch, 4, inner, 243 * JOINTS, 16, dtype)
    for dtype, mark in (("float32", ""), ("bfloat16", "-bf16"))
    for name, inner in (("S", 128), ("BL", 256))
    for batch in (4, 16, 64)
)
QUICK_SHAPES = (Shape("quick", 1, 4, 32, 3 * JOINTS, 16),)


@dataclass
class Settings:
    """What a run measures, and how.

    Attributes:
        sections: some of `SECTIONS`.
        shapes: the scans.
        device: "cpu" or "cuda".
        threads: CPU threads.
        rounds: measurements of each contestant.
        budget: seconds for one contestant; a slow one joins fewer rounds, though never less than three.
        seed: of all random inputs and weights.
        frames: length of the networks' input.
        lengths: frames of the section "length".
        variants: networks of the sections "network" and "training".
        peers: checkouts of other networks.
        fresh: also measure what needs processes of its own, peak memory and the first call's cost.
        quick: tiny sizes, which show that everything runs and no more.
    """

    sections: tuple[str, ...] = SECTIONS
    shapes: tuple[Shape, ...] = CPU_SHAPES
    device: str = "cpu"
    threads: int = 1
    rounds: int = 15
    budget: float = 40.0
    seed: int = 0
    frames: int = 243
    lengths: tuple[int, ...] = (27, 81, 243, 729, 2187)
    variants: tuple[str, ...] = ("S", "B", "L")
    peers: tuple = field(default=())
    fresh: bool = True
    quick: bool = False

    @classmethod
    def choose(
        cls,
        only: list[str] | None = None,
        shape: list[str] | None = None,
        device: str = "cpu",
        threads: int | None = None,
        rounds: int | None = None,
        seed: int = 0,
        quick: bool = False,
        peer: list[str] | None = None,
    ) -> "Settings":
        """The settings that the command line's options ask for. ValueError says which does not fit."""
        from posemamba.benchmark import peers

        if device not in ("cpu", "cuda"):
            raise ValueError(f"--device is {device!r}, expected cpu or cuda")
        if device == "cuda" and not torch.cuda.is_available():
            raise ValueError("--device is cuda, but torch finds no CUDA device here")
        known = QUICK_SHAPES if quick else CUDA_SHAPES if device == "cuda" else CPU_SHAPES
        names = [found.name for found in known]
        for option, given, expected in (("--only", only, SECTIONS), ("--shape", shape, names)):
            for name in given or ():
                if name not in expected:
                    raise ValueError(f"{option} is {name!r}, expected one of {', '.join(expected)}")
        settings = cls(
            sections=tuple(name for name in SECTIONS if not only or name in only),
            shapes=tuple(found for found in known if not shape or found.name in shape),
            device=device,
            threads=threads or cores(),
            seed=seed,
            peers=tuple(peers.find(path) for path in peer or ()),
            quick=quick,
        )
        if device == "cuda":
            settings.budget = 10.0
        if quick:
            settings.rounds, settings.budget, settings.frames = 3, 2.0, 9
            settings.lengths, settings.variants = (3, 9, 27), ("S",)
        settings.rounds = rounds or settings.rounds
        return settings


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux tells
        return os.cpu_count() or 1
