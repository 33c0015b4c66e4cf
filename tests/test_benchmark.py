"""The benchmark: how it measures, what it writes, and what it does about what is not there. Nothing here
depends on how fast the machine is."""

import json
import math
import sys
from dataclasses import replace
from itertools import count, pairwise

import pytest
import torch

from posemamba import benchmark
from posemamba.benchmark import SHAPES, Run, Shape, runs, sections
from posemamba.cli import main
from posemamba.scan import selective_scan

TINY = Shape("tiny", 1, 2, 16, 6, 4)
SMALL = Run(shapes=(TINY,), threads=1, rounds=2, budget=0.5, frames=2, variants=("S",))


def test_summary_is_the_quartiles():
    found = runs.summary([5.0, 1.0, 2.0, 3.0, 4.0])
    expected = {"median": 3, "lower_quartile": 2, "upper_quartile": 4, "least": 1, "most": 5, "rounds": 5}
    assert found == expected
    assert set(runs.summary([7.0]).values()) == {7.0, 1}


def test_turns_are_taken_in_changing_order_and_go_on_without_who_fails():
    calls = []

    def contestant(name, limit=99):
        def measure():
            calls.append(name)
            if calls.count(name) > limit:
                raise RuntimeError("cannot go on\nat all")
            return {"part": 0.5}

        return measure

    given = {"a": contestant("a"), "b": contestant("b", limit=3), "c": contestant("c", limit=0)}
    timings = benchmark.interleave(given, replace(SMALL, rounds=9))
    assert "".join(calls[:5]) == "aabbc", "each is warmed up; c fails at once"
    assert calls[5:].count("a") == 9 and calls.count("b") == 4
    assert timings["a"]["seconds"]["part"]["rounds"] == 9
    assert timings["b"]["failed"] == "RuntimeError: cannot go on"
    assert timings["c"]["seconds"] == {}
    calls.clear()
    benchmark.interleave({name: contestant(name) for name in "abc"}, replace(SMALL, rounds=9))
    rounds = {"".join(calls[i : i + 3]) for i in range(6, len(calls), 3)}
    assert len(rounds) > 3 and {name for first in rounds for name in first[0]} == set("abc")


@pytest.mark.parametrize(("took", "rounds"), [(0.1, 15), (5.0, 8), (14.0, 3), (500.0, 3)])
def test_who_is_slow_joins_fewer_rounds(monkeypatch, took, rounds):
    clock = count(0.0, took)
    monkeypatch.setattr(runs.time, "perf_counter", lambda: next(clock))
    joined = []
    run = Run(rounds=15, budget=40.0, threads=1, log=joined.append)
    found = benchmark.interleave({"slow": lambda: {"part": took}}, run)
    assert found["slow"]["seconds"]["part"]["rounds"] == rounds
    numbers = [int(line.split()[2]) for line in joined if "round" in line]
    gaps = {b - a for a, b in pairwise(numbers)}
    assert max(gaps) - min(gaps) <= 1, "they are spread over all rounds"


def test_shapes_are_those_of_the_network():
    S = SHAPES["cpu"][0]
    assert (S.groups * S.inner, S.tokens, S.exponentials) == (512, 4131, 512 * 4131 * 16)  # 33.8 million
    assert {shape.batch for shape in SHAPES["cuda"]} == {4, 16, 64}


def test_every_scan_here_computes_the_same():
    here, missing = sections.everybody("cpu")
    assert "posemamba, reference" in here
    assert "mamba-ssm" in missing or torch.cuda.is_available()
    values, cotangent = TINY.inputs("cpu", 0)
    wide = [value.double() for value in (*values, cotangent)]
    truth = sections.gradients_of(selective_scan, wide[:-1], wide[-1])
    for name, call in here.items():
        for mine, expected in zip(sections.gradients_of(call, values, cotangent), truth, strict=True):
            assert (mine.double() - expected).norm() < 1e-3 * expected.norm(), name


def test_peers_that_are_not_installed_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mambapy", None)
    monkeypatch.setitem(sys.modules, "mambapy.pscan", None)
    here, missing = sections.everybody("cpu")
    assert "mambapy" not in here
    assert "mambapy" in missing["mambapy"]


