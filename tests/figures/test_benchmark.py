"""The laboratory: what it measures is what it says, and each of its commands runs."""

import math
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from posemamba import benchmark, record
from posemamba.benchmark import SHAPES, runs

FOLDER = Path(__file__).resolve().parents[2] / "figures" / "benchmark"


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
    import peers

    network = peers.Peer(checkout).build("MotionAGFormer-L", frames=4)
    assert sum(parameter.numel() for parameter in network.parameters()) == 3 * 5 + 5 + 5 * 3 + 3
    with torch.no_grad():
        assert network(torch.zeros(2, 4, 17, 3)).shape == (2, 4, 17, 3)
    assert sys.path == path and theirs() == modules
    assert sys.modules["model"] is ours
    assert sorted(checkout.rglob("*")) == files, "no bytecode is written there"


def test_a_peer_that_raises_leaves_no_trace(checkout):
    (checkout / "model/modules/mlp.py").write_text("import a_module_nobody_has\n", encoding="utf-8")
    import peers

    path, modules = sys.path[:], theirs()
    with pytest.raises(ModuleNotFoundError):
        peers.Peer(checkout).build("MotionAGFormer-L", frames=4)
    assert sys.path == path and theirs() == modules


def test_a_checkout_is_named_and_not_its_path(checkout):
    import peers

    found = peers.Peer(checkout)
    assert found.described() == {"name": "MotionAGFormer", "commit": None}
    assert list(found.makers()) == ["MotionAGFormer-L"]
    with pytest.raises(ValueError, match="nowhere: expected a checkout of MotionAGFormer or MotionBERT"):
        peers.Peer("nowhere")
    assert runs.peers(FOLDER / "peers.py").keys() <= {"MotionAGFormer-L", "MotionAGFormer-S", "MotionBERT"}


def test_training_steps_are_a_section():
    import steps

    small = benchmark.Run(threads=1, rounds=2, budget=0.5, frames=2, variants=("S",))
    (content,) = steps.steps(small)
    (row,) = content["cases"][0]["rows"]
    assert row["seconds"]["step"]["rounds"] == 2
    (grid,) = benchmark.tables({"sections": {"training": content}}, "training")
    assert grid.headings == ["", "step, ms", "rounds"]


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
        ("evaluation.py", (), "6 metrics"),
        ("overhead.py", (), "processor"),
        ("memory.py", ("--threads", "1"), "PoseMamba-S, training: step"),
        pytest.param("lengths.py", ("--threads", "1"), "exponents: forward seconds", marks=pytest.mark.long),
        ("under_load.py", (), "passive"),
        ("windows.py", ("--frames", "9"), "virtual cameras, noise"),
    ],
)
def test_each_command_runs(name, options, words, monkeypatch, capsys):
    run(name, "--quick", *options, monkeypatch=monkeypatch)
    assert words in capsys.readouterr().out


def test_the_first_call_is_measured_in_a_process_of_its_own():
    command = [sys.executable, str(FOLDER / "first_call.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert "import torch" in done.stdout and "network" in done.stdout
