"""`posemamba lift` as a user meets it: files, videos, live, and what is wrong with them."""

import json
import threading
import urllib.request

import numpy as np
import pytest
import torch

from posemamba.camera import denormalise_screen
from posemamba.cli import main
from posemamba.motion import CameraRig, load_motion, see
from posemamba.motion.rig import middle_and_reach
from posemamba.storage import asset


@pytest.fixture(scope="module")
def walk():
    world = torch.from_numpy(np.array(load_motion(asset("demo.safetensors"))[0].joints[:60]))
    camera = CameraRig().sample(torch.Generator().manual_seed(1), *middle_and_reach(world))
    return denormalise_screen(see(world, camera)[0], 1000, 1000).double().numpy()


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(["lift", *map(str, arguments)])
    printed = capsys.readouterr()
    return end.value.code, printed.out, printed.err


def write(path, frames, **head):
    """`frames`: number -> the people in it, each `(17, 2)`."""
    frames = [
        dict(
            frame=at,
            people=[dict(keypoints=np.c_[person, np.ones(17)].ravel().tolist()) for person in people],
        )
        for at, people in frames.items()
    ]
    path.write_text(json.dumps(dict(head, frames=frames)), encoding="utf-8")
    return path


def test_people_late_gaps_and_options(capsys, tmp_path, walk):
    left, right = 0.4 * walk, 0.4 * walk + (550, 0)
    frames = {at: [left[at]] + ([right[at]] if at >= 20 else []) for at in range(60) if not 30 <= at < 34}
    path, out = write(tmp_path / "two.json", frames, fps=29.97, width=1000, height=1000), tmp_path / "lifted"
    code, said, wrong = run(
        *(capsys, path, "--joints", "H36M-17", "--out", out, "--formats", "npz"),
        *("--rigid", "--smooth", "savgol", "--place", "--fov", 60),
    )
    assert (code, wrong) == (0, "")
    assert "Person 0: frames 0 to 59 (2.0 s), 93% of the joints found." in said
    assert "Person 1: frames 20 to 59 (1.3 s)" in said
    assert "100 frames" in said and "Focal length 866 pixels, 60 degrees across." in said
    assert "is an estimate" in said and str(out / "motion.npz") in said
    with np.load(out / "motion.npz", allow_pickle=False) as arrays:
        assert len(arrays["joints"]) == 100 and np.isfinite(arrays["joints"]).all()
    code, said, _ = run(capsys, path, "--joints", "H36M-17", "--people", 1, "--out", out, "--formats", "npz")
    assert code == 0 and "Person 1" not in said and "is a guess (--focal or --fov tells it)" in said
    assert "relative to the root" in said


def test_what_is_wrong_is_one_line(capsys, tmp_path, walk):
    path = write(tmp_path / "one.json", {0: [walk[0]]})
    noise = tmp_path / "noise.bin"
    noise.write_bytes(bytes(range(256)) * 4)
    size = ("--size", "1000x1000")
    for arguments, words in (
        ((), "expected a FILE to lift, or --camera"),
        ((path, "--camera", 0), "expected a FILE to lift, or --camera, and not both"),
        ((tmp_path / "no.json",), "no.json does not exist"),
        ((path,), "does not tell the image's size"),
        ((path, *size), "does not tell its frames a second, expected --fps"),
        ((path, "--size", "big"), "--size is 'big', expected the image's width and height such as 1920x1080"),
        ((path, *size, "--fps", 0), "--fps is 0, expected a number between 0 and"),
        ((path, *size, "--fov", 180), "--fov is 180, expected a number between 0 and 180"),
        ((path, *size, "--focal", 9, "--fov", 9), "expected one of them"),
        ((path, *size, "--people", "some"), "--people is 'some', expected all, or 1 or more"),
        ((path, *size, "--people", 0), "--people is '0'"),
        ((path, *size, "--smooth", "much"), "--smooth is 'much', expected one of none, one-euro"),
        ((path, *size, "--formats", "npz,fbx"), "--formats has 'fbx', expected some of npz,csv"),
        ((path, *size, "--model", tmp_path / "net"), "no such folder"),
        ((path, *size, "--joints", "coco"), "joint_set is 'coco', expected joint_set to be one of"),
        ((path, *size, "--fps", 30, "--out", path), "is a file, expected a folder"),
        ((path, *size, "--fps", 30, "--video", "none.mp4"), "--video none.mp4 does not exist"),
        ((noise,), "noise.bin cannot be read as a video"),
        (("--camera", 0, "--rigid"), "--camera looks back only, expected"),
        (("--camera", 0, "--smooth", "gaussian"), "--camera looks back only, expected"),
        (("--camera", 98, "--detector", "yolo"), "detector is 'yolo'"),
        (("--fast",), "No such option"),
    ):
        code, _, wrong = run(capsys, *arguments)
        assert code == 2 and wrong.count("\n") == 1 and words in wrong, (arguments, wrong)


