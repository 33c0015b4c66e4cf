"""The sweep of Tables 4 to 6: what its rows change, how a rate is chosen, and that it goes on."""

from dataclasses import replace

import pytest

from posemamba import record, storage
from posemamba.model import PoseMamba
from posemamba.motion import save_motion, synthetic_clips
from posemamba.paper import TABLE_4, TABLE_5
from posemamba.training import Interrupted
from posemamba.training.data import training_clips
from tests.figures.commands import load

sweep = load("tables_4_to_6")


def test_rows_change_what_their_table_is_about():
    about = {4: {"scan"}, 5: {"loss"}, 6: {"depth", "channels"}}
    base = sweep.TrainingConfig.load("wild/bidirectional", seed=1, steps=9, **sweep.SMALL).flat()
    for table, rows in sweep.TABLES.items():
        for row in rows:
            config = sweep.settings(row, base["learning_rate"], 1, 9).flat()
            assert {name for name in base if config[name] != base[name]} <= about[table], row
    assert len(sweep.TABLES[4]) == len(TABLE_4) and len(sweep.TABLES[5]) == len(TABLE_5)
    assert list(sweep.TABLES[5]) == [name for name, *_ in TABLE_5]
    for row, other in sweep.SAME.items():
        assert sweep.settings(row, 1e-3, 1, 9) == sweep.settings(other, 1e-3, 1, 9)


def test_shapes_have_as_many_parameters():
    sizes = []
    for row in sweep.TABLES[6]:
        model = PoseMamba(sweep.settings(row, 1e-3, 1, 9).model)
        sizes.append(sum(weights.numel() for weights in model.parameters()))
    assert 64_500 < min(sizes) <= max(sizes) < 68_500


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Arguments for a sweep that takes seconds."""
    clips = synthetic_clips(0, train=2, test=1, seconds=4, fps=30, actions=["walking", "waving"])
    save_motion(tmp_path / "made.safetensors", clips)
    load_motion = load("wild_ablation").load_motion
    (video,) = load_motion(storage.asset("wild.safetensors"))
    short = [replace(video, views=video.views[:1])]
    monkeypatch.setattr(load("wild_ablation"), "load_motion", lambda _: short)
    monkeypatch.setattr(sweep, "RATES", (1e-4, 3e-3))
    monkeypatch.setattr(sweep, "beyond", lambda found: [])
    monkeypatch.setattr(sweep, "VIEWS", 1)
    rows = {4: {name: sweep.TABLES[4][name] for name in ("bidirectional", "global-local")}}
    monkeypatch.setattr(sweep, "TABLES", rows | {6: {"4 blocks of 32": sweep.TABLES[6]["4 blocks of 32"]}})
    words = ["--data", str(tmp_path / "made.safetensors"), "--folder", str(tmp_path / "runs")]
    return [*words, "--steps", "2", "--seeds", "0", "1", "--tables", "4", "6"]


def test_a_sweep_tunes_trains_compares_and_goes_on(given, tmp_path, monkeypatch, capsys):
    train, trained = sweep.train, []

    def counted(config, *arguments, **named):
        if len(trained) == 3:
            trained.append("stopped")
            raise Interrupted(0)
        trained.append((config.model.scan, config.seed, config.optimizer.learning_rate))
        return train(config, *arguments, **named)

    monkeypatch.setattr(sweep, "train", counted)
    assert sweep.main(given) == 130 and "The same command goes on" in capsys.readouterr().out
    assert sweep.main(given) == 0
    report = record.read(tmp_path / "runs/assets/measured/tables_4_to_6.json")
    runs = {(run["row"], run["seed"]): run for run in report["runs"]}
    assert len(trained) == 1 + 2 * (2 + 2), "one network in two tables is trained once, and nothing twice"
    for (row, seed), run in runs.items():
        errors = dict(run["rates"])
        assert run["rate"] == min(errors, key=errors.get) and len(errors) == 2
        scan = sweep.SAME.get(row, row)
        assert (scan, seed, run["rate"]) in trained and (scan, 100, 1e-4) in trained
    assert runs["4 blocks of 32", 1]["errors"] == runs["bidirectional", 1]["errors"]
    (pair,) = [p for p in report["compared"] if (p["where"], p["measure"]) == ("unseen people", "mpjpe")]
    own, first = (
        [runs[row, k]["errors"]["unseen people"]["mpjpe"] for k in (0, 1)]
        for row in ("global-local", "bidirectional")
    )
    assert pair["row"] == "global-local" and pair["mean"] == pytest.approx((sum(own) - sum(first)) / 2)


def test_a_rate_at_an_end_asks_for_one_beyond():
    assert sweep.beyond({6e-3: 3.0, 1.2e-2: 2.0, 2.4e-2: 1.0}) == [4.8e-2]
    assert sweep.beyond({6e-3: 1.0, 1.2e-2: 2.0, 2.4e-2: 3.0}) == [3e-3]
    assert sweep.beyond({6e-3: 2.0, 1.2e-2: 1.0, 2.4e-2: 3.0}) == []
    assert sweep.beyond({6e-3: 2.0, 0.384: 1.0}) == [], "somewhere it ends"


def test_the_people_a_rate_is_chosen_on_are_not_trained_on():
    clips = synthetic_clips(0, train=3, test=1, seconds=4, actions=["walking"])
    clips = [replace(clip, subject=clip.name) for clip in clips]
    everyone = {clip.subject for clip in clips if clip.split == "train"}
    out = tuple(sorted(everyone)[:1])
    for held_out in ((), out):
        config = sweep.settings("MPJPE", 1e-3, 100, 9, held_out)
        assert {clip.subject for clip in training_clips(config, clips)} == everyone - set(held_out)
