"""What may come out of a stranger's file: arrays, numbers, text, builtin containers."""

import math
import re

import numpy as np


class Refused(ValueError):
    """What was read is not plain data. The message continues a sentence that starts with the file's name."""


# Numbers, text and Python objects. Records, dates and platform-wide floats have no place in motion data.
_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|c(?:8|16)|[SU]\d{1,9}|O8?")


class DType:
    """Stands for a pickled `numpy.dtype`: takes its code and byte order, refuses fields, shapes and metadata.

    numpy's own `dtype.__setstate__` believes the flags it is given, so a stranger's state never reaches it.
    """

    def __init__(self, code="", align=False, copy=True):
        if type(code) is not str or not _DTYPE.fullmatch(code):
            raise Refused(f"holds data of type {str(code)[:40]!r}, expected numbers, text or objects")
        self.value = np.dtype(code)

    def __setstate__(self, state):
        plain = type(state) is tuple and len(state) in (8, 9) and not any(x is not None for x in state[2:5])
        if not plain or state[1] not in ("<", ">", "=", "|") or any(x is not None for x in state[8:]):
            raise Refused("holds an array of records or with metadata, expected numbers, text or objects")
        if state[1] != "|":
            self.value = self.value.newbyteorder(state[1])


def build_array(raw, dtype: DType, shape: tuple[int, ...], order: str = "C") -> np.ndarray:
    """The array that a pickle describes. Nothing is allocated beyond the bytes that are really there.

    `raw` is its bytes, or the list of its items where the type is object; `order` is "F" where the first
    index runs fastest in it, else "C". Raises `Refused` where these do not fit together.
    """
    proper = type(dtype) is DType and type(shape) is tuple and len(shape) <= 32 and order in ("C", "F")
    if not proper or any(type(n) is not int or n < 0 for n in shape):
        raise Refused("holds an array without a proper shape and type")
    dtype, count = dtype.value, math.prod(shape)
    if type(raw) is str:  # Python 2 wrote bytes as text
        raw = raw.encode("latin-1")
    size = len(raw) if type(raw) in (bytes, bytearray, list) else -1
    objects = dtype.kind == "O"
    if (type(raw) is list) != objects or size != count * (1 if objects else dtype.itemsize):
        raise Refused(f"declares an array of shape {shape} and type {dtype}, which does not fit its contents")
    if objects:
        # Item by item: numpy would unpack nested lists.
        return np.fromiter(raw, object, count).reshape(shape, order=order)
    if size == 0:
        return np.zeros(shape, dtype)
    array = np.frombuffer(raw, dtype)
    if dtype.kind == "U" and array.view(dtype.byteorder + "u4").max() > 0x10FFFF:
        raise Refused("holds text that is not Unicode")
    return array.astype(dtype.newbyteorder("=")).reshape(shape, order=order)


def build_scalar(dtype: DType, raw) -> np.generic:
    """The numpy scalar that a pickle describes by type and bytes; raises `Refused` where they do not fit."""
    return build_array(raw, dtype, ())[()]
