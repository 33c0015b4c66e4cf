"""What a network weighs and what it computes: once as the paper's tables count, and once counting everything.

Every figure is a sum of named terms: `posemamba.config` says which part has which weights, the network their
shapes, and a rule in this file what they cost. Nothing is run; the tests compare with torch's FLOP counter.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

import torch

from posemamba.config import Part, PoseMambaConfig, block_parts, network_parts
from posemamba.model import PoseMamba
from posemamba.paper import TABLE_1, TABLE_2, TABLE_6, Published  # noqa: F401 (counted here, printed there)
from posemamba.scan.ops import scan_flops

#: Multiply-adds that the profiler `thop` charges for an element of a layer norm.
LAYER_NORM_MACS = 4


@dataclass(frozen=True)
class Term:
    """One line of the sum.

    Attributes:
        name: what it is, with the blocks taken together.
        parameters: numbers to learn.
        macs: multiply-adds for one sequence; a norm's are counted in `paper_macs` only.
        in_paper: whether the profiler behind the paper's tables sees it: Linear, Conv2d and LayerNorm, and
            neither parameters that another module holds itself nor what einsum and the scan compute.
        kind: of the part that it belongs to, see `posemamba.config.Part`.
    """

    name: str
    parameters: int
    macs: int
    in_paper: bool
    kind: str


@dataclass(frozen=True)
class Count:
    """Plain numbers, and the terms they sum."""

    terms: tuple[Term, ...]
    frames: int

    @property
    def parameters(self) -> int:
        """All parameters."""
        return sum(term.parameters for term in self.terms)

    @property
    def macs(self) -> int:
        """Multiply-adds of matrix products, convolutions and scans; norms and elementwise work left out."""
        return sum(term.macs for term in self.terms if term.kind != "norm")

    @property
    def matrix_macs(self) -> int:
        """`macs` without the scan."""
        return self.macs - self.scan_macs

    @property
    def scan_macs(self) -> int:
        """The scan's part of `macs`."""
        return sum(term.macs for term in self.terms if term.kind == "scan")

    @property
    def paper_parameters(self) -> int:
        """Parameters as Tables 2 and 6 count them."""
        return sum(term.parameters for term in self.terms if term.in_paper)

    @property
    def paper_macs(self) -> int:
        """Multiply-adds as Tables 2 and 6 count them: what `thop` reports."""
        return sum(term.macs for term in self.terms if term.in_paper)


