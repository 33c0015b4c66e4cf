"""The laboratory: what it measures is what it says, and each of its commands runs."""

import math
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from posemamba import benchmark, record
from posemamba.benchmark import SHAPES

FOLDER = Path(__file__).resolve().parents[1] / "figures" / "benchmark"


@pytest.fixture(autouse=True)
def laboratory(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))  # as for a command that is run there


def run(name: str, *arguments: str, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    threads = torch.get_num_threads()
    import_module(name.removesuffix(".py")).main()  # what it runs in processes of their own is found there
    torch.set_num_threads(threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bound_does_the_work_that_it_counts(threads):
    import bounds

    chains, tokens = 8 * bounds.LANES * bounds.CHAINS, 50
    loop = bounds.BareLoop(chains, tokens, threads)
    assert loop.count() == chains * tokens
    loop()
    step, h = torch.tensor(0.05), torch.zeros(loop.rates.shape, dtype=torch.float64)
    for _ in range(tokens):  # the same chains in plain torch: nothing was left out
        step = step + bounds.GROWTH
        h = torch.exp2(step.double() * torch.from_numpy(loop.rates)) * h + 1
    torch.testing.assert_close(torch.from_numpy(loop.ends).double(), h, rtol=1e-5, atol=0)
    S = SHAPES["cpu"][0]
    assert bounds.bare_loop(S, threads).count() == S.exponentials


def test_peak_memory_of_a_known_array(tmp_path, monkeypatch):
    import memory

    (tmp_path / "taker.py").write_text(
        "import time, numpy\n"
        "from memory import Peak\n"
        "def take(size):\n"
        "    with Peak('cpu') as peak:\n"
        "        numpy.ones(size, numpy.uint8)\n"
        "        kept = numpy.ones(size // 2, numpy.uint8)\n"
        "    return peak.bytes\n"
        "def refuse():\n"
        "    raise ValueError('not this')\n"
        "def die():\n"
        "    import os\n"
        "    os._exit(3)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import taker

    size = 256 * 2**20
    taken = memory.apart(taker.take, size)
    assert 0.5 * size < taken < 1.2 * size, "the first array was given back before the second"
    with pytest.raises(RuntimeError, match="ValueError: not this"):
        memory.apart(taker.refuse)
    with pytest.raises(RuntimeError, match="exit code 3"):
        memory.apart(taker.die)


def test_exponents_of_a_power_law():
    import lengths

    rows = [
        {"frames": T, "seconds": {"forward": {"median": 0.1 * T**2}}, "memory": {"forward": 5 * T, "step": 0}}
        for T in (27, 81, 243)
    ]
    found = lengths.exponents(rows)
    assert set(found) == {"forward seconds", "forward memory"}
    assert math.isclose(found["forward seconds"]["fitted"], 2)
    assert found["forward memory"]["between"] == pytest.approx([1, 1])


def test_the_kept_record_has_its_bound(tmp_path, monkeypatch, capsys):
    path = tmp_path / "kept.json"
    options = ("--quick", "--threads", "1", "--only", "scan", "--out", str(path))
    run("kept.py", *options, monkeypatch=monkeypatch)
    report = benchmark.load(path)
    assert report["command"][:2] == ["python", "figures/benchmark/kept.py"]
    (case,) = report["sections"]["scan"]["cases"]
    *rows, bound = case["rows"]
    assert (bound["name"], bound["kind"]) == ("lower bound", "bound")
    assert all(row["to_bound"]["forward"] > 0 for row in rows)
    assert "forward, to bound" in benchmark.table(report, "scan", "quick").headings
    assert "lower bound" in capsys.readouterr().out


def test_the_cost_over_length_is_measured(tmp_path, monkeypatch):
    path = tmp_path / "cost.json"
    options = ("--quick", "--threads", "1", "--out", str(path))
    run("cost_over_length.py", *options, monkeypatch=monkeypatch)
    report = record.read(path)
    assert {row["arm"] for row in report["rows"]} == {"scan", "full attention", "factored attention"}
    assert all(row["bytes"] > 0 and row["seconds"]["forward"]["rounds"] == 2 for row in report["rows"])
    assert report["parts"][0]["seconds"]["scan"]["median"] > 0


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("bounds.py", (), "exponentials a nanosecond"),
        ("memory.py", ("--threads", "1"), "PoseMamba-S, training: step"),
        pytest.param("lengths.py", ("--threads", "1"), "exponents: forward seconds", marks=pytest.mark.long),
        ("under_load.py", (), "passive"),
    ],
)
def test_each_command_runs(name, options, words, monkeypatch, capsys):
    run(name, "--quick", *options, monkeypatch=monkeypatch)
    assert words in capsys.readouterr().out


def test_the_first_call_is_measured_in_a_process_of_its_own():
    command = [sys.executable, str(FOLDER / "first_call.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert "import torch" in done.stdout and "network" in done.stdout
