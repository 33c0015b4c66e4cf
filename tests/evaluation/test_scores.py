"""Scores and baselines on motion small enough to check by other means."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch

from posemamba import evaluation, metrics
from posemamba.evaluation import baselines, tables
from posemamba.motion.rig import CameraRig
from posemamba.motion.synthetic import synthetic_clips
from posemamba.motion.windows import evaluation_windows


@pytest.fixture(scope="module")
def clips():
    return synthetic_clips(seed=1, train=2, test=1, seconds=4.0)


@pytest.fixture(scope="module")
def windows(clips):
    return evaluation_windows([c for c in clips if c.split == "test"], frames=9, fps=30, views=2)


def test_the_truth_scores_zero_and_a_shift_its_length(windows):
    scores = evaluation.score(windows.targets, windows)
    assert scores.mpjpe.over_frames == pytest.approx(0, abs=1e-4)
    moved = windows.targets + torch.tensor([30.0, 0, 40.0])
    moved[:, :, 0] = windows.targets[:, :, 0]  # all joints but the root
    assert evaluation.score(moved, windows).mpjpe.over_frames == pytest.approx(50 * 16 / 17, rel=1e-5)


def test_a_root_that_is_off_does_not_count_by_itself(windows):
    moved = windows.targets + torch.tensor([30.0, 0, 40.0])
    assert evaluation.score(moved, windows).mpjpe.over_frames == pytest.approx(0, abs=1e-3)


def test_frames_that_do_not_count_do_not_count(windows):
    wrong = torch.where(windows.scored[..., None, None], windows.targets, windows.targets + 1e3)
    assert evaluation.score(wrong, windows).mpjpe.over_frames == pytest.approx(0, abs=1e-4)


def test_a_frame_that_two_windows_cover_counts_once(windows):
    """Every frame that a window covers is scored, as in windows that a user cuts with an overlap."""
    generator = torch.Generator().manual_seed(0)
    guess = windows.targets + 100 * torch.rand(windows.targets.shape, generator=generator)
    guess[:, :, 0] = 0
    frames = windows.scored.shape[1]
    inside = windows.start[:, None] + torch.arange(frames) < 120  # 4 seconds at 30 a second
    everything = replace(windows, scored=inside)
    scores = evaluation.score(guess, everything)
    for name, metric in metrics.METRICS.items():
        found = metric.of(guess, windows.targets, by_joint=True)
        found = found[..., list(metric.joints or range(17))].mean(-1)
        places = defaultdict(list)
        for n in range(len(windows)):
            for k in range(found.shape[1]):
                if inside[n, k] and (not metric.steps or inside[n, k + 1]):
                    clip, view = int(windows.clip[n]), int(windows.view[n])
                    places[clip, view, int(windows.start[n]) + k].append(float(found[n, k]))
        assert max(map(len, places.values())) == 2
        once = [np.mean(errors) for errors in places.values()]
        assert getattr(scores, name).over_frames == pytest.approx(np.mean(once), rel=1e-12)
        assert sum(getattr(scores, name).frames.values()) == len(once)
    # Where the windows say themselves what counts, numbering the frames changes nothing.
    own = evaluation.score(guess, windows).mpjpe
    plain = metrics.per_action(
        metrics.mpjpe(guess, windows.targets), windows.action, windows.scored, windows.actions
    )
    assert own.actions == pytest.approx(plain.actions, rel=1e-12) and own.frames == plain.frames


def test_errors_come_by_joint(windows):
    moved = windows.targets.clone()
    moved[:, :, 5, 2] += 34.0
    table = evaluation.error_table(moved, windows)
    assert table.errors.shape == (*windows.scored.shape, 17)
    assert [table.means(joint).over_actions for joint in (4, 5)] == pytest.approx([0, 34], abs=1e-3)
    assert table.means().over_frames == pytest.approx(2, rel=1e-5)
    with pytest.raises(ValueError, match=r"unknown metric 'far', expected one of mpjpe, n_mpjpe"):
        evaluation.error_table(moved, windows, "far")


def test_ridge_regression_is_least_squares_with_a_penalty():
    generator = np.random.default_rng(0)
    x = torch.from_numpy(generator.normal(size=(300, 2, 17, 2))).float()
    y = torch.from_numpy(generator.normal(size=(300, 2, 17, 3))).float()
    ridge = evaluation.RidgeRegression(x, y, 5.0)
    a, b = x.flatten(1).double().numpy(), y.flatten(1).double().numpy()
    a, b = a - a.mean(0), b - b.mean(0)
    stacked = np.vstack([a, np.sqrt(5.0) * np.eye(a.shape[1])])
    solved = np.linalg.lstsq(stacked, np.vstack([b, np.zeros((a.shape[1], b.shape[1]))]), rcond=None)[0]
    assert np.allclose(ridge.weight.numpy(), solved, atol=1e-10)
    expected = (x.flatten(1).double().numpy() - x.flatten(1).double().numpy().mean(0)) @ solved
    expected += y.flatten(1).double().numpy().mean(0)
    assert np.allclose(ridge(x).flatten(1).numpy(), expected, atol=1e-5)


def test_ridge_recovers_a_linear_map():
    x = torch.randn(400, 1, 17, 2)
    mix = torch.randn(34, 51)
    y = (x.flatten(1) @ mix + 3).view(400, 1, 17, 3)
    assert torch.allclose(evaluation.RidgeRegression(x, y, 1e-8)(x), y, atol=1e-3)


class Cheat(torch.nn.Module):
    """Knows the answers of the windows it was given."""

    def __init__(self, windows):
        super().__init__()
        self.known = {
            tuple(x.flatten()[:6].tolist()): y for x, y in zip(windows.inputs, windows.targets, strict=True)
        }

    def forward(self, inputs):
        zero = torch.zeros(*inputs.shape[1:-1], 3)
        return torch.stack([self.known.get(tuple(x.flatten()[:6].tolist()), zero) for x in inputs])


def test_a_report_holds_the_model_and_the_baselines(clips, windows):
    report = evaluation.evaluate(Cheat(windows), clips, frames=9, fps=30, views=2, fit_windows=500)
    rows = report.to_json()["scores"]
    assert set(rows) == {"model", "ridge", "mean pose"}
    # Flip averaging halves the cheat's answers: the mirrored windows are unknown to it.
    half = evaluation.score(windows.targets / 2, windows)
    assert rows["model"]["mpjpe"]["over_actions"] == pytest.approx(half.mpjpe.over_actions, rel=1e-5)
    assert rows["ridge"]["mpjpe"]["over_frames"] < 0.8 * rows["mean pose"]["mpjpe"]["over_frames"]
    actions = {clip.action for clip in clips}
    assert set(rows["model"]["p_mpjpe"]) == actions | {"over_actions", "over_frames"}
    assert rows["model"]["mpjve"]["over_actions"] == pytest.approx(
        np.mean([rows["model"]["mpjve"][action] for action in actions])
    )
    assert report.protocol["scored_frames"] == int(windows.scored.sum())
    assert report.protocol["ridge_penalty"] in evaluation.PENALTIES


def test_baselines_are_fitted_on_windows_drawn_once(clips, monkeypatch):
    drawn, sampler = [], baselines.WindowSampler

    def count(clips, *rules, **more):
        drawn.append(len(clips))
        return sampler(clips, *rules, **more)

    monkeypatch.setattr(baselines, "WindowSampler", count)
    rules = dict(frames=9, fps=30, seed=0)
    report = evaluation.evaluate(None, clips, views=1, fit_windows=300, **rules)
    train = [clip for clip in clips if clip.split == "train"]
    assert drawn == [sum(i % 4 != 3 for i in range(len(train))), len(train)]
    alone = evaluation.RidgeRegression.fit(train, **rules, rig=CameraRig(), windows=300)
    assert alone.penalty == report.protocol["ridge_penalty"]
    test = evaluation_windows([c for c in clips if c.split == "test"], **rules, views=1)
    again = evaluation.score(alone(test.inputs), test)
    assert again.rows() == report.scores["ridge"].rows()


def test_a_table_has_every_metric_in_words(clips):
    report = evaluation.evaluate(None, clips, frames=9, fps=30, views=1, fit_windows=300)
    rows = tables.rows(report)
    assert rows[0][0] == "MPJPE, mm: mean over actions"
    assert rows[0][1:] == tuple(f"{s.mpjpe.over_actions:.2f}" for s in report.scores.values())
    assert len(rows) == 2 * len(metrics.METRICS) + 1 + len({clip.action for clip in clips})


def test_errors_are_given_by_subject_where_the_motion_names_them(clips):
    rules = dict(frames=9, fps=30, views=1, fit_windows=300)
    nameless = evaluation.evaluate(None, clips, **rules)
    assert nameless.to_json()["subjects"] == {} and nameless.subjects == ()
    test = [clip for clip in clips if clip.split == "test"]
    people = {clip.name: f"S{9 + 2 * (number % 2)}" for number, clip in enumerate(test)}
    named = [replace(clip, subject=people.get(clip.name, "S1")) for clip in clips]
    report = evaluation.evaluate(None, named, **rules)
    assert report.scores["ridge"].rows() == nameless.scores["ridge"].rows()
    table, windows = report.scores["ridge"].tables["mpjpe"], evaluation_windows(test, 9, 30, 1)
    for subject in ("S9", "S11"):
        mine = torch.tensor([people[test[clip].name] == subject for clip in windows.clip])
        error = table.errors[mine][table.scored[mine]].mean().item()
        assert report.by_subject()["ridge"][subject] == pytest.approx(error)
    labels = [row[0] for row in tables.rows(report) if row]
    assert labels[-2:] == ["MPJPE, mm: subject S9", "MPJPE, mm: subject S11"]


def test_a_new_metric_is_a_line(windows, monkeypatch):
    """As MPI-INF-3DHP's PCK will come: counted, not measured, and in another unit."""

    def pck(prediction, target, by_joint=False):
        near = 100.0 * (metrics.mpjpe(prediction, target, by_joint=True) < 150)
        return near if by_joint else near.mean(-1)

    monkeypatch.setitem(metrics.METRICS, "pck", metrics.Metric(pck, "PCK at 150 mm", "%"))
    moved = windows.targets.clone()
    moved[:, :, 5] += 200.0
    scores = evaluation.score(moved, windows)
    assert scores.pck.over_frames == pytest.approx(100 * 16 / 17)
    labels = [row[0] for row in tables.rows(evaluation.Report({"model": scores}, {})) if row]
    assert "PCK at 150 mm, %: mean over frames" in labels


def test_a_missing_split_is_named(clips):
    with pytest.raises(ValueError, match="no clip in its test split"):
        evaluation.evaluate(None, [c for c in clips if c.split == "train"])
    with pytest.raises(ValueError, match="no clip in its train split"):
        evaluation.evaluate(None, [c for c in clips if c.split == "test"])


def test_too_few_clips_to_choose_a_penalty(clips):
    with pytest.raises(ValueError, match="at least 4 training clips"):
        few = [c for c in clips if c.split == "train"][:3]
        evaluation.RidgeRegression.fit(few, 9, 30, 0, CameraRig(), 100)
