"""What the scan costs, for torch's counter of floating-point operations."""

import sys
from importlib.util import find_spec

import torch

_COUNTER = "torch.utils.flop_counter"


def scan_flops(batch: int, K: int, L: int, inner: int, N: int) -> int:
    """Floating-point operations of a scan: 9 for each state of each token, by the convention of VMamba.

    step A, its exponential, step B u (2), times and plus the state (2), times C and added up (2), and the
    share of what is done once a token.
    """
    return 9 * batch * K * L * inner * N


def _forward(*shapes, **_) -> int:
    return sum(_counts(*shapes))


def _backward(dy, starts, *shapes, **_) -> int:
    # The states once more, with their decays (6 of the 9), and 14 for what g adds to all gradients.
    scanned, low = _counts(*shapes)
    return 20 * scanned // 9 + 3 * low


def _counts(x, delta, A, B, C, D, bias, initial, B_scale, C_scale, low, *_) -> tuple[int, int]:
    """From the operands' shapes: of the scan, and of the steps of low rank made whole."""
    (batch, _, L, _), (K, inner, N) = x, A
    return scan_flops(batch, K, L, inner, N), 2 * batch * L * K * inner * low[2] if low else 0


def _register(counter) -> None:
    counter.register_flop_formula(torch.ops.posemamba.scan)(_forward)
    counter.register_flop_formula(torch.ops.posemamba.scan_backward)(_backward)


class _WhenImported:
    """Hands torch's counter our formulas when somebody imports it: it brings Triton along, slow to import."""

    def find_spec(self, name: str, path=None, target=None):
        if name != _COUNTER:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module) -> None:
            execute(module)
            _register(module)

        spec.loader.exec_module = exec_module
        return spec


def register() -> None:
    """Let `torch.utils.flop_counter` count the operators, now or when it is imported."""
    if _COUNTER in sys.modules:
        _register(sys.modules[_COUNTER])
    else:
        sys.meta_path.insert(0, _WhenImported())
