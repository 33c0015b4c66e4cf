"""The command line as a user meets it: what it prints, and how it fails."""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posemamba.cli import main
from posemamba.evaluation import WILD_VIEWS
from posemamba.metrics import METRICS
from posemamba.motion import Clip, View, load_motion, save_motion, synthetic_clips

CONFIG = "{frames: 5, depth: 2, channels: 8, state: 2, batch_size: 2, steps: 3, warmup: 1}"


@pytest.fixture(scope="module")
def motion(tmp_path_factory):
    path = tmp_path_factory.mktemp("motion") / "motion.safetensors"
    save_motion(path, synthetic_clips(seed=0, train=1, test=1, seconds=4.0))
    return str(path)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return str(path)


def run(capsys, *arguments) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return end.value.code, printed.out, printed.err


def test_info_prints_table_2s_row_both_ways(capsys):
    code, out, _ = run(capsys, "info", "S", "--frames", "243")
    assert code == 0
    for figure in ("859,651", "1,470,211", "3,587,426,496", "8,218,376,640"):
        assert figure in out


def test_version(capsys):
    from posemamba import __version__

    assert run(capsys, "--version")[1].strip() == __version__


def test_train_then_evaluate(capsys, tmp_path, motion, config):
    code, out, _ = run(capsys, "train", "--data", motion, "--config", config, "--folder", tmp_path / "run")
    assert code == 0
    assert "Trained" in out
    report = tmp_path / "report.json"
    code, out, _ = run(
        capsys, "evaluate", tmp_path / "run" / "model", "--data", motion, "--views", 1, "--save", report
    )
    assert code == 0
    assert "ridge" in out
    rows = json.loads(report.read_text(encoding="utf-8"))["scores"]
    assert set(rows) == {"model", "ridge", "mean pose"}
    for name, metric in METRICS.items():
        assert f"{metric.label}, {metric.unit}: mean over actions" in out
        assert f"{rows['ridge'][name]['over_actions']:.2f}" in out


def test_evaluate_wild_asks_as_the_figures_do(capsys, tmp_path, motion):
    report, options = tmp_path / "wild.json", ("--views", 1, "--no-baselines", "--save")
    assert run(capsys, "evaluate", "open", "--data", motion, "--wild", *options, report)[0] == 0
    protocol = json.loads(report.read_text())["protocol"]
    assert protocol["view"] == "person" and protocol["fps"] == 30 and protocol["focal_error"] == 0.1
    assert protocol["rig"]["roll"] == WILD_VIEWS["rig"].roll == 30
    assert protocol["noise"]["body_swaps"] == WILD_VIEWS["noise"].body_swaps > 0


@pytest.mark.skipif(os.name == "nt", reason="shlex reads what POSIX shells read")
def test_the_suggested_command_can_be_pasted(capsys, tmp_path, motion, config):
    """A folder and a file with a space, a quote and a dollar sign in their names."""
    folder, data = tmp_path / "my run's $HOME", tmp_path / "my motion.safetensors"
    data.write_bytes(Path(motion).read_bytes())
    out = run(capsys, "train", "--data", data, "--config", config, "--folder", folder)[1]
    words = shlex.split(next(line for line in out.splitlines() if "posemamba evaluate" in line))
    assert words == ["posemamba", "evaluate", str(folder / "model"), "--data", str(data)]
    assert run(capsys, *words[1:], "--views", 1)[0] == 0


def test_steps_and_seed_override_the_configuration(capsys, tmp_path, motion, config):
    folder = tmp_path / "run"
    arguments = ("train", "--data", motion, "--config", config, "--folder", folder, "--steps", 1, "--seed", 5)
    assert run(capsys, *arguments)[0] == 0
    kept = (folder / "config.yaml").read_text(encoding="utf-8")
    assert "steps: 1\n" in kept
    assert "seed: 5\n" in kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "Q"), "unknown variant 'Q', expected one of S, B, L, X"),
        (("train", "--data", "nowhere.npz"), "nowhere.npz"),
        (("train", "--config", "nowhere"), "nowhere: no such configuration file"),
        (("evaluate", "nowhere"), "nowhere: no such folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_foreign_files_are_refused_in_a_line(capsys, tmp_path, config):
    for name, content in [
        ("page.html", b"<html></html>"),
        ("empty", b""),
        ("text.npz", b"hello"),
        ("zip", b"PK\x03\x04zz"),
    ]:
        path = tmp_path / name
        path.write_bytes(content)
        code, _, err = run(capsys, "train", "--data", path, "--config", config, "--folder", tmp_path / "run")
        assert code == 2
        assert name in err
        assert len(err.strip().splitlines()) == 1


def test_what_nobody_expected_is_still_one_line(capsys, tmp_path, motion, config):
    where = ("--data", motion, "--config", config, "--folder", tmp_path / "run")
    arguments = ("train", *where, "--device", "abacus")
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert len(err.strip().splitlines()) == 1


def test_brackets_in_a_path_are_no_markup(capsys, tmp_path, motion, config):
    folder = tmp_path / "[bold]x[/nope]"
    code, out, _ = run(capsys, "train", "--data", motion, "--config", config, "--folder", folder)
    assert code == 0
    assert "[bold]x[/nope]" in out.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("info", "--depth", "3"), "--depth"),
        (("info", "--frames", "0"), "--frames"),
        (("info", "--frames"), "--frames"),
        (("train", "--steps", "many"), "--steps"),
        (("info", "S", "B"), "B"),
        (("improve",), "improve"),
    ],
)
def test_what_was_typed_wrong_is_named_in_a_line(capsys, arguments, named):
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert named in err
    assert len(err.strip().splitlines()) == 1


