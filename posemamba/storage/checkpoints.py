"""Weights from strangers: torch checkpoints and .safetensors files."""

from __future__ import annotations

import os
import re
import shlex
import threading
import warnings
from pathlib import Path

import numpy as np

from posemamba.storage.kinds import ZIP, existing_file, kind_of, open_archive
from posemamba.storage.values import DType, Refused, build_scalar

# How torch.save began its files before it wrote zip archives.
_LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

# torch keeps what may be called in one place for all threads.
_LOADING = threading.Lock()


def read_checkpoint(path: str | os.PathLike) -> dict:
    """Reads a torch checkpoint (zip or older) or a .safetensors file; its content tells which it is.

    Nothing in the file is executed.

    Returns:
        Nested dicts, lists and tuples of tensors on the CPU, numbers and text. Parameters come as plain
        tensors, numpy scalars as Python numbers, types and devices as their names.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: what the file is instead: empty, cut short, a web page, a foreign archive, a checkpoint
            unzipped into a folder, or one that asks for more than data.
    """
    path = Path(path)
    _refuse_unzipped(path)
    existing_file(path)
    with open(path, "rb") as file:
        head = file.read(512)
    size = path.stat().st_size
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        return _read_safetensors(path)
    if head.startswith(ZIP):
        size = _check_archive(path)
    elif not head.startswith(_LEGACY_TORCH):
        raise ValueError(f"{path} is {kind_of(head)}, expected a torch checkpoint or .safetensors file")
    try:
        found = _Plain(size).of(_torch_load(path))
    except Refused as error:
        raise ValueError(f"{path} {error}") from error.__cause__
    if type(found) is not dict:
        raise ValueError(f"{path} holds a {type(found).__name__}, expected a dict of tensors")
    return found


def _refuse_unzipped(path: Path) -> None:
    # Some systems unpack a downloaded checkpoint unasked, since it is a zip archive.
    folders = [path, *path.iterdir()] if path.is_dir() else [path.parent] if path.name == "data.pkl" else []
    for folder in folders:
        if (folder / "data.pkl").is_file() and (folder / "data").is_dir():
            raise ValueError(
                f"{path} belongs to a checkpoint that was unzipped: pass the file as it was downloaded, "
                f"or pack the folder again (python -m zipfile -c checkpoint.bin {shlex.quote(str(folder))})"
            )


def _check_archive(path: Path) -> int:
    """The unpacked size of a zip archive that can be a torch checkpoint."""
    with open_archive(path, "a torch checkpoint") as archive:
        names = sorted(archive.namelist())
        size = sum(info.file_size for info in archive.infolist())
    if not any(name.endswith("/data.pkl") for name in names):
        raise ValueError(f"{path} is a zip archive of {', '.join(names[:3])}, expected a torch checkpoint")
    if any(name.endswith("/constants.pkl") for name in names):
        raise ValueError(f"{path} is a TorchScript program, expected a checkpoint of weights")
    return size


def _named(name: str, function):
    """The function under another module's name, which is how torch finds what may be called."""

    def call(*args):
        return function(*args)

    call.__module__, _, call.__name__ = name.rpartition(".")
    call.__qualname__ = call.__name__
    return call


# The released checkpoints hold one numpy float64, so numpy's scalar and dtype must be known, in both
# spellings of numpy's core. They lead to our own builders: no state from the file reaches numpy.
_NUMPY = [
    DType,
    _named("numpy.dtype", DType),
    _named("numpy.core.multiarray.scalar", build_scalar),
    _named("numpy._core.multiarray.scalar", build_scalar),
]


def _torch_load(path: Path):
    import torch

    try:
        with _LOADING, warnings.catch_warnings(), torch.serialization.safe_globals(_NUMPY):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    # A damaged or hostile file can fail anywhere in torch's reader, and torch's advice is to trust it.
    except Exception as error:
        known = next((e for e in (error, error.__cause__, error.__context__) if isinstance(e, Refused)), None)
        asked = re.search(r"GLOBAL (\S+) (?:was not|whose module)", str(error))
        if known is None and asked:
            asked = f"asks for {asked[1]}, which is not data"
            known = Refused(f"{asked}: only tensors, numbers and text are read")
        raise known or Refused("is damaged, cut short or not a checkpoint of weights") from error


class _Plain:
    """Turns what torch read into plain data, for a file of `size` bytes when unpacked."""

    def __init__(self, size: int):
        self.size = size
        self.done: dict[int, object] = {}

    def of(self, found, depth: int = 0):
        if id(found) not in self.done:
            if depth > 100:
                raise Refused("holds data nested more than 100 deep")
            self.done[id(found)] = self.convert(found, depth + 1)
        return self.done[id(found)]

    def convert(self, found, depth: int):
        import torch

        if found is None or type(found) in (bool, int, float, complex, str, bytes):
            return found
        if isinstance(found, np.generic):
            return found.item()
        if isinstance(found, torch.Tensor):
            return self.tensor(found)
        if isinstance(found, torch.dtype | torch.device):
            return str(found)
        if isinstance(found, dict):
            if any(type(key) not in (str, int, float, bool) for key in found):
                raise Refused("holds a dict whose keys are neither names nor numbers")
            return {key: self.of(value, depth) for key, value in found.items()}
        for kind in (list, tuple, set):
            if isinstance(found, kind):
                return kind(self.of(item, depth) for item in found)
        raise Refused(f"holds a {type(found).__name__}, expected tensors, numbers and text")

    def tensor(self, found):
        import torch

        ordinary = type(found) in (torch.Tensor, torch.nn.Parameter) and found.layout == torch.strided
        if not ordinary or found.is_quantized or found.device.type != "cpu":
            raise Refused("holds a sparse, quantised or otherwise special tensor, expected dense ones")
        stored = found.untyped_storage().nbytes()
        # A tensor may be declared far larger than its numbers by repeating them.
        if stored > self.size or found.numel() * found.element_size() > stored:
            raise Refused(f"declares a tensor of shape {tuple(found.shape)} that is larger than its data")
        return found.detach()


def _read_safetensors(path: Path) -> dict:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged, or not a .safetensors file: {error}") from error
