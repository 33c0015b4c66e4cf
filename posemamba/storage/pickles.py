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
CONTAINERS = {list, tuple, set, frozenset}


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
    start = stream.tell()
    try:
        try:
            found = _Machine(budget=16 * size + 65536).run(stream)
        except _Again:
            stream.seek(start)
            found = _Machine(budget=16 * size + 65536, keep=True).run(stream)
        check_plain(found)
        return found
    except Refused:
        raise
    # A program of random or hostile bytes can go wrong in every way that Python knows.
    except Exception as error:
        raise Refused("is not a pickle, or is damaged or cut short") from error


class _Again(Exception):
    """Something is used again that was not kept."""


class _Name:
    """A global that is allowed, by its name; never the thing itself."""

    def __init__(self, module, name):
        if type(module) is not str or type(name) is not str:
            raise Refused("asks for a global that has no name")
        # Python 3 renamed __builtin__, and numpy 2 numpy.core: files carry the writer's names.
        module = module.replace("__builtin__", "builtins").replace("numpy._core.", "numpy.core.")
        self.name = f"{module}.{name}"
        if self.name != "numpy.ndarray" and self.name not in _CALLS:
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
        if type(item) is tuple and any(type(inner) in CONTAINERS for inner in item):
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


# What a program may call, by name, and what is done instead.
_CALLS = {
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
_LITERALS = (
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "FLOAT", "BINFLOAT"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
)

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


class _Machine:
    """The stack machine. It builds no more than `budget` bytes of arrays and sets.

    Data stands in the file once: a program that builds far more than that is made to fill the memory.
    An array's bytes are named in the memo and hardly ever used again. To keep them would hold every array
    twice, so only `keep` does; without it the run ends with `_Again` where they are.
    """

    def __init__(self, budget: int, keep: bool = False):
        self.budget, self.keep = budget, keep
        self.stack: list = []
        self.marks: list[int] = []  # how high the stack was
        self.memo: dict = {}
        push, take = self.stack.append, self.take
        items = lambda: take(len(self.stack) - self.marks.pop())  # noqa: E731
        # What each instruction does with its argument.
        self.does = {
            **dict.fromkeys(_LITERALS, push),
            **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda at: push(self.get(at))),
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self.put),
            **dict.fromkeys(("PROTO", "FRAME"), lambda _: None),
            **{name: lambda _, value=value: push(value) for name, value in _CONSTANTS.items()},
            "MEMOIZE": lambda _: self.put(len(self.memo)),
            "MARK": lambda _: self.marks.append(len(self.stack)),
            **{f"TUPLE{n}": lambda _, n=n: push(tuple(take(n))) for n in (1, 2, 3)},
            "TUPLE": lambda _: push(tuple(items())),
            "EMPTY_LIST": lambda _: push([]),
            "LIST": lambda _: push(items()),
            "APPEND": lambda _: self.fill(list.extend, take(1)),
            "APPENDS": lambda _: self.fill(list.extend, items()),
            "EMPTY_DICT": lambda _: push({}),
            "DICT": lambda _: push(_pairs(items())),
            "SETITEM": lambda _: self.fill(dict.update, _pairs(take(2))),
            "SETITEMS": lambda _: self.fill(dict.update, _pairs(items())),
            "EMPTY_SET": lambda _: push(set()),
            "FROZENSET": lambda _: push(frozenset(_keys(items()))),
            "ADDITEMS": lambda _: self.fill(set.update, _keys(items())),
            "GLOBAL": lambda arg: push(_Name(*arg.split(" ", 1))),
            "STACK_GLOBAL": lambda _: push(_Name(*take(2))),
            "REDUCE": lambda _: push(self.reduce(*take(2))),
            "BUILD": lambda _: push(self.build(*take(2))),
        }

    def run(self, stream):
        """Runs the program to its end and returns what it built."""
        for opcode, arg, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name not in self.does:
                raise Refused(f"uses the pickle instruction {opcode.name}, which data does not need")
            self.does[opcode.name](arg)

    def take(self, count: int) -> list:
        """The uppermost items, which leave the stack."""
        return [self.stack.pop() for _ in range(count)][::-1]

    def get(self, at: int):
        if self.memo[at] is _Again:
            raise _Again
        return self.memo[at]

    def put(self, at: int):
        # The bytes stand in a tuple, an array's state, when they are named the second time.
        top = self.stack[-1] if type(self.stack[-1]) is tuple else self.stack[-1:]
        large = len(top) < 9 and any(type(x) in (bytes, bytearray, str) and len(x) > 65536 for x in top)
        self.memo[at] = _Again if large and not self.keep else self.stack[-1]
        if type(self.stack[-1]) is _Pending:
            self.stack[-1].places.append(at)

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
        if type(call) is not _Name or type(args) is not tuple:
            raise Refused("calls something that is not data")
        if call.name not in _CALLS:
            raise Refused(f"calls {call.name}, which data does not need")
        return _CALLS[call.name](*map(self.charge, args))

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


def check_plain(found) -> None:
    """Raises `Refused` unless `found` is arrays, numbers, text and builtin containers all the way down."""
    todo, seen = [found], set()
    while todo:
        item = todo.pop()
        if type(item) in _LEAVES or isinstance(item, np.generic) or id(item) in seen:
            continue
        seen.add(id(item))
        if type(item) is dict:
            todo.extend((*item.keys(), *item.values()))
        elif type(item) in CONTAINERS:
            todo.extend(item)
        elif type(item) is not np.ndarray:
            raise Refused(f"holds a {getattr(item, 'name', 'half-built array')}, expected data")
        elif item.dtype == object:
            todo.extend(item.flat)
