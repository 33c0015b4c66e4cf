"""A run's report: it says the run's own numbers, it says what is not there, and the page stands alone."""

import base64
import json
import shutil
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from posemamba import PoseMamba
from posemamba.evaluation import error_table
from posemamba.inference import predict_windows
from posemamba.motion import synthetic_clips
from posemamba.plotting import write_report
from posemamba.training import TrainingConfig, train
from posemamba.training.report import RunReport, examine, notes, read_curve, smooth
from posemamba.training.validation import Row, Validator, read_rows

TINY = dict(frames=9, depth=2, channels=8, state=2, batch_size=2, warmup=2, learning_rate=1e-3, steps=12)
VALIDATED = {"validation.every": 4, "validation.test": True, "validation.subjects": ("2",)}
ODD = '</script><b>"x" & <a href="http://example.org">'  # a clip, an action and a subject may be called so


@pytest.fixture(scope="module")
def clips():
    """Two actions; six training clips of three subjects, two test clips, one with odd names."""
    made = synthetic_clips(seed=1, train=3, test=1, seconds=4.0, actions=("walking", "waving"), fps=60.0)
    named = [replace(clip, subject=str(i % 3)) for i, clip in enumerate(made)]
    last = max(i for i, clip in enumerate(named) if clip.split == "test")
    named[last] = replace(named[last], name=ODD, action=ODD, subject=ODD)
    return named


