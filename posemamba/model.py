"""PoseMamba: 2D joints over time in, 3D joints over time out. The network reads from top to bottom."""

import math
from contextlib import AbstractContextManager
from dataclasses import asdict, fields, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from posemamba import checkpoints, orders
from posemamba.capture import BlockRecord, recording
from posemamba.config import VARIANTS, PoseMambaConfig
from posemamba.scan import directional_scan

Tokens = Float[Tensor, "batch frames joints channels"]
Inner = Float[Tensor, "batch frames joints inner"]

__all__ = ["VARIANTS", "Block", "DropPath", "PoseMamba", "PoseMambaConfig", "SpatioTemporalSSM"]


class SpatioTemporalSSM(nn.Module):
    """The scan between two projections: the SSF of Equation 8 with its gate, as released.

    Each of the K directions has its own weights; the D-inner channels of a direction each hold N states.
    From a token's channels, `select` computes the token's step (through a low rank), its B and its C.
    """

    notes: dict[str, Tensor] | None = None  # what `posemamba.capture` asks the scan to keep

    def __init__(self, config: PoseMambaConfig):
        super().__init__()
        self.config, self.directions = config, orders.directions(config.scan)
        C, D, N, R, K = config.channels, config.inner, config.state, config.rank, len(self.directions)
        self.in_proj = nn.Linear(C, 2 * D, bias=False)
        self.conv = nn.Conv2d(D, D, kernel_size=3, padding=1, groups=D)
        self.activation = nn.SiLU()
        self.select = nn.Parameter(torch.empty(K, R + 2 * N, D).uniform_(-(D**-0.5), D**-0.5))
        self.step = nn.Parameter(torch.empty(K, D, R).uniform_(-(R**-0.5), R**-0.5))
        # softplus(bias) is log-uniform in [0.001, 0.1]: memories of ten to a thousand tokens for A = -1.
        first_step = torch.exp(torch.empty(K, D).uniform_(math.log(1e-3), math.log(1e-1))).clamp(min=1e-4)
        self.step_bias = nn.Parameter(first_step + torch.log(-torch.expm1(-first_step)))
        self.A_log = nn.Parameter(torch.log(torch.arange(1, N + 1.0)).repeat(K, D, 1))
        self.skip = nn.Parameter(torch.ones(K, D))
        self.norm = nn.LayerNorm(D)
        self.gate = nn.SiLU()
        self.out_proj = nn.Linear(D, C, bias=False)

    def forward(self, tokens: Tokens) -> Tokens:
        x, z = self.in_proj(tokens).chunk(2, -1)  # (b, T, J, D) each
        x = self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # frames by joints as an image
        y = self.scan(self.activation(x))
        return self.out_proj(self.norm(y) * self.gate(z))

    def scan(self, x: Inner) -> Inner:
        """Read x along each direction, scan it, put the results back in place and sum them."""
        config, shape, frames = self.config, x.shape, x.shape[1]
        x = x.flatten(1, 2)
        reads, mixes = orders.tables(self.directions, frames, config.joints, x.device)
        chosen = self.choose(x, frames).transpose(1, 2)  # (b, K, L, R + 2 N)
        low_rank, B, C = chosen.split([config.rank, config.state, config.state], -1)
        wide = torch.promote_types(self.A_log.dtype, torch.float32)  # in half precision too
        A, step_bias, skip = -torch.exp(self.A_log.to(wide)), self.step_bias.to(wide), self.skip.to(wide)
        if self.notes is not None:  # the kernels below never store the steps
            steps = torch.einsum("bklr,kdr->bkld", low_rank, self.step) + step_bias[:, None]
            noted = dict(x=x, steps=F.softplus(steps), B=B, C=C, A=A, skip=skip, reads=reads, mixes=mixes)
            self.notes.update((name, value.detach()) for name, value in noted.items())
        mixes = mixes if any(direction.mix for direction in self.directions) else None
        steps = dict(delta_projection=self.step, delta_bias=step_bias, delta_softplus=True)
        exact = config.gradient == "exact"
        y = directional_scan(x, low_rank, A, B, C, skip, reads, mixes, through_mix=exact, **steps)
        return y.reshape(shape)

    def choose(
        self, x: Float[Tensor, "batch tokens inner"], frames: int
    ) -> Float[Tensor, "batch tokens directions chosen"]:
        """What each direction's input chooses, in token order: the step's low-rank form, B and C."""
        weight = self.select.flatten(0, 1).to(x.dtype)  # (K (R + 2 N), D)
        shape = (*x.shape[:2], *self.select.shape[:2])
        chosen = (x @ weight.T).reshape(shape)
        mixes = orders.mixing(self.directions, x.device)
        if all(mix is None for mix in mixes):
            return chosen
        # The choice is linear: that of a sum of two joints is the sum of their choices.
        others = chosen if self.config.gradient == "exact" else (x.detach() @ weight.T).reshape(shape)
        others = others.unflatten(1, (frames, self.config.joints))
        summed = [
            one if mix is None else one + others[..., k, :].index_select(2, mix).flatten(1, 2)
            for k, (one, mix) in enumerate(zip(chosen.unbind(2), mixes, strict=True))
        ]
        return torch.stack(summed, 2)


