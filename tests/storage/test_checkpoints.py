"""Checkpoints and array files from strangers: what is read, and the sentence that anything else gets."""

import io
import os
import pickle
import re
import shlex
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from posemamba.storage import read_arrays, read_checkpoint
from tests.sentences import HTML, Calls, one_sentence

RELEASED = Path(__file__).parents[1] / "fixtures" / "released_checkpoint_tiny.bin"


def contents() -> dict:
    """What the released training writes: weights, optimiser state, and one numpy scalar."""
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "lr": 2e-4,
        "optimizer": optimizer.state_dict(),
        "model_pos": OrderedDict((f"module.{k}", v) for k, v in layer.state_dict().items()),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "min_loss": np.float64(38.1),
        "more": [np.float32(0.5), np.int64(3), np.bool_(True), None, "name", (1, 2)],
    }


@pytest.fixture(params=["zip", "legacy"])
def written(request, tmp_path):
    path, saved = tmp_path / "best_epoch.bin", contents()
    torch.save(saved, path, _use_new_zipfile_serialization=request.param == "zip")
    return path, saved


def check(found: dict, saved: dict) -> None:
    assert list(found) == list(saved) and type(found["model_pos"]) is dict
    for name, tensor in saved["model_pos"].items():
        assert type(found["model_pos"][name]) is torch.Tensor and torch.equal(
            found["model_pos"][name], tensor
        )
    assert type(found["parameter"]) is torch.Tensor and not found["parameter"].requires_grad
    assert type(found["min_loss"]) is float and found["min_loss"] == 38.1
    assert found["more"] == [0.5, 3, True, None, "name", (1, 2)]
    assert [type(x) for x in found["more"][:3]] == [float, int, bool]
    step = saved["optimizer"]["state"][0]["exp_avg"]
    assert torch.equal(found["optimizer"]["state"][0]["exp_avg"], step)


def test_checkpoints_are_read(written):
    check(read_checkpoint(written[0]), written[1])
    check(read_checkpoint(str(written[0])), written[1])


def rewrite(path: Path, change) -> None:
    """Writes a zip archive again with `change` applied to the bytes of data.pkl."""
    with zipfile.ZipFile(path) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            archive.writestr(name, change(data) if name.endswith("data.pkl") else data)


@pytest.mark.parametrize("spelling", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_both_spellings_of_numpy_are_read(tmp_path, spelling):
    path, seen = tmp_path / "best_epoch.bin", []

    def respell(program):
        seen.append(re.sub(rb"numpy\._?core\.multiarray", spelling, program))
        return seen[-1]

    torch.save(contents(), path)
    rewrite(path, respell)
    assert spelling in seen[0]
    assert read_checkpoint(path)["min_loss"] == 38.1


def test_the_released_checkpoint_is_read():
    found = read_checkpoint(RELEASED)
    assert sorted(found) == ["epoch", "lr", "min_loss", "model_pos", "optimizer"]
    assert type(found["min_loss"]) is float
    assert all(name.startswith("module.") for name in found["model_pos"])
    assert all(type(value) is torch.Tensor for value in found["model_pos"].values())


def test_threads_do_not_disturb_each_other(tmp_path):
    torch.save(contents(), tmp_path / "a.bin")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read_checkpoint, [tmp_path / "a.bin"] * 32))
    assert all(one["min_loss"] == 38.1 for one in found)


def test_reading_leaves_torch_as_strict_as_before(tmp_path):
    torch.save(contents(), tmp_path / "a.bin")
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(tmp_path / "a.bin")
    assert set(torch.serialization.get_safe_globals()) == before


def test_safetensors_are_read_whatever_their_name(tmp_path):
    weights = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1, dtype=torch.int64)}
    for name in ("model.safetensors", "model.bin"):
        save_file(weights, tmp_path / name)
        found = read_checkpoint(tmp_path / name)
        assert found.keys() == weights.keys() and all(torch.equal(found[k], weights[k]) for k in weights)
    (tmp_path / "cut").write_bytes((tmp_path / "model.bin").read_bytes()[:-4])
    with pytest.raises(ValueError) as caught:
        read_checkpoint(tmp_path / "cut")
    one_sentence(caught.value, "cut", "safetensors")


