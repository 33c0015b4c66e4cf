"""The whole network as one affine map: everything that its input chose is held, and the rest is linear.

At one input x each product of two things that depend on x is split: one factor is frozen at its value there,
the other stays a variable. Frozen are the scan's steps, B and C; the gate; the division by the standard
deviation in every norm; and what SiLU and GELU multiply their argument by. Embedding, convolution,
projections, the scan's recurrence and the residual paths are linear already. At x itself the map gives the
network's output to round-off; how far it holds around x nothing guarantees: `Linearisation.remainder`
measures it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from posemamba.capture import BlockRecord
from posemamba.model import Block, PoseMamba
from posemamba.scan import directional_scan

_PROBES = 8  # inputs that go through the frozen network at a time


@dataclass(frozen=True)
class FrozenBlock:
    """What the linearisation holds of one block; each tensor multiplies what it stands beside.

    Attributes:
        norm, ssm_norm, mlp_norm: 1 / standard deviation of each token, in the block's three norms.
        shared_norm: the same in the norm after the block.
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
    """The affine map that a network applies around one input; made by `linearise`.

    Attributes:
        keypoints: the input, (frames, joints, 2).
        output: the network's output there, (frames, joints, 3).
        frozen: the held quantities of each block by its name, in the order in which the blocks run.
        head_norm: 1 / standard deviation in the head's norm.
    """

    def __init__(self, model: PoseMamba, keypoints: Float[Tensor, "frames joints 2"]):
        self.model, self.keypoints = model, keypoints.detach()
        with evaluating(model), torch.no_grad(), model.capture() as records:
            self.output = model(self.keypoints[None])[0]
        self.frozen: dict[str, FrozenBlock] = {}
        with torch.no_grad():
            for name, record in records.items():
                self.frozen[name] = _freeze(self._block(name), self._norm_after(name), record)
            last = list(records)[-1]
            self.head_norm = _scale(self._norm_after(last)(records[last].out[0]), model.head[0])

    def affine(
        self, keypoints: Float[Tensor, "batch frames joints 2"]
    ) -> Float[Tensor, "batch frames joints 3"]:
        """The frozen network on any inputs, with its biases and positions."""
        return self._run(keypoints, True)

    def linear(
        self, keypoints: Float[Tensor, "batch frames joints 2"]
    ) -> Float[Tensor, "batch frames joints 3"]:
        """The linear part alone: `affine(x) == linear(x) + constant`."""
        return self._run(keypoints, False)

    @property
    def constant(self) -> Float[Tensor, "frames joints 3"]:
        """What comes out where nothing goes in: the share of the output that biases and positions make."""
        with torch.no_grad():
            return self.affine(torch.zeros_like(self.keypoints[None]))[0]

    def joint_map(self) -> Float[Tensor, "outputs inputs joints joints"]:
        """For each output coordinate (3) and input coordinate (2), which joint moves which: the signed
        sum over the frames of rows and of columns.
        """
        joints = self.keypoints.shape[1]
        return self._reduced(torch.eye(joints)[:, None], lambda out: out.sum(1))

    def frame_map(self) -> Float[Tensor, "outputs inputs frames frames"]:
        """As `joint_map`, summed over the joints of rows and of columns: which frame moves which."""
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
        with evaluating(self.model), torch.no_grad():
            moved = self.model((self.keypoints + change)[None])[0] - self.output
            return ((moved - self.linear(change[None])[0]).norm() / moved.norm()).item()

    def _reduced(self, masks: Float[Tensor, "probes frames joints"], reduce) -> Tensor:
        masks = masks.to(self.keypoints).expand(-1, *self.keypoints.shape[:2])
        columns = []
        with torch.no_grad():
            for coordinate in range(2):
                probes = torch.zeros(*masks.shape, 2).to(masks)
                probes[..., coordinate] = masks
                out = [reduce(self.linear(some)) for some in probes.split(_PROBES)]
                columns.append(torch.cat(out).permute(2, 1, 0))  # (3, rows, probes)
        return torch.stack(columns, 1)

    def _block(self, name: str) -> Block:
        kind, _, place = name.partition(".")
        return getattr(self.model, kind)[int(place)]

    def _norm_after(self, name: str) -> nn.LayerNorm:
        return self.model.spatial_norm if name.startswith("spatial") else self.model.temporal_norm

    def _run(self, keypoints: Tensor, affine: bool) -> Tensor:
        model, order = self.model, self.model.config.joint_order
        if keypoints.shape[1:] != self.keypoints.shape:
            wanted = f"(batch, {', '.join(map(str, self.keypoints.shape))})"
            raise ValueError(f"keypoints have shape {tuple(keypoints.shape)}, expected {wanted}")
        if order:
            keypoints = keypoints[:, :, list(order)]
        x = _linear(keypoints, model.embed, affine) + (model.joint_position if affine else 0)
        for place, (name, frozen) in enumerate(self.frozen.items()):
            x = _run_block(self._block(name), frozen, x, affine)
            x = _norm(x, self._norm_after(name), frozen.shared_norm, affine)
            if place == 0 and affine:
                x = x + model.frame_position[: x.shape[1], None]
        x = _linear(_norm(x, model.head[0], self.head_norm, affine), model.head[1], affine)
        return x[:, :, [order.index(joint) for joint in range(len(order))]] if order else x


