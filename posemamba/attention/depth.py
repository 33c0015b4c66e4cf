"""The whole network as one affine map: everything that its input chose is held, and the rest is linear.

At one input x each product of two things that depend on x is split: one factor is frozen at its value there,
the other stays a variable. Frozen are the scan's steps, B and C; the gate; the division by the standard
deviation in every norm; and what SiLU and GELU multiply their argument by. Embedding, convolution,
projections, the scan's recurrence and the residual paths are linear already: the map is the network itself,
run with other modules in the places where its input chooses. At x itself it gives the network's output to
round-off; how far it holds around x nothing guarantees: `Linearisation.remainder` measures it.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from posemamba.capture import BlockRecord
from posemamba.config import block_parts
from posemamba.model import Block, PoseMamba
from posemamba.scan import directional_scan

Inputs = Float[Tensor, "batch frames joints 2"]
Outputs = Float[Tensor, "batch frames joints 3"]
_PROBES = 8  # inputs that go through the frozen network at a time


@dataclass(frozen=True)
class FrozenBlock:
    """What the linearisation holds of one block; each tensor multiplies what it stands beside.

    Attributes:
        norm, ssm_norm, mlp_norm, shared_norm: 1 / standard deviation of each token, in and after the block.
        activation: silu(v) / v of the SSM's channels v after the convolution, that is sigmoid(v).
        gate: silu(z).
        mlp_activation: gelu(v) / v of the MLP's inner channels v.
        record: the steps, B and C of the scan, and its weights.
    """

    norm: Float[Tensor, "frames joints 1"]
    activation: Float[Tensor, "frames joints inner"]
    ssm_norm: Float[Tensor, "frames joints 1"]
    gate: Float[Tensor, "frames joints inner"]
    mlp_norm: Float[Tensor, "frames joints 1"]
    mlp_activation: Float[Tensor, "frames joints hidden"]
    shared_norm: Float[Tensor, "frames joints 1"]
    record: BlockRecord


class Linearisation:
    """The affine map that a network applies around one input, with everything it chose held fixed.

    `linearise(model, keypoints)` makes it of any PoseMamba (drop path is switched off) and of one sequence;
    ValueError for more than one, or a shape that the network does not take.

    Attributes:
        keypoints: the input, (frames, joints, 2); a leading batch dimension of 1 is dropped.
        output: the network's output there, (frames, joints, 3).
        frozen: the held quantities of each block by its name, in the order in which the blocks run.
        head_norm: 1 / standard deviation in the head's norm.
    """

    def __init__(self, model: PoseMamba, keypoints: Float[Tensor, "frames joints 2"]):
        if keypoints.ndim == 4 and len(keypoints) == 1:
            keypoints = keypoints[0]
        if keypoints.ndim != 3:
            raise ValueError(f"keypoints have shape {tuple(keypoints.shape)}, expected (frames, joints, 2)")
        self.keypoints, self._network = keypoints.detach(), deepcopy(model).eval().requires_grad_(False)
        with torch.no_grad(), self._network.capture() as records:
            self.output = self._network(self.keypoints[None])[0]
        self.frozen: dict[str, FrozenBlock] = {}
        held = deepcopy(self._network)
        after = {"spatial_blocks": held.spatial_norm, "temporal_blocks": held.temporal_norm}
        with torch.no_grad():
            for name, record in records.items():
                norm, block = after[name.split(".")[0]], held.get_submodule(name)
                self.frozen[name] = _freeze(block, norm, record)
                # A shared norm divides by something else after each block: each gets one of its own.
                held_norm = _HeldNorm(norm, self.frozen[name].shared_norm)
                held.set_submodule(name, nn.Sequential(block, held_norm))
            self.head_norm = _scale(norm(record.out[0]), held.head[0])  # after the last block
        held.spatial_norm = held.temporal_norm = nn.Identity()
        held.head[0] = _HeldNorm(held.head[0], self.head_norm)
        self._held = held
        constants = {n: p for n, p in held.named_parameters() if n.endswith(("bias", "position"))}
        self._without = {name: torch.zeros_like(value) for name, value in constants.items()}

    def affine(self, keypoints: Inputs) -> Outputs:
        """The frozen network on any inputs, with its biases and positions."""
        return self._run(keypoints, {})

    def linear(self, keypoints: Inputs) -> Outputs:
        """The linear part alone: `affine(x) == linear(x) + constant`."""
        return self._run(keypoints, self._without)

    @property
    def constant(self) -> Float[Tensor, "frames joints 3"]:
        """What comes out where nothing goes in: the share of the output that biases and positions make."""
        with torch.no_grad():
            return self.affine(torch.zeros_like(self.keypoints[None]))[0]

    def joint_map(self) -> Float[Tensor, "outputs inputs joints joints"]:
        """Which joint moves which, for each output and input coordinate (3, 2): signed sums over frames."""
        joints = self.keypoints.shape[1]
        return self._reduced(torch.eye(joints)[:, None], lambda out: out.sum(1))

    def frame_map(self) -> Float[Tensor, "outputs inputs frames frames"]:
        """As `joint_map`, summed over the joints: which frame moves which."""
        frames = self.keypoints.shape[0]
        return self._reduced(torch.eye(frames)[:, :, None], lambda out: out.sum(2))

    def row(self, frame: int, joint: int) -> Float[Tensor, "3 frames joints 2"]:
        """The map's rows for one output joint: its three coordinates as weights of all inputs."""
        keypoints = self.keypoints[None].clone().requires_grad_()
        with torch.enable_grad():
            outputs = self.linear(keypoints)[0, frame, joint]
            rows = [torch.autograd.grad(value, keypoints, retain_graph=True)[0][0] for value in outputs]
        return torch.stack(rows)

    def remainder(self, change: Float[Tensor, "frames joints 2"]) -> float:
        """What the linear part misses of the network's answer to a change of its input, relative in norm.

        0: the network moves as the map says. 1: the map says nothing. The choices that the map holds fixed
        move too, so that it does not vanish for small changes: the map is not the Jacobian.
        """
        with torch.no_grad():
            moved = self._network((self.keypoints + change)[None])[0] - self.output
            return ((moved - self.linear(change[None])[0]).norm() / moved.norm()).item()

    def _reduced(self, masks: Float[Tensor, "probes frames joints"], reduce) -> Tensor:
        masks = masks.to(self.keypoints).expand(-1, *self.keypoints.shape[:2])
        columns = []
        with torch.no_grad():
            for unit in torch.eye(2).to(masks):
                probes = masks[..., None] * unit
                out = [reduce(self.linear(some)) for some in probes.split(_PROBES)]
                columns.append(torch.cat(out).permute(2, 1, 0))  # (3, rows, probes)
        return torch.stack(columns, 1)

    def _run(self, keypoints: Tensor, changed: dict[str, Tensor]) -> Tensor:
        if keypoints.shape[1:] != self.keypoints.shape:
            wanted = f"(batch, {', '.join(map(str, self.keypoints.shape))})"
            raise ValueError(f"keypoints have shape {tuple(keypoints.shape)}, expected {wanted}")
        return functional_call(self._held, changed, keypoints)


