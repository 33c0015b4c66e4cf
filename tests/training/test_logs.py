"""The curves on disk: rows as asked, and nothing of what a killed process wrote too much."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from posemamba.training.logs import ROWS, Logs
from tests.training.runs import curve


def scalars(folder, name):
    events = EventAccumulator(str(folder / "logs"), {"scalars": 0}).Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_what_lies_beyond_the_checkpoint_is_cut_off(tmp_path):
    first = Logs(tmp_path, 0, 100)
    for step in range(6):
        first.add(step, {"loss": step / 2, "seconds": 1.0})
    assert not (tmp_path / "curve.csv").exists()  # nothing is written before a save
    first.flush()
    first.add(6, {"loss": 3.0, "seconds": 1.0})
    first.flush()
    text = (tmp_path / "curve.csv").read_text(encoding="utf-8")
    (tmp_path / "curve.csv").write_text(text[:-4], encoding="utf-8")  # the last row is half written
    again = Logs(tmp_path, 4, 100)
    for step in range(4, 7):
        again.add(step, {"loss": 10.0 + step, "seconds": 2.0})
    again.scalars(6, {"validation/test/mpjpe_mm": 50.0})
    again.flush()
    expected = [(step, step / 2) for step in range(4)] + [(step, 10.0 + step) for step in range(4, 7)]
    assert [(int(row["step"]), float(row["loss"])) for row in curve(tmp_path)] == expected
    assert scalars(tmp_path, "loss") == expected
    assert scalars(tmp_path, "validation/test/mpjpe_mm") == [(6, 50.0)]


def test_a_figure_that_comes_later_has_a_column(tmp_path):
    logs = Logs(tmp_path, 0, 10)
    logs.add(0, {"loss": 1.0})
    logs.flush()
    logs = Logs(tmp_path, 1, 10)
    logs.add(1, {"loss": 2.0, "loss/new": 3.0})
    logs.flush()
    assert curve(tmp_path) == [
        {"step": "0", "loss": "1.0", "loss/new": ""},
        {"step": "1", "loss": "2.0", "loss/new": "3.0"},
    ]


def test_a_long_run_logs_every_nth_step(tmp_path):
    logs = Logs(tmp_path, 0, 5 * ROWS - 1)
    for step in range(12):
        logs.add(step, {"loss": 1.0})
    logs.flush()
    assert [row["step"] for row in curve(tmp_path)] == ["0", "5", "10"]
