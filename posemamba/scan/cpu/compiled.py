"""The CPU kernels, compiled: on first use for each dtype, then kept on disk."""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numba import boolean, int32, int64, njit, types

from posemamba.scan.cpu.gradients import add_shares, backward_pass
from posemamba.scan.cpu.kernels import BACKWARD_ROWS, forward_pass
from posemamba.scan.cpu.lanes import LANES
from posemamba.scan.cpu.tiles import TILE


def own_memory(blocks: int, N: int, dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What one thread works in: `cache` (rows, LANES) for its tiles and states, the largest rates, and the
    places of a tile's tokens, -1 where none is mixed in."""
    size, line = (BACKWARD_ROWS + 2 * blocks * N) * LANES, 64 // dtype.itemsize
    cache = torch.zeros(size + line, dtype=dtype)
    # It begins where a line of the processor's cache does: a vector across two lines costs twice.
    begin = -cache.data_ptr() % 64 // dtype.itemsize
    cache = cache[begin : begin + size].view(-1, LANES)
    return cache.numpy(), torch.zeros(blocks, N, dtype=dtype).numpy(), np.full((5, TILE), -1, np.int64)


def _types(dtype: torch.dtype, scaled: bool) -> tuple:
    real = getattr(types, str(dtype).removeprefix("torch."))
    strided, A, D, state = real[:, :, :, :], real[:, :, ::1], real[:, ::1], real[:, :, :, ::1]
    scale, table = A if scaled else types.none, int32[:, ::1]
    inputs = (strided, boolean, strided, boolean, A, A, strided, strided, D, D, state)
    inputs += (scale, scale, table, table, boolean)
    return inputs, strided, state, A, types.Array(real, 5, "C"), (int64, D, D, int64[:, ::1])


def _compile(function, *arguments):
    # Numba's copy on disk is renewed when this file changes; its name makes that any of the kernels' files.
    here = Path(__file__).parent
    names = ("kernels.py", "gradients.py", "tiles.py", "lanes.py", "exponentials.py")
    stamp = sha256(b"".join((here / name).read_bytes() for name in names)).hexdigest()[:12]
    function.__qualname__ = f"{function.__name__}_{stamp}"
    signature = types.void(*arguments, int64[::1], int64, int64)
    options = dict(nogil=True, fastmath={"contract"}, error_model="numpy", no_cfunc_wrapper=True)
    try:
        return njit(signature, cache=True, **options)(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return njit(signature, **options)(function)  # nowhere to write: compiled anew by each process


@lru_cache
def forward(dtype: torch.dtype, scaled: bool):
    """The forward kernel for float32 or float64."""
    inputs, strided, state, _, starts, own = _types(dtype, scaled)
    return _compile(forward_pass, *inputs, strided, starts, state, *own)


@lru_cache
def backward(dtype: torch.dtype, scaled: bool):
    """The backward kernel, likewise."""
    inputs, strided, state, A, share, own = _types(dtype, scaled)
    gradients = strided, strided, share, state, state, share, share, A, A, state, state, state
    return _compile(backward_pass, strided, *inputs, share, boolean, *gradients, *own)


@lru_cache
def collect(dtype: torch.dtype):
    """The kernel that adds up shares, likewise."""
    _, strided, _, _, share, _ = _types(dtype, False)
    return _compile(add_shares, share, int32[:, ::1], strided)
