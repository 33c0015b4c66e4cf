"""Pickles read without running them.

A pickle is a program for a small stack machine, and the usual reader lets that program call any function it
can name. The machine below knows only the instructions that put data together. It calls nothing by name: the
few globals that arrays, numbers and containers need are told apart by their names and built in `values`, from
sizes that are checked first. Everything else is refused with its name.

The instructions are those of Python's `pickletools`, protocols 0 to 5. What Python 2 wrote is read as
latin-1.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterable

from posemamba.storage.values import CONTAINERS, DType, Refused, build_array, build_scalar, check_plain


def read_plain(stream, size: int):
    """Reads one pickle.

    Args:
        stream: binary, with read and readline; its reads must be short at the end of the data, however much
            was asked for (a memory map or a BytesIO).
        size: bytes of the whole, which bounds what may be built.

    Raises:
        Refused: anything that is not data, damage included; nothing is executed.
    """
    try:
        found = _Machine(budget=16 * size + 65536).run(stream)
        check_plain(found)
    except Refused:
        raise
    # A program of random or hostile bytes can go wrong in every way that Python knows.
    except Exception as error:
        raise Refused("is not a pickle, or is damaged or cut short") from error
    return found


class _Name:
    """A global that is allowed, by its name; never the thing itself."""

    def __init__(self, module, name):
        if type(module) is not str or type(name) is not str:
            raise Refused("asks for a global that has no name")
        self.name = f"{module.replace('__builtin__', 'builtins')}.{name}"
        if self.name not in _ALLOWED:
            asked = f"asks for {self.name[:80]}, which is not data"
            raise Refused(f"{asked}: only arrays, numbers and text are read")


class _Pending:
    """An array whose contents have not come yet, and its places in the memo."""

    def __init__(self):
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


def _spellings(name: str) -> set[str]:
    # numpy 2 renamed numpy.core; files carry the name of the numpy that wrote them.
    return {f"numpy.core.{name}", f"numpy._core.{name}"}


_RECONSTRUCT = _spellings("multiarray._reconstruct")
_SCALAR = _spellings("multiarray.scalar")
_FROMBUFFER = _spellings("numeric._frombuffer")
_CALLS = {
    "builtins.set": lambda items=(): set(_keys(items)),
    "builtins.frozenset": lambda items=(): frozenset(_keys(items)),
    "builtins.bytearray": lambda *args: bytearray(_bytes(*args)),
    "builtins.bytes": _bytes,
    "builtins.complex": lambda real, imaginary: complex(float(real), float(imaginary)),
    "collections.OrderedDict": lambda pairs=(): _pairs(
        [part for key, value in pairs for part in (key, value)]
    ),
    "_codecs.encode": _bytes,
}
_ALLOWED = {"numpy.ndarray", "numpy.dtype", *_CALLS} | _RECONSTRUCT | _SCALAR | _FROMBUFFER
_LITERALS = (
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
)


class _Machine:
    """The stack machine. It builds no more than `budget` bytes of arrays and sets.

    An array's bytes stand in the file once. A program that builds far more than the file holds repeats itself
    to fill the memory.
    """

    def __init__(self, budget: int):
        self.budget = budget
        self.stack: list = []
        self.below: list[list] = []  # a mark puts the stack aside and starts a new one
        self.memo: dict = {}
        push, pop, items = self.push, lambda: self.stack.pop(), self.to_mark
        # What each instruction does with its argument.
        self.does = {
            **dict.fromkeys(_LITERALS, push),
            **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda at: push(self.memo[at])),
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self.put),
            **dict.fromkeys(("PROTO", "FRAME"), lambda _: None),
            "MEMOIZE": lambda _: self.put(len(self.memo)),
            "NONE": lambda _: push(None),
            "NEWTRUE": lambda _: push(True),
            "NEWFALSE": lambda _: push(False),
            "MARK": self.mark,
            "EMPTY_TUPLE": lambda _: push(()),
            "TUPLE1": lambda _: push((pop(),)),
            "TUPLE2": lambda _: push((pop(), pop())[::-1]),
            "TUPLE3": lambda _: push((pop(), pop(), pop())[::-1]),
            "TUPLE": lambda _: push(tuple(items())),
            "EMPTY_LIST": lambda _: push([]),
            "LIST": lambda _: push(items()),
            "APPEND": lambda _: self.fill(list.extend, [pop()]),
            "APPENDS": lambda _: self.fill(list.extend, items()),
            "EMPTY_DICT": lambda _: push({}),
            "DICT": lambda _: push(_pairs(items())),
            "SETITEM": lambda _: self.fill(dict.update, _pairs([pop(), pop()][::-1])),
            "SETITEMS": lambda _: self.fill(dict.update, _pairs(items())),
            "EMPTY_SET": lambda _: push(set()),
            "FROZENSET": lambda _: push(frozenset(_keys(items()))),
            "ADDITEMS": lambda _: self.fill(set.update, _keys(items())),
            "GLOBAL": lambda arg: push(_Name(*arg.split(" ", 1))),
            "STACK_GLOBAL": lambda _: push(_Name(*(pop(), pop())[::-1])),
            "REDUCE": self.reduce,
            "BUILD": self.build,
        }

    def run(self, stream):
        """Runs the program to its end and returns what it built."""
        for opcode, arg, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name not in self.does:
                raise Refused(f"uses the pickle instruction {opcode.name}, which data does not need")
            self.does[opcode.name](arg)

    def push(self, item):
        self.stack.append(item)

    def put(self, at: int):
        self.memo[at] = self.stack[-1]
        if type(self.stack[-1]) is _Pending:
            self.stack[-1].places.append(at)

    def mark(self, _):
        self.below.append(self.stack)
        self.stack = []

    def to_mark(self) -> list:
        items, self.stack = self.stack, self.below.pop()
        return items

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

    def reduce(self, _):
        """The calls that data needs, told apart by name."""
        args, call = self.stack.pop(), self.stack.pop()
        if type(call) is not _Name or type(args) is not tuple:
            raise Refused("calls something that is not data")
        if call.name == "numpy.dtype":
            built = DType(*args)
        elif call.name in _SCALAR:
            dtype, raw = args
            built = build_scalar(dtype, self.charge(raw))
        elif call.name in _FROMBUFFER:
            raw, dtype, shape, order = args
            built = build_array(shape, dtype, order == "F", self.charge(raw))
        elif call.name in _RECONSTRUCT:
            # numpy itself would build whatever class stands here.
            if type(args[0]) is not _Name or args[0].name != "numpy.ndarray":
                raise Refused("builds an array of a foreign class")
            built = _Pending()
        elif call.name in _CALLS:
            built = _CALLS[call.name](*map(self.charge, args))
        else:
            raise Refused(f"calls {call.name}, which data does not need")
        self.push(built)

    def build(self, _):
        """Gives an array its contents, or a type its byte order."""
        state, target = self.stack.pop(), self.stack.pop()
        if type(target) is DType:
            target.__setstate__(state)
            self.push(target)
        elif type(target) is _Pending:
            _, shape, dtype, fortran, raw = state
            array = build_array(shape, dtype, fortran, self.charge(raw))
            for at in target.places:
                self.memo[at] = array
            self.push(array)
        else:
            raise Refused(f"sets the inner state of a {type(target).__name__}, which data does not need")
