"""A body as it moves: windows that look back, one person followed, a page that shows it."""

import http.client
import json
import threading
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from posemamba import PoseMamba, storage
from posemamba.camera import denormalise_screen
from posemamba.inference import lift, predict_windows
from posemamba.live import Follower, LiveLifter, Page, watch
from posemamba.motion import CameraRig, load_motion, see
from posemamba.motion.rig import middle_and_reach
from posemamba.skeleton import JOINT_SETS
from posemamba.smoothing import OneEuro
from posemamba.video import Shot

SIZE = (1000, 1000)


class Recorder(torch.nn.Module):
    """Answers with the input, and remembers it."""

    def __init__(self, frames=9, fps=60):
        super().__init__()
        self.config = SimpleNamespace(frames=frames, millimetres_per_unit=500.0)
        self.about = {"training": {"data": {"fps": fps}}}
        self.windows = []

    def forward(self, x):
        self.windows.append(x[0].clone())
        return torch.nn.functional.pad(x, (0, 1))


def points(frames=30):
    still = np.random.default_rng(0).uniform(200, 700, (17, 2))
    return still + np.arange(frames)[:, None, None] * np.linspace(1, 3, 17)[:, None] * (1, 0.5)


def as_seen(windows):
    return [500 * (window.numpy() + 1) for window in windows]


@pytest.mark.parametrize("fps", [15, 24, 30, 60, 120])
def test_a_window_is_the_past_at_the_networks_rate(fps):
    network, moving = Recorder(), points(60)
    lifter = LiveLifter(network, SIZE, flip=False)
    for at in range(60):
        joints = lifter.add(100 + at / fps, moving[at])
        np.testing.assert_allclose(joints[:, :2], moving[at] - moving[at, :1], atol=0.01)
    frames = 59 - np.arange(8, -1, -1) * fps / 60  # in the camera's
    expected = moving[0] + frames[:, None, None] * (moving[1] - moving[0])
    np.testing.assert_allclose(as_seen(network.windows)[-1], expected, atol=0.02)
    assert len(lifter.seen) <= 9 * fps / 60 + 3  # what is older is forgotten


def test_the_first_frame_is_held_and_a_lost_person_begins_anew():
    network, moving = Recorder(), points()
    lifter = LiveLifter(network, SIZE, flip=False)
    for at, seconds in enumerate([5.0, 5 + 1 / 60, 9.0, 8.0]):
        lifter.add(seconds, moving[at])
    held = [window[0] for window in as_seen(network.windows)]
    np.testing.assert_allclose(held, moving[[0, 0, 2, 3]], atol=0.01)
    np.testing.assert_allclose(as_seen(network.windows)[1][-1], moving[1], atol=0.01)


def test_smoothing_is_the_one_euro_filter():
    noisy = points(40) + np.random.default_rng(1).normal(0, 4, (40, 17, 2))
    plain, smooth = (LiveLifter(Recorder(), SIZE, smooth=smooth) for smooth in (False, True))
    follow = OneEuro()
    for at in range(40):
        expected = follow(plain.add(at / 30, noisy[at]), 1 / 30)
        np.testing.assert_allclose(smooth.add(at / 30, noisy[at]), expected, atol=0.01)


def test_looking_back_only_costs_about_a_millimetre():
    world = torch.from_numpy(np.array(load_motion(storage.asset("demo.safetensors"))[0].joints))
    camera = CameraRig().sample(torch.Generator().manual_seed(1), *middle_and_reach(world))
    (inputs, truth), network = see(world, camera), PoseMamba.from_pretrained(storage.asset("small_cmu"))
    back = predict_windows(network, inputs.unfold(0, 27, 2).permute(0, 3, 1, 2))[:, -1]
    whole = lift(network, inputs, check=False)[26::2]

    def error(joints):
        return (joints - joints[:, :1] - truth[26::2]).norm(dim=-1).mean().item()

    assert error(whole) < error(back) < error(whole) + 2
    pixels = denormalise_screen(inputs, *SIZE).numpy()
    lifter = LiveLifter(network, SIZE)
    for at in range(27):
        last = lifter.add(at / 60, pixels[at])
    np.testing.assert_allclose(last, (back[0] - back[0, :1]).numpy(), atol=0.05)