def test_truncated_checkpoints_are_refused(written, tmp_path):
    data, cut = written[0].read_bytes(), tmp_path / "cut.bin"
    for length in [*range(1, 64, 7), *range(64, len(data) - 1, max(1, len(data) // 40)), len(data) - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises(ValueError) as caught:
            read_checkpoint(cut)
        one_sentence(caught.value, str(cut))


def test_an_unzipped_checkpoint_is_recognised_and_can_be_packed_again(tmp_path):
    torch.save(contents(), tmp_path / "best_epoch.bin")
    with zipfile.ZipFile(tmp_path / "best_epoch.bin") as archive:
        archive.extractall(tmp_path / "the outer")
    inner = tmp_path / "the outer" / "best_epoch"
    assert (inner / "data.pkl").is_file() and (inner / "version").exists()
    for path in (inner, tmp_path / "the outer", inner / "data.pkl"):
        with pytest.raises(ValueError) as caught:
            read_checkpoint(path)
        one_sentence(caught.value, str(path), "unzipped", "python -m zipfile -c")
    again = tmp_path / "again.bin"
    # The command that the sentence suggests, as a shell reads it: the folder's name holds a space.
    command = shlex.split(str(caught.value).partition("(")[2].rstrip(")"))
    assert command == ["python", "-m", "zipfile", "-c", "checkpoint.bin", str(inner)]
    zipfile.main(["-c", str(again), command[-1]])
    assert read_checkpoint(again)["min_loss"] == 38.1


def foreign_files(folder: Path) -> dict[str, tuple[bytes, str]]:
    """name -> (content, words that the sentence must hold)."""
    tar, archive, arrays, matrix = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as file:
        file.addfile(tarfile.TarInfo("storages"))
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("holiday.jpg", b"x")
    np.savez(arrays, joints=np.zeros(3))
    np.save(matrix, np.zeros(3))
    return {
        "empty": (b"", "empty"),
        "web page": (HTML, "web page"),
        "web page with a mark": (b"\xef\xbb\xbf\n" + HTML, "web page"),
        "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS"),
        "text": (b"epoch,loss\n1,2\n", "text file"),
        "photos": (archive.getvalue(), "holiday.jpg"),
        "npz": (arrays.getvalue(), "joints.npy"),
        "npy": (matrix.getvalue(), "numpy array"),
        "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        "tar": (tar.getvalue(), "tar archive"),
        "gzip": (b"\x1f\x8b\x08\x00" + bytes(20), "compressed"),
        "pickle": (pickle.dumps({"a": 1}), "plain pickle"),
        "noise": (bytes(range(255, 0, -1)) + bytes(10), "unknown kind"),
    }


@pytest.mark.parametrize("name", foreign_files(Path()))
def test_foreign_files_are_named_for_what_they_are(tmp_path, name):
    content, words = foreign_files(tmp_path)[name]
    path = tmp_path / "best_epoch.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_checkpoint(path)
    one_sentence(caught.value, str(path), words)
    if name not in ("npz", "photos"):
        with pytest.raises(ValueError) as caught:
            read_arrays(path)
        one_sentence(caught.value, str(path), words)


def test_missing_files_and_folders_are_named(tmp_path):
    for read in (read_checkpoint, read_arrays):
        with pytest.raises(FileNotFoundError) as caught:
            read(tmp_path / "no.bin")
        one_sentence(caught.value, "no.bin", "does not exist")
        with pytest.raises(ValueError) as caught:
            read(tmp_path)
        one_sentence(caught.value, "folder")


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize(
    "thing, asked",
    [
        (lambda trap: Calls(os.system, f"touch {trap}"), "system"),
        (lambda trap: Calls(eval, f"open({str(trap)!r}, 'w')"), "eval"),
        (lambda trap: Calls(getattr, "a", "upper"), "getattr"),
        (lambda trap: Path("x"), "pathlib"),
        (lambda trap: np.zeros(3), "_reconstruct"),
        (lambda trap: np.dtype([("a", "f8")]), "expected numbers"),
        (lambda trap: np.dtype("f8"), "DType"),
        (lambda trap: torch.zeros(2, 2).to_sparse(), "dense"),
        (lambda trap: torch.zeros(1).expand(10**9), "larger than its data"),
        (lambda trap: torch.empty(3, device="meta"), "special tensor"),
    ],
)
def test_hostile_and_unusual_checkpoints_are_refused_unexecuted(tmp_path, thing, asked, form):
    trap, path = tmp_path / "executed", tmp_path / "best_epoch.bin"
    torch.save({"model_pos": [thing(trap)]}, path, _use_new_zipfile_serialization=form == "zip")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError) as caught:
            read_checkpoint(path)
    one_sentence(caught.value, str(path), asked)
    assert not trap.exists()


def test_odd_structures_are_refused(tmp_path):
    path = tmp_path / "best_epoch.bin"
    deep: list = []
    for _ in range(200):
        deep = [deep]
    loop: list = []
    loop.append(loop)
    for content, words in [
        ([1], "a list"),
        (torch.ones(1), "a Tensor"),
        ({"a": deep}, "deep"),
        ({"a": loop}, "deep"),
        ({(1, 2): 3}, "keys"),
        (torch.nn.Linear(1, 1), "Linear"),
    ]:
        torch.save(content, path)
        with pytest.raises(ValueError) as caught:
            read_checkpoint(path)
        one_sentence(caught.value, str(path), words)
