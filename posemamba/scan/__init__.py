"""The selective scan: one front door, several implementations behind it."""

import os
from importlib.util import find_spec

import torch
from jaxtyping import Float, Int
from torch import Tensor

from posemamba.scan import associative, mamba_ssm, ops, reference
from posemamba.scan.arguments import prepare
from posemamba.scan.associative import associative_scan
from posemamba.scan.checks import check_shapes, check_stability, check_states, check_tables, check_tensors
from posemamba.scan.operands import Operands

__all__ = ["associative_scan", "available_backends", "check_stability", "directional_scan", "selective_scan"]

# Triton's interpreter runs its kernels on the CPU: for tests, and very slowly.
_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
_HOMES = {"numba": "cpu", "triton": "cpu" if _INTERPRETED else "cuda", "mamba_ssm": "cuda"}
_FORCED = os.environ.get("POSEMAMBA_BACKEND", "auto")
_MISSING = dict.fromkeys(("reference", "associative"))
_MISSING |= {name: None if find_spec(name) else f"{name} is not installed" for name in _HOMES}


def available_backends() -> dict[str, str | None]:
    """Each backend's name, with None where it can be used here and else the reason why it cannot.

    "reference" and "associative" run anywhere, "numba" on the CPU, "triton" and "mamba_ssm" on CUDA.
    """
    return {name: _missing(name) for name in _MISSING}


def _missing(name: str) -> str | None:
    # Not when this is imported: to look for devices spoils CUDA for processes that are forked later.
    if _MISSING[name] is None and _HOMES.get(name) == "cuda" and not torch.cuda.is_available():
        return "no CUDA device is found"
    return _MISSING[name]


