"""Files: atomic writes, and safe reading of what strangers wrote.

A read never runs code from a file: checkpoints and array files give tensors, arrays, numbers and text, or one
sentence that says what the file is instead.
"""

from posemamba.storage.arrays import read_arrays
from posemamba.storage.checkpoints import read_checkpoint
from posemamba.storage.pickles import read_pickle
from posemamba.storage.writing import asset, atomic_path, read_json, write_json

__all__ = ["asset", "atomic_path", "read_arrays", "read_checkpoint", "read_json", "read_pickle", "write_json"]
