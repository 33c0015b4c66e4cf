"""The restricted pickle reader: plain data comes back as written, everything else is refused unexecuted."""

import io
import os
import pickle
import pickletools
import struct
import subprocess
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from posemamba.storage.pickles import read_pickle, read_plain
from posemamba.storage.values import DType, Refused
from tests.sentences import HTML, Calls, one_sentence

PLAIN = {
    "array": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "strided": np.arange(16.0).reshape(4, 4)[::2],
    "big-endian": np.arange(3, dtype=">i4"),
    "empty": np.zeros((0, 17, 3), np.float32),
    "scalar array": np.array(3),
    "text": np.array(["s_09_act_05", "骨"]),
    "bytes": np.array([b"ab", b"c"]),
    "blank": np.array(["", ""]),
    "objects": np.array([{"x": [1, 2]}, None, "s"], dtype=object),
    "numbers": [1, -1, 255, 65536, 2**40, 2**2000, -(2**70), 1.5, float("inf"), True, 1 + 2j],
    "numpy": [np.float32(0.5), np.int64(3), np.bool_(True), np.str_("a"), np.bytes_(b"b")],
    "raw": [b"\xff\x00", b"", bytearray(b"\xff"), bytearray(), "s" * 300],
    "sets": [{1, "a"}, frozenset({(1, 2)}), set()],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((1, (2,)),)],
    ("s", 1): None,
}


def same(a, b) -> bool:
    if isinstance(a, np.ndarray) and a.dtype != object:
        return type(a) is type(b) and a.dtype.newbyteorder("=") == b.dtype and np.array_equal(a, b)
    if isinstance(a, list | tuple | np.ndarray):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_comes_back_from_every_protocol(tmp_path, protocol):
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps(PLAIN | {"again": PLAIN["array"]}, protocol=protocol))
    found = read_pickle(path)
    assert found["again"] is found.pop("array") and same(found.pop("again"), PLAIN["array"])
    assert same({key: value for key, value in PLAIN.items() if key != "array"}, found)
    found["strided"][0] = 7  # arrays can be written to


def test_the_old_spelling_of_numpy_and_an_ordered_dict(tmp_path):
    path = tmp_path / "data.pkl"
    written = pickle.dumps(OrderedDict(a=np.arange(3.0), b=np.float64(2)), protocol=2)
    path.write_bytes(written.replace(b"numpy._core", b"numpy.core"))
    assert b"numpy.core.multiarray" in path.read_bytes()
    assert same({"a": np.arange(3.0), "b": np.float64(2)}, read_pickle(path))


def python2_pickle() -> bytes:
    # {'name': 'Ag\xe8s', 'joints': numpy.array([1., 2.])} as Python 2.7 and numpy 1.16 wrote it, protocol 2.
    text = lambda s: b"U" + bytes([len(s)]) + s  # noqa: E731
    raw = np.array([1.0, 2.0], "<f8").tobytes()
    dtype = b"cnumpy\ndtype\n" + text(b"f8") + b"K\x00K\x01\x87R(K\x03" + text(b"<")
    dtype += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    array += b"(K\x01K\x02\x85" + dtype + b"\x89" + text(raw) + b"tb"
    return b"\x80\x02}(" + text(b"name") + text(b"Ag\xe8s") + text(b"joints") + array + b"u."


def test_what_python_2_wrote_is_read(tmp_path):
    path = tmp_path / "data.pkl"
    path.write_bytes(python2_pickle())
    reference = pickle.loads(python2_pickle(), encoding="latin1")
    assert reference["name"] == "Agès"
    assert same(reference, read_pickle(path))


_NUMBERS = st.sampled_from(["f4", "f8", "i2", "u1", "?", "c8"])
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    hnp.arrays(_NUMBERS, hnp.array_shapes(min_dims=0, min_side=0), elements={"allow_nan": False}),
)


def _containers(inner):
    return st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner)


@settings(max_examples=60, deadline=None)
@given(st.recursive(_LEAVES, _containers, max_leaves=8), st.integers(0, 5))
def test_any_plain_data_survives(data, protocol):
    written = pickle.dumps(data, protocol=protocol)
    assert same(data, read_plain(io.BytesIO(written), len(written)))