def linearise(model: PoseMamba, keypoints: Float[Tensor, "frames joints 2"]) -> Linearisation:
    """The affine map that a network applies around one input, with everything it chose held fixed.

    Args:
        model: any PoseMamba; drop path is switched off.
        keypoints: one sequence; a leading batch dimension of 1 is dropped.

    Raises:
        ValueError: more than one sequence, or a shape that the network does not take.
    """
    if keypoints.ndim == 4 and len(keypoints) == 1:
        keypoints = keypoints[0]
    if keypoints.ndim != 3:
        raise ValueError(f"keypoints have shape {tuple(keypoints.shape)}, expected (frames, joints, 2)")
    return Linearisation(model, keypoints)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Within it the network does not train: drop path is off."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _scale(x: Float[Tensor, "*tokens width"], norm: nn.LayerNorm) -> Float[Tensor, "*tokens 1"]:
    return torch.rsqrt(x.var(-1, keepdim=True, correction=0) + norm.eps)


def _norm(x: Tensor, norm: nn.LayerNorm, scale: Tensor, affine: bool) -> Tensor:
    """A layer norm whose divisor is held: taking off the mean is linear."""
    x = (x - x.mean(-1, keepdim=True)) * scale * norm.weight
    return x + norm.bias if affine else x


def _linear(x: Tensor, linear: nn.Linear, affine: bool) -> Tensor:
    return F.linear(x, linear.weight, linear.bias if affine else None)


def _freeze(block: Block, after: nn.LayerNorm, record: BlockRecord) -> FrozenBlock:
    return FrozenBlock(
        norm=_scale(record.tokens[0], block.norm),
        activation=torch.sigmoid(record.before[0]),
        ssm_norm=_scale(record.y[0], block.ssm.norm),
        gate=record.gate[0],
        mlp_norm=_scale(record.middle[0], block.mlp_norm),
        mlp_activation=0.5 * (1 + torch.erf(record.hidden[0] / 2**0.5)),
        shared_norm=_scale(record.out[0], after),
        record=record,
    )


def _run_block(block: Block, frozen: FrozenBlock, tokens: Tensor, affine: bool) -> Tensor:
    ssm, record, batch = block.ssm, frozen.record, len(tokens)
    inner = ssm.config.inner
    x = _norm(tokens, block.norm, frozen.norm, affine) @ ssm.in_proj.weight[:inner].T
    x = F.conv2d(
        x.permute(0, 3, 1, 2), ssm.conv.weight, ssm.conv.bias if affine else None, padding=1, groups=inner
    )
    x = x.permute(0, 2, 3, 1) * frozen.activation
    steps, B, C = (value.expand(batch, -1, -1, -1) for value in (record.steps, record.B, record.C))
    y = directional_scan(
        x.flatten(1, 2), steps, record.A, B, C, record.skip, record.reads,
        record.mixes if (record.mixes >= 0).any() else None,
    ).view_as(x)  # fmt: skip
    y = _norm(y, ssm.norm, frozen.ssm_norm, affine) * frozen.gate
    middle = tokens + _linear(y, ssm.out_proj, affine)
    hidden = _linear(_norm(middle, block.mlp_norm, frozen.mlp_norm, affine), block.mlp[0], affine)
    return middle + _linear(hidden * frozen.mlp_activation, block.mlp[2], affine)