def test_without_a_command_there_is_help(capsys):
    code, out, err = run(capsys)
    assert code == 2
    for name in ("info", "train", "evaluate", "benchmark", "data"):
        assert name in out + err
    assert "posemamba: " not in err


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    """Two clips with a body each: seen by a camera, and known from a camera alone."""
    one, other = synthetic_clips(seed=1, train=1, test=1, seconds=4.0, actions=["waving"])
    pixels = one.joints[..., [0, 2]] * np.float32([1, -1])
    pixels = 500 + (pixels - pixels.mean((0, 1))) / 4
    view = View("left", 1000, 1000, keypoints=pixels, targets={"camera": other.joints})
    path = tmp_path_factory.mktemp("views") / "views.safetensors"
    flat = Clip(None, 25.0, "flat", "sit", "test", "S2", (view,))
    save_motion(
        path,
        [replace(one, subject="S1", views=(view,)), flat],
        {"credit": "nobody in particular", "ü": "a\x1b[2J\nb"},
    )
    return path


def test_data_list_tells_what_a_file_holds(capsys, views):
    code, out, _ = run(capsys, "data", "list", views)
    assert code == 0
    for told in (
        "2 clips, 480 frames",
        "60 fps (1 clips), 25 fps (1 clips)",
        "world joints: in 1 clips",
        "credit: nobody in particular\n",
        "ü: a [2J b\n",
        "view left: 1000 x 1000 pixels; frames with keypoints (480), targets.camera (480)",
    ):
        assert told in out
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "│" in line]
    assert ["waving", "240", "0"] in cells and ["sit", "0", "240"] in cells and ["all", "240", "240"] in cells
    rows = {row[0]: row[1:] for row in cells}
    for subject in ("S1", "S2"):  # the second from what its camera has
        assert rows[subject][:2] == ["1", "240"] and 380 < int(rows[subject][3].split()[0]) < 500


def test_data_list_of_the_generator_and_of_an_npz(capsys, tmp_path):
    assert "42 clips, 12,600 frames, 3.5 minutes" in run(capsys, "data", "list", "synthetic")[1]
    (clip,) = synthetic_clips(seed=1, train=1, test=0, seconds=4.0, actions=["waving"])
    texts = {name: np.array([getattr(clip, name)]) for name in ("name", "action", "split")}
    arrays = dict(joints=clip.joints, length=np.array([240]), fps=np.float32(60), subject=np.array([7]))
    np.savez(tmp_path / "reduced.npz", **arrays, **texts)
    code, out, _ = run(capsys, "data", "list", tmp_path / "reduced.npz")
    assert code == 0 and "reduced.npz: 1 clips, 240 frames" in out and "│ 7" in out


def test_data_check_says_what_is_wrong_and_its_code_whether_something_is(capsys, tmp_path):
    code, out, _ = run(capsys, "data", "check", "synthetic")
    assert (code, out.strip()) == (0, "42 clips, 0 findings.")
    clips = [
        replace(clip, joints=clip.joints.copy())
        for clip in synthetic_clips(seed=1, train=5, test=0, seconds=4.0, actions=["waving"])
    ]
    for clip in clips:
        clip.joints[100] += np.float32([0, 0, 900])
    clips.append(replace(clips[0], joints=clips[0].joints / np.float32(1000), name="small"))
    save_motion(tmp_path / "bad.safetensors", clips)
    code, out, _ = run(capsys, "data", "check", tmp_path / "bad.safetensors")
    assert code == 1
    assert "units: 1\n  clip 'small': a leg is 0." in out and "the nearest unit is metres." in out
    assert "And 3 more, which --all prints." in out and "6 clips, 7 findings." in out
    assert out.count("\n  clip ") == 4 and "jump: 6\n  clip 'synthetic/" in out
    out = run(capsys, "data", "check", tmp_path / "bad.safetensors", "--all")[1]
    assert out.count("frame 10") == 6 and "more" not in out


