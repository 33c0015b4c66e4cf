"""What a network weighs and what it computes: once as the paper's tables count, and once counting everything.

Every figure is a sum of named terms, each from a rule in this file. Parameters need no running: the terms
follow from the network's settings, and the tests hold them against the modules themselves and against
torch's FLOP counter.
"""

from dataclasses import dataclass
from typing import NamedTuple

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


def block_macs(mixer: str, channels: int, frames: int, joints: int = 17, state: int = 16) -> int:
    """Multiply-adds of one block that mixes the tokens of a sequence in one of three ways, its MLP included.

    Args:
        mixer: "scan", PoseMamba's own block; "full attention", every token to all tokens; or "factored
            attention", every joint to the joints of its frame, then to itself in all frames, with projections
            for each of the two.
        channels: C; a scan's inner channels are 2 C. The number of heads changes nothing.

    Raises:
        ValueError: another mixer.
    """
    tokens, C = frames * joints, channels
    mlp = 4 * tokens * C * C
    if mixer == "scan":
        pair = PoseMambaConfig(frames=frames, joints=joints, depth=2, channels=C, state=state)
        around = ("embed", "head")
        terms = [t for t in count(pair).terms if t.kind != "norm" and t.name not in around]
        return sum(term.macs for term in terms) // 2
    if mixer == "full attention":  # q, k, v and out; then q with k, and the weights with v
        return mlp + 4 * tokens * C * C + 2 * tokens * tokens * C
    if mixer == "factored attention":
        return mlp + 8 * tokens * C * C + 2 * tokens * (joints + frames) * C
    raise ValueError(f"mixer is {mixer!r}, expected 'scan', 'full attention' or 'factored attention'")


class Published(NamedTuple):
    """A row of the paper's Table 1, as printed there.

    Attributes:
        method: its name, and where it was published.
        frames: T, frames in.
        centre_only: CE, whether a window of T frames yields its centre frame alone.
        parameters: in millions.
        macs: G multiply-adds of a window.
        macs_a_frame: M multiply-adds "for each output frame", as Figure 1's caption has it.
        p1, p2: errors in mm; p2 is None where the paper has a dash.
        p1_given_2d: P1 on ground-truth 2D in mm, or None.
    """

    method: str
    frames: int
    centre_only: bool
    parameters: float
    macs: float
    macs_a_frame: int
    p1: float
    p2: float | None
    p1_given_2d: float | None

    @property
    def name(self) -> str:
        """The method alone."""
        return self.method.split(",")[0]

    @property
    def frames_out(self) -> int:
        """Frames that a window yields."""
        return 1 if self.centre_only else self.frames


#: Table 1 of the paper (Huang et al., 2025): its numbers, none of ours.
TABLE_1 = (
    Published("MHFormer, CVPR 2022", 351, True, 30.9, 7.0, 20, 43.0, 34.4, 30.5),
    Published("MixSTE, CVPR 2022", 243, False, 33.6, 139.0, 572, 40.9, 32.6, 21.6),
    Published("P-STMO, ECCV 2022", 243, True, 6.2, 0.7, 3, 42.8, 34.4, 29.3),
    Published("Stridedformer, TMM 2022", 351, True, 4.0, 0.8, 2, 43.7, 35.2, 28.5),
    Published("Einfalt et al., WACV 2023", 351, True, 10.4, 0.5, 1, 44.2, 35.7, None),
    Published("STCFormer, CVPR 2023", 243, False, 4.7, 19.6, 80, 41.0, 32.0, 21.3),
    Published("STCFormer-L, CVPR 2023", 243, False, 18.9, 78.2, 321, 40.5, 31.8, None),
    Published("PoseFormerV2, CVPR 2023", 243, True, 14.4, 4.8, 20, 45.2, 35.6, None),
    Published("GLA-GCN, ICCV 2023", 243, True, 1.3, 1.5, 6, 44.4, 34.8, 21.0),
    Published("MotionBERT, ICCV 2023", 243, False, 42.3, 174.8, 719, 39.2, 32.9, 17.8),
    Published("HDFormer, IJCAI 2023", 96, False, 3.7, 0.6, 6, 42.6, 33.1, 21.6),
    Published("HSTFormer, arXiv 2023", 81, False, 22.7, 1.0, 12, 42.7, 33.7, 27.8),
    Published("DC-GCT, arXiv 2023", 81, True, 3.1, 0.041, 41, 44.7, None, None),
    Published("MotionAGFormer-L, WACV 2024", 243, False, 19.0, 78.3, 322, 38.4, 32.5, 17.3),
    Published("PoseMamba-S", 243, False, 0.9, 3.6, 15, 41.8, 35.0, 20.0),
    Published("PoseMamba-B", 243, False, 3.4, 13.9, 57, 40.8, 34.3, 16.8),
    Published("PoseMamba-L", 243, False, 6.7, 27.9, 115, 38.1, 32.5, 15.6),
    Published("PoseMamba-X", 243, False, 26.5, 109.9, 452, 37.1, 31.5, 14.8),
)

#: Table 2 as printed: variant, depth, d_m, T, M parameters, G MACs.
TABLE_2 = (
    ("S", 20, 64, 243, 0.860, 3.587),
    ("B", 20, 128, 243, 3.358, 13.943),
    ("L", 40, 128, 243, 6.714, 27.881),
    ("X", 40, 256, 243, 26.535, 109.909),
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