linearise = Linearisation


def _scale(x: Float[Tensor, "*tokens width"], norm: nn.LayerNorm) -> Float[Tensor, "*tokens 1"]:
    return torch.rsqrt(x.var(-1, keepdim=True, correction=0) + norm.eps)


def _freeze(block: Block, after: nn.LayerNorm, record: BlockRecord) -> FrozenBlock:
    """What a block chose, put in the places of the modules through which it passed."""
    held = []  # in the order of the parts, as the fields of FrozenBlock
    for part in block_parts(block.ssm.config):
        if not part.record:
            continue
        value, module = getattr(record, part.record)[0], block.get_submodule(part.passes)
        if part.kind == "norm":
            factor = _scale(value, module)
            frozen = _HeldNorm(module, factor)
        elif part.kind == "gate":
            factor, frozen = value, _Held(lambda _, gate=value: gate)
        else:
            silu = isinstance(module, nn.SiLU)
            factor = torch.sigmoid(value) if silu else 0.5 * (1 + torch.erf(value / 2**0.5))
            frozen = _Held(partial(torch.mul, factor))
        block.set_submodule(part.passes, frozen)
        held.append(factor)
    block.ssm.scan = partial(_scan, record)
    return FrozenBlock(*held, _scale(record.out[0], after), record)


class _Held(nn.Module):
    """A function in a module's place."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.forward = function


class _HeldNorm(nn.Module):
    """A layer norm whose divisor is held: taking off the mean is linear."""

    def __init__(self, norm: nn.LayerNorm, scale: Tensor):
        super().__init__()
        self.weight, self.bias, self.scale = norm.weight, norm.bias, scale

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(-1, keepdim=True)) * self.scale * self.weight + self.bias


def _scan(record: BlockRecord, x: Float[Tensor, "batch frames joints inner"]) -> Tensor:
    """A block's scan with its choices held."""
    steps, B, C = (value.expand(len(x), -1, -1, -1) for value in (record.steps, record.B, record.C))
    mixes = record.mixes if (record.mixes >= 0).any() else None
    y = directional_scan(x.flatten(1, 2), steps, record.A, B, C, record.skip, record.reads, mixes)
    return y.view_as(x)