def hostile_pickles(trap: Path) -> dict[str, bytes]:
    dump = lambda x: pickle.dumps(x, protocol=2)  # noqa: E731
    touch = f"touch {trap}"
    dtype = b"cnumpy\ndtype\nX\x02\x00\x00\x00f8\x89\x88\x87R"
    rebuild = b"cnumpy.core.multiarray\n_reconstruct\n"
    return {
        "os.system": dump(Calls(os.system, touch)),
        "subprocess": dump([1, {"a": Calls(subprocess.call, ["touch", str(trap)])}]),
        "builtins.eval": dump(Calls(eval, f"open({str(trap)!r}, 'w')")),
        "builtins.getattr": dump(Calls(getattr, "a", "upper")),
        "__import__": dump(Calls(__import__, "antigravity")),
        "os.system ": b"cos\nsystem\n(S'" + touch.encode() + b"'\ntR.",
        "instance": b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
        "in an object array": dump(np.array([Calls(os.system, touch), None], dtype=object)),
        "foreign array class": rebuild + b"cnumpy\nmatrix\nK\x00\x85C\x01b\x87R.",
        "reconstruct of a dict": rebuild + b"}K\x00\x85C\x01b\x87R.",
        "ndarray called": b"cnumpy\nndarray\n(I1000000000000\ntR.",
        "a name as data": b"cnumpy\nndarray\n.",
        "unbuilt array": rebuild + b"cnumpy\nndarray\nK\x00\x85C\x01b\x87R.",
        "array in itself": rebuild
        + b"cnumpy\nndarray\nK\x00\x85C\x01b\x87Rq\x00(K\x01K\x01\x85"
        + dtype
        + b"\x89h\x00tb.",
        "record type": dump(np.zeros(2, dtype=[("a", "f8")])),
        "datetime": dump(np.zeros(2, dtype="M8[s]")),
        "dtype by eval": b"cnumpy\ndtype\nX\x0b\x00\x00\x00(1,)f8, (2)\x85R.",
        "dtype flags": dtype
        + b"(K\x03X\x01\x00\x00\x00<N(X\x01\x00\x00\x00atNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb.",
        "dtype metadata": dtype + b"(K\x04X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00}tb.",
        "state of a dict": b"}}X\x01\x00\x00\x00aK\x01sb.",
        "state of a function": b"c_codecs\nencode\n}b.",
        "object scalar": b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x01O\x89\x88\x87R]\x86R.",
        "persistent id": b"Pfile\n.",
        "extension": b"\x82\x01.",
        "next buffer": b"\x80\x05\x97.",
        "new object": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        "append to a tuple": b")K\x01a.",
        "nested key": b"}K\x01\x85\x85K\x01s.",
        "unhashable key": b"}]K\x01s.",
        "compressed text": b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.",
    }


@pytest.mark.parametrize("name", hostile_pickles(Path("x")))
def test_a_hostile_pickle_is_refused_and_nothing_runs(tmp_path, name):
    trap, path = tmp_path / "executed", tmp_path / "data.pkl"
    path.write_bytes(hostile_pickles(trap)[name])
    with pytest.raises(ValueError) as caught:
        read_pickle(path)
    one_sentence(caught.value, str(path))
    assert not trap.exists()


@pytest.mark.parametrize(
    "thing, name",
    [
        (Calls(os.system, "true"), f"{os.system.__module__}.system"),
        (Calls(eval, "1"), "builtins.eval"),
        (Path("x"), "pathlib"),
        (np.ma.array([1]), "numpy.ma"),
        (torch.zeros(1), "torch._utils._rebuild_tensor_v2"),
    ],
)
def test_the_refused_global_is_named(tmp_path, thing, name):
    for protocol in (2, 4):
        (tmp_path / "data.pkl").write_bytes(pickle.dumps(thing, protocol=protocol))
        with pytest.raises(ValueError) as caught:
            read_pickle(tmp_path / "data.pkl")
        one_sentence(caught.value, name, "not data")