def selective_scan(
    u: Float[Tensor, "batch channels tokens"],
    delta: Float[Tensor, "batch channels tokens"],
    A: Float[Tensor, "channels state"],
    B: Float[Tensor, "..."],
    C: Float[Tensor, "..."],
    D: Float[Tensor, " channels"] | None = None,
    z: Float[Tensor, "batch channels tokens"] | None = None,
    delta_bias: Float[Tensor, " channels"] | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    backend: str = "auto",
    initial_state: Float[Tensor, "batch channels state"] | None = None,
    check: bool = False,
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
            split evenly over groups, in order, or (channels, state) where it is the same at all tokens.
        C: like B.
        D: weight of the direct path from u to y.
        z: gate.
        delta_bias: added to delta before the softplus.
        delta_softplus: pass the step through softplus.
        return_last_state: also return the last state, (batch, channels, state), without a gradient.
        backend: "reference" (the recurrence, a loop), "associative" (a tree in plain torch), "numba" (CPU
            kernels), "triton" and "mamba_ssm" (CUDA kernels), or "auto": what the environment's
            POSEMAMBA_BACKEND names, else "numba" or "triton", "associative" where that is not installed.
        initial_state: the state before the first token, zero where it is not given.
        check: first refuse steps and an A with which states grow, by `check_stability`: for the search
            after inf and NaN, and not for training, as it reads all numbers once more.

    Inputs may be float16 or bfloat16, with the state in float32, and of any strides. The scan is an operator
    of torch: `torch.compile`, `torch.export` and autocast go through it; autocast leaves its sums alone.

    Returns:
        y, of u's shape and dtype; with `return_last_state` the pair (y, last state).

    Raises:
        ValueError, TypeError: an argument's shape, dtype or device does not fit; the message names it.
        ValueError: with `check`, a step is negative, an A positive, or one of them not finite.
        NotImplementedError: the gradient of "numba" or "triton" is to be differentiated once more.

    Derivatives: in reverse, once, by kernels; batched and under `torch.func` too. In forward mode, and where
    `torch.func` takes one derivative of another, the tree of "associative" stands in for the kernels.
    """
    operands = prepare(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state)
    if check:
        check_stability(delta, A, delta_bias, delta_softplus)
    y, last = _run(operands, backend)
    y = y.mT.flatten(1, 2)
    if z is not None:
        y = y * torch.nn.functional.silu(z.to(y.dtype))
    y = y.to(u.dtype)
    # As in mamba-ssm, the last state is a result to read, not one to differentiate.
    return (y, last.detach().flatten(1, 2)) if return_last_state else y


def _run(operands: Operands, backend: str) -> tuple[Tensor, Tensor]:
    """y (b, sources, L, inner) and the last states (b, K, inner, N), by a backend that is here."""
    backend = _choose(backend, operands.x.device)
    if backend in ("numba", "triton"):
        if operands.x.numel() == 0 or operands.A.shape[-1] == 0:
            backend = "reference"
        elif not torch.compiler.is_compiling() and ops.derivatives() > 1:
            backend = "associative"
        else:
            return ops.run(operands, backend)
    scans = {"reference": reference, "associative": associative, "mamba_ssm": mamba_ssm}
    return scans[backend].scan(operands)


def directional_scan(
    x: Float[Tensor, "batch tokens inner"],
    delta: Float[Tensor, "batch directions tokens inner_or_rank"],
    A: Float[Tensor, "directions inner state"],
    B: Float[Tensor, "batch directions tokens state"],
    C: Float[Tensor, "batch directions tokens state"],
    D: Float[Tensor, "directions inner"],
    reads: Int[Tensor, "directions tokens"],
    mixes: Int[Tensor, "directions tokens"] | None = None,
    delta_bias: Float[Tensor, "directions inner"] | None = None,
    delta_softplus: bool = False,
    delta_projection: Float[Tensor, "directions inner rank"] | None = None,
    through_mix: bool = True,
    backend: str = "auto",
) -> Float[Tensor, "batch tokens inner"]:
    """Scan the same tokens along several directions and sum the results, each put back in its token's place.

    Direction k reads, at place i of its sequence, token reads[k, i], plus token mixes[k, i] where that is
    not -1. All else (delta, B, C, the output) is in token order, so nothing need be reordered by the caller.

    Args:
        x, delta, A, B, C, D: as for `selective_scan`, with the channels of a direction kept apart and
            innermost.
        reads: int32, each row a permutation of the tokens.
        mixes: int32, -1 or a token; None where nothing is mixed.
        delta_bias: added to delta before the softplus.
        delta_softplus: pass the step through softplus.
        delta_projection: where it is given, delta is (batch, directions, tokens, rank) and the step, before
            its bias, delta times this: made where it is used, and never stored whole on the CPU.
        through_mix: False gives mixed-in tokens no gradient, as the released code does.
        backend: as for `selective_scan`.

    Raises:
        ValueError, TypeError: an argument's shape, dtype or device does not fit, or a table holds what is not
            a token (looked at once, and on a GPU not while a CUDA graph is captured or by compiled code); the
            message names it.
    """
    given = dict(x=x, delta=delta, A=A, B=B, C=C, D=D, reads=reads, mixes=mixes)
    given |= dict(delta_bias=delta_bias, delta_projection=delta_projection)
    optional = ("mixes", "delta_bias", "delta_projection")
    check_tensors("directional_scan", "x", given, optional, tables=("reads", "mixes"))
    three = ("x", "batch, tokens, inner"), ("A", "directions, inner, state")
    for name, shape in (*three, ("delta_projection", "directions, inner, rank")):
        value = given[name]
        if value is not None and value.ndim != 3:
            raise ValueError(f"directional_scan: {name} has shape {tuple(value.shape)}, expected ({shape})")
    (batch, tokens, inner), (K, _, N) = x.shape, A.shape
    check_states("directional_scan", N)
    width = inner if delta_projection is None else delta_projection.shape[-1]
    expected = dict(delta=(batch, K, tokens, width), A=(K, inner, N), D=(K, inner), reads=(K, tokens))
    expected |= dict.fromkeys("BC", (batch, K, tokens, N)) | dict(mixes=(K, tokens), delta_bias=(K, inner))
    check_shapes("directional_scan", given, expected | dict(delta_projection=(K, inner, width)))
    check_tables(reads, mixes, once=True)
    options = dict(softplus=delta_softplus, through_mix=through_mix)
    few = dict(bias=delta_bias, projection=delta_projection, reads=reads, mixes=mixes)
    y, _ = _run(Operands(x[:, None], delta, A, B, C, D, **few, **options), backend)
    return y[:, 0].to(x.dtype)


def _choose(backend: str, device: torch.device) -> str:
    if backend == "auto" and (backend := _FORCED) == "auto":
        fastest = {"cpu": "numba", "meta": "numba", "cuda": "triton"}.get(device.type)
        return fastest if fastest and _MISSING[fastest] is None else "associative"
    problem, home = f"selective_scan: the backend {backend!r}", _HOMES.get(backend, device.type)
    if backend not in _MISSING:
        expected = f"expected 'auto' or one of {', '.join(_MISSING)}"
        raise ValueError(f"selective_scan: unknown backend {backend!r}, {expected}")
    if (why := _missing(backend)) is not None:
        raise ValueError(f"{problem} cannot be used here: {why}")
    if device.type not in (home, "meta"):
        raise ValueError(f"{problem} runs on {home.upper()}, u is on {device}")
    return backend
