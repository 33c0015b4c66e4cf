"""The GPU's scan: kernels in Triton, which needs no CUDA toolkit on the machine."""

import os
import tempfile

from posemamba.scan.cuda.backend import backward, forward, kept

__all__ = ["backward", "forward", "kept"]

_cache = os.environ.get("TRITON_CACHE_DIR")
_cache = _cache or os.path.join(os.environ.get("TRITON_HOME") or os.path.expanduser("~"), ".triton", "cache")
try:
    os.makedirs(_cache, exist_ok=True)
    tempfile.TemporaryFile(dir=_cache).close()
except OSError:
    # Triton writes down what it compiles, and fails where it cannot: for as long as this process lives, then.
    _folder = tempfile.TemporaryDirectory(prefix="triton-")
    os.environ["TRITON_CACHE_DIR"] = _folder.name