@pytest.mark.parametrize(
    "data",
    {
        "memo index": b"\x80\x02Nr\xff\xff\xff\xff.",  # the C unpickler would take 64 GB for this
        "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"abc.",
        "text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"abc.",
        "frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
        "bytearray": b"c__builtin__\nbytearray\n(I10000000000000\ntR.",
        "array": b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01"
        b"I1000000000\nI1000000000\n\x86cnumpy\ndtype\nX\x02\x00\x00\x00f8\x89\x88\x87R\x89C\x08abcdefghtb.",
        "repeated": b"B\x00\x00\x01\x00"
        + bytes(65536)
        + b"q\x00("
        + b"c_codecs\nencode\nh\x00\x85R" * 20
        + b"t.",
        "deep": b"(" * 100_000 + b"t" * 100_000 + b".",
    }.items(),
    ids=lambda item: item[0],
)
def test_enormous_declared_sizes_take_no_memory(data):
    name, written = data
    tracemalloc.start()
    try:
        found = read_plain(io.BytesIO(written), len(written))
        assert name in ("memo index", "frame", "deep") or found is None
    except Refused as error:
        one_sentence(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 64 * 2**20


def test_repeated_bytes_run_out_of_budget():
    blob = bytes(2**20)
    written = (
        b"B" + struct.pack("<I", len(blob)) + blob + b"q\x00(" + b"c_codecs\nencode\nh\x00\x85R" * 40 + b"t."
    )
    with pytest.raises(Refused, match="more data than it holds"):
        read_plain(io.BytesIO(written), len(written))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_stand_in_memory_once(tmp_path, protocol):
    path, size = tmp_path / "data.pkl", 2**23
    path.write_bytes(pickle.dumps([np.full(size // 8, 1.0 + at) for at in range(4)], protocol=protocol))
    tracemalloc.start()
    found = read_pickle(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [array[-1] for array in found] == [1, 2, 3, 4]
    # Protocol 2 writes bytes as text, which stands beside them while it is turned.
    assert peak < (6.5 if protocol == 2 else 5.5) * size


@pytest.mark.parametrize("large", [b"b" * 70_000, bytearray(70_000), "s" * 70_000])
def test_what_is_large_and_used_again_is_one_thing(large):
    written = pickle.dumps({"a": large, "b": [large], "c": np.arange(3)}, protocol=5)
    found = read_plain(io.BytesIO(written), len(written))
    assert found["a"] is found["b"][0] and type(found["a"]) is type(large) and found["a"] == large


@pytest.mark.parametrize("at, value", [(1, "x"), (2, ("f8", (2,))), (3, ("a",)), (4, {"a": 0}), (8, {})])
def test_a_type_takes_its_byte_order_and_nothing_else(at, value):
    state = [4, ">", None, None, None, -1, -1, 0, None]
    DType("f8").__setstate__(tuple(state))
    state[at] = value
    with pytest.raises(Refused, match="records or with metadata"):
        DType("f8").__setstate__(tuple(state))


def test_every_cut_of_a_pickle_is_refused():
    for protocol in (2, 4):
        written = pickle.dumps({"a": np.arange(3), "b": ["x", 1.5]}, protocol=protocol)
        for length in range(len(written)):
            with pytest.raises(Refused) as caught:
                read_plain(io.BytesIO(written[:length]), length)
            one_sentence(caught.value)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_pickles_give_data_or_a_refusal(data):
    written = bytearray(pickle.dumps(PLAIN, protocol=data.draw(st.integers(0, 5))))
    for at in data.draw(st.lists(st.integers(0, len(written) - 1), min_size=1, max_size=4)):
        written[at] = data.draw(st.integers(0, 255))
    try:
        read_plain(io.BytesIO(bytes(written)), len(written))
    except Refused as error:
        one_sentence(error)


def test_every_instruction_is_known_or_refused():
    # A new Python may bring new instructions; they must not slip through.
    for opcode in pickletools.opcodes:
        written = opcode.code.encode("latin-1") + b"\x00" * 16 + b"."
        try:
            read_plain(io.BytesIO(written), len(written))
        except Refused as error:
            one_sentence(error)


@pytest.mark.parametrize(
    "content, words", [(HTML, "web page"), (b"", "empty"), (b"hello, world", "not a pickle")]
)
def test_other_files_are_told_from_pickles(tmp_path, content, words):
    path = tmp_path / "data.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_pickle(path)
    one_sentence(caught.value, str(path), words)
    with pytest.raises(FileNotFoundError) as caught:
        read_pickle(tmp_path / "no.pkl")
    one_sentence(caught.value, "no.pkl")
    with pytest.raises(ValueError, match="is a folder"):
        read_pickle(tmp_path)
