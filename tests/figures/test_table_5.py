"""The sweep of losses: what its rows are, what is measured of a network, and that it goes on."""

from dataclasses import asdict

import pytest
import torch

from posemamba import record
from posemamba.losses import LOSS_WEIGHTS
from posemamba.motion import evaluation_windows, save_motion, synthetic_clips
from posemamba.paper import TABLE_5
from posemamba.training import Interrupted
from tests.figures.commands import load

SWEEP = vars(load("table_5"))
ROWS = SWEEP["ROWS"]


def test_rows_differ_in_the_loss_alone():
    configs = [SWEEP["settings"](row, 1, 2000) for row in ROWS]
    assert len({config.loss for config in configs}) == len(ROWS) == 8
    first, *others = [{k: v for k, v in config.flat().items() if k != "loss"} for config in configs]
    assert all(other == first for other in others)
    assert first["targets"] == "2.5d" and first["noise"] == "detector" and first["clip_norm"] is None


def test_rows_are_the_papers_with_the_released_weights():
    assert [name for name, _, _ in TABLE_5] == list(ROWS)[:4]
    loss = {row: asdict(SWEEP["settings"](row, 0, 1).loss) for row in ROWS}
    assert loss["MPJPE + T + 2D"] == asdict(LOSS_WEIGHTS["released"])
    assert loss["MPJPE + T + 2D in words"] == asdict(LOSS_WEIGHTS["paper"])
    named = {row: {name for name, weight in terms.items() if weight} for row, terms in loss.items()}
    assert named["MPJPE"] == {"mpjpe"} and named["MPJPE + 2D"] == {"mpjpe", "n_mpjpe"}
    assert named["MPJPE + T"] == {"mpjpe", "mpjve", "temporal_consistency"}
    assert named["MPJPE + T"] == named["MPJPE + MPJVE"] | named["MPJPE + TC"]
    assert all(row in ROWS and other in ROWS for row, other in SWEEP["PAIRS"])


class Says(torch.nn.Module):
    """A network whose answer is always the same."""

    def __init__(self, answer: torch.Tensor):
        super().__init__()
        self.answer = torch.nn.Parameter(answer)

    def forward(self, inputs):
        return self.answer.expand(*inputs.shape[:-1], 3)


def test_errors_are_in_millimetres_and_of_the_frames_that_count():
    clips = synthetic_clips(train=0, test=1, seconds=4, actions=["walking", "waving"])
    windows = evaluation_windows(clips, 27, 60, views=1, targets="2.5d")
    found = SWEEP["measure"](Says(torch.zeros(1, 1, 17, 3)), windows)
    wanted = windows.targets * windows.factor[..., None, None] * 500  # a picture of 1000 pixels
    distance, size = wanted.norm(dim=-1).mean(-1), windows.scored
    by_action = [distance[windows.action == k][size[windows.action == k]].mean() for k in range(2)]
    assert found["mpjpe"]["over_actions"] == pytest.approx(float(sum(by_action)) / 2, rel=1e-5)
    assert found["mpjpe"]["over_frames"] == pytest.approx(float(distance[size].mean()), rel=1e-5)
    assert found["across"] == pytest.approx(float(wanted[size][..., :2].norm(dim=-1).mean()), rel=1e-5)
    assert found["depth"] == pytest.approx(float(wanted[size][..., 2].abs().mean()), rel=1e-5)
    assert (
        found["moved"]
        == 0
        < found["moved_in_truth"]
        == pytest.approx(found["mpjve"]["over_frames"], rel=1e-4)
    )
    assert found["terms"]["mpjpe"] == pytest.approx(float(windows.targets.norm(dim=-1).mean()), rel=1e-5)
    # The root is taken off: an answer moved as a whole is as wrong as before.
    moved = SWEEP["measure"](Says(torch.full((1, 1, 17, 3), 0.3)), windows)
    assert moved["depth"] == pytest.approx(found["depth"], rel=1e-4)


def test_pairs_are_compared_seed_by_seed():
    def made(row, seed, error):
        return {"row": row, "seed": seed, **{name: {"over_actions": error} for name in SWEEP["MEASURES"]}}

    runs = [made("MPJPE", seed, 50 + 10 * seed) for seed in (0, 1, 2)]
    runs += [made("MPJPE + T", seed, 48 + 10 * seed + 0.1 * seed) for seed in (2, 0, 1)]
    runs += [made("MPJPE + TC", 0, 1.0)]  # one seed is no pair
    found = SWEEP["compared"](runs)
    assert {(each["row"], each["against"]) for each in found} == {("MPJPE + T", "MPJPE")}
    assert [each["measure"] for each in found] == list(SWEEP["MEASURES"])
    assert found[0]["mean"] == pytest.approx(-1.9) and found[0]["n"] == 3
    assert found[0]["low"] < -1.9 < found[0]["high"] < 0


@pytest.mark.long
def test_a_sweep_that_was_stopped_goes_on(tmp_path, monkeypatch, capsys):
    clips = synthetic_clips(train=1, test=1, seconds=4, actions=["walking"])
    save_motion(tmp_path / "walk.safetensors", clips)
    given = ["--data", str(tmp_path / "walk.safetensors"), "--folder", str(tmp_path / "runs")]
    given += ["--steps", "2", "--seeds", "0", "1", "--rows", "MPJPE", "MPJPE + T", "--device", "cpu"]
    main = SWEEP["main"]
    train, trained = main.__globals__["train"], []

    def counted(config, *arguments, **named):
        if len(trained) == 1:
            trained.append(None)
            raise Interrupted(0)
        trained.append((config.loss.mpjve, config.seed))
        return train(config, *arguments, **named)

    monkeypatch.setitem(main.__globals__, "train", counted)
    assert main(given) == 130
    assert "The same command goes on" in capsys.readouterr().out
    assert main(given) == 0
    assert trained == [(0, 0), None, (20, 0), (0, 1), (20, 1)]  # whole seeds, none twice
    report = record.read(tmp_path / "runs" / "assets" / "measured" / "table_5.json")
    assert report["command"][-5:] == ["--steps", "2", "--rows", "MPJPE", "MPJPE + T"]
    assert report["seeds"] == [0, 1] and report["plan"]["pairs"] == [["MPJPE + T", "MPJPE"]]
    assert [(run["row"], run["seed"]) for run in report["runs"]] == [
        (row, seed) for seed in (0, 1) for row in ("MPJPE", "MPJPE + T")
    ]
    assert len({run["mpjpe"]["over_actions"] for run in report["runs"]}) == 4
    assert [each["n"] for each in report["compared"]] == [2, 2, 2]
    assert report["plan"]["power"][0]["power"] == pytest.approx(0.05, abs=0.01)