def count(model: PoseMamba | PoseMambaConfig, frames: int | None = None) -> Count:
    """Count the parameters of a network, or of its settings, and its multiply-adds for one sequence.

    Args:
        frames: the sequence's length, ValueError where the network does not take it; its longest by default.
    """
    config, frames = _settings(model, frames)
    shapes, blocks = _shapes(config), config.depth
    *before, spatial, temporal, head_norm, head = network_parts(config).values()
    # Each part with how often it stands in the network, and how often it is called.
    parts = [(part, 1, 1) for part in before] + [(part, blocks, blocks) for part in block_parts(config)]
    parts += [(spatial, 1, blocks // 2), (temporal, 1, blocks // 2), (head_norm, 1, 1), (head, 1, 1)]
    found: dict[str, Term] = {}
    for part, times, calls in parts:
        for term in _terms(part, shapes, frames * config.joints):
            sums = found.get(term.name, replace(term, parameters=0, macs=0))
            parameters, macs = sums.parameters + times * term.parameters, sums.macs + calls * term.macs
            found[term.name] = replace(term, parameters=parameters, macs=macs)
    return Count(tuple(found.values()), frames)


def _settings(model: PoseMamba | PoseMambaConfig, frames: int | None) -> tuple[PoseMambaConfig, int]:
    config = getattr(model, "config", model)
    if not isinstance(config, PoseMambaConfig):
        raise ValueError(f"count needs a PoseMamba or its config, found {type(model).__name__}")
    frames = config.frames if frames is None else frames
    if not 1 <= frames <= config.frames:
        raise ValueError(f"frames must lie between 1 and the network's {config.frames}, found {frames}")
    return config, frames


def _shapes(config: PoseMambaConfig) -> dict[str, torch.Size]:
    """The shapes of a network's weights; those of a block under their names inside it."""
    with torch.random.fork_rng(devices=[]):  # counting draws none of its caller's random numbers
        network = PoseMamba(replace(config, depth=2))
    return {name.removeprefix("spatial_blocks.0."): p.shape for name, p in network.named_parameters()}


def _terms(part: Part, shapes: Mapping[str, torch.Size], tokens: int) -> Iterator[Term]:
    """The terms of a part that stands in the network once and is called once."""
    kind = part.kind
    for name, path in part.weights.items():
        mine = [shape for weight, shape in shapes.items() if weight == path or weight.startswith(f"{path}.")]
        # Weights multiply each token; a bias is added, and not charged. What all directions have is stacked.
        weights = [shape for shape in mine if len(shape) > (2 if kind in ("einsum", "scan") else 1)]
        if kind == "norm":
            macs = LAYER_NORM_MACS * tokens * part.width
        elif kind == "scan":
            macs = sum(scan_flops(1, K, tokens, D, N) // 2 for K, D, N in weights)
        else:
            macs = 0 if kind == "embedding" else tokens * sum(map(prod, weights))
        in_paper = kind in ("linear", "convolution", "norm")
        yield Term(name, sum(map(prod, mine)) // part.sharers, macs // part.sharers, in_paper, kind)


@dataclass(frozen=True)
class Stage:
    """One part of the network with its costs, as the pipeline's figure draws it.

    Attributes:
        name, about, kind: of `posemamba.config.Part`; the kind is "block" for a whole one.
        shape: of what comes out of it, for one sequence.
        parameters: numbers to learn, in all its copies; 0 where its weights are another stage's.
        macs: multiply-adds of all its copies; None where they are not counted (norms, elementwise work).
        copies: how many times the part stands in the network.
        share: macs as a part of the whole network's.
    """

    name: str
    about: str
    shape: tuple[int, ...]
    parameters: int
    macs: int | None
    copies: int
    share: float
    kind: str


def pipeline_stages(
    model: PoseMamba | PoseMambaConfig, frames: int | None = None
) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """The parts of the network in order, and the parts of a block with all blocks taken together.

    The network's stages sum to the parameters and multiply-adds of `count`, whose arguments and errors are
    the same; the block's sum to what all blocks have of them.
    """
    config, frames = _settings(model, frames)
    shapes, total, outside = _shapes(config), count(config, frames).macs, network_parts(config)

    def stage(part: Part, copies: int = 1, sums: tuple[int, ...] = ()) -> Stage:
        if not sums:
            terms = Count(tuple(_terms(part, shapes, frames * config.joints)), frames)
            sums = terms.parameters, terms.macs
        parameters, macs = (copies * one for one in sums)
        shape = (frames, config.joints, *(part.width if isinstance(part.width, tuple) else (part.width,)))
        return Stage(part.name, part.about, shape, parameters, macs or None, copies, macs / total, part.kind)

    inside = [stage(part, config.depth) for part in block_parts(config)]
    all_blocks = (sum(s.parameters for s in inside), sum(s.macs or 0 for s in inside))
    closed = tuple(of_all // config.depth for of_all in all_blocks)

    def block(name: str, about: str, copies: int) -> Stage:
        return stage(Part(name, "block", config.channels, about), copies, sums=closed)

    network = [stage(outside[name]) for name in ("keypoints", "embed", "+ joint position")]
    for kind in ("spatial", "temporal"):
        network.append(block(f"{kind} block 1", "Opened up in the right column.", 1))
        network.append(stage(outside[f"{kind} norm"]))
        network += [stage(outside["+ frame position"])] if kind == "spatial" else []
    more = config.depth // 2 - 1
    for kind in ("spatial", "temporal") if more else ():
        numbers = "2" if more == 1 else f"2–{more + 1}"
        network.append(block(f"{kind} block {numbers}", "As the first one; weights of its own.", more))
        again = f"The norm after the first {kind} block, again."
        network.append(replace(stage(outside[f"{kind} norm"], more), about=again, parameters=0))
    network += [stage(outside[name]) for name in ("head norm", "head")]
    return tuple(network), tuple(inside)


def block_macs(mixer: str, channels: int, frames: int, joints: int = 17, state: int = 16) -> int:
    """Multiply-adds of one block that mixes the tokens of a sequence in one of three ways, its MLP included.

    Args:
        mixer: "scan", PoseMamba's own block; "full attention", every token to all tokens; or "factored
            attention", every joint to the joints of its frame, then to itself in all frames, with projections
            for each of the two. ValueError for another.
        channels: C; a scan's inner channels are 2 C. The number of heads changes nothing.
    """
    tokens, C = frames * joints, channels
    mlp = 4 * tokens * C * C
    if mixer == "scan":
        pair = count(PoseMambaConfig(frames=frames, joints=joints, depth=2, channels=C, state=state))
        return (pair.macs - sum(term.macs for term in pair.terms if term.name in ("embed", "head"))) // 2
    if mixer == "full attention":  # q, k, v and out; then q with k, and the weights with v
        return mlp + 4 * tokens * C * C + 2 * tokens * tokens * C
    if mixer == "factored attention":
        return mlp + 8 * tokens * C * C + 2 * tokens * (joints + frames) * C
    raise ValueError(f"mixer is {mixer!r}, expected 'scan', 'full attention' or 'factored attention'")
