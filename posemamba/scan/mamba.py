"""The scan through mamba-ssm's CUDA kernel, where that package is installed."""

from torch import Tensor

from posemamba.scan.arguments import Arguments


def scan(args: Arguments, backend: str = "mamba_ssm") -> tuple[Tensor, Tensor]:
    """Hand the arguments to `selective_scan_fn`. y (b, K, inner, L), last state (b, K, inner, N).

    Raises:
        ValueError: mamba-ssm starts from a state of zero and takes no other.
    """
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    if args.initial is not None:
        raise ValueError("selective_scan: the backend 'mamba_ssm' has no initial_state")
    u, delta = (value.flatten(1, 2).contiguous() for value in (args.u, args.delta))
    B, C = args.B, args.C
    if args.B_scale is not None:  # constant B and C go in as they came, a matrix for all tokens
        B, C = (
            scale.flatten(0, 1) if value.stride(-1) == 0 else value
            for value, scale in ((B, args.B_scale), (C, args.C_scale))
        )
    flat = [None if value is None else value.flatten().float() for value in (args.D, args.bias)]
    y, last = selective_scan_fn(
        u, delta.to(u.dtype), args.A.flatten(0, 1).float(),
        *(value.to(u.dtype).contiguous() if value.ndim == 4 else value.float() for value in (B, C)),
        D=flat[0], delta_bias=flat[1], delta_softplus=args.softplus, return_last_state=True,
    )  # fmt: skip
    return y.view(args.u.shape), last.view(*args.u.shape[:3], -1)
