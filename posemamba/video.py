"""Video, read with PyAV: upright frames one by one, and a camera's newest.

Memory does not grow with a video's length. Frames are taken to be evenly spaced, at the video's mean rate.
"""

import platform
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from posemamba.storage.kinds import existing_file

Image = UInt8[np.ndarray, "height width 3"]


def _av():
    try:
        import av
    except ModuleNotFoundError:
        said = "video is read with PyAV, which is not installed, expected: pip install 'posemamba[lift]'"
        raise ModuleNotFoundError(said) from None
    return av


def _upright(frame, ratio: Fraction) -> Image:
    """A frame as it is meant to be seen, RGB: its pixels square, turned as the file or camera says."""
    image = frame.to_ndarray(format="rgb24", width=round(frame.width * ratio))
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))


@dataclass(frozen=True)
class Video:
    """A video file; iterating over it reads its frames, RGB, from the first.

    Attributes:
        path: the file.
        width, height: of its frames as they are meant to be seen, pixels.
        fps: frames a second.
        frames: how many, None where the file does not tell.
    """

    path: Path
    width: int
    height: int
    fps: float
    frames: int | None

    @classmethod
    def open(cls, path: str | Path) -> "Video":
        """FileNotFoundError or ValueError where there is no such video."""
        path = existing_file(path)
        with _container(path) as container:
            stream = container.streams.video[0]
            rate = stream.average_rate or stream.guessed_rate
            first = next(container.decode(stream), None)
            if first is None or not rate:
                raise ValueError(f"{path} holds no frames that can be decoded, or not their rate")
            height, width = _upright(first, _ratio(stream)).shape[:2]
            return cls(path, width, height, float(rate), stream.frames or None)

    def __iter__(self) -> Iterator[Image]:
        with _container(self.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            ratio = _ratio(stream)
            for frame in container.decode(stream):
                yield _upright(frame, ratio)


def _container(path: Path):
    av = _av()
    try:
        container = av.open(str(path))
    except av.error.FFmpegError as error:
        raise ValueError(f"{path} cannot be read as a video ({error.strerror})") from None
    if not container.streams.video:
        container.close()
        raise ValueError(f"{path} has no video in it, expected one")
    return container


def _ratio(stream) -> Fraction:
    return Fraction(stream.sample_aspect_ratio or 1)


class Shot(NamedTuple):
    """A frame of a camera.

    Attributes:
        number: of the frames that came, from 0.
        seconds: when it was taken, by the camera's clock.
        arrived: when it came, by `time.monotonic`.
        image: RGB.
    """

    number: int
    seconds: float
    arrived: float
    image: Image


def newest(camera: str) -> Iterator[Shot]:
    """A camera's frames as they come: who is slow gets the newest one, and misses those before it.

    Args:
        camera: its number, as 0; or a video file, which is played at its own pace.

    Raises:
        ValueError: no such camera or file.
    """
    container, paced = _camera(camera), not camera.isdecimal()
    shot, gone, fresh = [], [], threading.Condition()

    def read() -> None:
        try:
            began = time.monotonic()
            for number, frame in enumerate(container.decode(video=0)):
                if gone:
                    return
                at = time.monotonic() - began if frame.time is None else float(frame.time)
                if paced:
                    time.sleep(max(0.0, began + at - time.monotonic()))
                with fresh:
                    shot[:] = [(number, at, time.monotonic(), frame)]
                    fresh.notify()
        except BaseException as error:  # told to whoever waits for frames
            gone.append(error)
        finally:
            container.close()  # here: nobody else may while it decodes
            with fresh:
                gone.append(None)
                fresh.notify()

    reader = threading.Thread(target=read, daemon=True)
    ratio = _ratio(container.streams.video[0])
    reader.start()
    try:
        while True:
            with fresh:
                fresh.wait_for(lambda: shot or gone)
                if not shot:
                    break
                *when, frame = shot.pop()
            yield Shot(*when, _upright(frame, ratio))
        if gone[0] is not None:
            raise ValueError(f"camera {camera} stopped: {gone[0]}")
    finally:
        gone.append(None)
        reader.join(2)


def _camera(camera: str):
    if not camera.isdecimal():
        return _container(existing_file(camera))
    av = _av()
    names = {"Linux": (f"/dev/video{camera}", "v4l2"), "Darwin": (camera, "avfoundation")}
    if platform.system() not in names:
        hint = "expected a camera's number on Linux or macOS, or a video file"
        raise ValueError(f"camera {camera} cannot be opened by its number on {platform.system()}: {hint}")
    name, form = names[platform.system()]
    try:
        return av.open(name, format=form, options={"framerate": "30"})
    except (av.error.FFmpegError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise ValueError(f"camera {camera} ({name}) cannot be opened: {said}") from None
