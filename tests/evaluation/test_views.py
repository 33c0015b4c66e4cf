"""Through cameras: networks that answer in 2.5D, a detector's noise, and the views that clips come with."""

import numpy as np
import pytest
import torch

from posemamba import evaluation
from posemamba.model import PoseMamba, PoseMambaConfig
from posemamba.motion import DetectorNoise, evaluation_windows, select_split, synthetic_clips
from posemamba.motion.noise import WILD_NOISE
from posemamba.motion.rig import WILD
from posemamba.motion.variety import BodyVariety
from posemamba.skeleton import flip
from tests.data_prep import human36m_layouts as layouts
from tests.evaluation.plain import Oracle

RULES = dict(frames=9, fps=30, views=2)


@pytest.fixture(scope="module")
def clips():
    return synthetic_clips(seed=1, train=2, test=1, seconds=4.0)


def knows(windows, answers=None, unit: float | None = None) -> Oracle:
    """A network with an answer for each window, and the mirrored one for its mirror image."""
    answers = windows.targets if answers is None else answers
    both = [
        torch.cat([part, flip(part)]).flatten(0, 1).double().numpy() for part in (windows.inputs, answers)
    ]
    model = Oracle(*both)
    model.config = PoseMambaConfig(frames=9, millimetres_per_unit=unit)
    return model


def test_a_network_in_25d_is_scored_in_mm_beside_baselines_that_learn_it(clips):
    windows = evaluation_windows(select_split(clips, "test"), **RULES, targets="2.5d")
    report = evaluation.views(knows(windows), clips, **RULES, fit_windows=400)
    assert report.figure("mpjpe") == pytest.approx(0, abs=1e-3) and report.protocol["targets"] == "2.5d"
    ridge, mean = (report.figure("mpjpe", of) for of in ("ridge", "mean pose"))
    assert 20 < ridge < 0.8 * mean < 400  # mm, not units of half an image
    off = windows.targets.clone()
    off[:, :, 1:, 2] += 0.1
    found = evaluation.views(knows(windows, off), clips, **RULES, baselines=False)
    mm = 0.1 * 500 * windows.factor * 16 / 17
    assert found.scores["model"].mpjpe.over_frames == pytest.approx(
        float(mm[windows.scored].mean()), rel=1e-4
    )
    # In mm the true pose in 2.5D is not quite that in the camera's frame.
    metric = evaluation_windows(select_split(clips, "test"), **RULES)
    flat = evaluation.in_millimetres(windows.targets, windows)
    apart = evaluation.score(flat, metric, ("mpjpe",)).mpjpe.over_frames
    assert 3 < apart < 60
    with pytest.raises(ValueError, match=r"no 2\.5D, expected targets='2\.5d'"):
        evaluation.in_millimetres(metric.targets, metric)


def test_noise_reaches_the_input_and_not_the_truth(clips):
    noise = DetectorNoise(jitter=0.02)
    windows = evaluation_windows(select_split(clips, "test"), **RULES, noise=noise)
    model = knows(windows, windows.targets / 1000, 1000.0)
    report = evaluation.views(model, clips, **RULES, noise=noise, fit_windows=400)
    assert report.figure("mpjpe") == pytest.approx(0, abs=1e-3)  # it saw exactly these inputs
    assert report.protocol["noise"]["jitter"] == 0.02
    exact = evaluation.views(None, clips, **RULES, fit_windows=400)
    assert report.figure("mpjpe", "ridge") > exact.figure("mpjpe", "ridge") + 1


def test_the_files_own_views(tmp_path):
    clips = layouts.convert(
        tmp_path, "videopose3d", *layouts.write_pair(tmp_path, *layouts.pair(layouts.known_motion()))
    )
    given = dict(frames=9, fps=50.0, views="given")
    windows = evaluation_windows(select_split(clips, "test"), **given)
    assert len(windows) == 4 * sum(-(-len(clip) // 9) for clip in clips if clip.split == "test")
    model = knows(windows, windows.targets / 1000, 1000.0)
    report = evaluation.views(model, clips, **given, baselines=False)
    assert report.figure("mpjpe") == pytest.approx(0, abs=1e-3) and report.protocol["views"] == "given"
    assert report.protocol["scored_frames"] == 4 * sum(len(c) for c in clips if c.split == "test")
    assert np.isclose(sum(report.scores["model"].mpjpe.frames.values()), report.protocol["scored_frames"])
    assert set(report.by_subject()["model"]) == {"S9", "S11"}


def test_a_network_is_shown_what_it_is_made_for():
    """A network of the person's view is scored in it; the same network of the image's sees something else."""
    clips = synthetic_clips(seed=0, train=0, test=2, seconds=4, actions=("walking", "waving"))
    shape = dict(frames=9, depth=2, channels=8, state=2, millimetres_per_unit=1000.0)
    seen = {}
    for view in ("image", "person"):
        torch.manual_seed(0)
        model = PoseMamba(PoseMambaConfig(**shape, view=view))
        shown = seen[view] = []
        model.register_forward_pre_hook(lambda _, inputs, shown=shown: shown.append(inputs[0]))
        rules = dict(rig=WILD, noise=WILD_NOISE, variety=BodyVariety(), focal_error=0.1)
        report = evaluation.views(model, clips, 9, 30, views=1, baselines=False, flip=False, **rules)
        assert report.protocol["view"] == view and report.protocol["rig"]["roll"] == 30
    image, person = (torch.cat(seen[view]) for view in ("image", "person"))
    spread = person - person.mean(-2, keepdim=True)
    spread = spread.square().sum(-1).mean((-1, -2)).sqrt()
    assert torch.allclose(spread, torch.ones_like(spread), atol=1e-4)
    assert not torch.allclose(image, person, atol=0.1)
