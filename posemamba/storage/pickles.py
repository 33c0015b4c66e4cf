"""Pickles read without running them: some data sets are exchanged so.

A pickle is a program for a small stack machine, and the usual reader lets that program call any function it
can name. The machine below knows only the instructions that put data together (those of Python's
`pickletools`, protocols 0 to 5). It calls nothing by name: the few globals that arrays, numbers and
containers need are told apart by their names and built in `posemamba.storage.values`, from sizes that are
checked first. Everything else is refused with its name. What Python 2 wrote is read as latin-1.
"""

import mmap
import pickletools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from posemamba.storage.kinds import existing_file, kind_of
from posemamba.storage.values import DType, Refused, build_array, build_scalar

_LEAVES = {str, bytes, bytearray, int, float, complex, bool, type(None)}
_CONTAINERS = {list, tuple, set, frozenset}


def read_pickle(path: str | Path):
    """Reads a pickle of plain data (protocols 0 to 5); nothing in it is executed.

    Returns:
        Arrays (of numbers, of text, of objects that are plain data themselves), numbers, text and builtin
        containers. An OrderedDict comes as a dict, what Python 2 wrote as latin-1.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: naming the file and what was refused.
    """
    path = existing_file(path)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        kind = kind_of(data[:512])
        try:
            # The oldest pickles are text.
            if kind not in ("a plain pickle", "a text file", "a file of an unknown kind"):
                raise Refused(f"is {kind}, expected a pickle")
            return read_plain(data, len(data))
        except Refused as error:
            raise ValueError(f"{path} {error}") from error.__cause__


def read_plain(stream, size: int):
    """Reads one pickle.

    Args:
        stream: binary; its reads must be short at the end, whatever was asked for (a memory map, a BytesIO).
        size: bytes of the whole, which bounds what may be built.

    Raises:
        Refused: anything that is not data, damage included; nothing is executed.
    """
    try:
        return _plain(_Machine(budget=16 * size + 65536).run(stream))
    except Refused:
        raise
    # A program of random or hostile bytes can go wrong in every way that Python knows.
    except Exception as error:
        raise Refused("is not a pickle, or is damaged or cut short") from error


class _Name:
    """A global that is allowed, by its name; never the thing itself."""

    def __init__(self, module, name):
        if type(module) is not str or type(name) is not str:
            raise Refused("asks for a global that has no name")
        # Python 3 renamed __builtin__, and numpy 2 numpy.core: files carry the writer's names.
        module = module.replace("__builtin__", "builtins").replace("numpy._core.", "numpy.core.")
        self.name = f"{module}.{name}"
        if self.name not in _CALLS:
            raise Refused(f"asks for {self.name[:80]}, which is not data, expected arrays, numbers and text")


class _Pending:
    """An array whose contents have not come yet, and its places in the memo."""

    def __init__(self, kind, *_):
        # numpy itself would build whatever class stands here.
        if type(kind) is not _Name or kind.name != "numpy.ndarray":
            raise Refused("builds an array of a foreign class")
        self.places = []


def _keys(items: Iterable) -> list:
    # Hashing a tuple nested a million deep would overflow the interpreter's stack.
    for item in items:
        if type(item) is tuple and any(type(inner) in _CONTAINERS for inner in item):
            raise Refused("uses a nested tuple as a key")
    return list(items)


def _pairs(items: list) -> dict:
    return dict(zip(_keys(items[::2]), items[1::2], strict=True))


def _bytes(text="", encoding="latin1") -> bytes:
    if type(text) in (bytes, bytearray):
        return bytes(text)
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise Refused("holds bytes in an unknown encoding")
    return text.encode("latin-1")


# What a program may name, and what is done where it calls that.
_CALLS = {
    "numpy.ndarray": None,
    "numpy.dtype": DType,
    "numpy.core.multiarray.scalar": build_scalar,
    "numpy.core.multiarray._reconstruct": _Pending,
    "numpy.core.numeric._frombuffer": build_array,
    "builtins.set": lambda items=(): set(_keys(items)),
    "builtins.frozenset": lambda items=(): frozenset(_keys(items)),
    "builtins.bytearray": lambda *args: bytearray(_bytes(*args)),
    "builtins.bytes": _bytes,
    "builtins.complex": lambda real, imaginary: complex(float(real), float(imaginary)),
    "collections.OrderedDict": lambda pairs=(): _pairs([part for key, item in pairs for part in (key, item)]),
    "_codecs.encode": _bytes,
}
_LITERALS = """UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 STRING BINSTRING SHORT_BINSTRING BINBYTES
    SHORT_BINBYTES BINBYTES8 BYTEARRAY8 FLOAT BINFLOAT INT BININT BININT1 BININT2 LONG LONG1 LONG4"""
_GETS = ("GET", "BINGET", "LONG_BINGET")


