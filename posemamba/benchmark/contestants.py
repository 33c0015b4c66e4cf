"""Those who scan: the package's backends, and what else people use."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import torch
from jaxtyping import Float
from torch import Tensor

from posemamba.benchmark.cases import Shape
from posemamba.scan import available_backends, selective_scan

#: A Python loop over more tokens than this takes minutes with gradients.
LOOP_TOKENS = 500


@dataclass(frozen=True)
class Scan:
    """Somebody who scans.

    Attributes:
        name: how its row is called.
        kind: "backend" of this package, or "peer".
        call: (u, delta, A, B, C) to y, shapes as for `selective_scan`.
        refuses: why it does not take a size, or None.
    """

    name: str
    kind: str
    call: Callable[..., Tensor]
    refuses: Callable[[Shape], str | None] = lambda shape: None


def everybody() -> list[tuple[Scan, str | None]]:
    """All who are known, each with the reason why it is not here, if it is not."""
    found = []
    for name, why in available_backends().items():
        call = partial(selective_scan, backend=name)
        refuses = _loop if name == "reference" else _all
        found.append((Scan(f"posemamba, {name}", "backend", call, refuses), why))
    for name, module, call, refuses in (
        ("mambapy", "mambapy", mambapy_scan, _single),
        ("torch associative_scan", "torch._higher_order_ops.associative_scan", torch_scan, _single),
        ("mamba-ssm", "mamba_ssm", mamba_ssm_scan, _all),
    ):
        why = None if _found(module) else f"{module} is not installed"
        found.append((Scan(name, "peer", call, refuses), why))
    return found


def scans(device: str) -> tuple[list[Scan], dict[str, str]]:
    """Those who can scan on a device, and the others by name with the reason why they cannot."""
    here, missing = [], {}
    for scan, why in everybody():
        why = why or _refusal(scan.call, device)
        if why is None:
            here.append(scan)
        else:
            missing[scan.name] = why
    return here, missing


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package on the way to it
        return False


def _refusal(call: Callable, device: str) -> str | None:
    """Why a small scan with its gradients does not run on a device; None where it does."""
    from posemamba.benchmark.timing import reason

    values, cotangent = Shape("probe", 1, 2, 16, 5, 16).inputs(device, 0)
    leaves = [value.requires_grad_() for value in values]
    try:
        torch.autograd.grad(call(*leaves), leaves, cotangent)
    except Exception as error:  # whatever it is, the run goes on without this one
        return reason(error)
    return None


def _all(shape: Shape) -> str | None:
    return None


def _loop(shape: Shape) -> str | None:
    if shape.tokens > LOOP_TOKENS:
        return f"a Python loop: timed up to {LOOP_TOKENS} tokens only"
    return None


def _single(shape: Shape) -> str | None:
    return None if shape.dtype == "float32" else "keeps its state in the inputs' dtype: timed in float32 only"


def _expanded(u, delta, A, B, C) -> tuple[Tensor, Tensor, Tensor]:
    """Decays exp(delta A) and writes delta B u, both (batch, tokens, channels, state), and C likewise."""
    each = u.shape[1] // B.shape[1]
    u, delta = u.mT, delta.mT  # (b, L, channels)
    B, C = (m.repeat_interleave(each, 1).permute(0, 3, 1, 2) for m in (B, C))  # (b, L, channels, N)
    return torch.exp(delta[..., None] * A), (delta * u)[..., None] * B, C


def mambapy_scan(
    u: Float[Tensor, "batch channels tokens"],
    delta: Float[Tensor, "batch channels tokens"],
    A: Float[Tensor, "channels state"],
    B: Float[Tensor, "batch groups state tokens"],
    C: Float[Tensor, "batch groups state tokens"],
) -> Float[Tensor, "batch channels tokens"]:
    """Through mambapy's parallel scan (PyPI, mambapy), which takes decays and writes ready-made."""
    from mambapy.pscan import pscan

    decay, write, C = _expanded(u, delta, A, B, C)
    return (pscan(decay, write) * C).sum(-1).mT


def torch_scan(
    u: Float[Tensor, "batch channels tokens"],
    delta: Float[Tensor, "batch channels tokens"],
    A: Float[Tensor, "channels state"],
    B: Float[Tensor, "batch groups state tokens"],
    C: Float[Tensor, "batch groups state tokens"],
) -> Float[Tensor, "batch channels tokens"]:
    """Through torch's own associative_scan, eager, in its mode "generic": autograd goes through its tree.

    (Its mode "pointwise" runs compiled on CUDA alone.)
    """
    from torch._higher_order_ops.associative_scan import associative_scan

    decay, write, C = _expanded(u, delta, A, B, C)
    _, states = associative_scan(_then, (decay, write), dim=1, combine_mode="generic")
    return (states * C).sum(-1).mT


def _then(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The step that does first, then second: h -> a2 (a1 h + w1) + w2."""
    return second[0] * first[0], second[0] * first[1] + second[1]


def mamba_ssm_scan(
    u: Float[Tensor, "batch channels tokens"],
    delta: Float[Tensor, "batch channels tokens"],
    A: Float[Tensor, "channels state"],
    B: Float[Tensor, "batch groups state tokens"],
    C: Float[Tensor, "batch groups state tokens"],
) -> Float[Tensor, "batch channels tokens"]:
    """Through mamba-ssm's CUDA kernel."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    return selective_scan_fn(u, delta, A, B, C)
