"""MATLAB's two kinds of .mat file as arrays: 5, and 7.3, which is HDF5 with the axes in reverse."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posemamba.storage.kinds import existing_file, kind_of

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def read_matlab_5(path: Path, keys: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Reads the variables `keys` and, where they are there, `optional`; a cell array comes as objects.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: another kind of file, a damaged one, one without a key.
    """
    from scipy.io import loadmat, whosmat

    kind = _kind(path)
    if kind != "a MATLAB 5 file":
        raise ValueError(f"{path} is {kind}, expected a MATLAB 5 file")
    try:
        there = [name for name, *_ in whosmat(path, appendmat=False)]
        complete = set(keys) <= set(there)
        found = loadmat(path, appendmat=False, variable_names=[*keys, *optional]) if complete else {}
    # A damaged file can fail anywhere in scipy's reader.
    except Exception as error:
        raise ValueError(f"{path} is damaged or cut short, expected a MATLAB 5 file") from error
    if not all(key in found for key in keys):
        raise ValueError(f"{path} holds {', '.join(there) or 'nothing'}, expected {', '.join(keys)}")
    return {key: found[key] for key in (*keys, *optional) if key in found}


def read_matlab_73(
    path: Path, shapes: dict[str, tuple[int, ...]], optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Reads variables of numbers.

    Args:
        shapes: by name the shape behind the first axis, as it stands in the file; `()` for a row or column
            of numbers, which comes as `(n,)`.
        optional: those of them that may be missing.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: another kind of file, a damaged one, a variable that is missing or of another shape, or
            that points out of the file; h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"{path} is read with h5py, which is not installed: pip install h5py") from error

    kind = _kind(path)
    if kind != "a MATLAB 7.3 file (HDF5)":
        raise ValueError(f"{path} is {kind}, expected a MATLAB 7.3 file (HDF5)")
    arrays = {}
    try:
        with h5py.File(path, "r") as file:
            for name, shape in shapes.items():
                if name not in file and name in optional:
                    continue
                if name not in file:
                    there = ", ".join(key for key in file if not key.startswith("#"))
                    raise _Refused(f" holds {there[:200] or 'nothing'}, expected {', '.join(shapes)}")
                # What a link or such a set shows may lie in any other file of this machine.
                own = isinstance(file.get(name, getlink=True), h5py.HardLink)
                data = file[name] if own else None
                if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
                    raise _Refused(f": {name} is not an array in this file, expected numbers")
                fits = data.shape[1:] == shape if shape else data.size == max(data.shape, default=0)
                if data.dtype.kind not in "fiub" or not fits:
                    wanted = ", ".join(map(str, ("n", *shape))) if shape else "a row or column"
                    found = f"shape {data.shape} and type {data.dtype}"
                    raise _Refused(f": {name} has {found}, expected numbers ({wanted})")
                # What was never written takes no room and reads as zeros, of whatever size it declares.
                if data.nbytes > max(2**30, 200 * path.stat().st_size):
                    raise _Refused(f": {name} has shape {data.shape}, far too much for a file of its size")
                arrays[name] = data[()] if shape else data[()].reshape(-1)
    except _Refused as error:
        raise ValueError(f"{path}{error}") from None
    # A damaged file can fail anywhere in HDF5's library.
    except Exception as error:
        raise ValueError(f"{path} is damaged or cut short, expected a MATLAB 7.3 file (HDF5)") from error
    return arrays


class _Refused(Exception):
    """The rest of a sentence that begins with the file's name."""


def _kind(path: Path) -> str:
    with existing_file(path).open("rb") as file:
        head = file.read(1024)
    if head.startswith(b"MATLAB 5.0"):
        return "a MATLAB 5 file"
    # MATLAB puts 512 bytes of its own before HDF5's.
    return "a MATLAB 7.3 file (HDF5)" if _SIGNATURE in (head[:8], head[512:520]) else kind_of(head[:512])
