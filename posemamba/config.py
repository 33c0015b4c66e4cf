"""A network's shape, and the parts that it is made of.

The parts are described here once: `posemamba.accounting` counts them, the pipeline's figure draws them,
`posemamba.capture` records what passes through them, and `posemamba.attention` holds what they chose.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from posemamba import orders
from posemamba.crops import VIEWS
from posemamba.paper import TABLE_2

#: The sizes of Table 2. Depth counts blocks, spatial and temporal together; channels is the paper's d_m.
VARIANTS = {name: dict(depth=depth, channels=channels) for name, depth, channels, *_ in TABLE_2}


@dataclass(frozen=True)
class PoseMambaConfig:
    """The shape of a network.

    Attributes:
        frames: the longest sequence, in frames; shorter ones are accepted.
        joints: joints in a frame.
        depth: number of blocks as Table 2 counts them, spatial and temporal together; even.
        channels: the paper's d_m. Inside the SSM there are twice as many.
        state: N, the states of each inner channel.
        scan: a strategy of Table 4, of `posemamba.orders.CONTROLS`, or given to `posemamba.orders.register`.
        gradient: "exact" or "released", see `posemamba.orders.arrange`.
        drop_path: rate at which the last pair of blocks is skipped in training, rising linearly from 0 at
            the first. The released training uses 0.2.
        millimetres_per_unit: what one unit of the output is worth; None where it is not known, as for the
            released weights, which predict in units of half the image's width.
        view: what it is shown, the whole "image" with its width from -1 to 1, or the "person",
            `posemamba.crops.person_view`.
        joint_order: the order in which the network sees the joints; what goes in and comes out stay in the
            skeleton's. A shuffled one takes the body's meaning from scan and convolution: a control.

    Raises:
        ValueError: a value that no network can have; the message names it.
    """

    frames: int = 243
    joints: int = 17
    depth: int = 20
    channels: int = 64
    state: int = 16
    scan: str = "global-local"
    gradient: str = "exact"
    drop_path: float = 0.0
    millimetres_per_unit: float | None = None
    view: str = "image"
    joint_order: tuple[int, ...] | None = None

    def __post_init__(self):
        for name in ("frames", "joints", "depth", "channels", "state"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a positive whole number, found {value!r}")
        rate, unit, order = self.drop_path, self.millimetres_per_unit, self.joint_order
        positive = isinstance(unit, int | float) and 0 < unit < math.inf
        each_once = isinstance(order, list | tuple) and sorted(order) == list(range(self.joints))
        for name, fits, wanted in (
            ("depth", self.depth % 2 == 0, "must be even: it counts spatial and temporal blocks together"),
            ("drop_path", isinstance(rate, int | float) and 0 <= rate < 1, "must lie in [0, 1)"),
            ("millimetres_per_unit", unit is None or positive, "must be None or a positive number"),
            ("view", self.view in VIEWS, f"must be one of {', '.join(VIEWS)}"),
            ("scan", isinstance(self.scan, str), "must be a strategy's name (orders.register gives one)"),
            ("joint_order", order is None or each_once, f"must hold each of the {self.joints} joints once"),
        ):
            if not fits:
                raise ValueError(f"{name} {wanted}, found {getattr(self, name)!r}")
        orders.check_gradient(self.gradient)
        for direction in orders.directions(self.scan):
            orders.check_mix(direction, self.joints)
        if order is not None:
            object.__setattr__(self, "joint_order", tuple(order))

    @property
    def inner(self) -> int:
        """Channels inside the SSM."""
        return 2 * self.channels

    @property
    def rank(self) -> int:
        """Rank of the map that chooses the steps."""
        return math.ceil(self.channels / 16)


@dataclass(frozen=True)
class Part:
    """One part of a network or of a block.

    Attributes:
        name: short enough for a box.
        kind: "linear", "convolution", "norm", "einsum" (a linear map for each direction), "scan" or
            "embedding", which have weights; "activation", "gate", "residual" or "input", which have none.
        width: the numbers that come out of it for a token.
        about: a sentence.
        weights: term of `posemamba.accounting.count` -> the module or parameter that has its weights.
        passes: the module of a block through which passes what its input chose.
        record: the field of `posemamba.capture.BlockRecord` for what leaves the gate, or enters the others.
        sharers: how many parts divide the weights among them: a scan has those of its own direction.
    """

    name: str
    kind: str
    width: int | tuple[int, int]
    about: str
    weights: Mapping[str, str] = field(default_factory=dict)
    passes: str = ""
    record: str = ""
    sharers: int = 1


def block_parts(config: PoseMambaConfig) -> tuple[Part, ...]:
    """The parts of a block (Equation 8, as released) in the order in which they run."""
    C, D, R, N = config.channels, config.inner, config.rank, config.state
    found = orders.directions(config.scan)
    choice = f"Chosen by a token of x, for each direction: {R} numbers that a second map makes the steps, "
    choice += f"then B and C, {N} each. The scans read x too."
    select = {"select: low-rank step, B and C": "ssm.select"}
    steps = {"step": "ssm.step", "step bias": "ssm.step_bias"}
    scanning = {"A_log and the scan": "ssm.A_log", "skip": "ssm.skip"}
    norm, norms = "LayerNorm over a token's channels.", "block norms"
    summed = "The directions' outputs, each put back in place, summed; LayerNorm."
    depthwise = "Over frames and joints, each channel of x."
    out = "Linear, no bias: back to the tokens' channels."
    along = "The scan along a direction: {}.".format
    scans = (Part(one.mark, "scan", D, along(one.name), scanning, sharers=len(found)) for one in found)
    return (
        Part("norm", "norm", C, norm, {norms: "norm"}, "norm", "tokens"),
        Part("in_proj", "linear", 2 * D, "Linear, no bias: x and the gate z.", {"in_proj": "ssm.in_proj"}),
        Part("conv 3×3", "convolution", D, depthwise, {"conv 3x3": "ssm.conv"}),
        Part("SiLU", "activation", D, "x times its logistic sigmoid.", {}, "ssm.activation", "before"),
        Part("step, B, C", "einsum", (len(found), R + 2 * N), choice, select | steps),
        *scans,
        Part("sum, norm", "norm", D, summed, {"SSM norms": "ssm.norm"}, "ssm.norm", "y"),
        Part("× SiLU(z)", "gate", D, "The gate.", {}, "ssm.gate", "gate"),
        Part("out_proj", "linear", C, out, {"out_proj": "ssm.out_proj"}),
        Part("+ residual", "residual", C, "What came into the block is added."),
        Part("norm", "norm", C, norm, {norms: "mlp_norm"}, "mlp_norm", "middle"),
        Part("MLP, GELU", "linear", 2 * C, "Linear, then GELU.", {"MLP": "mlp.0"}, "mlp.1", "hidden"),
        Part("MLP, back", "linear", C, "The MLP's second linear map.", {"MLP, back": "mlp.2"}),
        Part("+ residual", "residual", C, "What came to the MLP's norm is added."),
    )


def network_parts(config: PoseMambaConfig) -> dict[str, Part]:
    """What a network has beside its blocks, by name. The shared norms follow the blocks of their kind."""
    C = config.channels
    joint, frame = {"joint position": "joint_position"}, {"frame position": "frame_position"}
    spatial, temporal = ({"shared norms": f"{kind}_norm"} for kind in ("spatial", "temporal"))
    parts = (
        Part("keypoints", "input", 2, "2D joints; the image's width spans [-1, 1]."),
        Part("embed", "linear", C, "A linear map of a joint's two numbers.", {"embed": "embed"}),
        Part("+ joint position", "embedding", C, "A row for each joint, in all frames.", joint),
        Part("+ frame position", "embedding", C, "A row for each frame, for all joints.", frame),
        Part("spatial norm", "norm", C, "LayerNorm, one for all spatial blocks.", spatial),
        Part("temporal norm", "norm", C, "LayerNorm, one for all temporal blocks.", temporal),
        Part("head norm", "norm", C, "LayerNorm over a token's channels.", {"head norm": "head.0"}),
        Part("head", "linear", 3, "A linear map to three coordinates.", {"head": "head.1"}),
    )
    return {part.name: part for part in parts}