class DropPath(nn.Module):
    """Skip a residual branch for a random part of the batch while training (Huang et al., 2016)."""

    # Where training divides a batch: how many rows the whole has, and which of them are here. Chance is drawn
    # for all of them, so that it does not depend on the division.
    part: tuple[int, Tensor] | None = None

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, branch: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        if not self.training or self.rate == 0:
            return branch
        size, rows = self.part or (len(branch), slice(None))
        kept = torch.rand(size, *[1] * (branch.ndim - 1), device=branch.device)[rows] >= self.rate
        return branch * kept / (1 - self.rate)


class Block(nn.Module):
    """Equation 8: the SSM and an MLP, each behind a norm and beside a residual path."""

    def __init__(self, config: PoseMambaConfig, drop_path: float = 0.0):
        super().__init__()
        C = config.channels
        self.norm = nn.LayerNorm(C, eps=1e-6)
        self.ssm = SpatioTemporalSSM(config)
        self.mlp_norm = nn.LayerNorm(C, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(C, 2 * C), nn.GELU(), nn.Linear(2 * C, C))
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens + self.drop_path(self.ssm(self.norm(tokens)))
        return tokens + self.drop_path(self.mlp(self.mlp_norm(tokens)))


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
        """Lift 2D joints, image width normalised to [-1, 1], to 3D joints; ValueError for another shape."""
        if not isinstance(keypoints, Tensor):
            raise TypeError(f"keypoints must be a tensor, found {type(keypoints).__name__}")
        config, shape = self.config, tuple(keypoints.shape)
        if len(shape) != 4 or shape[2:] != (config.joints, 2) or not 1 <= shape[1] <= config.frames:
            wanted = f"(batch, up to {config.frames} frames, {config.joints} joints, 2)"
            raise ValueError(f"keypoints have shape {shape}, expected {wanted}")
        if not keypoints.is_floating_point():
            raise ValueError(f"keypoints hold {keypoints.dtype}, expected floating-point numbers")
        if order := config.joint_order:
            keypoints = keypoints[:, :, list(order)]
        tokens = self.embed(keypoints.to(self.joint_position.dtype)) + self.joint_position  # (b, T, J, C)
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

        Without names all blocks are recorded. ValueError for one that is not there, or is being captured.
        """
        known = {name: block for name, block in self.named_modules() if isinstance(block, Block)}
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
        known = sorted(field.name for field in fields(PoseMambaConfig))
        if unknown := sorted(set(changes) - set(known)):
            raise ValueError(f"unknown setting {unknown[0]!r}, expected some of {', '.join(known)}")
        return cls(replace(PoseMambaConfig(**VARIANTS[variant]), **changes))

    from_released = classmethod(checkpoints.load_released)
    from_pretrained = classmethod(checkpoints.load_pretrained)
    save_pretrained = checkpoints.save_pretrained

    def config_dict(self) -> dict:
        """The settings as plain values."""
        return asdict(self.config)