def test_data_check_looks_at_the_order_of_keypoints(capsys, tmp_path, views):
    assert run(capsys, "data", "check", views)[0] == 0
    flat = load_motion(views)[1]
    turned = replace(flat.views[0], keypoints=flat.views[0].keypoints[:, ::-1].copy())
    save_motion(tmp_path / "turned.safetensors", [replace(flat, views=(turned,))])
    code, out, _ = run(capsys, "data", "check", tmp_path / "turned.safetensors")
    assert code == 1 and "clip 'flat': view 'left': " in out and "Human3.6M's order" in out


@pytest.mark.parametrize(
    ("arguments", "told", "drawn"),
    [
        ((), "waving, subject S1, 1 in 3 of frames 0 to 239 of 240, 60 fps", ("scene", "image x")),
        (
            ("flat", "--start", 8, "--seconds", 0.4),
            "sit, subject S2, frames 200 to 209 of 240, 25 fps",
            ("scene",),
        ),
        (("flat",), "1 in 3 of frames 0 to 239 of 240", ("scene", "image x")),
    ],
)
def test_data_show_writes_a_page_that_needs_no_network(capsys, tmp_path, views, arguments, told, drawn):
    page = tmp_path / "page.html"
    code, out, _ = run(capsys, "data", "show", views, *arguments, "--out", page)
    assert code == 0 and told in out and str(page) in out.replace("\n", "")
    text = page.read_text(encoding="utf-8")
    assert told in text and all(part in text for part in drawn)
    assert "<script src" not in text and "plotly.js v" in text


def test_data_show_of_keypoints_alone_and_its_own_name_for_the_page(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    view = View("0", 640, 480, keypoints=np.random.default_rng(0).random((5, 17, 2), np.float32) * 400)
    bare = View("1", 640, 480, valid=np.ones(5, bool))
    clips = [Clip(None, 25.0, f"../a/{n}", "sit", "test", "", (v,)) for n, v in (("b c", view), ("d", bare))]
    save_motion("m.safetensors", clips)
    assert run(capsys, "data", "show", "m.safetensors")[0] == 0
    assert sorted(os.listdir()) == ["a-b-c.html", "m.safetensors"]
    code, _, err = run(capsys, "data", "show", "m.safetensors", "../a/d")
    assert code == 2 and "neither joints nor keypoints to show" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "nowhere.npz"), "nowhere.npz does not exist"),
        (("check", "nowhere.npz"), "nowhere.npz does not exist"),
        (("show", "FILE", "flot"), "has no clip 'flot' among its 2, such as 'flat'"),
        (("show", "FILE", "flat", "--start", "99"), "clip 'flat' has 9.60 s, --start is 99"),
        (("show", "FILE", "flat", "--out", "nowhere/page.html"), "the folder nowhere does not exist"),
        (("list",), "FILE"),
        (("lost",), "lost"),
    ],
)
def test_data_refuses_in_a_line(capsys, tmp_path, monkeypatch, views, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "data", *(str(views) if word == "FILE" else word for word in arguments))
    assert code == 2 and len(err.strip().splitlines()) == 1
    assert message in err.replace(str(tmp_path) + os.sep, "")


def test_the_module_runs_and_importing_it_is_quick():
    done = subprocess.run(
        [sys.executable, "-m", "posemamba.cli", "info", "S"], capture_output=True, text=True, check=True
    )
    assert "859,651" in done.stdout
    heavy = ("torch", "numba", "plotly", "seaborn", "lightning_fabric", "tensorboard")
    for module in ("posemamba", "posemamba.cli"):
        code = f"import {module}, sys; print(set({heavy}) & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "set()", module


def test_info_takes_little_longer_than_importing_torch():
    def seconds(code: str) -> float:
        """Of the processor, which others that want it too do not lengthen much."""
        code = f"import sys, time; {code}; print(time.process_time(), 'torch._dynamo' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        taken, compiler = done.stdout.split()[-2:]
        assert compiler == "False"
        return float(taken)

    info = "from posemamba.cli import app; app(['info'], standalone_mode=False)"
    pairs = [(seconds("import torch"), seconds(info)) for _ in range(3)]
    torch, ours = (min(times) for times in zip(*pairs, strict=True))
    assert ours < 1.5 * torch


@pytest.mark.parametrize("chosen", [None, "ACTIVE"])
def test_waiting_threads_of_a_training_sleep_unless_the_user_says_otherwise(chosen):
    """libgomp reads the variable when torch is imported: what counts is what it is then."""
    code = (
        "import os, sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torch':\n"
        "            print(os.environ.get('OMP_WAIT_POLICY'))\n"
        "sys.meta_path.insert(0, Watch())\n"
        "from posemamba.cli import main\n"
        "main(['train', '--config', 'nowhere'])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if chosen is None else {"OMP_WAIT_POLICY": chosen}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and "no such configuration file" in done.stderr
    assert done.stdout.split() == [chosen or "PASSIVE"]