def movie(folder, walk):
    """A video whose frames are as bright as their number, and a detector that knows the body then."""
    av = pytest.importorskip("av")
    with av.open(str(folder / "walk.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=25, options={"qscale": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for at in range(20):
            image = np.full((64, 64, 3), 10 * at, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode(None))
    np.save(folder / "walk.npy", np.concatenate([0.064 * walk, np.ones((60, 17, 1))], axis=-1))
    code = f"""
import numpy as np
joint_set, walk = "H36M-17", np.load({str(folder / "walk.npy")!r})
def detect(frame):
    at = round(frame.mean() / 10)
    return walk[at : at + 1] if at else []
"""
    (folder / "mine.py").write_text(code, encoding="utf-8")
    return folder / "walk.mp4", folder / "mine.py"


def test_a_video_is_detected_and_lifted_and_lifted_again(capsys, tmp_path, walk):
    film, detector = movie(tmp_path, walk)
    out = tmp_path / "out"
    code, said, wrong = run(capsys, film, "--detector", detector, "--out", out, "--formats", "npz")
    assert (code, wrong) == (0, "") and "Person 0: frames 1 to 19 (0.8 s), 100% of the joints found." in said
    assert str(out / "detections.json") in said
    with np.load(out / "motion.npz") as arrays:
        first = arrays["joints"]
    again = ("--joints", "H36M-17", "--out", out, "--formats", "npz")
    assert run(capsys, out / "detections.json", *again)[0] == 0
    with np.load(out / "motion.npz") as arrays:
        np.testing.assert_allclose(arrays["joints"], first, atol=1e-4)
    code, _, wrong = run(capsys, film, "--detector", "yolo", "--out", out)
    assert code == 2 and "detector is 'yolo'" in wrong


def test_live_on_a_video_in_a_cameras_place(capsys, tmp_path, walk, monkeypatch):
    film, detector = movie(tmp_path, walk)
    from posemamba.cli.lift import out

    told, say = [], out.print

    def browse(url):
        with urllib.request.urlopen(url + "events", timeout=60) as events:
            for line in events:
                if line.startswith(b"data: {"):
                    told.append(json.loads(line[6:]))

    def listen(*words, **options):
        if words and "http://" in str(words[0]):
            url = next(word for word in words[0].split() if word.startswith("http://"))
            threading.Thread(target=browse, args=(url,), daemon=True).start()
        say(*words, **options)

    monkeypatch.setattr(out, "print", listen)
    code, said, wrong = run(capsys, "--camera", film, "--detector", detector, "--smooth", "one-euro")
    assert (code, wrong) == (0, "")
    assert "20 frames came" in said and "Latency, from a frame's arrival to its body:" in said
    assert told and np.shape(told[-1]["joints"]) == (17, 3) and told[-1]["size"] == [64, 64]
