"""The benchmark: how it measures, what it writes, and what it does about what is not there. Nothing here
depends on how fast the machine is."""

import json
import math
import sys
from itertools import pairwise

import pytest
import torch

from posemamba import benchmark
from posemamba.benchmark import bound, contestants, isolated, lengths, memory, peers, record, report, timing
from posemamba.benchmark.cases import CPU_SHAPES, CUDA_SHAPES, Settings, Shape
from posemamba.cli import main

TINY = Shape("tiny", 1, 2, 16, 6, 4)


def test_summary_is_the_quartiles():
    found = timing.summary([5.0, 1.0, 2.0, 3.0, 4.0])
    expected = {"median": 3, "lower_quartile": 2, "upper_quartile": 4, "least": 1, "most": 5, "rounds": 5}
    assert found == expected
    assert set(timing.summary([7.0]).values()) == {7.0, 1}


def test_turns_change_place_and_neighbour():
    orders = [timing.turns(3, i) for i in range(6)]
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert {order[0] for order in orders} == {0, 1, 2}
    before = {(a, b) for order in orders for a, b in pairwise(order)}
    assert len(before) == 6, "each follows each other one"


@pytest.mark.parametrize(("rounds", "wanted"), [(15, 15), (15, 3), (7, 5), (3, 1)])
def test_few_rounds_are_spread_over_all(rounds, wanted):
    joined = [i for i in range(rounds) if timing.takes_part(i, rounds, wanted)]
    assert len(joined) == wanted
    gaps = {b - a for a, b in pairwise(joined)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_rounds_within_a_budget():
    assert timing.rounds_within(0.1, 15, 40) == 15
    assert timing.rounds_within(5.0, 15, 40) == 8
    assert timing.rounds_within(500.0, 15, 40) == timing.LEAST_ROUNDS
    assert timing.rounds_within(500.0, 2, 40) == 2


def test_interleaving_takes_turns_and_goes_on_without_who_fails():
    calls = []

    def contestant(name, limit=99):
        def measure(clock):
            calls.append(name)
            if calls.count(name) > limit:
                raise RuntimeError("cannot go on\nat all")
            return {"part": 0.5}

        return timing.Contestant(name, measure)

    given = [contestant("a"), contestant("b", limit=3), contestant("c", limit=0)]
    timings = timing.interleave(given, "cpu", rounds=4)
    assert "".join(calls) == "aabbc" + "ab" + "ab" + "a" + "a"  # c, then b, left after they failed
    assert timings["a"].figures()["seconds"]["part"]["rounds"] == 4
    assert timings["b"].figures()["failed"] == "RuntimeError: cannot go on"
    assert timings["c"].figures()["seconds"] == {}


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bound_does_the_work_that_it_counts(threads):
    chains, tokens = 8 * bound.LANES * bound.CHAINS, 50
    loop = bound.BareLoop(chains, tokens, threads)
    assert loop.count() == chains * tokens
    loop()
    step, h = torch.tensor(0.05), torch.zeros(loop.rates.shape, dtype=torch.float64)
    for _ in range(tokens):  # the same chains in plain torch: nothing was left out
        step = step + bound.GROWTH
        h = torch.exp2(step.double() * torch.from_numpy(loop.rates)) * h + 1
    torch.testing.assert_close(torch.from_numpy(loop.ends).double(), h, rtol=1e-5, atol=0)


def test_the_bound_is_for_the_scans_own_work():
    S = CPU_SHAPES[0]
    assert (S.channels, S.tokens, S.exponentials) == (512, 4131, 512 * 4131 * 16)  # 33.8 million
    values, cotangent = S.inputs("cpu", 0)
    assert S.bytes() == {"inputs": sum(value.nbytes for value in values), "output": cotangent.nbytes}
    assert {shape.batch for shape in CUDA_SHAPES} == {4, 16, 64}


def test_peak_memory_of_a_known_array(tmp_path, monkeypatch):
    (tmp_path / "taker.py").write_text(
        "import numpy\n"
        "from posemamba.benchmark.memory import Peak\n"
        "def take(size):\n"
        "    with Peak('cpu') as peak:\n"
        "        numpy.ones(size, numpy.uint8)\n"
        "        numpy.ones(size // 2, numpy.uint8)\n"
        "    return [peak.bytes, peak.method]\n"
        "def refuse():\n"
        "    raise ValueError('not this')\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    size = 64 * 2**20
    taken, method = isolated.call("taker:take", size=size)
    assert taken > 0.9 * size
    if method == "resident":
        assert taken < 1.2 * size, "the first array was given back before the second"
    with pytest.raises(isolated.Failed, match="ValueError: not this"):
        isolated.call("taker:refuse")
    assert memory.available() is None or memory.available() > 0


def test_every_scan_here_agrees_with_float64():
    from posemamba.benchmark.scans import agreement

    here, missing = contestants.scans("cpu")
    assert "posemamba, reference" in {scan.name for scan in here}
    assert "mamba-ssm" in missing or torch.cuda.is_available()
    for scan in here:
        found = agreement(scan, TINY, Settings())
        assert found["agrees"], f"{scan.name}: {found}"


def test_a_wrong_scan_is_said_to_disagree():
    from posemamba.benchmark.scans import agreement

    wrong = contestants.Scan("wrong", "peer", lambda u, delta, A, B, C: u * delta * (A.sum() + (B * C).sum()))
    assert not agreement(wrong, TINY, Settings())["agrees"]


def test_threads_leave_the_result_as_it_is():
    from posemamba.benchmark.scans import by_threads

    before = torch.get_num_threads()
    found = by_threads(TINY, Settings(threads=3, rounds=1), lambda line: None)
    assert torch.get_num_threads() == before
    assert [row["threads"] for row in found["rows"]] == [1, 2, 3]
    assert found["bitwise_equal"]


def test_peers_that_are_not_installed_are_named(monkeypatch):
    monkeypatch.setattr(contestants, "_found", lambda module: False)
    here, missing = contestants.scans("cpu")
    assert {scan.kind for scan in here} == {"backend"}
    assert missing["mambapy"] == "mambapy is not installed"


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
        from model.modules import mlp  # late, as some do
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


def test_a_peers_network_leaves_no_trace(checkout, monkeypatch):
    ours = type(sys)("model")
    monkeypatch.setitem(sys.modules, "model", ours)
    path, modules = sys.path[:], dict(sys.modules)
    files = sorted(checkout.rglob("*"))
    network = peers.build(peers.find(checkout), "MotionAGFormer-L", frames=4)
    assert network.parameters == 3 * 5 + 5 + 5 * 3 + 3
    with network.present(), torch.no_grad():
        assert network.module(torch.zeros(2, 4, 17, 3)).shape == (2, 4, 17, 3)
    assert sys.path == path
    theirs = {name for name in sys.modules if name.split(".")[0] in ("model", "lib", "utils", "timm")}
    assert theirs == {name for name in modules if name.split(".")[0] in ("model", "lib", "utils", "timm")}
    assert sys.modules["model"] is ours
    assert sorted(checkout.rglob("*")) == files, "no bytecode is written there"


def test_a_peer_that_raises_leaves_no_trace(checkout):
    (checkout / "model/modules/mlp.py").write_text("import a_module_nobody_has\n", encoding="utf-8")
    path = sys.path[:]
    with pytest.raises(ModuleNotFoundError):
        peers.build(peers.find(checkout), "MotionAGFormer-L", frames=4)
    assert sys.path == path
    assert "model" not in sys.modules


def test_exponents_of_a_power_law():
    rows = [
        {
            "frames": T,
            "seconds": {"forward": {"median": 0.1 * T**2}},
            "memory": {"forward": {"bytes": 5 * T}, "step": {"bytes": 0}},
        }
        for T in (27, 81, 243)
    ]
    found = lengths.exponents(rows)
    assert set(found) == {"forward seconds", "forward memory"}
    assert math.isclose(found["forward seconds"]["fitted"], 2)
    assert found["forward memory"]["between"] == pytest.approx([1, 1])


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A run of all sections at the smallest sizes, without the parts that need processes of their own."""
    path = tmp_path_factory.mktemp("benchmark") / "found.json"
    settings = Settings(shapes=(TINY,), rounds=2, budget=0.5, frames=2, lengths=(1, 2), variants=("S",))
    settings.fresh, settings.quick, settings.threads = False, True, 1
    threads, shown = torch.get_num_threads(), []
    found = benchmark.measure(settings, path, ["posemamba", "benchmark"], show=shown.append)
    assert torch.get_num_threads() == threads
    assert benchmark.load(path) == json.loads(json.dumps(found))
    return found, shown


def test_the_record_says_where_it_comes_from(measured):
    found, _ = measured
    for key in ("command", "date", "commit", "hardware", "versions", "seed", "threads", "rounds", "device"):
        assert key in found
    assert found["versions"]["torch"] == torch.__version__
    assert "mambapy" in found["versions"]
    assert found["hardware"]["cores"] >= 1


def test_the_record_has_all_sections(measured):
    found, _ = measured
    assert {name: part["done"] for name, part in found["sections"].items()} == dict.fromkeys(
        ("scan", "network", "training", "length"), True
    )
    (case,) = found["sections"]["scan"]["cases"]
    rows = {row["name"]: row for row in case["rows"]}
    assert rows["lower bound"]["multiply_adds"] >= case["work"]["multiply_adds"] == TINY.exponentials
    reference = rows["posemamba, reference"]
    assert set(reference["seconds"]) == {"forward", "backward", "both"}
    assert reference["seconds"]["both"]["rounds"] >= 2
    assert reference["agreement"]["agrees"]
    assert set(reference["to_bound"]) == {"forward"}
    assert min(row["to_best"]["both"] for row in case["rows"] if "to_best" in row) == 1
    network = found["sections"]["network"]
    assert "no --peer" in network["missing"]["MotionAGFormer, MotionBERT"]
    assert network["cases"][0]["rows"][0]["sequences_a_second"] > 0
    assert found["sections"]["training"]["rows"][0]["seconds"]["step"]["rounds"] == 2
    assert [row["frames"] for row in found["sections"]["length"]["rows"]] == [1, 2]
    assert "step seconds" in found["sections"]["length"]["exponents"]


def test_tables_show_what_was_found(measured):
    found, shown = measured
    assert [grid.title for grid in shown] == [
        grid.title for name in found["sections"] for grid in benchmark.tables(found, name)
    ]
    grid = benchmark.table(found, "scan", "tiny")
    names = [row[0] for row in grid.rows]
    assert names[-1] == "lower bound" and "posemamba, reference" in names
    assert all(len(row) == len(grid.headings) for row in grid.rows)
    assert grid.headings[1] in str(grid) and grid._repr_html_().count("<th>") == len(grid.headings)
    assert grid.rich().row_count == len(grid.rows)
    with pytest.raises(ValueError, match="no table of scan Q"):
        benchmark.table(found, "scan", "Q")
    with pytest.raises(ValueError, match="expected one of scan"):
        benchmark.table(found, "scans")


def test_failures_and_disagreement_stand_below_the_table():
    rows = [
        {"name": "a", "failed": "out of memory"},
        {"name": "b", "agreement": {"agrees": False, "errors": {"y": 0.5, "u": None}}},
    ]
    assert report._notes(rows) == ["a: out of memory", "b: DISAGREES with float64 by up to inf"]


def test_load_refuses_other_files(tmp_path):
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="not a record"):
        benchmark.load(tmp_path / "other.json")


def test_commits_are_those_of_repositories_only(tmp_path):
    assert record.described(tmp_path) is None
    assert record.described(tmp_path / "nowhere") is None


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(["benchmark", *map(str, arguments)])
    printed = capsys.readouterr()
    return end.value.code, printed.out, printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "scans"), "--only is 'scans', expected one of scan, network, training, length"),
        (("--shape", "Q"), "--shape is 'Q', expected one of S, S-27, BL, N64"),
        (("--device", "abacus"), "--device is 'abacus', expected cpu or cuda"),
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
    choose = Settings.choose.__func__

    def chosen(cls, *arguments):
        settings = choose(cls, *arguments)
        settings.fresh, settings.frames, settings.threads = False, 2, 1
        return settings

    monkeypatch.setattr(Settings, "choose", classmethod(chosen))
    path = tmp_path / "found.json"
    code, out, _ = run(
        capsys, "--quick", "--only", "network", "--rounds", 1, "--peer", checkout, "--out", path
    )
    assert code == 0
    assert "MotionAGFormer-L" in out
    text = path.read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    found = json.loads(text)
    assert found["peers"] == [{"name": "MotionAGFormer", "commit": None}]
    assert found["command"][-2:] == ["--peer", "MotionAGFormer"]
    (case,) = found["sections"]["network"]["cases"]
    assert case["rows"][0]["times_as_fast_as"]["MotionAGFormer-L"] > 0
