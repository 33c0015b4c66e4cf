"""Which backends there are, and which one runs."""

import os
import subprocess
import sys

import pytest
import torch

import posemamba.scan
from posemamba.scan import available_backends, selective_scan


def test_backends_are_listed_with_reasons():
    backends = available_backends()
    assert list(backends) == ["reference", "associative", "numba", "triton", "mamba_ssm"]
    assert [backends[name] for name in ("reference", "associative", "numba")] == [None] * 3
    if not torch.cuda.is_available():
        assert all(
            backends[name] in (f"{name} is not installed", "no CUDA device is found")
            for name in ("triton", "mamba_ssm")
        )


def test_the_environment_names_the_backend_of_whole_networks():
    code = (
        "import torch; from posemamba import scan; "
        "print(scan._choose('auto', torch.device('cpu')), scan._choose('reference', torch.device('cpu')))"
    )
    for named, expected in ((None, "numba reference"), ("associative", "associative reference")):
        own = {key: value for key, value in os.environ.items() if key != "POSEMAMBA_BACKEND"}
        own |= {"POSEMAMBA_BACKEND": named} if named else {}
        done = subprocess.run(
            [sys.executable, "-c", code], env=own, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == expected.split()


def test_an_unknown_backend_of_the_environment_is_named(monkeypatch):
    monkeypatch.setattr(posemamba.scan, "_FORCED", "fastest")
    u, A, B = torch.zeros(1, 4, 8), torch.zeros(4, 2), torch.zeros(1, 2, 8)
    with pytest.raises(ValueError, match="unknown backend 'fastest', expected 'auto' or one of reference"):
        selective_scan(u, u, A, B, B)
