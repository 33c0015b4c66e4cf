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
from posemamba.benchmark import SHAPES, Run, Shape, peers, timing
from posemamba.cli import main
from posemamba.scan import selective_scan

TINY = Shape("tiny", 1, 2, 16, 6, 4)
SMALL = Run(shapes=(TINY,), threads=1, rounds=2, budget=0.5, frames=2, variants=("S",))


def test_summary_is_the_quartiles():
    found = timing.summary([5.0, 1.0, 2.0, 3.0, 4.0])
    expected = {"median": 3, "lower_quartile": 2, "upper_quartile": 4, "least": 1, "most": 5, "rounds": 5}
    assert found == expected
    assert set(timing.summary([7.0]).values()) == {7.0, 1}


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
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
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
    here, missing = benchmark.everybody("cpu")
    assert "posemamba, reference" in here
    assert "mamba-ssm" in missing or torch.cuda.is_available()
    values, cotangent = TINY.inputs("cpu", 0)
    wide = [value.double() for value in (*values, cotangent)]
    truth = benchmark.gradients_of(selective_scan, wide[:-1], wide[-1])
    for name, call in here.items():
        for mine, expected in zip(benchmark.gradients_of(call, values, cotangent), truth, strict=True):
            assert (mine.double() - expected).norm() < 1e-3 * expected.norm(), name


def test_peers_that_are_not_installed_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mambapy", None)
    monkeypatch.setitem(sys.modules, "mambapy.pscan", None)
    here, missing = benchmark.everybody("cpu")
    assert "mambapy" not in here
    assert "mambapy" in missing["mambapy"]


def test_what_is_too_large_is_not_tried(monkeypatch):
    S, narrow = SHAPES["cpu"][0], Shape("narrow", 1, 2, 16, 6, 4, "bfloat16")
    assert "a Python loop" in benchmark.refusal("posemamba, reference", S)
    assert "float32 only" in benchmark.refusal("mambapy", narrow)
    assert benchmark.refusal("posemamba, numba", TINY) is None
    vast = replace(S, batch=10_000)
    assert "GiB are free" in benchmark.refusal("mambapy", vast)
    assert benchmark.refusal("mambapy", vast, "cuda") is None, "torch's allocator tells"


CHECKOUT = {
    "model/MotionAGFormer.py": """
from torch import nn
from timm.models.layers import DropPath
from model.modules.mlp import MLP

class MotionAGFormer(nn.Module):
    def __init__(self, n_layers, dim_in, dim_feat, act_layer=nn.ReLU, n_frames=243):
        super().__init__()
        self.frames = n_frames
        self.layers = nn.Sequential(nn.Linear(dim_in, dim_feat), act_layer(), MLP(dim_feat), DropPath(0.0))

    def forward(self, x):
        assert x.shape[1:] == (self.frames, 17, 3)
        return self.layers(x)
""",
    "model/modules/mlp.py": """
from torch import nn

class MLP(nn.Linear):
    def __init__(self, features):
        super().__init__(features, 3)
""",
    "configs/h36m/MotionAGFormer-large.yaml": "n_layers: 2\ndim_in: 3\ndim_feat: 5\nact_layer: gelu\n",
}


@pytest.fixture
def checkout(tmp_path):
    for name, text in CHECKOUT.items():
        path = tmp_path / "MotionAGFormer" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "MotionAGFormer"


def theirs():
    return {name for name in sys.modules if name.split(".")[0] in ("model", "lib", "utils", "timm")}


def test_a_peers_network_leaves_no_trace(checkout, monkeypatch):
    ours = type(sys)("model")
    monkeypatch.setitem(sys.modules, "model", ours)
    path, modules, files = sys.path[:], theirs(), sorted(checkout.rglob("*"))
    network = peers.Peer(checkout).build("MotionAGFormer-L", frames=4, seed=0)
    assert sum(parameter.numel() for parameter in network.parameters()) == 3 * 5 + 5 + 5 * 3 + 3
    with torch.no_grad():
        assert network(torch.zeros(2, 4, 17, 3)).shape == (2, 4, 17, 3)
    assert sys.path == path and theirs() == modules
    assert sys.modules["model"] is ours
    assert sorted(checkout.rglob("*")) == files, "no bytecode is written there"


def test_a_peer_that_raises_leaves_no_trace(checkout):
    (checkout / "model/modules/mlp.py").write_text("import a_module_nobody_has\n", encoding="utf-8")
    path, modules = sys.path[:], theirs()
    with pytest.raises(ModuleNotFoundError):
        peers.Peer(checkout).build("MotionAGFormer-L", frames=4, seed=0)
    assert sys.path == path and theirs() == modules


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
    assert list(found["sections"]) == ["scan", "network", "training"]
    (case,) = found["sections"]["scan"]["cases"]
    reference = next(row for row in case["rows"] if row["name"] == "posemamba, reference")
    assert set(reference["seconds"]) == {"forward", "backward", "both"}
    assert reference["seconds"]["both"]["rounds"] == 2
    assert min(row["to_best"]["both"] for row in case["rows"]) == 1
    network = found["sections"]["network"]
    assert "no --peer" in network["missing"]["MotionAGFormer, MotionBERT"]
    assert network["cases"][0]["rows"][0]["seconds"]["forward"]["median"] > 0
    (step,) = found["sections"]["training"]["cases"][0]["rows"]
    assert step["seconds"]["step"]["rounds"] == 2


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
    assert timing.reason(MemoryError()) == "out of memory"


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
        (("--only", "scans"), "--only is 'scans', expected one of scan, network, training"),
        (("--shape", "Q"), "--shape is 'Q', expected one of S, S-27, BL, N64"),
        (("--device", "abacus"), "--device is 'abacus', expected one of cpu, cuda"),
        (("--peer", "nowhere"), "nowhere: expected a checkout of MotionAGFormer or MotionBERT"),
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


def test_the_command_names_peers_and_not_their_paths(capsys, tmp_path, checkout, monkeypatch):
    path = tmp_path / "found.json"
    options = ("--quick", "--threads", 1, "--only", "network", "--rounds", 1, "--peer", checkout)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/posemamba", "benchmark", *map(str, options)])
    code, out, _ = run(capsys, *options, "--out", path)
    assert code == 0
    assert "MotionAGFormer-L" in out
    text = path.read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    found = json.loads(text)
    assert found["peers"] == [{"name": "MotionAGFormer", "commit": None}]
    assert found["command"][:3] == ["posemamba", "benchmark", "--quick"]
    assert found["command"][-2:] == ["--peer", "MotionAGFormer"]
    (case,) = found["sections"]["network"]["cases"]
    assert case["rows"][0]["times_as_fast_as"]["MotionAGFormer-L"] > 0
