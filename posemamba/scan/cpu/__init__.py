"""The CPU's scan: kernels in Numba, which needs no compiler on the machine."""

from posemamba.scan.cpu.backend import backward, forward, kept

__all__ = ["backward", "forward", "kept"]
