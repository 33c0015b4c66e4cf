"""From the arguments of `selective_scan`, which have mamba-ssm's shapes, to what the backends take."""

from torch import Tensor

from posemamba.scan.checks import check_shapes, check_states, check_tensors
from posemamba.scan.operands import Operands


def prepare(u, delta, A, B, C, D, z, delta_bias, delta_softplus: bool, initial_state) -> Operands:
    """Check the arguments and group the channels. Nothing is copied, but u where it is widened for a gate.

    Raises:
        TypeError: something is not a real floating-point tensor.
        ValueError: a shape does not fit; the message names the argument.
    """
    few = dict(D=D, z=z, delta_bias=delta_bias, initial_state=initial_state)
    given = dict(u=u, delta=delta, A=A, B=B, C=C) | few
    check_tensors("selective_scan", "u", given, optional=tuple(few))

    def wrong(name: str, expected: str) -> ValueError:
        return ValueError(f"selective_scan: {name} has shape {tuple(given[name].shape)}, expected {expected}")

    if u.ndim != 3:
        raise wrong("u", "(batch, channels, tokens)")
    batch, channels, tokens = u.shape
    check_shapes("selective_scan", given, dict(delta=u.shape))
    if A.ndim != 2 or A.shape[0] != channels:
        raise wrong("A", f"(channels, states) with {channels} channels, as u")
    state = A.shape[1]
    check_states("selective_scan", state)
    expected = dict(D=(channels,), delta_bias=(channels,), z=u.shape, initial_state=(batch, channels, state))
    check_shapes("selective_scan", given, expected)

    groups = {}
    for name, value in (("B", B), ("C", C)):
        # The number of dimensions first: no size may be compared in vain while torch.export traces.
        if value.ndim == 2 and value.shape == (channels, state):
            groups[name] = 0
        elif value.ndim == 3 and value.shape == (batch, state, tokens):
            groups[name] = 1
        elif value.ndim == 4 and (value.shape[0], *value.shape[2:]) == (batch, state, tokens):
            groups[name] = value.shape[1]
            if groups[name] == 0 or channels % groups[name]:
                raise wrong(name, f"a number of groups that divides the {channels} channels of u")
        else:
            kinds = f"({batch}, {state}, {tokens}), ({batch}, groups, {state}, {tokens})"
            raise wrong(name, f"{kinds} or, constant, ({channels}, {state})")
    b, c = groups.values()
    if b > 1 and c > 1 and b != c:
        raise ValueError(f"selective_scan: B has {b} groups and C has {c}, expected the same")
    K = max(1, b, c)
    inner = channels // K

    def in_time(value: Tensor) -> Tensor:
        value = value.new_ones(()) if value.ndim == 2 else value
        value = value[:, None] if value.ndim == 3 else value
        return value.expand(batch, K, state, tokens).mT

    few = dict(A=A, D=D, bias=delta_bias)
    if 0 in (b, c):
        one = A.new_ones(()).expand(channels, state)
        few |= dict(B_scale=one if b else B, C_scale=one if c else C)
    few = {name: None if v is None else v.reshape(K, inner, *v.shape[1:]) for name, v in few.items()}
    x, step, initial = (None if v is None else v.unflatten(1, (K, inner)) for v in (u, delta, initial_state))
    few |= dict(B=in_time(B), C=in_time(C), initial=initial, softplus=delta_softplus)
    operands = Operands(x.mT, step.mT, **few)
    if z is not None:  # y has x's dtype, and must not be rounded before its gate
        operands.x = operands.x.to(operands.wide)
    return operands