def test_what_is_too_large_is_not_tried(monkeypatch):
    S, narrow = SHAPES["cpu"][0], Shape("narrow", 1, 2, 16, 6, 4, "bfloat16")
    assert "a Python loop" in sections.refusal("posemamba, reference", S)
    assert "float32 only" in sections.refusal("mambapy", narrow)
    assert sections.refusal("posemamba, numba", TINY) is None
    vast = replace(S, batch=10_000)
    assert "GiB are free" in sections.refusal("mambapy", vast)
    assert sections.refusal("mambapy", vast, "cuda") is None, "torch's allocator tells"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A run of all sections at the smallest sizes."""
    path = tmp_path_factory.mktemp("benchmark") / "found.json"
    threads, shown = torch.get_num_threads(), []
    found = benchmark.measure(SMALL, path, ["posemamba", "benchmark"], show=shown.append)
    assert torch.get_num_threads() == threads
    assert benchmark.load(path) == json.loads(json.dumps(found))
    return found, shown


def test_the_record_has_all_sections(measured):
    found, _ = measured
    assert found["command"] == ["posemamba", "benchmark"] and found["seeds"] == [0]
    assert (found["threads"], found["rounds"], found["device"]) == (1, 2, "cpu")
    assert list(found["sections"]) == ["scan", "network"]
    (case,) = found["sections"]["scan"]["cases"]
    reference = next(row for row in case["rows"] if row["name"] == "posemamba, reference")
    assert set(reference["seconds"]) == {"forward", "backward", "both"}
    assert reference["seconds"]["both"]["rounds"] == 2
    assert min(row["to_best"]["both"] for row in case["rows"]) == 1
    network = found["sections"]["network"]
    assert "no --peer" in network["missing"]["other networks"]
    assert network["cases"][0]["rows"][0]["seconds"]["forward"]["median"] > 0


def test_tables_show_what_was_found(measured):
    found, shown = measured
    assert list(map(str, shown)) == [
        str(grid) for name in found["sections"] for grid in benchmark.tables(found, name)
    ]
    grid = benchmark.table(found, "scan", "tiny")
    assert "posemamba, reference" in [row[0] for row in grid.rows]
    assert all(len(row) == len(grid.headings) for row in grid.rows)
    assert grid.headings[1] in str(grid) and "forward, to bound" not in grid.headings
    with pytest.raises(ValueError, match="no table of scan Q"):
        benchmark.table(found, "scan", "Q")
    with pytest.raises(ValueError, match="expected one of scan"):
        benchmark.table(found, "scans")


@pytest.mark.parametrize("name", ["benchmark", "benchmark_all"])
def test_the_kept_tables_are_read(name):
    from posemamba.book import measured

    report = measured(name)
    grid = benchmark.table(report, "scan", "S")
    assert grid.headings[1:] == [
        "forward, ms",
        "backward, ms",
        "both, ms",
        "rounds",
        "both, to best",
        "forward, to bound",
    ]
    assert [row[0] for row in grid.rows][-1] == "lower bound"
    assert all(
        benchmark.tables(report, section) for section in report["sections"] if section in "scan network"
    )
    (case,) = report["sections"]["network"]["cases"]
    medians = {row["name"]: row["seconds"]["forward"]["median"] for row in case["rows"]}
    for row in case["rows"]:
        for rival, times in row.get("times_as_fast_as", {}).items():
            assert math.isclose(times, medians[rival] / medians[row["name"]])


def test_failures_stand_below_the_table():
    case = {"batch": 1, "precision": "float32", "rows": [{"name": "a", "failed": "out of memory"}]}
    (grid,) = benchmark.tables({"sections": {"training": {"frames": 9, "cases": [case]}}}, "training")
    assert grid.notes == ["a: out of memory"] and grid.rows == []
    assert runs.reason(MemoryError()) == "out of memory"


def test_load_refuses_other_files(tmp_path):
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="not a measured record"):
        benchmark.load(tmp_path / "other.json")


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(["benchmark", *map(str, arguments)])
    printed = capsys.readouterr()
    return end.value.code, printed.out, printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "scans"), "--only is 'scans', expected one of scan, network"),
        (("--shape", "Q"), "--shape is 'Q', expected one of S, S-27, BL, N64"),
        (("--device", "abacus"), "--device is 'abacus', expected one of cpu, cuda"),
        (("--peer", "nowhere.py"), "nowhere.py: expected a Python file with NETWORKS"),
        (("--peer", runs.__file__), "runs.py: expected a Python file with NETWORKS"),
        (("--out", "nowhere/found.json", "--quick"), "nowhere"),
    ],
)
def test_bad_options_are_one_line(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_cuda_is_refused(capsys):
    code, _, err = run(capsys, "--device", "cuda")
    assert code == 2
    assert "no CUDA device" in err


NETWORKS = """
from torch import nn
def broken(frames):
    raise OSError(f"no weights in {__file__}")
NETWORKS = {"linear": lambda frames: nn.Linear(3, 3), "broken": broken}
"""


def test_peers_are_timed_and_their_paths_not_told(capsys, tmp_path, monkeypatch):
    path, file = tmp_path / "found.json", tmp_path / "mine.py"
    file.write_text(NETWORKS, encoding="utf-8")
    options = ("--quick", "--threads", 1, "--only", "network", "--rounds", 1, "--peer", file)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/posemamba", "benchmark", *map(str, options)])
    code, out, _ = run(capsys, *options, "--out", path)
    assert code == 0
    assert "linear" in out
    text = path.read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    found = json.loads(text)
    assert found["peers"] == ["linear", "broken"]
    assert found["command"][:3] == ["posemamba", "benchmark", "--quick"]
    assert found["command"][-2:] == ["--peer", "mine.py"]
    network = found["sections"]["network"]
    assert network["missing"] == {"broken": "OSError: no weights in mine.py"}
    (case,) = network["cases"]
    assert case["rows"][0]["times_as_fast_as"]["linear"] > 0
    assert (case["rows"][1]["kind"], case["rows"][1]["parameters"]) == ("peer", 12)
