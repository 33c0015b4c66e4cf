"""What chapters share: scale, set-up, checks of exercises, timings."""

import os
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from posemamba import book


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("SCALE", "POSEMAMBA_TINY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # set-up leaves the threads of this process alone
    with warnings.catch_warnings():
        yield


@pytest.mark.parametrize(
    ("environment", "given", "expected"),
    [
        ({}, "small", 1),
        ({}, "gpu", 2),
        ({"SCALE": "gpu"}, "small", 2),
        ({"SCALE": "small"}, "gpu", 1),
        ({"SCALE": "gpu", "POSEMAMBA_TINY": "1"}, "small", 3),
        ({"POSEMAMBA_TINY": "1"}, "small", 1),
        ({"POSEMAMBA_TINY": "0"}, "gpu", 2),
    ],
)
def test_the_environment_overrides_the_scale(monkeypatch, environment, given, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert book.setup(given).pick(small=1, gpu=2, tiny=3) == expected


def test_tiny_falls_back_to_small():
    assert book.Scale("gpu", tiny=True).pick(small=1, gpu=2) == 1


def test_unknown_scales_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="scale is 'large', expected 'small' or 'gpu'"):
        book.setup("large")
    monkeypatch.setenv("SCALE", "huge")
    with pytest.raises(ValueError, match="environment variable SCALE is 'huge'"):
        book.setup("small")


def test_setup_seeds_and_prints_nothing(capsys):
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    book.setup()
    first = draw()
    draw()
    book.setup()
    assert draw() == first
    assert capsys.readouterr() == ("", "")


def test_setup_leaves_numerical_warnings_audible():
    book.setup()
    with pytest.warns(RuntimeWarning):
        warnings.warn("overflow", RuntimeWarning, stacklevel=1)
    assert not _warned(FutureWarning)


def _warned(category):
    with warnings.catch_warnings(record=True) as caught:
        warnings.warn("soon", category, stacklevel=1)
    return caught


def vector(rng):
    return (rng.normal(size=12), int(rng.integers(1, 4)))


def scaled(u, width):
    return u * width


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (lambda u, width: u * width, "exercise 1: correct"),
        (lambda u, width: torch.from_numpy(u) * width, "exercise 1: correct"),
        (lambda u, width: None, "exercise 1: not solved yet"),
        (lambda u, width: (_ for _ in ()).throw(NotImplementedError), "exercise 1: not solved yet"),
    ],
)
def test_check_prints_one_stable_line(capsys, function, line):
    book.check("exercise 1", function, scaled, vector)
    assert capsys.readouterr().out == line + "\n"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda u, width: u, ["u of shape (12,), width = ", "at index [0] it returns", "expected"]),
        (lambda u, width: u[:-1] * width, ["returns shape (11,), expected (12,)"]),
        (lambda u, width: 1 / 0, ["it raises ZeroDivisionError: division by zero"]),
        (lambda u, width: "text", ["returns a str, expected numbers"]),
        (lambda u, width: u * width if width < 3 else None, ["width = 3", "it returns None"]),
    ],
)
def test_check_says_what_is_wrong_and_for_which_input(capsys, function, words):
    book.check("exercise 1", function, scaled, vector)
    out = capsys.readouterr().out
    assert out.startswith("exercise 1: not yet. For ") and out.count("\n") == 1
    assert all(word in out for word in words)


def test_check_compares_tuples_one_by_one(capsys):
    def reference(u):
        return u, u.sum()

    def inputs(rng):
        return (rng.normal(size=3),)

    book.check("exercise 2", lambda u: (u, u.sum()), reference, inputs)
    book.check("exercise 2", lambda u: (u, u.sum() + 1), reference, inputs)
    book.check("exercise 2", lambda u: u, reference, inputs)
    right, second, single = capsys.readouterr().out.splitlines()
    assert right == "exercise 2: correct"
    assert "returned value 2 of 2" in second
    assert "returns one ndarray, expected 2 values" in single


def test_a_function_that_changes_its_input_deceives_nobody(capsys):
    def spoil(u, width):
        u *= 0
        return u

    book.check("exercise 1", spoil, scaled, vector)
    assert "not yet" in capsys.readouterr().out


def test_check_finds_a_fault_that_only_some_inputs_show(capsys):
    book.check("exercise 1", lambda u, width: u * min(width, 2), scaled, vector)
    assert "width = 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, "exercise 3: not solved yet"),
        (10.3, "exercise 3: correct"),
        (8.0, "exercise 3: not yet. 8 is too small."),
        (12.0, "exercise 3: not yet. 12 is too large."),
    ],
)
def test_check_value(capsys, value, line):
    book.check_value("exercise 3", value, 10.0)
    assert capsys.readouterr().out == line + "\n"


def test_timed_calls_once_more_than_it_counts():
    calls = []
    assert 0 <= book.timed(calls.append, 1, repeats=3) < 1
    assert len(calls) == 4


def test_measured_names_a_run_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="no_such_run"):
        book.measured("no_such_run")


def test_an_argument_that_is_a_network_is_told_in_a_word(capsys):
    def network(rng):
        return (torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()),)

    book.check("e", lambda model: 1.0, reference=lambda model: 2.0, inputs=network)
    assert capsys.readouterr().out == "e: not yet. For model = Sequential(...) it returns 1, expected 2.\n"


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_sleep_before_torch_is_there(given, expected):
    code = (
        "import os, sys\n"
        "from posemamba import book\n"
        "assert 'torch' not in sys.modules\n"
        "book.setup()\n"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr
