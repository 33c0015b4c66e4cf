"""Scores and baselines on motion small enough to check by other means."""

import numpy as np
import pytest
import torch

from posemamba import evaluation
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


def test_a_missing_split_is_named(clips):
    with pytest.raises(ValueError, match="no clips of the test split"):
        evaluation.evaluate(None, [c for c in clips if c.split == "train"])
    with pytest.raises(ValueError, match="no clips of the train split"):
        evaluation.evaluate(None, [c for c in clips if c.split == "test"])


def test_too_few_clips_to_choose_a_penalty(clips):
    with pytest.raises(ValueError, match="at least 4 training clips"):
        few = [c for c in clips if c.split == "train"][:3]
        evaluation.RidgeRegression.fit(few, 9, 30, 0, CameraRig(), 100)
