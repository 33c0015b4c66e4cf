"""Human3.6M's protocol on a pickle in the official layout, against a plain second implementation."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from posemamba import evaluation
from posemamba.evaluation import tables
from posemamba.evaluation.human36m import ACTIONS
from posemamba.model import PoseMamba, PoseMambaConfig
from posemamba.motion import synthetic_clips
from posemamba.skeleton import JOINT_NAMES
from tests.data_prep import human36m_layouts as layouts
from tests.evaluation import plain
from tests.sentences import one_sentence

T = 9
# Subject, act, subact, and frames; two of them are on the list of those left out.
TAKES = {("S1", 4, 1): 9, ("S9", 5, 2): 11, ("S9", 6, 1): 20, ("S9", 14, 1): 9, ("S11", 6, 2): 12}
TAKES |= {("S11", 10, 1): 13, ("S9", 13, 1): 10}


def motion(takes=TAKES) -> dict:
    made = [c for c in synthetic_clips(4, train=1, test=1, seconds=4.0) if np.ptp(c.joints[:, 0]) < 2000]
    found = {}
    for at, (take, frames) in enumerate(takes.items()):
        joints = made[at % len(made)].joints[at : at + 3 * frames : 3].astype(float)
        found[take] = joints - joints.mean((0, 1)) * [1, 1, 0] + [100.0 * at - 300, 200 - 90.0 * at, 0]
    return found


def written(folder, splits) -> list:
    return layouts.convert(folder, "motionbert", layouts.write_pickle(folder / "mb.pkl", splits))


@pytest.fixture(scope="module")
def splits():
    return layouts.rows(motion(), noise=3.0)


@pytest.fixture(scope="module")
def clips(splits, tmp_path_factory):
    return written(tmp_path_factory.mktemp("h36m"), splits)


def units(part: dict, mm: np.ndarray) -> np.ndarray:
    """Poses in mm as a network answers them."""
    return mm / part["2.5d_factor"][:, None, None] * 2 / 1000


def truth(part: dict) -> np.ndarray:
    return part["joints_2.5d_image"] - part["joints_2.5d_image"][:, :1]


def measured(clips, part, answers, key="joint_2d", **rules):
    model = plain.Oracle(plain.h36m_inputs(part, key), answers)
    return evaluation.h36m(model, clips, frames=T, flip=False, **rules)


@pytest.fixture(autouse=True)
def flat(monkeypatch):
    """A fake network says that it answers in 2.5D."""
    monkeypatch.setattr(plain.Oracle, "config", PoseMambaConfig(frames=T), raising=False)


def agree(report, means, count) -> None:
    rows, parts = report.scores["model"].rows(), report.by_part()
    for name in ("mpjpe", "n_mpjpe", "p_mpjpe", "mpjve", "pck", "auc"):
        labels, counted = means.labels(name), name in ("pck", "auc")
        # The file is in single precision: a joint at a threshold may fall on either side.
        near = dict(rel=1e-5, abs=2e-2 if counted else 2e-3)
        assert {key: rows[name][key] for key in labels} == pytest.approx(labels, **near)
        assert rows[name]["over_actions"] == pytest.approx(means.over_labels(name), **near)
        assert rows[name]["over_frames"] == pytest.approx(means.over_frames(name), **near)
        if counted:
            continue
        for joint, title in enumerate(JOINT_NAMES):
            found = parts[name]["joints"][title]
            assert found == pytest.approx(means.joint(name, joint), **near)
        legs = np.mean([means.joint(name, joint) for joint in (0, 1, 2, 3)])
        assert parts[name]["limbs"]["right leg"] == pytest.approx(legs, **near)
    told = report.protocol
    assert (told["scored_frames"], told["dropped_frames"]) == (count["scored"], count["dropped"])
    assert told["blocked_frames"] == count["blocked"]
    assert told["test_frames"] == sum(count.values())


def test_guesses_are_scored_as_the_plain_code_scores_them(splits, clips):
    part, rng = splits["test"], np.random.default_rng(0)
    answers = units(part, truth(part) + rng.normal(0, 70, truth(part).shape))
    means, count = plain.h36m(part, answers, T)
    report = measured(clips, part, answers)
    agree(report, means, count)
    assert set(means.labels("mpjpe")) == {"Phoning", "SittingDown", "Walking"}
    assert count == {"scored": 4 * (18 + 9 + 9 + 9), "dropped": 4 * (2 + 3 + 4), "blocked": 4 * 21}
    told = report.protocol
    assert told["blocked_clips"] == ["S9/Greeting/2", "S9/Waiting/1"] and told["truth_apart_mm"] < 0.01
    # The blocked takes count where the list says nothing.
    more = measured(clips, part, answers, block=()).protocol
    assert more["scored_frames"] == count["scored"] + 4 * (9 + 9) and more["blocked_frames"] == 0


def test_known_answers_give_known_figures(splits, clips):
    part = splits["test"]
    right = truth(part)

    def figures(mm) -> dict:
        rows = measured(clips, part, units(part, mm)).scores["model"].rows()
        return {name: found["over_actions"] for name, found in rows.items()}

    exact = figures(right)
    assert [exact[name] for name in ("mpjpe", "n_mpjpe", "p_mpjpe", "mpjve")] == pytest.approx(
        [0] * 4, abs=1e-3
    )
    assert exact["pck"] == 100 and exact["auc"] == pytest.approx(100 * 30 / 31)
    moved = right + np.array([30.0, 0, 40.0])
    assert figures(moved)["mpjpe"] == pytest.approx(50 * 16 / 17, rel=1e-5)  # the root is set to 0
    assert figures(moved)["mpjve"] == pytest.approx(0, abs=2e-3)
    larger = figures(1.25 * right)
    frames = [
        f for s, own in plain.runs(part) if s[:-6] not in plain.BLOCKED for f in own[: len(own) // T * T]
    ]
    actions = np.array(part["action"])[frames]
    sizes = np.linalg.norm(right[frames], axis=-1).mean(-1)
    assert larger["mpjpe"] == pytest.approx(
        0.25 * np.mean([sizes[actions == a].mean() for a in set(actions)]), 1e-5
    )
    assert larger["n_mpjpe"] == pytest.approx(0, abs=1e-3) and larger["p_mpjpe"] == pytest.approx(0, abs=1e-3)
    for off, share in ((149.9, 100), (150.1, 100 * 13 / 14)):
        wrist = right.copy()
        wrist[:, 13, 1] += off
        found = figures(wrist)
        assert found["mpjpe"] == pytest.approx(off / 17, rel=1e-4) and found["pck"] == pytest.approx(share)
    turned = right @ np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert figures(0.5 * turned)["p_mpjpe"] == pytest.approx(0, abs=1e-3) and figures(turned)["n_mpjpe"] > 100


def test_an_answer_that_lags_errs_by_what_the_body_moved(splits, clips):
    part = splits["test"]
    late = truth(part).copy()
    for _, own in plain.runs(part):
        late[own[1:]] = truth(part)[own[:-1]]
    report, right = measured(clips, part, units(part, late)), truth(part)
    moved = {}
    for source, own in plain.runs(part):
        if source[:-6] not in plain.BLOCKED:
            steps = [np.linalg.norm(right[b] - right[a], axis=-1).mean() for a, b in pairwise(own)]
            steps = [0.0, *steps]
            moved.setdefault(part["action"][own[0]], []).extend(steps[: len(own) // T * T])
    expected = {action: np.mean(steps) for action, steps in moved.items()}
    found = report.scores["model"].mpjpe
    assert found.actions == pytest.approx(expected, rel=1e-4)
    assert found.over_actions == pytest.approx(np.mean(list(expected.values())), rel=1e-4)


def test_true_2d_with_and_without_overwriting(splits, clips):
    part, rng = splits["test"], np.random.default_rng(1)
    answers = units(part, truth(part) + rng.normal(0, 50, truth(part).shape))
    true = plain.h36m_inputs(part, "joint3d_image")
    for overwrite in (False, True):
        means, count = plain.h36m(part, answers, T, true if overwrite else None)
        rules = dict(key="joint3d_image", inputs="joint3d_image", overwrite=overwrite)
        report = measured(clips, part, answers, **rules)
        agree(report, means, count)
        assert report.protocol["overwritten_xy"] is overwrite
    # What is left is the error in depth: the mean of |normal(0, 50)|, but for the root.
    assert report.figure("mpjpe") == pytest.approx(50 * np.sqrt(2 / np.pi) * 16 / 17, rel=0.05)


def test_the_answer_for_the_mirrored_input_is_averaged_in(splits, clips):
    part, rng = splits["test"], np.random.default_rng(2)
    inputs = plain.h36m_inputs(part)
    one, other = (units(part, truth(part) + rng.normal(0, 60, truth(part).shape)) for _ in range(2))
    both = np.concatenate([inputs, plain.mirror(inputs)]), np.concatenate([one, plain.mirror(other)])
    report = evaluation.h36m(plain.Oracle(*both), clips, frames=T)
    means, count = plain.h36m(part, (one + other) / 2, T)
    agree(report, means, count)
    assert report.protocol["flip_averaging"]


def test_a_view_shorter_than_a_window_is_spread_over_one(tmp_path):
    """Each of its frames counts once, however often it is shown."""
    splits = layouts.rows(motion({("S9", 6, 1): 7, ("S9", 2, 1): 9, ("S1", 4, 1): 9}))
    part, clips = splits["test"], written(tmp_path, splits)
    off = truth(part)
    steps = np.zeros(len(off))
    for _, own in plain.runs(part):
        steps[own] = np.arange(len(own))
    off[:, 1:, 0] += 10 * steps[:, None]
    report = measured(clips, part, units(part, off))
    table = report.scores["model"].tables["mpjpe"]
    assert table.actions == ("Directions", "Phoning")
    each = [len(set(row.tolist())) for row in table.frame[table.action == 1]]
    assert max(each) <= 7 and report.protocol["resampled_views"] == 4
    assert report.scores["model"].mpjpe.frames["Phoning"] == sum(each)
    assert report.scores["model"].mpjpe.actions["Directions"] == pytest.approx(40 * 16 / 17, rel=1e-4)
    assert report.scores["model"].mpjpe.actions["Phoning"] <= 60 * 16 / 17
    told = report.protocol
    assert told["scored_frames"] + told["dropped_frames"] == told["test_frames"] == 4 * 16


def test_the_files_own_truth_counts_and_its_distance_is_told(splits, tmp_path):
    part = splits["test"] | {"joints_2.5d_image": splits["test"]["joints_2.5d_image"].copy()}
    part["joints_2.5d_image"][:, 5] += [0, 30, 0]
    clips = written(tmp_path, {"train": splits["train"], "test": part})
    report = measured(clips, part, units(part, truth(splits["test"])))
    assert report.figure("mpjpe") == pytest.approx(30 / 17, rel=1e-4)
    assert report.protocol["truth_apart_mm"] == pytest.approx(30, rel=1e-3)
    assert report.protocol["truth"] == "joints_2.5d_image"
    # Without it the 2.5D pose times the factor is the truth.
    bare = {name: dict(rows) for name, rows in splits.items()}
    del bare["test"]["joints_2.5d_image"]
    (tmp_path / "bare").mkdir()
    report = measured(written(tmp_path / "bare", bare), part, units(part, truth(splits["test"])))
    assert report.figure("mpjpe") == pytest.approx(0, abs=1e-3)
    assert "truth_apart_mm" not in report.protocol and report.protocol["truth"] == "2.5D times mm per pixel"


def test_the_pair_and_its_cameras_give_truths_of_both_kinds(tmp_path, monkeypatch):
    """VideoPose3D's files have the joints in the world; the views' cameras were found from exact pixels."""
    known = layouts.known_motion()
    files = layouts.write_pair(tmp_path, *layouts.pair(known))
    clips = layouts.convert(tmp_path, "videopose3d", *files)
    part = layouts.rows(known)["test"]
    for kept in ((), ("joint3d_image",)):  # the rest is found from cameras and joints
        mine = []
        for clip in clips:
            views = (replace(v, targets={k: v.targets[k] for k in kept}) for v in clip.views)
            mine.append(replace(clip, views=tuple(views)))
        report = measured(mine, part, units(part, truth(part)))
        assert report.figure("mpjpe") < 0.01 and report.protocol["windows_with_own_truth"] == 0
    # A network that answers in mm meets the joints in the camera's frame.
    monkeypatch.setattr(plain.Oracle, "config", PoseMambaConfig(frames=T, millimetres_per_unit=1000.0))
    metric = []
    for (subject, *_), world in sorted(known.items(), key=lambda take: (int(take[0][0][1:]), *take[0][1:])):
        for at in range(4) if subject in ("S9", "S11") else ():
            camera = layouts.camera(subject, at)
            metric.append((world - camera["T"]) @ camera["R"].T / 1000)
    metric = np.concatenate(metric)
    report = measured(clips, part, metric - metric[:, :1])
    assert report.figure("mpjpe") < 0.01 and report.protocol["targets"] == "metric"


def test_a_network_is_asked_as_written_out_by_hand(splits, clips):
    torch.manual_seed(0)
    model = PoseMamba(PoseMambaConfig(frames=T, depth=2, channels=8, state=2)).eval()
    part, answers = splits["test"], np.zeros((len(splits["test"]["source"]), 17, 3))
    inputs = plain.h36m_inputs(part)
    with torch.no_grad():
        for _, own in plain.runs(part):
            for start in range(0, len(own) // T * T, T):
                at = own[start : start + T]
                shown = torch.from_numpy(inputs[at])[None].float()
                back = model(torch.from_numpy(plain.mirror(inputs[at]))[None].float())
                answers[at] = (model(shown)[0].numpy() + plain.mirror(back[0].numpy())) / 2
    agree(evaluation.h36m(model, clips), *plain.h36m(part, answers, T))


def test_actions_stand_in_the_order_of_papers(splits, clips):
    assert list(ACTIONS.values())[:3] == ["Dir.", "Disc", "Eat"] and len(ACTIONS) == 15
    part = splits["test"]
    table = tables.by_action(measured(clips, part, units(part, truth(part) + 5.0)))
    named = [ACTIONS[a] for a in ACTIONS if a in set(part["action"]) - {"Greeting", "Waiting"}]
    assert table.header == ("", *named, "Avg") and table.lines[0][0] == "P1, MPJPE, mm"
    assert table.lines[0][-1] == f"{np.sqrt(75) * 16 / 17:.2f}"
    assert [line[0] for line in table.lines][2] == "P2, P-MPJPE, mm"


def test_what_does_not_fit_is_refused_in_a_sentence(clips, tmp_path, splits):
    model = PoseMamba(PoseMambaConfig(frames=T, depth=2, channels=8, state=2))
    metric = PoseMamba(PoseMambaConfig(frames=T, depth=2, channels=8, state=2, millimetres_per_unit=1000.0))
    for network, given, rules, words in (
        (model, synthetic_clips(0, train=1, test=1, seconds=4.0), {}, ("expected Human3.6M's actions",)),
        (model, [c for c in clips if c.split == "train"], {}, ("no clip in its test split",)),
        (model, clips, dict(overwrite=True), ("'detected' inputs",)),
        (metric, clips, dict(overwrite=True, inputs="joint3d_image"), ("a network that answers in mm",)),
        (metric, clips, {}, ("S9/Phoning/1", "expected a camera and joints")),
        (model, clips, dict(block=[clip.name for clip in clips]), ("all test clips",)),
    ):
        with pytest.raises(ValueError) as caught:
            evaluation.h36m(network, given, **rules)
        one_sentence(caught.value, *words)
    bare = {name: dict(rows) for name, rows in splits.items()}
    del bare["test"]["2.5d_factor"]
    with pytest.raises(ValueError, match=r"needs each frame's 2.5d_factor, found none for clip"):
        evaluation.h36m(model, written(tmp_path, bare))
