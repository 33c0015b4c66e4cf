"""The scan through mamba-ssm's CUDA kernel, where that package is installed."""

from torch import Tensor

from posemamba.scan.operands import Operands


def scan(operands: Operands) -> tuple[Tensor, Tensor]:
    """y (b, sources, L, inner), last state (b, K, inner, N). Raises ValueError for an initial state."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    if operands.initial is not None:
        raise ValueError("selective_scan: the backend 'mamba_ssm' has no initial_state")
    o = operands.ordered()
    u, delta = (value.mT.flatten(1, 2).contiguous() for value in (o.x, o.delta.to(o.x.dtype)))
    matrices = [o.B.mT.to(u.dtype).contiguous(), o.C.mT.to(u.dtype).contiguous()]
    for i, (value, scale) in enumerate(((o.B, o.B_scale), (o.C, o.C_scale))):
        if scale is not None and value.stride(2) == 0:  # constant: it goes in as it came, for all tokens
            matrices[i] = scale.flatten(0, 1).float()
    D, bias = (None if value is None else value.flatten().float() for value in (o.D, o.bias))
    options = dict(D=D, delta_bias=bias, delta_softplus=o.softplus, return_last_state=True)
    y, last = selective_scan_fn(u, delta, o.A.flatten(0, 1).float(), *matrices, **options)
    return operands.merged(y.view(*o.x.mT.shape).mT), last.view(*o.x.shape[:2], *o.A.shape[1:])
