"""One canonical form for the arguments of a selective scan, so that every backend sees the same shapes."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Arguments:
    """Checked and grouped arguments: b batch, K groups, D-inner channels a group, N states, L tokens.

    Attributes:
        u, delta: (b, K, inner, L). The step already holds its bias and softplus.
        A: (K, inner, N).
        B, C: (b, K, N, L), shared by the channels of a group; a single 1 where the caller's was constant.
        D: (K, inner) or None.
        B_constant, C_constant: (K, inner, N) where the caller gave a matrix that does not vary, else None.
        z: as given, (b, K * inner, L) or None.
        dtype: the caller's dtype of u, which the output takes.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    B_constant: Tensor | None
    C_constant: Tensor | None
    z: Tensor | None
    dtype: torch.dtype

    @property
    def weight(self) -> Tensor | None:
        """Constant B times constant C, (K, inner, N): what is left to apply to a state driven by B = 1."""
        if self.B_constant is None or self.C_constant is None:
            return self.B_constant if self.C_constant is None else self.C_constant
        return self.B_constant * self.C_constant

    def finish(self, y: Tensor, last: Tensor | None) -> Tensor | tuple[Tensor, Tensor]:
        """Gate, and restore the caller's shape and dtype.

        `last` is (b, K, inner, N), the state that B = 1 drives where B is constant.
        """
        y = y.flatten(1, 2)
        if self.z is not None:
            y = y * torch.nn.functional.silu(self.z.to(y.dtype))
        y = y.to(self.dtype)
        if last is None:
            return y
        # As in mamba-ssm, the last state is a result to read, not one to differentiate.
        last = last.detach() if self.B_constant is None else last.detach() * self.B_constant.detach()
        return y, last.flatten(1, 2)


def _say(name: str, value: Tensor, expected: str) -> ValueError:
    return ValueError(f"selective_scan: {name} has shape {tuple(value.shape)}, expected {expected}")


def prepare(u, delta, A, B, C, D, z, delta_bias, delta_softplus: bool) -> Arguments:
    """Check shapes and bring them to the grouped form of `Arguments`.

    Raises:
        TypeError: something is not a real floating-point tensor.
        ValueError: a shape does not fit; the message names the argument.
    """
    given = dict(u=u, delta=delta, A=A, B=B, C=C, D=D, z=z, delta_bias=delta_bias)
    for name, value in given.items():
        if value is None and name in ("D", "z", "delta_bias"):
            continue
        if not isinstance(value, Tensor):
            raise TypeError(f"selective_scan: {name} must be a tensor, found {type(value).__name__}")
        if value.is_complex():
            raise TypeError(f"selective_scan: {name} is complex; only real state spaces are supported")
        if not value.is_floating_point():
            raise TypeError(f"selective_scan: {name} has dtype {value.dtype}, expected a floating-point one")
        if value.device != u.device:
            raise ValueError(f"selective_scan: {name} is on {value.device}, u is on {u.device}")
    if u.ndim != 3:
        raise _say("u", u, "(batch, channels, tokens)")
    batch, channels, tokens = u.shape
    if delta.shape != u.shape:
        raise _say("delta", delta, f"u's, {tuple(u.shape)}")
    if A.ndim != 2 or A.shape[0] != channels:
        raise _say("A", A, f"(channels, states) with {channels} channels, as u")
    state = A.shape[1]
    for name, value in (("D", D), ("delta_bias", delta_bias)):
        if value is not None and value.shape != (channels,):
            raise _say(name, value, f"({channels},)")
    if z is not None and z.shape != u.shape:
        raise _say("z", z, f"u's, {tuple(u.shape)}")

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

    # Half precision computes in float32, as in mamba-ssm: the state cannot live in 8 bits of mantissa.
    dtype = torch.promote_types(torch.promote_types(u.dtype, A.dtype), torch.float32)
    step = delta.to(dtype)
    if delta_bias is not None:
        step = step + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        step = torch.nn.functional.softplus(step)

    def grouped(value: Tensor, name: str) -> tuple[Tensor, Tensor | None]:
        value = value.to(dtype)
        if groups[name] == 0:
            return value.new_ones(()).expand(batch, count, state, tokens), value.view(count, inner, state)
        if value.ndim == 3:
            value = value[:, None]
        return value.expand(batch, count, state, tokens), None

    B4, B_constant = grouped(B, "B")
    C4, C_constant = grouped(C, "C")
    shape = (batch, count, inner, tokens)
    return Arguments(
        u=u.to(dtype).reshape(shape),
        delta=step.reshape(shape),
        A=A.to(dtype).reshape(count, inner, state),
        B=B4,
        C=C4,
        D=None if D is None else D.to(dtype).reshape(count, inner),
        B_constant=B_constant,
        C_constant=C_constant,
        z=z,
        dtype=u.dtype,
    )
