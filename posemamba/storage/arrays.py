"""Arrays as data sets are exchanged: .npz files."""

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from posemamba.storage.kinds import existing_file, open_archive
from posemamba.storage.values import Refused

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_arrays(path: str | Path, objects: Callable | None = None) -> dict[str, np.ndarray]:
    """Reads all arrays of an .npz file into memory.

    Args:
        objects: what reads an array of Python objects, a pickle, from its stream and size; without it such
            an array is refused.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: naming the file, the array and the fault.
    """
    path, expected, arrays = existing_file(path), "an .npz file of arrays", {}
    with open_archive(path, expected) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename:
                raise ValueError(f"{path} holds {name!r}, which is not an array, expected {expected}")
            try:
                with archive.open(info) as stream:
                    arrays[name] = _read_array(stream, info.file_size, objects)
            except Refused as error:
                raise ValueError(f"array {name!r} of {path} {error}") from error.__cause__
            # Damage shows itself in the archive, in the compression or in the header.
            except Exception as error:
                raise ValueError(f"array {name!r} of {path} is damaged or not an array") from error
    return arrays


def _read_array(stream, size: int, objects: Callable | None) -> np.ndarray:
    """One array of a .npy stream of `size` bytes. numpy would allocate whatever the header declares."""
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise Refused(f"is in version {version} of numpy's format, expected 1 or 2")
    shape, fortran, dtype = _HEADERS[version](stream)
    left = size - stream.tell()
    if dtype.kind == "O" and objects:
        found = objects(io.BytesIO(stream.read()), left)
        if type(found) is not np.ndarray or found.shape != shape:
            raise Refused(f"declares shape {shape} but holds something else")
        return found
    if dtype.kind not in "biufcSU":
        raise Refused(f"has type {dtype}, expected numbers or text")
    if math.prod(shape) * dtype.itemsize != left:
        raise Refused(f"declares shape {shape} and type {dtype}, which does not fit its {left} bytes")
    data = bytearray(left)
    # Reading past the end makes the archive compare its checksum.
    if stream.readinto(data) != left or stream.read(1):
        raise Refused("is cut short")
    flat = np.frombuffer(data, dtype) if left else np.zeros(math.prod(shape), dtype)
    return flat.reshape(shape, order="F" if fortran else "C")
