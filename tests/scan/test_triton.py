"""The Triton kernels against a plain float64 recurrence and autograd, and compiled for a GPU."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tests.scan.triton_program import BASE, CASES, LARGE, TOLERANCE

PROGRAM = str(Path(__file__).with_name("triton_program.py"))
TOOL = Path(__file__).parents[2] / "tools" / "compile_kernels.py"


def _child(*command: str, timeout: int = 600, **environment: str) -> dict:
    if not find_spec("triton"):
        pytest.skip("triton is not installed")
    environment = os.environ | dict(OMP_NUM_THREADS="1", TRITON_INTERPRET="0") | environment
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=environment, timeout=timeout
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def interpreted():
    return _child(PROGRAM, "interpret", TRITON_INTERPRET="1")


def _check(result: dict, case: dict):
    result = dict(result)
    result.pop("parts")
    case = BASE | case
    few = case["parameters"] or case["dtype"]
    for name, error in result.items():
        dtype = case["dtype"] if name in ("y", "dx", "ddelta", "dB", "dC") else few
        assert error < TOLERANCE["float32" if case["dtype"] != dtype == "float64" else dtype], (name, result)


def test_selective_scan_takes_it_by_name():
    assert max(_child(PROGRAM, "front", TRITON_INTERPRET="1").values()) < TOLERANCE["float32"]


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_recurrence(interpreted, name):
    _check(interpreted[name], CASES[name])


def test_cases_cut_the_sequence(interpreted):
    parts = {name: result["parts"] for name, result in interpreted.items()}
    assert parts["the model"] == 1 and parts["the model, several parts"] == 3
    assert parts["parts of two chunks, the last one shorter"] == 3 and parts["many parts"] == 10


def test_compiles_for_gpus_with_the_tokens_in_one_thread(tmp_path):
    """Without a GPU: for Turing, Ampere and Hopper, and once with all that the network does not use.

    Only sums over channels may need shuffles: a scan with them would be far slower. (Triton 3.2 and 3.3 turn
    arrays over with shuffles too.)
    """
    triton = pytest.importorskip("triton.backends")
    if "nvidia" not in triton.backends:
        pytest.skip("this triton has no CUDA compiler")
    result = _child(str(TOOL), TRITON_CACHE_DIR=str(tmp_path))
    assert list(result) == ["triton", "network, sm_75", "network, sm_80", "network, sm_90", "other, sm_90"]
    version = tuple(map(int, result.pop("triton").split(".")[:2]))
    for kernels in result.values():
        for name, counts in kernels.items():
            if version == (3, 6) and kernels is result["network, sm_80"]:
                # Places in a table, n * inner, n * B_n, the scratch: these fit. What grows with rows has 64.
                narrow = dict(part_ends=5, outputs=7, gradients=20, merge=4)
                assert counts["narrow"] == narrow.get(name, 0), name
            assert counts["atomic"] == counts["rough"] == 0
            if version == (3, 6):  # as found with it, and some room: other compilers deal otherwise
                assert counts["registers"] <= (255 if name == "gradients" else 128)
                most = dict(gradients=400, outputs=350).get(name, 0)
                assert max(counts["spilled"], counts["refilled"]) <= most, (name, counts)
            if version >= (3, 4):
                assert counts["shuffles"] == (2 * 8 * 5 if name == "gradients" else 0)


@pytest.mark.long
def test_compiles_with_the_triton_of_each_torch(tmp_path):
    """From the oldest torch that is allowed on. Fetches each version, so it needs a network."""
    if find_spec("pip") is None or not _fetched(tmp_path):
        pytest.skip("pip cannot fetch triton here")
    versions = ("3.2.0", "3.3.1", "3.4.0", "3.5.0")
    command = [sys.executable, str(TOOL), "--triton", *versions]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stdout[-3000:]
    assert [json.loads(line)["triton"] for line in done.stdout.splitlines()] == list(versions)


def _fetched(folder) -> bool:
    """Whether pip can fetch the first of them (it then has it in its cache)."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), "triton==3.2.0"]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_agrees_with_the_recurrence_on_a_gpu():
    for name, result in _child(PROGRAM, "cuda").items():
        _check(result, (CASES | LARGE)[name])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_streams_graphs_and_another_gpu_change_no_bit():
    expected = dict.fromkeys(("stream", "graph", "refused"), True)
    for device in range(min(2, torch.cuda.device_count())):
        assert _child(PROGRAM, "replay", f"cuda:{device}") == expected
