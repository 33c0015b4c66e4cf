"""Weights from strangers: torch checkpoints and .safetensors files."""

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


def read_checkpoint(path: str | Path) -> dict:
    """Reads a torch checkpoint (zip or older) or a .safetensors file; its content tells which it is.

    Nothing in the file is executed.

    Returns:
        Nested dicts, lists and tuples of tensors on the CPU, numbers and text. Parameters come as plain
        tensors, numpy scalars as Python numbers, types and devices as their names.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: what the file is instead: empty, cut short, a web page, a foreign archive, an unzipped
            checkpoint, or one that asks for more than data.
    """
    path = Path(path)
    # Some systems unpack a downloaded zip archive unasked.
    top = path.parent if path.name == "data.pkl" else path
    for folder in (top, *top.glob("*")):
        if (folder / "data.pkl").is_file() and (folder / "data").is_dir():
            again = f"pack it again (python -m zipfile -c checkpoint.bin {shlex.quote(str(folder))})"
            raise ValueError(f"{path} was unzipped: pass the checkpoint as it was downloaded, or {again}")
    with open(existing_file(path), "rb") as file:
        head = file.read(512)
    size = path.stat().st_size
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except Exception as error:
            raise ValueError(f"{path} is damaged, or not a .safetensors file: {error}") from error
    if head.startswith(ZIP):
        with open_archive(path, "a torch checkpoint") as archive:
            names = sorted(archive.namelist())
            size = sum(info.file_size for info in archive.infolist())
        if not any(name.endswith("/data.pkl") for name in names):
            raise ValueError(f"{path} is a zip archive of {', '.join(names[:3])}, expected a checkpoint")
        if any(name.endswith("/constants.pkl") for name in names):
            raise ValueError(f"{path} is a TorchScript program, expected a checkpoint of weights")
    elif not head.startswith(_LEGACY_TORCH):
        raise ValueError(f"{path} is {kind_of(head)}, expected a torch checkpoint or .safetensors file")
    try:
        found = _plain(_torch_load(path), size, {})
    except Refused as error:
        raise ValueError(f"{path} {error}") from error.__cause__
    if type(found) is not dict:
        raise ValueError(f"{path} holds a {type(found).__name__}, expected a dict of tensors")
    return found


def _named(name: str, function):
    """The function as a class of another module, by whose name torch finds what may be called."""
    module, _, short = name.rpartition(".")
    return type(short, (), {"__module__": module, "__new__": lambda _, *args: function(*args)})


# The released checkpoints hold one numpy float64, so numpy's scalar and dtype must be known, in both
# spellings of numpy's core. They lead to our own builders: no state from the file reaches numpy.
_SCALARS = [_named(f"numpy.{core}.multiarray.scalar", build_scalar) for core in ("core", "_core")]
_NUMPY = [DType, _named("numpy.dtype", DType), *_SCALARS]


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
        reason = f"asks for {asked[1]}, expected only tensors, numbers and text" if asked else ""
        raise known or Refused(reason or "is damaged, cut short or no checkpoint of weights") from error


def _plain(found, size: int, done: dict[int, object], depth: int = 0):
    """What torch read as plain data, for a file of `size` bytes when unpacked; `done` holds it by its id."""
    if id(found) not in done:
        if depth > 100:
            raise Refused("holds data nested more than 100 deep")
        done[id(found)] = _convert(found, size, lambda part: _plain(part, size, done, depth + 1))
    return done[id(found)]


def _convert(found, size: int, inner):
    import torch

    if found is None or type(found) in (bool, int, float, complex, str, bytes):
        return found
    if isinstance(found, np.generic):
        return found.item()
    if isinstance(found, torch.dtype | torch.device):
        return str(found)
    if isinstance(found, dict):
        if any(type(key) not in (str, int, float, bool) for key in found):
            raise Refused("holds a dict whose keys are neither names nor numbers")
        return {key: inner(value) for key, value in found.items()}
    for kind in (list, tuple, set):
        if isinstance(found, kind):
            return kind(map(inner, found))
    if not isinstance(found, torch.Tensor):
        raise Refused(f"holds a {type(found).__name__}, expected tensors, numbers and text")
    ordinary = type(found) in (torch.Tensor, torch.nn.Parameter) and found.layout == torch.strided
    if not ordinary or found.is_quantized or found.device.type != "cpu":
        raise Refused("holds a sparse, quantised or otherwise special tensor, expected dense ones")
    stored = found.untyped_storage().nbytes()
    # A tensor may be declared far larger than its numbers by repeating them.
    if stored > size or found.numel() * found.element_size() > stored:
        raise Refused(f"declares a tensor of shape {tuple(found.shape)} that is larger than its data")
    return found.detach()
