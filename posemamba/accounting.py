"""What a network weighs and what it computes: once as the paper's tables count, and once counting everything.

Every figure is a sum of named terms, each from a rule in this file. Parameters need no running: the terms
follow from the network's settings, and the tests hold them against the modules themselves and against
torch's FLOP counter.
"""

from dataclasses import dataclass

from posemamba.model import PoseMamba, PoseMambaConfig
from posemamba.scan.ops import scan_flops

#: Multiply-adds that the profiler `thop` charges for an element of a layer norm.
LAYER_NORM_MACS = 4


@dataclass(frozen=True)
class Term:
    """One line of the sum.

    Attributes:
        name: what it is, with the blocks taken together.
        parameters: numbers to learn.
        macs: multiply-adds for one sequence; a scan's and a norm's by the rules above, a norm's counted only
            in `paper_macs`.
        in_paper: whether the profiler behind the paper's tables sees it: it sees Linear, Conv2d and
            LayerNorm modules, and neither parameters that a module holds directly nor what einsum and the
            scan compute.
        kind: "linear", "convolution", "norm", "einsum", "scan" or "embedding".
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
    """Count a network's parameters, and its multiply-adds for one sequence.

    Args:
        model: a network, or its settings.
        frames: the sequence's length; the network's longest by default.

    Raises:
        ValueError: frames that the network does not take.
    """
    config = getattr(model, "config", model)
    if not isinstance(config, PoseMambaConfig):
        raise ValueError(f"count needs a PoseMamba or its config, found {type(model).__name__}")
    frames = config.frames if frames is None else frames
    if not 1 <= frames <= config.frames:
        raise ValueError(f"frames must lie between 1 and the network's {config.frames}, found {frames}")
    tokens, blocks, K = frames * config.joints, config.depth, 4
    C, D, N, R = config.channels, config.inner, config.state, config.rank

    def linear(name: str, inputs: int, outputs: int, bias: bool, times: int) -> Term:
        """A multiply-add for each weight at each token; the bias is not charged."""
        size = inputs * outputs
        return Term(name, times * (size + bias * outputs), times * tokens * size, True, "linear")

    def norm(name: str, width: int, times: int, calls: int | None = None) -> Term:
        """Scale and shift; a shared norm is one module that is called many times."""
        macs = tokens * width * LAYER_NORM_MACS * (times if calls is None else calls)
        return Term(name, times * 2 * width, macs, True, "norm")

    def einsum(name: str, inputs: int, outputs: int) -> Term:
        """Like a linear map for each direction, but the weights are the SSM module's own."""
        return Term(
            name, blocks * K * inputs * outputs, blocks * K * tokens * inputs * outputs, False, "einsum"
        )

    return Count(
        terms=(
            linear("embed", 2, C, True, 1),
            Term("joint position", config.joints * C, 0, False, "embedding"),
            Term("frame position", config.frames * C, 0, False, "embedding"),
            norm("block norms", C, 2 * blocks),
            linear("in_proj", C, 2 * D, False, blocks),
            Term("conv 3x3", blocks * (9 * D + D), blocks * tokens * 9 * D, True, "convolution"),
            einsum("select: low-rank step, B and C", D, R + 2 * N),
            einsum("step", R, D),
            Term("step bias", blocks * K * D, 0, False, "einsum"),
            Term(
                "A_log and the scan",
                blocks * K * D * N,
                blocks * scan_flops(1, K, tokens, D, N) // 2,
                False,
                "scan",
            ),
            Term("skip", blocks * K * D, 0, False, "scan"),
            norm("SSM norms", D, blocks),
            linear("out_proj", D, C, False, blocks),
            linear("MLP", C, 2 * C, True, blocks),
            linear("MLP, back", 2 * C, C, True, blocks),
            norm("shared norms", C, 2, calls=blocks),
            norm("head norm", C, 1),
            linear("head", C, 3, True, 1),
        ),
        frames=frames,
    )


#: All thirteen rows of Table 6 as printed, those of Table 2 among them. A row is depth, d_m, M parameters,
#: G MACs, and P1 in mm.
TABLE_6 = (
    (12, 64, 0.516, 2.2, 43.0),
    (16, 64, 0.688, 2.9, 42.0),
    (20, 64, 0.860, 3.6, 41.8),
    (24, 64, 1.031, 4.3, 41.5),
    (32, 64, 1.375, 5.7, 41.5),
    (40, 64, 1.719, 7.2, 41.1),
    (48, 64, 2.062, 8.6, 41.1),
    (40, 32, 0.450, 1.9, 43.1),
    (40, 64, 1.719, 7.2, 41.1),
    (40, 128, 6.714, 27.9, 38.1),
    (40, 256, 26.535, 109.9, 37.1),
    (12, 256, 7.963, 33.0, 39.1),
    (20, 128, 3.358, 13.9, 40.8),
)
