"""A body as it moves: windows that look back only, and a page on this machine that shows them.

A frame is answered as the last one of the window that ends with it. So nothing is waited for but the detector
and the network, and the network sees no future: on the demonstration clip's exact joints, from the side that
"A first training run" shows, `small_cmu` errs by 40.9 mm, and with windows that overlap by 39.6.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from posemamba.detectors import Detector, People, check_people
from posemamba.inference import predict_windows
from posemamba.lifting import GUESSED_FOCAL, resample, trained_fps, view_of
from posemamba.skeleton import BONES, JOINT_SETS
from posemamba.smoothing import OneEuro
from posemamba.storage import asset
from posemamba.video import Shot

# After so many seconds without frames a window begins anew.
_LOST = 1.0


class LiveLifter:
    """Lifts one person frame by frame, at the moments at which they come.

    Args:
        model, flip: as in `inference.predict_windows`.
        size: the image's width and height, pixels.
        focal: as in `lifting.lift_person`.
        smooth: whether the joints pass `smoothing.OneEuro`.
    """

    def __init__(
        self,
        model: nn.Module,
        size: tuple[int, int],
        focal: float | None = None,
        flip: bool = True,
        smooth: bool = False,
    ):
        self.model, self.flip, self.smooth = model, flip, smooth
        self.view = view_of(model, size, focal or GUESSED_FOCAL * max(size))
        self.back = np.arange(1 - model.config.frames, 1) / trained_fps(model)  # seconds, up to 0
        self._begin()

    def _begin(self) -> None:
        self.seen, self.filter = deque(), OneEuro()

    def add(self, seconds: float, keypoints: Float[np.ndarray, "17 2"]) -> Float[np.ndarray, "17 3"]:
        """The body now: joints relative to the root, mm, camera's axes.

        Args:
            seconds: the moment, which grows from call to call; else, and after a second without one, a new
                window begins. Before its first frame that frame is held.
            keypoints: pixels, in Human3.6M's order.
        """
        if self.seen and not 0 < seconds - self.seen[-1][0] < _LOST:
            self._begin()
        step = seconds - self.seen[-1][0] if self.seen else _LOST
        self.seen.append((seconds, np.asarray(keypoints, np.float32)))
        while len(self.seen) > 1 and self.seen[1][0] <= seconds + self.back[0]:
            self.seen.popleft()
        moments, points = zip(*self.seen, strict=True)
        at = np.interp(seconds + self.back, moments, np.arange(len(moments)))
        inputs, turn_back = self.view(torch.from_numpy(resample(np.stack(points), at))[None])
        joints = turn_back(predict_windows(self.model, inputs.float(), self.flip))[0, -1].numpy()
        joints = joints - joints[:1]
        return self.filter(joints, step) if self.smooth else joints


class Follower:
    """One person of those whom a detector finds: the largest at first, then whoever is nearest.

    A joint that is not found stays where it was. ValueError for joints of an unknown set.
    """

    def __init__(self, joint_set: str | None = None):
        self.joint_set, self.last = joint_set, None

    def pick(self, people: People) -> Float[np.ndarray, "17 2"] | None:
        """The 17 joints, pixels; None where nobody is there, or some joint was never found."""
        if not people.size:
            return None
        count = people.shape[1]
        alike = (name for name, one in JOINT_SETS.items() if len(one.joints) == count and name != "H36M-17")
        if (name := self.joint_set or next(alike, None)) not in JOINT_SETS:
            known = f"expected one of {', '.join(JOINT_SETS)}"
            raise ValueError(f"the detector's {count} joints are of the set {name!r}, {known}")
        points, _, present = JOINT_SETS[name].convert(people[..., :2], people[..., 2])
        there = present[..., None]
        middles = (points * there).sum(1) / np.maximum(there.sum(1), 1)
        if self.last is None:
            spread = (((points - middles[:, None]) * there) ** 2).sum((1, 2))
            chosen = int(np.argmax(np.where(present.all(1), spread, -1)))
            if not present[chosen].all():
                return None
            self.last = points[chosen]
        else:
            chosen = int(np.argmin(np.linalg.norm(middles - self.last.mean(0), axis=-1)))
            self.last = np.where(there[chosen], points[chosen], self.last)
        return self.last


class Page:
    """A page on this machine alone that shows the newest body; it ends with `close`.

    Attributes:
        url: where a browser finds it.
        opened: set once a browser is there.
    """

    def __init__(self, port: int = 0):
        text = asset("live.html").read_text(encoding="utf-8").replace("[/*bones*/]", json.dumps(BONES))
        page, opened, changed = text.encode(), threading.Event(), threading.Condition()
        self.opened, self._changed, self._newest, self._closed = opened, changed, (0, b""), False
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                # Another site's page must not reach this one under a name of its own.
                if self.headers.get("Host") not in (f"127.0.0.1:{owner.port}", f"localhost:{owner.port}"):
                    self.send_error(403)
                elif self.path == "/":
                    self._head("text/html; charset=utf-8")
                    self.wfile.write(page)
                elif self.path == "/events":
                    self._head("text/event-stream")
                    opened.set()
                    self._tell()
                else:
                    self.send_error(404)

            def _head(self, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Cache-Control", "no-store")
                self.end_headers()

            def _tell(self) -> None:
                told = 0
                with suppress(OSError):  # the browser goes away
                    while not owner._closed:
                        with changed:
                            changed.wait_for(
                                lambda at=told: owner._closed or owner._newest[0] != at, timeout=5
                            )
                            number, message = owner._newest
                        self.wfile.write(b":\n\n" if number == told else b"data: " + message + b"\n\n")
                        told = number

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def show(self, **message) -> None:
        """Tells browsers; what they have not seen yet is replaced."""
        with self._changed:
            self._newest = self._newest[0] + 1, json.dumps(message).encode()
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.server.shutdown()
        self.server.server_close()


def watch(
    model: nn.Module,
    shots: Iterable[Shot],
    detector: Detector,
    show: Callable[..., None],
    lens: Callable[[int], float | None] = lambda longer: None,
    flip: bool = True,
    smooth: bool = False,
    log: Callable[[str], None] | None = None,
) -> dict[str, float]:
    """Detects, lifts and shows frame after frame, until there are no more or somebody stops it.

    Args:
        shots: `video.newest` of a camera.
        show: called with joints (mm), keypoints (pixels), size and latency (ms), as `Page.show`.
        lens: the focal length by the image's longer side, both in pixels; None where it is not known.
        model, flip, smooth: as in `LiveLifter`.
        log: told the latency now and then.

    Returns:
        How many frames came, were looked at and had a body. Of the latter, in ms: the latency from a frame's
        arrival to its body, its 95th percentile, the detector's share and the network's; else medians.
    """
    lifter, follower, rows, number, looked = None, Follower(detector.joint_set), [], -1, 0
    predict_windows(model, torch.zeros(1, model.config.frames, 17, 2), flip)  # the first one loads kernels
    try:
        for number, seconds, arrived, image in shots:
            looked += 1
            began = time.monotonic()
            points = follower.pick(check_people(detector.detect(image), number))
            detected = time.monotonic()
            if points is None:
                continue
            size = image.shape[1], image.shape[0]
            lifter = lifter or LiveLifter(model, size, lens(max(size)), flip, smooth)
            joints = lifter.add(seconds, points)
            now = time.monotonic()
            rows.append([1e3 * span for span in (now - arrived, detected - began, now - detected)])
            say = dict(joints=joints.round().tolist(), keypoints=points.round(1).tolist(), size=size)
            show(**say, latency=round(rows[-1][0]))
            if log is not None and len(rows) % 15 == 0:
                log(f"latency {np.median(rows[-15:], axis=0)[0]:.0f} ms")
    except KeyboardInterrupt:
        pass
    figures = dict(came=number + 1, looked=looked, shown=len(rows))
    if rows:
        median, late = np.median(rows, axis=0), np.percentile([row[0] for row in rows], 95)
        names = ("latency_ms", "detector_ms", "network_ms")
        figures |= dict(zip(names, median.tolist(), strict=True)) | dict(latency_95_ms=float(late))
    return figures