class _Machine:
    """The stack machine. It builds no more than `budget` bytes of arrays and sets.

    Data stands in the file once: a program that builds far more than that is made to fill the memory.
    """

    def __init__(self, budget: int):
        self.budget = budget
        self.stack: list = []
        self.marks: list[int] = []  # how high the stack was
        self.memo: dict = {}
        self.again: set = set()  # which places of the memo are read
        push, take = self.stack.append, self.take
        # What each instruction does with its argument.
        self.does = {
            **dict.fromkeys(_LITERALS.split(), push),
            **dict.fromkeys(_GETS, lambda at: push(self.memo[at])),
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self.put),
            **dict.fromkeys(("PROTO", "FRAME"), lambda _: None),
            **{f"EMPTY_{k.__name__.upper()}": lambda _, k=k: push(k()) for k in (tuple, list, dict, set)},
            "NONE": lambda _: push(None),
            "NEWTRUE": lambda _: push(True),
            "NEWFALSE": lambda _: push(False),
            "MEMOIZE": lambda _: self.put(len(self.memo)),
            "MARK": lambda _: self.marks.append(len(self.stack)),
            **{f"TUPLE{n}": lambda _, n=n: push(tuple(take(n))) for n in (1, 2, 3)},
            "TUPLE": lambda _: push(tuple(take())),
            "LIST": lambda _: push(take()),
            "APPEND": lambda _: self.fill(list.extend, take(1)),
            "APPENDS": lambda _: self.fill(list.extend, take()),
            "DICT": lambda _: push(_pairs(take())),
            "SETITEM": lambda _: self.fill(dict.update, _pairs(take(2))),
            "SETITEMS": lambda _: self.fill(dict.update, _pairs(take())),
            "FROZENSET": lambda _: push(frozenset(_keys(take()))),
            "ADDITEMS": lambda _: self.fill(set.update, _keys(take())),
            "GLOBAL": lambda arg: push(_Name(*arg.split(" ", 1))),
            "STACK_GLOBAL": lambda _: push(_Name(*take(2))),
            "REDUCE": lambda _: push(self.reduce(*take(2))),
            "BUILD": lambda _: push(self.build(*take(2))),
        }

    def run(self, stream):
        """Runs the program to its end and returns what it built."""
        start = stream.tell()
        # An array's bytes are put into the memo for nothing: kept, they would stand beside the array.
        self.again |= {arg for opcode, arg, _ in pickletools.genops(stream) if opcode.name in _GETS}
        stream.seek(start)
        for opcode, arg, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name not in self.does:
                raise Refused(f"uses the pickle instruction {opcode.name}, which data does not need")
            self.does[opcode.name](arg)

    def take(self, count: int | None = None) -> list:
        """The uppermost items, which leave the stack: so many, or those above the last mark."""
        count = len(self.stack) - self.marks.pop() if count is None else count
        return [self.stack.pop() for _ in range(count)][::-1]

    def put(self, at: int):
        top = self.stack[-1]
        self.memo[at] = top if at in self.again else None
        if type(top) is _Pending:
            top.places.append(at)

    def fill(self, method, items):
        # The method's own class is the only kind that may be filled: no subclass, no stand-in.
        if type(self.stack[-1]) is not method.__objclass__:
            raise Refused(f"fills something that is not a {method.__objclass__.__name__}")
        method(self.stack[-1], items)

    def charge(self, data):
        if hasattr(data, "__len__"):
            self.budget -= len(data) * (8 if type(data) in (list, tuple) else 1)
        if self.budget < 0:
            raise Refused("builds far more data than it holds")
        return data

    def reduce(self, call, args):
        """What a call that data needs gives."""
        name = call.name if type(call) is _Name else "something"
        if type(args) is not tuple or not _CALLS.get(name):
            raise Refused(f"calls {name}, which data does not need")
        return _CALLS[name](*map(self.charge, args))

    def build(self, target, state):
        """Gives an array its contents, or a type its byte order."""
        if type(target) is DType:
            target.__setstate__(state)
            return target
        if type(target) is not _Pending:
            raise Refused(f"sets the inner state of a {type(target).__name__}, which data does not need")
        _, shape, dtype, fortran, raw = state
        array = build_array(self.charge(raw), dtype, shape, "F" if fortran else "C")
        self.memo.update(dict.fromkeys(target.places, array))
        return array


def _plain(found):
    """What was found, if it is arrays, numbers, text and builtin containers all the way down."""
    todo, seen = [found], set()
    while todo:
        item = todo.pop()
        if type(item) in _LEAVES or isinstance(item, np.generic) or id(item) in seen:
            continue
        seen.add(id(item))
        if type(item) is dict:
            todo.extend((*item.keys(), *item.values()))
        elif type(item) in _CONTAINERS:
            todo.extend(item)
        elif type(item) is not np.ndarray:
            raise Refused(f"holds a {getattr(item, 'name', 'half-built array')}, expected data")
        elif item.dtype == object:
            todo.extend(item.flat)
    return found
