"""MPI-INF-3DHP's protocol on files in the official layouts, against a plain second implementation."""

import numpy as np
import pytest
import torch

from posemamba import evaluation, metrics
from posemamba.evaluation import tables
from posemamba.model import PoseMamba, PoseMambaConfig
from posemamba.motion import synthetic_clips
from posemamba.motion.mpi_inf_3dhp import JOINT_NAMES as OWN_NAMES
from posemamba.motion.mpi_inf_3dhp import TO_H36M, from_h36m, to_h36m
from tests.data_prep import mpi_inf_3dhp_layouts as layouts
from tests.evaluation import plain
from tests.sentences import one_sentence

T = 5


def sequences() -> dict:
    """Six test sequences of different lengths, motion and valid frames, as P-STMO's file holds them."""
    made, found = synthetic_clips(3, train=1, test=1, seconds=4, fps=25), {}
    for number, key in enumerate(layouts.TESTS):
        frames, rng = 9 + 2 * number, np.random.default_rng(number)
        joints = made[number].joints[:frames].astype(float)
        joints += layouts.motion().mean((0, 1)) - joints.mean((0, 1))  # where the cameras look
        camera = layouts.rig()[number]
        points = camera.world_to_camera(torch.from_numpy(joints))
        valid = (rng.random(frames) < 0.8).astype(float)
        valid[[0, 1, frames - 2, frames - 1]] = [1, 1, 1, number % 2]
        pixels, body = from_h36m(camera.project(points).numpy()), from_h36m(points.numpy() * 0.93)
        found[key] = {"data_2d": pixels, "data_3d": body, "valid": valid}
    return found


DATA = sequences()
TRUTH = {key: each["data_3d"] - each["data_3d"][:, 14:15] for key, each in DATA.items()}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mpi")
    layouts.write_pair(folder / "pair", test=DATA)
    return layouts.convert(folder / "pair", folder / "mpi.safetensors", "--allow-missing")


def asked(answers: dict, unit: float = 1024.0) -> plain.Oracle:
    """A network that knows the frames; answers are in the set's order of joints."""
    inputs = plain.mpi_inputs(DATA)
    model = plain.Oracle(*(to_h36m(np.concatenate(list(part.values()))) for part in (inputs, answers)))
    model.config = PoseMambaConfig(frames=T, millimetres_per_unit=unit)
    # `predict_windows` multiplies by the unit what a network of ours answers.
    return model


def units(mm: dict, half: bool = True) -> dict:
    return {key: poses / (plain.size_of(key)[0] / 2 if half else 1000) for key, poses in mm.items()}


def agree(report, means, of=("mpjpe", "n_mpjpe", "p_mpjpe", "mpjve", "pck", "auc")) -> None:
    rows = report.scores["model"].rows()
    for name in of:
        near = dict(rel=1e-5, abs=5e-2 if name in ("pck", "auc") else 2e-3)
        labels = means.labels(name)
        assert set(labels) == set(layouts.TESTS)
        assert {key: rows[name][key] for key in labels} == pytest.approx(labels, **near)
        assert rows[name]["over_frames"] == pytest.approx(means.over_frames(name), **near)
        assert report.figure(name) == rows[name]["over_frames"]


@pytest.mark.parametrize("half", [True, False])
def test_guesses_are_scored_as_the_plain_code_scores_them(clips, half):
    """For a network whose unit is half of the image's width, and for one that answers in metres."""
    rng = np.random.default_rng(0)
    mm = {key: poses + rng.normal(0, 80, poses.shape) for key, poses in TRUTH.items()}
    answers = units(mm, half)
    means = plain.mpi(DATA, answers if half else mm, half)
    model = asked(answers, 1024.0 if half else 1000.0)
    valid = int(sum(each["valid"].sum() for each in DATA.values()))
    for scored in ("centre", "all"):
        report = evaluation.mpi_inf_3dhp(model, clips, scored, flip=False)
        # Windows of five frames apart hold fewer steps.
        agree(report, means, of=[n for n in metrics.METRICS if n != "mpjve" or scored == "centre"])
        told = report.protocol
        assert told["scored_frames"] == valid and told["test_frames"] == sum(map(len, TRUTH.values()))
    pelvis = report.by_part()["mpjpe"]["joints"]
    assert pelvis["pelvis"] == 0 and len(pelvis) == 17


def test_known_answers_give_known_figures(clips):
    def figures(mm: dict, **rules) -> dict:
        report = evaluation.mpi_inf_3dhp(asked(units(mm)), clips, flip=False, **rules)
        return {name: report.figure(name) for name in metrics.METRICS}

    exact = figures(TRUTH)
    assert [exact[n] for n in ("mpjpe", "n_mpjpe", "p_mpjpe", "mpjve")] == pytest.approx([0] * 4, abs=1e-3)
    assert exact["pck"] == 100 and exact["auc"] == pytest.approx(100 * 30 / 31)
    moved = figures({key: poses + np.array([0, 30.0, 40]) for key, poses in TRUTH.items()})
    assert moved["mpjpe"] == pytest.approx(50 * 16 / 17, rel=1e-5) and moved["pck"] == 100
    # Fourteen joints at 50 mm: thresholds 55 to 150 are 20 of 31 (50.0001 is not within 50).
    assert moved["auc"] == pytest.approx(100 * 20 / 31, abs=2.0)
    for joint, share in ((4, 13 / 14), (14, 1), (15, 1), (16, 1)):  # a wrist; pelvis, spine, face
        one = {key: poses.copy() for key, poses in TRUTH.items()}
        for poses in one.values():
            poses[:, joint, 0] += 150.1
        found = figures(one)
        assert found["pck"] == pytest.approx(100 * share)
        assert found["mpjpe"] == pytest.approx(0 if joint == 14 else 150.1 / 17, abs=1e-3)
    # Where a unit is 1024 mm everywhere, an answer for TS5 or TS6 is larger by 1024 / 960.
    sizes = [
        np.linalg.norm(poses[v > 0], axis=-1).mean(-1) for poses, v in zip(TRUTH.values(), VALID, strict=True)
    ]
    off = np.concatenate([each * (64 / 960 if number > 3 else 0) for number, each in enumerate(sizes)])
    assert figures(TRUTH, by_width=False)["mpjpe"] == pytest.approx(off.mean(), rel=1e-4)


VALID = [each["valid"] for each in DATA.values()]


def test_pcks_joints_are_those_of_the_sets_own_evaluation():
    names = [OWN_NAMES[TO_H36M[joint]] for joint in metrics.PCK_JOINTS]
    assert set(OWN_NAMES) - set(names) == {"pelvis", "spine", "head"} and len(names) == 14


def test_a_window_stands_around_each_valid_frame_and_repeats_the_ends(clips):
    model = asked(units(TRUTH))
    evaluation.mpi_inf_3dhp(model, clips, flip=False)
    shown = torch.cat(model.seen)
    inputs, at = plain.mpi_inputs(DATA), 0
    for key, each in DATA.items():
        for frame in np.flatnonzero(each["valid"]):
            around = np.clip(np.arange(frame - 2, frame + 3), 0, len(each["valid"]) - 1)
            wanted = torch.from_numpy(to_h36m(inputs[key][around])).float()
            torch.testing.assert_close(shown[at], wanted, atol=1e-5, rtol=0)
            at += 1
    assert at == len(shown)


def test_the_official_files_are_scored_too(tmp_path):
    layouts.write_training(tmp_path / "set")
    layouts.write_test(tmp_path / "set")  # frames that do not count hold NaN
    clips = layouts.convert(tmp_path / "set", tmp_path / "mpi.safetensors", "--allow-missing")
    assert [clip.name for clip in clips if clip.split == "test"] == ["TS1"]
    view = clips[-1].views[0]
    shown = np.where(layouts.VALID[:, None, None], view.keypoints.astype(float), 0) / 2048 * 2 - 1
    body = layouts.seen(layouts.rig()[3])[2]
    answers = (body - body[:, :1]) / 1024 * 1.1
    model = plain.Oracle(shown, answers)
    model.config = PoseMambaConfig(frames=T, millimetres_per_unit=1024.0)
    report = evaluation.mpi_inf_3dhp(model, clips, flip=False)
    size = np.linalg.norm(body - body[:, :1], axis=-1)[layouts.VALID].mean()
    assert report.figure("mpjpe") == pytest.approx(0.1 * size, rel=1e-4)
    assert report.figure("n_mpjpe") == pytest.approx(0, abs=1e-3)
    assert report.protocol["scored_frames"] == layouts.VALID.sum()


def test_a_network_is_asked_as_written_out_by_hand(clips):
    torch.manual_seed(1)
    config = PoseMambaConfig(frames=T, depth=2, channels=8, state=2, millimetres_per_unit=1024.0)
    model, inputs, answers = PoseMamba(config).eval(), plain.mpi_inputs(DATA), {}
    with torch.no_grad():
        for key, each in inputs.items():
            rows = to_h36m(each)
            answers[key] = np.zeros((len(each), 17, 3))
            for frame in range(len(each)):
                window = rows[np.clip(np.arange(frame - 2, frame + 3), 0, len(each) - 1)]
                one = model(torch.from_numpy(window)[None].float())[0, 2].numpy()
                other = model(torch.from_numpy(plain.mirror(window))[None].float())[0, 2].numpy()
                answers[key][frame] = from_h36m((one + plain.mirror(other)) / 2)
    agree(evaluation.mpi_inf_3dhp(model, clips), plain.mpi(DATA, answers))


def test_the_table_has_sequences_and_the_papers_table_our_row(clips):
    report = evaluation.mpi_inf_3dhp(asked(units(TRUTH)), clips, flip=False)
    assert tables.by_action(report).header == ("", *layouts.TESTS, "Avg")
    config = PoseMambaConfig(frames=T, depth=2, channels=8, state=2)
    table = tables.table_3(report, config, "mine", "somewhere")
    assert table.lines[-1] == ("mine *", "5", "0.00", "100.00", "96.77")
    assert ("PoseMamba-S", "81", "15.27", "-", "-") in table.lines
    assert any("paper's numbers" in note for note in table.notes)


def test_what_does_not_fit_is_refused_in_a_sentence(clips):
    flat = asked(units(TRUTH))
    flat.config = PoseMambaConfig(frames=T)
    for model, given, rules, words in (
        (flat, clips, {}, ("millimetres_per_unit", "2.5D")),
        (asked(units(TRUTH)), synthetic_clips(0, train=1, test=1, seconds=4), {}, ("lacks univ_annot3",)),
        (asked(units(TRUTH)), clips, dict(scored="some"), ("scored is 'some'",)),
        (asked(units(TRUTH)), [c for c in clips if c.split == "train"], {}, ("test split",)),
    ):
        with pytest.raises(ValueError) as caught:
            evaluation.mpi_inf_3dhp(model, given, **rules)
        one_sentence(caught.value, *words)