@pytest.fixture(scope="module")
def folder(clips, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "a & b"
    train(TrainingConfig(**TINY, **VALIDATED), clips, path)
    return path


@pytest.fixture(scope="module")
def page(folder, clips):
    return Page(write_report(folder, clips, "made <here>", windows=7))


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, words, and figures as Plotly gets them."""

    def __init__(self, path):
        super().__init__()
        self.path, self.open, self.elements, self.figures, self.words = path, [], [], {}, ""
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            if self.elements[-1][1].get("type") == "application/json":
                self.figures[self.elements[-2][1]["aria-label"]] = json.loads(data)
        elif self.open and self.open[-1] != "style":
            self.words += data

    def figure(self, start):
        (found,) = (figure for alt, figure in self.figures.items() if alt.startswith(start))
        return found


def values(array):
    """A trace's numbers, as lists or in Plotly's base64 form."""
    if isinstance(array, dict):
        return np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])
    return np.array(array, dtype=float)


def test_the_page_stands_alone_and_can_be_read_out(page):
    assert 4e6 < page.path.stat().st_size < 6e6  # Plotly is in it, once
    for tag, attributes in page.elements:
        assert "src" not in attributes and tag not in ("iframe", "object", "embed")
        assert attributes.get("href", "#").startswith(("#", "data:"))
    policy = next(each["content"] for _, each in page.elements if "http-equiv" in each)
    assert "default-src 'none'" in policy and "http" not in policy
    assert ("html", {"lang": "en"}) in page.elements
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    links = [each["href"][1:] for tag, each in page.elements if tag == "a"]
    assert len(set(ids)) == len(ids) and links == ids and len(ids) == 8
    drawn = [each for _, each in page.elements if each.get("class") == "plotly-fig"]
    assert len(drawn) == len(page.figures) == 13 and all(len(each["aria-label"]) > 30 for each in drawn)


def test_odd_names_are_words_and_nothing_else(page):
    assert ODD in page.words and "made <here>" in page.words and "Training run a & b" in page.words
    source = page.path.read_text(encoding="utf-8").split("<main>")[1].split("</main>")[0]
    assert "<b>" not in source and '<a href="http' not in source
    words = page.figure("MPJPE by action")["layout"]["yaxis"]["ticktext"]
    assert words == [escape(ODD, quote=False), "walking"]  # Plotly makes signs of what this writes


def test_errors_are_those_of_the_network_on_its_test_windows(folder, clips, page):
    run = examine(folder, clips, windows=7)
    assert run.network == "best_on_subjects" and run.missing == {}
    asked = {"validation.windows": 7, "validation.subjects": ()}
    windows = Validator(replace(run.config, **asked), clips).windows["test"]
    answers = predict_windows(PoseMamba.from_pretrained(folder / run.network), windows.inputs)
    table = error_table(answers, windows)
    own = table.means().actions
    assert len(windows) == 7 and run.report.scores["model"].mpjpe.actions == pytest.approx(own)
    drawn = page.figure("MPJPE by action")["data"]
    assert [trace["name"] for trace in drawn] == ["network", "ridge regression", "mean pose"]
    assert values(drawn[0]["x"]) == pytest.approx(list(own.values()), rel=1e-6)
    joints = values(page.figure("MPJPE by joint")["data"][0]["x"])
    assert joints == pytest.approx([table.means(joint=j).over_actions for j in range(17)], rel=1e-5)
    worst, mean = run.examples[-1], (table.errors.mean(-1) * table.scored).sum(1) / table.scored.sum(1)
    full = table.scored.sum(1) > 4
    assert [each.error for each in run.examples][::2] == pytest.approx(
        [float(mean[full].min()), float(mean[full].max())]
    )
    distance = torch.linalg.vector_norm(worst.answer - worst.truth, dim=-1).mean()
    assert distance == pytest.approx(worst.error, rel=0.3) and worst.truth[:, 0].abs().max() == 0
    assert f"The worst: MPJPE {worst.error:.1f} mm" in page.words
    scene = page.figure("The worst window")
    assert len(scene["frames"]) == 9 and scene["layout"]["scene"]


def test_curves_and_choices_are_the_run_s(folder, page):
    curve, rows = read_curve(folder), read_rows(folder)
    drawn = {
        trace["name"]: trace
        for trace in page.figure("Line chart: Error on the way")["data"]
        if "name" in trace
    }
    assert values(drawn["single steps"]["y"]) == pytest.approx(curve["mpjpe_mm"], rel=1e-6)
    for split, name in (("test", "test split"), ("subjects", "held-out subjects")):
        own = [row for row in rows if row.split == split]
        assert values(drawn[name]["x"]).tolist() == [4, 8, 12] == [row.step for row in own]
        assert values(drawn[name]["y"]) == pytest.approx([row.mpjpe for row in own])
    least = min((row for row in rows if row.split == "subjects"), key=lambda row: row.mpjpe)
    assert f"least on the held-out subjects{least.step}{least.mpjpe:.1f}" in page.words
    assert "optimizer.learning_rate0.0010.00020.0002" in page.words  # this run's, the paper's, the release's


def test_what_is_missing_is_said(clips, folder, tmp_path):
    shutil.copy(folder / "config.yaml", tmp_path)
    told = Page(write_report(tmp_path)).words
    for sentence in (
        "no figures of its steps",
        "Nothing was validated",
        "holds no network yet",
        "0 of 12 steps",
    ):
        assert sentence in told
    shutil.copytree(folder / "best_on_test", tmp_path / "best_on_test")
    run = examine(tmp_path, [replace(clip, subject="2" if clip.subject == "2" else "") for clip in clips], 3)
    assert run.network == "best_on_test" and len(run.report.scores) == 3 and run.report.by_subject() == {}
    few = [clip for clip in clips if clip.split == "test" or clip.subject == "2"] + clips[:1]
    short = examine(tmp_path, few, 3)
    assert list(short.report.scores) == ["model", "mean pose"] and "Ridge" in short.missing["ridge"]
    assert "No motion of a test split" in examine(tmp_path).missing["errors"]
    with pytest.raises(FileNotFoundError, match=r"no config\.yaml, expected the folder of a run"):
        examine(tmp_path / "best_on_test")


def test_half_a_row_does_not_count(folder, tmp_path):
    lines = (folder / "curve.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "curve.csv").write_text("\n".join([*lines[:6], lines[6][:9]]), encoding="utf-8")
    assert read_curve(tmp_path)["step"].tolist() == [0, 1, 2, 3, 4]


def test_a_network_that_answers_in_2_5d_is_measured_in_mm(clips, tmp_path):
    config = TrainingConfig(**TINY, **{"data.targets": "2.5d", "data.noise": "detector"})
    train(config, clips, tmp_path)
    run = examine(tmp_path, clips, 5)
    assert run.network == "model" and run.missing.keys() == {"validation"}
    # A still figure, the mean of all poses, is wrong by decimetres and not by units or by metres.
    assert all(10 < scores.mpjpe.over_actions < 1500 for scores in run.report.scores.values())
    lengths = torch.linalg.vector_norm(run.examples[0].truth[:, 2] - run.examples[0].truth[:, 1], dim=-1)
    assert 200 < float(lengths.mean()) < 600  # a thigh


def of_curve(loss, rows=(), norm=None, **settings):
    """A run with this course of the loss, and of training's error in cm."""
    steps, loss = np.arange(len(loss), dtype=float), np.asarray(loss, dtype=float)
    curve = dict(step=steps, loss=loss, mpjpe_mm=10 * loss, learning_rate=loss)
    curve["gradient_norm"] = np.full(len(loss), 0.5) if norm is None else np.asarray(norm, dtype=float)
    config = TrainingConfig(**{**TINY, "steps": len(loss)} | settings)
    return "\n".join(notes(RunReport(Path(), config, curve, list(rows))))


def test_notes_tell_what_stands_out_and_nothing_else():
    steps = np.arange(400)
    falling = 5 + 20 * np.exp(-steps / 40) + 0.5 * np.sin(steps) - 0.001 * steps
    assert of_curve(falling) == ""
    assert "not finished: 400 of 500 steps" in of_curve(falling, steps=500)
    assert "still fell, by 40%" in of_curve(20 - 0.04 * steps)
    assert "A plateau: over the last quarter of the steps the loss changed by +0.0%" in of_curve(
        np.maximum(20 - steps / 10, 5)
    )
    assert "stayed within 5% of where it began until step 1" in of_curve(
        np.where(steps < 120, 25, 4 + 20 * np.exp(-(steps - 120) / 20) - 0.001 * steps)
    )
    norm = np.full(400, 0.5)
    norm[33] = 50
    assert "In step 33 the gradient was 100 times" in of_curve(falling, norm=norm)
    assert "fell" not in of_curve(np.zeros(60), norm=np.zeros(60))
    assert "In 75% of the steps the gradient was longer than 1" in of_curve(
        falling, norm=np.where(steps < 300, 2, 0.5)
    )
    norm[[7, 9]] = np.nan
    told = of_curve(falling, norm=norm)
    assert "NaN or infinite in 2 of 400 logged steps, first in step 7." in told and "100 times" in told


def test_notes_tell_gaps_and_choices():
    falling = 4 + 20 * np.exp(-np.arange(400) / 40) - 0.001 * np.arange(400)  # ends at 36 mm

    def row(step, split, error):
        return Row(step, split, error, error, {}, 0.0)

    told = of_curve(falling, [row(200, "subjects", 60.0), row(400, "subjects", 72.0)])
    assert "The error on the held-out subjects was 60.0 mm after step 200 and is 72.0 mm in the end." in told
    assert "Training windows end at 3" in told and "times as much" in told
    assert of_curve(falling, [row(400, "subjects", 36.0)]) == ""
    alone = of_curve(falling, [row(400, "test", 36.0)])
    assert alone == "Step 400 was chosen by the test split, with 36.0 mm there: that is no test any more."
    rows = [
        row(200, "test", 35.0),
        row(200, "subjects", 37.0),
        row(400, "test", 35.5),
        row(400, "subjects", 36.5),
    ]
    assert "what the held-out subjects chose has 0.5 mm more" in of_curve(falling, rows)


def test_smoothing_takes_medians_and_keeps_the_length():
    values = np.arange(200.0)
    assert smooth(values, 0.05)[50:150] == pytest.approx(values[50:150])
    values[100] = np.nan
    values[60] = 1e9
    assert len(smooth(values)) == 200 and np.isfinite(smooth(values)).all() and smooth(values)[60] < 70
    assert smooth(np.array([3.0])).tolist() == [3.0]