def coco(middle, size=100.0, sure=0.9):
    body = np.random.default_rng(0).uniform(-1, 1, (17, 2)) * size + middle
    return np.concatenate([body, np.full((17, 1), sure)], axis=1)


def test_the_largest_is_followed_and_then_the_nearest():
    follower = Follower()
    assert follower.pick(np.zeros((0, 0, 3))) is None
    wrist = JOINT_SETS["COCO-17"].joints.index("right wrist")
    half = coco((500, 500), 300)
    half[wrist, 2] = 0
    assert follower.pick(half[None]) is None  # not to be begun with
    near, far = coco((200, 500)), coco((700, 500), 40)
    np.testing.assert_allclose(follower.pick(np.stack([far, near]))[16], near[wrist, :2])
    moved, other = coco((220, 500)), coco((600, 500), 300)
    moved[wrist, 2] = 0
    picked = follower.pick(np.stack([other, moved]))
    np.testing.assert_allclose(picked[16], near[wrist, :2])  # unseen, it stays
    np.testing.assert_allclose(picked[3], moved[16, :2])
    with pytest.raises(ValueError, match="the detector's 5 joints are of the set None, expected one of"):
        follower.pick(np.ones((1, 5, 3)))


def test_frames_are_watched_and_counted():
    moving = points(20)
    shots = [Shot(2 * at, at / 30, 0.0, np.full((1000, 1000, 3), at, np.uint8)) for at in range(20)]
    told, lenses = [], []

    class Detector:
        joint_set = "H36M-17"

        def detect(self, frame):
            at = frame[0, 0, 0]
            return [] if at == 5 else np.concatenate([moving[at], np.ones((17, 1))], axis=1)[None]

    def lens(longer):
        lenses.append(longer)

    found = watch(Recorder(), shots, Detector(), lambda **say: told.append(say), lens, flip=False)
    assert (found["came"], found["looked"], found["shown"]) == (39, 20, 19) and lenses == [1000]
    assert found["latency_95_ms"] >= found["latency_ms"] > 0 and found["detector_ms"] >= 0
    json.dumps(told)
    np.testing.assert_allclose(np.array(told[-1]["joints"])[:, :2], moving[19] - moving[19, :1], atol=0.6)
    np.testing.assert_allclose(told[-1]["keypoints"], moving[19], atol=0.06)

    def stopped():
        yield shots[0]
        raise KeyboardInterrupt

    assert watch(Recorder(), stopped(), Detector(), lambda **say: None)["shown"] == 1
    assert watch(Recorder(), [], Detector(), lambda **say: None) == dict(came=0, looked=0, shown=0)


def test_the_page_shows_what_is_newest_on_this_machine_only():
    page = Page()
    try:
        text = urllib.request.urlopen(page.url, timeout=10).read().decode()
        assert "[[0, 1], [1, 2]" in text and "/*bones*/" not in text and not page.opened.is_set()
        page.show(latency=1)
        with urllib.request.urlopen(page.url + "events", timeout=10) as events:
            assert events.headers["Content-Type"] == "text/event-stream"
            assert json.loads(events.readline().removeprefix(b"data: ")) == {"latency": 1}
            assert page.opened.is_set() and events.readline() == b"\n"
            page.show(latency=2)
            assert json.loads(events.readline().removeprefix(b"data: ")) == {"latency": 2}
        for path, host, status in (("/", "evil.example", 403), ("/other", f"127.0.0.1:{page.port}", 404)):
            connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
            connection.request("GET", path, headers={"Host": host})
            assert connection.getresponse().status == status
            connection.close()
        assert page.server.server_address[0] == "127.0.0.1"
    finally:
        page.close()
    with pytest.raises(OSError):
        urllib.request.urlopen(page.url, timeout=2)
    assert threading.active_count() < 20
