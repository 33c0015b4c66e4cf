"""Array files from strangers: what is read, and the sentence that anything else gets."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from posemamba.storage import read_arrays, read_checkpoint
from posemamba.storage.pickles import read_plain
from tests.sentences import Calls, one_sentence


def test_archives_that_would_fill_the_memory_are_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"x")
        archive.filelist[0].file_size = 2**33  # goes into the archive's directory when it closes
    for read in (read_checkpoint, read_arrays):
        with pytest.raises(ValueError) as caught:
            read(path)
        one_sentence(caught.value, str(path), "unpack to 8,589,934,592 bytes")


ARRAYS = {
    "joints": np.arange(12, dtype=np.float32).reshape(2, 2, 3),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "names": np.array(["walk", "骨"]),
    "bytes": np.array([b"a"]),
    "none": np.zeros((0, 17, 3)),
    "one": np.array(120),
    "big": np.arange(3, dtype=">f8"),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_numpy_reads_them(tmp_path, save):
    path = tmp_path / "clips.npz"
    save(path, **ARRAYS)
    found = read_arrays(path)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array), name
    found["joints"][0] = 1  # arrays can be written to


def test_arrays_of_objects_hold_plain_data_only(tmp_path):
    path, trap = tmp_path / "data_2d.npz", tmp_path / "executed"
    content = {"S1": {"Walking": [np.ones((2, 17, 2)), np.zeros((2, 17, 2))]}}
    np.savez_compressed(path, positions_2d=content, fps=50)
    with pytest.raises(ValueError, match=r"'positions_2d' .* has type object, expected numbers or text"):
        read_arrays(path)
    found = read_arrays(path, objects=read_plain)
    assert found["positions_2d"].shape == () and np.array_equal(
        found["positions_2d"].item()["S1"]["Walking"][0], np.ones((2, 17, 2))
    )
    np.savez(path, a=np.array([Calls(os.system, f"touch {trap}")], dtype=object))
    with pytest.raises(ValueError) as caught:
        read_arrays(path, objects=read_plain)
    one_sentence(caught.value, str(path), "'a'", "system")
    assert not trap.exists()


def npz(path: Path, header: bytes, data: bytes) -> None:
    magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", magic + data)


def test_arrays_that_lie_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    header = "{{'descr': {}, 'fortran_order': False, 'shape': {}, }}\n"
    for descr, shape, data in [
        ("'<f8'", "(1000000000000,)", b"12345678"),
        ("'<f8'", "(2,)", b"12345678"),
        ("'<f8'", "(1,)", b"123456789"),
        ("'<f8'", "(-1,)", b""),
        ("[('a', '<f8')]", "(1,)", b"12345678"),
        ("'|O'", "(1,)", b"12345678"),
        ("__import__('os')", "(1,)", b"12345678"),
    ]:
        npz(path, header.format(descr, shape).encode(), data)
        with pytest.raises(ValueError) as caught:
            read_arrays(path)
        one_sentence(caught.value, str(path), "'a'")


def test_damaged_and_foreign_arrays_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.arange(1000.0))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ValueError) as caught:
        read_arrays(path)
    one_sentence(caught.value, str(path), "'a'", "damaged")
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError) as caught:
        read_arrays(path)
    one_sentence(caught.value, str(path), "cut short")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", b"x")
    with pytest.raises(ValueError) as caught:
        read_arrays(path)
    one_sentence(caught.value, str(path), "readme.txt")
