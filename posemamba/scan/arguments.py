"""One canonical form for the arguments of a selective scan, so that every backend sees the same shapes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from posemamba.scan.checks import check_states, check_tensors


@dataclass
class Arguments:
    """Checked and grouped arguments: b batch, K groups, D-inner channels a group, N states, L tokens.

    Nothing is copied: these are views of what the caller gave, in its dtypes.

    Attributes:
        u, delta: (b, K, inner, L). The step as given: its bias and softplus are still to come.
        A: (K, inner, N).
        B, C: (b, K, N, L), shared by the channels of a group; a single 1 where the caller's was constant.
        D, bias: (K, inner) or None.
        initial: (b, K, inner, N) or None, the state before the first token.
        B_scale, C_scale: (K, inner, N) constant factors of B and C for each channel; both or neither.
        softplus: whether the step goes through one.
        z: (b, K * inner, L) or None.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    bias: Tensor | None
    initial: Tensor | None
    B_scale: Tensor | None
    C_scale: Tensor | None
    softplus: bool
    z: Tensor | None

    @property
    def wide(self) -> torch.dtype:
        """What to compute in: float32 at least, as a state cannot live in 8 bits of mantissa."""
        wide = torch.promote_types(torch.promote_types(self.u.dtype, self.delta.dtype), self.A.dtype)
        return torch.promote_types(wide, torch.float32)

    def widened(self) -> "Arguments":
        """The same with every tensor in the computing dtype, and the step finished."""
        values = {name: value for name, value in vars(self).items() if name != "z"}
        values = {n: v.to(self.wide) if isinstance(v, Tensor) else v for n, v in values.items()}
        step = values.pop("delta")
        if self.bias is not None:
            step = step + values["bias"][..., None]
        if values.pop("softplus"):
            step = torch.nn.functional.softplus(step)
        return Arguments(**values | dict(delta=step, bias=None, softplus=False, z=self.z))

    def finish(self, y: Tensor, last: Tensor | None) -> Tensor | tuple[Tensor, Tensor]:
        """Gate, and restore the caller's shape and dtype. y (b, K, inner, L), last (b, K, inner, N)."""
        y = y.flatten(1, 2)
        if self.z is not None:
            y = y * torch.nn.functional.silu(self.z.to(y.dtype))
        y = y.to(self.u.dtype)
        # As in mamba-ssm, the last state is a result to read, not one to differentiate.
        return y if last is None else (y, last.detach().flatten(1, 2))


def _say(name: str, value: Tensor, expected: str) -> ValueError:
    return ValueError(f"selective_scan: {name} has shape {tuple(value.shape)}, expected {expected}")


def prepare(u, delta, A, B, C, D, z, delta_bias, delta_softplus: bool, initial_state=None) -> Arguments:
    """Check shapes and bring them to the grouped form of `Arguments`.

    Raises:
        TypeError: something is not a real floating-point tensor.
        ValueError: a shape does not fit; the message names the argument.
    """
    given = dict(
        u=u, delta=delta, A=A, B=B, C=C, D=D, z=z, delta_bias=delta_bias, initial_state=initial_state
    )
    check_tensors("selective_scan", "u", given, ("D", "z", "delta_bias", "initial_state"))
    if u.ndim != 3:
        raise _say("u", u, "(batch, channels, tokens)")
    batch, channels, tokens = u.shape
    if delta.shape != u.shape:
        raise _say("delta", delta, f"u's, {tuple(u.shape)}")
    if A.ndim != 2 or A.shape[0] != channels:
        raise _say("A", A, f"(channels, states) with {channels} channels, as u")
    state = A.shape[1]
    check_states("selective_scan", state)
    for name, value in (("D", D), ("delta_bias", delta_bias)):
        if value is not None and value.shape != (channels,):
            raise _say(name, value, f"({channels},)")
    if z is not None and z.shape != u.shape:
        raise _say("z", z, f"u's, {tuple(u.shape)}")
    if initial_state is not None and initial_state.shape != (batch, channels, state):
        raise _say("initial_state", initial_state, f"({batch}, {channels}, {state})")

    groups = {}
    for name, value in (("B", B), ("C", C)):
        if value.shape == (channels, state):
            groups[name] = 0
        elif value.shape == (batch, state, tokens):
            groups[name] = 1
        elif value.ndim == 4 and (value.shape[0], *value.shape[2:]) == (batch, state, tokens):
            groups[name] = value.shape[1]
            if groups[name] == 0 or channels % groups[name]:
                raise _say(name, value, f"a number of groups that divides the {channels} channels of u")
        else:
            raise _say(
                name,
                value,
                f"({batch}, {state}, {tokens}), ({batch}, groups, {state}, {tokens}) "
                f"or, constant, ({channels}, {state})",
            )
    sizes = {size for size in groups.values() if size > 1}
    if len(sizes) > 1:
        raise ValueError(
            f"selective_scan: B has {groups['B']} groups and C has {groups['C']}, expected the same"
        )
    count = sizes.pop() if sizes else 1
    inner = channels // count

    def grouped(value: Tensor, name: str) -> tuple[Tensor, Tensor | None]:
        if groups[name] == 0:
            return value.new_ones(()).expand(batch, count, state, tokens), value.reshape(count, inner, state)
        if value.ndim == 3:
            value = value[:, None]
        return value.expand(batch, count, state, tokens), None

    B4, B_scale = grouped(B, "B")
    C4, C_scale = grouped(C, "C")
    if (B_scale is None) != (C_scale is None):
        one = (B if B_scale is None else C).new_ones(()).expand(count, inner, state)
        B_scale, C_scale = one if B_scale is None else B_scale, one if C_scale is None else C_scale

    shape = (batch, count, inner, tokens)
    return Arguments(
        u=u.reshape(shape),
        delta=delta.reshape(shape),
        A=A.reshape(count, inner, state),
        B=B4,
        C=C4,
        D=None if D is None else D.reshape(count, inner),
        bias=None if delta_bias is None else delta_bias.reshape(count, inner),
        initial=None if initial_state is None else initial_state.reshape(batch, count, inner, state),
        B_scale=B_scale,
        C_scale=C_scale,
        softplus=delta_softplus,
        z=z,
    )
