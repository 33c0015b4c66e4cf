"""The selective scan: one front door, several implementations behind it."""

from importlib import import_module
from importlib.util import find_spec

import torch
from jaxtyping import Float, Int
from torch import Tensor

from posemamba.scan.arguments import prepare
from posemamba.scan.associative import associative_scan

__all__ = ["associative_scan", "available_backends", "directional_scan", "selective_scan"]

_BACKENDS = {"reference": "reference", "associative": "associative", "numba": "cpu"}


def available_backends() -> dict[str, str | None]:
    """Each backend's name, with None where it can be used here and else the reason why it cannot."""
    return {
        "reference": None,
        "associative": None,
        "numba": None if find_spec("numba") else "numba is not installed",
    }


def selective_scan(
    u: Float[Tensor, "batch channels tokens"],
    delta: Float[Tensor, "batch channels tokens"],
    A: Float[Tensor, "channels state"],
    B: Float[Tensor, "..."],
    C: Float[Tensor, "..."],
    D: Float[Tensor, "channels"] | None = None,
    z: Float[Tensor, "batch channels tokens"] | None = None,
    delta_bias: Float[Tensor, "channels"] | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Scan a sequence with a state space whose step, B and C may change at every token.

    For each channel, with N states h and delta' = softplus(delta + delta_bias) where softplus is asked for,

        h_i = exp(delta'_i A) h_{i-1} + delta'_i B_i u_i        (Equation 4; B-bar to first order)
        y_i = C_i . h_i + D u_i,   then y_i * silu(z_i) where z is given.

    The arguments have the shapes of mamba-ssm's `selective_scan_fn` (Gu and Dao, 2023), with a real A.

    Args:
        u: the input.
        delta: the step of each channel at each token.
        A: the decay rates; negative for a stable system.
        B: (batch, state, tokens) shared by all channels, (batch, groups, state, tokens) with the channels
            split evenly over the groups, or (channels, state) where it does not change along the sequence.
        C: like B.
        D: weight of the direct path from u to y.
        z: gate.
        delta_bias: added to delta before the softplus.
        delta_softplus: pass the step through softplus.
        return_last_state: also return the last state, (batch, channels, state), without a gradient.
        backend: "reference" (the recurrence, a loop), "associative" (a tree in plain torch), "numba" (CPU
            kernels), or "auto", the fastest that the device of u has. float16 and bfloat16 are computed in
            float32.

    Returns:
        y, of u's shape and dtype; with `return_last_state` the pair (y, last state).

    Raises:
        ValueError, TypeError: an argument's shape, dtype or device does not fit; the message names it.
    """
    args = prepare(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    backend = _choose(backend, u.device)
    y, last = import_module(f"posemamba.scan.{_BACKENDS[backend]}").scan(args)
    return args.finish(y, last if return_last_state else None)


def directional_scan(
    x: Float[Tensor, "batch tokens inner"],
    delta: Float[Tensor, "batch directions tokens inner"],
    A: Float[Tensor, "directions inner state"],
    B: Float[Tensor, "batch directions tokens state"],
    C: Float[Tensor, "batch directions tokens state"],
    D: Float[Tensor, "directions inner"],
    reads: Int[Tensor, "directions tokens"],
    mixes: Int[Tensor, "directions tokens"],
    delta_softplus: bool = False,
    through_mix: bool = True,
    backend: str = "auto",
) -> Float[Tensor, "batch tokens inner"]:
    """Scan the same tokens along several directions and sum the results, each put back in its token's place.

    Direction k reads, at place i of its sequence, token reads[k, i], plus token mixes[k, i] where that is
    not -1. All else (delta, B, C, the output) is in token order, so nothing need be reordered by the caller.

    Args:
        x, delta, A, B, C, D: as for `selective_scan`, with the channels of a direction kept apart and
            innermost; the step is taken as it is, with neither bias nor softplus.
        reads: int32, each row a permutation of the tokens.
        mixes: int32, -1 or a token.
        delta_softplus: pass the step through softplus.
        through_mix: False gives mixed-in tokens no gradient, as the released code does.
        backend: as for `selective_scan`.

    Raises:
        ValueError: a shape does not fit; the message names the argument.
    """
    batch, tokens, inner = x.shape
    K, _, N = A.shape
    expected = dict(
        delta=(batch, K, tokens, inner), A=(K, inner, N), D=(K, inner),
        B=(batch, K, tokens, N), C=(batch, K, tokens, N),
        reads=(K, tokens), mixes=(K, tokens),
    )  # fmt: skip
    for (name, shape), value in zip(expected.items(), (delta, A, D, B, C, reads, mixes), strict=True):
        if value.shape != shape:
            raise ValueError(f"directional_scan: {name} has shape {tuple(value.shape)}, expected {shape}")
    backend = _choose(backend, x.device)
    if backend == "numba":
        from posemamba.scan import cpu

        return cpu.directional(x, delta, A, B, C, D, reads, mixes, through_mix, delta_softplus)
    y = torch.zeros_like(x)
    if delta_softplus:
        delta = torch.nn.functional.softplus(delta)
    for k in range(K):
        read, mix = reads[k].long(), mixes[k].long()
        mixed = x if through_mix else x.detach()
        u = x[:, read] + mixed[:, mix.clamp(min=0)] * (mix >= 0)[:, None]
        columns = [value[:, k, read].transpose(1, 2) for value in (delta, B, C)]
        out = selective_scan(u.transpose(1, 2), columns[0], A[k], *columns[1:], D=D[k], backend=backend)
        y = y.index_add(1, read, out.transpose(1, 2))
    return y


def _choose(backend: str, device: torch.device) -> str:
    missing = available_backends()
    if backend == "auto":
        return "numba" if device.type == "cpu" and missing["numba"] is None else "associative"
    if backend not in missing:
        raise ValueError(
            f"selective_scan: unknown backend {backend!r}, expected 'auto' or one of {', '.join(missing)}"
        )
    if missing[backend] is not None:
        raise ValueError(f"selective_scan: the backend {backend!r} cannot be used here: {missing[backend]}")
    if backend == "numba" and device.type != "cpu":
        raise ValueError(f"selective_scan: the backend 'numba' runs on the CPU, u is on {device}")
    return backend
