"""The GPU's scan: kernels in Triton, which needs no CUDA toolkit on the machine."""

from posemamba.scan.cuda.backend import backward, forward, kept

__all__ = ["backward", "forward", "kept"]
