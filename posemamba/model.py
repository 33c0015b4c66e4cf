"""PoseMamba: 2D joints over time in, 3D joints over time out. The network reads from top to bottom."""

import math
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from posemamba import orders
from posemamba.capture import BlockRecord, note, recording
from posemamba.scan import directional_scan

#: The sizes of Table 2. Depth counts blocks, spatial and temporal together; channels is the paper's d_m.
VARIANTS = {
    "S": dict(depth=20, channels=64),
    "B": dict(depth=20, channels=128),
    "L": dict(depth=40, channels=128),
    "X": dict(depth=40, channels=256),
}


@dataclass(frozen=True)
class PoseMambaConfig:
    """The shape of a network.

    Attributes:
        frames: the longest sequence, in frames; shorter ones are accepted.
        joints: joints in a frame.
        depth: number of blocks as Table 2 counts them, spatial and temporal together; even.
        channels: the paper's d_m. Inside the SSM there are twice as many.
        state: N, the states of each inner channel.
        scan: one of the six strategies of Table 4, or of `posemamba.orders.CONTROLS`.
        gradient: "exact" or "released", see `posemamba.orders.arrange`.
        drop_path: rate at which the last pair of blocks is skipped in training, rising linearly from 0 at
            the first. The released training uses 0.2.
        millimetres_per_unit: what one unit of the output is worth, where it is known. The released weights
            predict in units of half the image's width, so it is None for them.
        joint_order: the order in which the network sees the joints, None for the skeleton's own. What goes
            in and what comes out stay in the skeleton's. A shuffled one takes the body's meaning from every
            scan and from the convolution: a control.
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
    joint_order: tuple[int, ...] | None = None

    def __post_init__(self):
        for name in ("frames", "joints", "depth", "channels", "state"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a positive whole number, found {value!r}")
        if self.depth % 2:
            raise ValueError(
                f"depth counts spatial and temporal blocks together and must be even, found {self.depth}"
            )
        if not (isinstance(self.drop_path, int | float) and 0 <= self.drop_path < 1):
            raise ValueError(f"drop_path must lie in [0, 1), found {self.drop_path!r}")
        unit = self.millimetres_per_unit
        if unit is not None and not (isinstance(unit, int | float) and 0 < unit < math.inf):
            raise ValueError(f"millimetres_per_unit must be None or a positive number, found {unit!r}")
        orders.directions(self.scan)
        orders.check_gradient(self.gradient)
        if self.joint_order is not None:
            order = self.joint_order
            if not isinstance(order, list | tuple) or sorted(order) != list(range(self.joints)):
                raise ValueError(
                    f"joint_order must hold each of the {self.joints} joints once, found {order!r}"
                )
            object.__setattr__(self, "joint_order", tuple(order))

    @property
    def inner(self) -> int:
        """Channels inside the SSM."""
        return 2 * self.channels

    @property
    def rank(self) -> int:
        """Rank of the map that chooses the steps."""
        return math.ceil(self.channels / 16)


class SpatioTemporalSSM(nn.Module):
    """The scan between two projections: the SSF of Equation 8 with its gate, as released.

    Each of the K = 4 directions has its own weights; the D-inner channels of a direction each hold N states.
    From a token's channels, `select` computes the token's step (through a low rank), its B and its C.
    """

    notes: dict[str, Tensor] | None = None

    def __init__(self, config: PoseMambaConfig):
        super().__init__()
        self.config = config
        C, D, N, R, K = config.channels, config.inner, config.state, config.rank, 4
        self.in_proj = nn.Linear(C, 2 * D, bias=False)
        self.conv = nn.Conv2d(D, D, kernel_size=3, padding=1, groups=D)
        self.select = nn.Parameter(torch.empty(K, R + 2 * N, D).uniform_(-(D**-0.5), D**-0.5))
        self.step = nn.Parameter(torch.empty(K, D, R).uniform_(-(R**-0.5), R**-0.5))
        # softplus(bias) is log-uniform in [0.001, 0.1]: memories of ten to a thousand tokens for A = -1.
        first_step = torch.exp(torch.empty(K, D).uniform_(math.log(1e-3), math.log(1e-1))).clamp(min=1e-4)
        self.step_bias = nn.Parameter(first_step + torch.log(-torch.expm1(-first_step)))
        self.A_log = nn.Parameter(torch.log(torch.arange(1, N + 1.0)).repeat(K, D, 1))
        self.skip = nn.Parameter(torch.ones(K, D))
        self.norm = nn.LayerNorm(D)
        self.out_proj = nn.Linear(D, C, bias=False)

    def forward(
        self, tokens: Float[Tensor, "batch frames joints channels"]
    ) -> Float[Tensor, "batch frames joints channels"]:
        x, z = self.in_proj(tokens).chunk(2, -1)  # (b, T, J, D) each
        x = self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # frames by joints as an image
        y, gate = self.scan(F.silu(x)), F.silu(z)
        note(self, before=x, y=y, gate=gate)
        return self.out_proj(self.norm(y) * gate)

    def scan(
        self, x: Float[Tensor, "batch frames joints inner"]
    ) -> Float[Tensor, "batch frames joints inner"]:
        """Read x along four directions, scan each, put the results back in place and sum them."""
        config, (batch, frames, joints, D) = self.config, x.shape
        x = x.reshape(batch, frames * joints, D)
        reads, mixes = orders.tables(config.scan, frames, joints, x.device)
        mixes = mixes if any(orders.mixing(config.scan)[0]) else None
        low_rank, B, C = self.choose(x, frames).split([config.rank, config.state, config.state], -1)
        # In half precision too the decays and the states are in float32.
        A_log, step_bias, skip = (
            p.to(torch.promote_types(p.dtype, torch.float32)) for p in (self.A_log, self.step_bias, self.skip)
        )
        if self.notes is not None:  # the kernels below never store the steps
            steps = F.softplus(torch.einsum("blkr,kdr->bkld", low_rank, self.step) + step_bias[:, None])
            none = torch.full_like(reads, -1)
            note(self, x=x, steps=steps, B=B.transpose(1, 2), C=C.transpose(1, 2), A=-torch.exp(A_log),
                 skip=skip, reads=reads, mixes=none if mixes is None else mixes)  # fmt: skip
        y = directional_scan(
            x, low_rank.transpose(1, 2), -torch.exp(A_log), B.transpose(1, 2), C.transpose(1, 2), skip,
            reads, mixes, delta_projection=self.step, delta_bias=step_bias, delta_softplus=True,
            through_mix=config.gradient == "exact",
        )  # fmt: skip
        return y.reshape(batch, frames, joints, D)

    def choose(
        self, x: Float[Tensor, "batch tokens inner"], frames: int
    ) -> Float[Tensor, "batch tokens directions chosen"]:
        """What each direction's input chooses, in token order: the step's low-rank form, B and C."""
        weight = self.select.flatten(0, 1).to(x.dtype)  # (K (R + 2 N), D)
        shape = (*x.shape[:2], *self.select.shape[:2])
        chosen = (x @ weight.T).reshape(shape)
        which, mix = orders.mixing(self.config.scan, x.device)
        if mix is None:
            return chosen
        # The choice is linear: that of a sum of two joints is the sum of their choices.
        others = chosen if self.config.gradient == "exact" else (x.detach() @ weight.T).reshape(shape)
        others = others.unflatten(1, (frames, self.config.joints))
        summed = [
            chosen[:, :, k] + others[..., k, :].index_select(2, mix).flatten(1, 2)
            if which[k]
            else chosen[:, :, k]
            for k in range(len(which))
        ]
        return torch.stack(summed, 2)


class DropPath(nn.Module):
    """Skip a residual branch for a random part of the batch while training (Huang et al., 2016)."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, branch: Float[Tensor, "batch *rest"]) -> Float[Tensor, "batch *rest"]:
        if not self.training or self.rate == 0:
            return branch
        kept = torch.rand(len(branch), *[1] * (branch.ndim - 1), device=branch.device) >= self.rate
        return branch * kept / (1 - self.rate)


class Block(nn.Module):
    """Equation 8: the SSM and an MLP, each behind a norm and beside a residual path."""

    notes: dict[str, Tensor] | None = None

    def __init__(self, config: PoseMambaConfig, drop_path: float = 0.0):
        super().__init__()
        C = config.channels
        self.norm = nn.LayerNorm(C, eps=1e-6)
        self.ssm = SpatioTemporalSSM(config)
        self.mlp_norm = nn.LayerNorm(C, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(C, 2 * C), nn.GELU(), nn.Linear(2 * C, C))
        self.drop_path = DropPath(drop_path)

    def forward(
        self, tokens: Float[Tensor, "batch frames joints channels"]
    ) -> Float[Tensor, "batch frames joints channels"]:
        middle = tokens + self.drop_path(self.ssm(self.norm(tokens)))
        hidden = self.mlp[0](self.mlp_norm(middle))
        note(self, tokens=tokens, middle=middle, hidden=hidden)
        return middle + self.drop_path(self.mlp[2](self.mlp[1](hidden)))


class PoseMamba(nn.Module):
    """The network of Figure 2, as released.

    Blocks come in pairs, a spatial and a temporal one, which are the same module. Two norms, one after the
    spatial blocks and one after the temporal ones, are shared by all pairs.
    """

    def __init__(self, config: PoseMambaConfig | None = None):
        super().__init__()
        self.config = config = config or PoseMambaConfig()
        pairs, C = config.depth // 2, config.channels
        rates = [config.drop_path * i / max(pairs - 1, 1) for i in range(pairs)]
        self.embed = nn.Linear(2, C)
        self.joint_position = nn.Parameter(torch.zeros(config.joints, C))
        self.frame_position = nn.Parameter(torch.zeros(config.frames, C))
        self.spatial_blocks = nn.ModuleList(Block(config, rate) for rate in rates)
        self.temporal_blocks = nn.ModuleList(Block(config, rate) for rate in rates)
        self.spatial_norm = nn.LayerNorm(C, eps=1e-6)
        self.temporal_norm = nn.LayerNorm(C, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(C), nn.Linear(C, 3))

    def forward(
        self, keypoints: Float[Tensor, "batch frames joints 2"]
    ) -> Float[Tensor, "batch frames joints 3"]:
        """Lift 2D joints, image width normalised to [-1, 1], to 3D joints.

        Raises:
            ValueError: the shape does not fit the network.
        """
        if not isinstance(keypoints, Tensor):
            raise TypeError(f"keypoints must be a tensor, found {type(keypoints).__name__}")
        config, shape = self.config, tuple(keypoints.shape)
        if len(shape) != 4 or shape[2:] != (config.joints, 2) or not 1 <= shape[1] <= config.frames:
            raise ValueError(
                f"keypoints have shape {shape}, "
                f"expected (batch, up to {config.frames} frames, {config.joints} joints, 2)"
            )
        if not keypoints.is_floating_point():
            raise ValueError(f"keypoints hold {keypoints.dtype}, expected floating-point numbers")
        if order := config.joint_order:
            keypoints = keypoints[:, :, list(order)]
        tokens = self.embed(keypoints.to(self.embed.weight.dtype)) + self.joint_position  # (b, T, J, C)
        for i, (spatial, temporal) in enumerate(zip(self.spatial_blocks, self.temporal_blocks, strict=True)):
            tokens = self.spatial_norm(spatial(tokens))
            if i == 0:
                tokens = tokens + self.frame_position[: shape[1], None]
            tokens = self.temporal_norm(temporal(tokens))
        joints = self.head(tokens)
        return joints[:, :, [order.index(j) for j in range(config.joints)]] if order else joints

    def capture(self, *blocks: str) -> AbstractContextManager[dict[str, BlockRecord]]:
        """Record what blocks compute: their steps, B, C, gate and the rest of `BlockRecord`::

            with model.capture("temporal_blocks.3") as records:
                model(keypoints)
            records["temporal_blocks.3"].steps

        Args:
            blocks: names such as "spatial_blocks.0"; all blocks where none is given.

        Raises:
            ValueError: there is no such block, or it is being captured already.
        """
        known = {f"{kind}.{i}": block for kind in ("spatial_blocks", "temporal_blocks")
                 for i, block in enumerate(getattr(self, kind))}  # fmt: skip
        if unknown := [name for name in blocks if name not in known]:
            raise ValueError(f"there is no block {unknown[0]!r}, expected some of {', '.join(known)}")
        return recording({name: known[name] for name in blocks or known})

    @classmethod
    def from_variant(cls, variant: str = "S", **changes) -> "PoseMamba":
        """A new network of the paper's size S, B, L or X; `changes` are fields of `PoseMambaConfig`.

        Raises:
            ValueError: an unknown variant, field or value.
        """
        if variant not in VARIANTS:
            raise ValueError(f"unknown variant {variant!r}, expected one of {', '.join(VARIANTS)}")
        known = {field.name for field in fields(PoseMambaConfig)}
        if unknown := set(changes) - known:
            raise ValueError(
                f"unknown setting {sorted(unknown)[0]!r}, expected some of {', '.join(sorted(known))}"
            )
        return cls(replace(PoseMambaConfig(**VARIANTS[variant]), **changes))

    @classmethod
    def from_released(cls, source: str | Path | dict, **changes) -> "PoseMamba":
        """The authors' checkpoint; see `posemamba.checkpoints.load_released`."""
        from posemamba.checkpoints import load_released

        return load_released(cls, source, **changes)

    def save_pretrained(self, folder: str | Path, **about) -> None:
        """Write model.safetensors and config.json; `about` is kept beside the settings."""
        from posemamba.checkpoints import save_pretrained

        save_pretrained(self, folder, **about)

    @classmethod
    def from_pretrained(cls, source: str | Path) -> "PoseMamba":
        """A network from `save_pretrained`'s folder, or from the Hugging Face Hub by its name."""
        from posemamba.checkpoints import load_pretrained

        return load_pretrained(cls, source)

    def config_dict(self) -> dict:
        """The settings as plain values."""
        return asdict(self.config)
