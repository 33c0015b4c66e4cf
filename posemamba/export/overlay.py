"""The video with the keypoints drawn over it, frame by frame."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from posemamba import storage
from posemamba.export.scene import checked, shades
from posemamba.lifting import Body
from posemamba.skeleton import BONES, LEFT

_BLANK = (24, 24, 24)


def check_overlay() -> None:
    """Raises ModuleNotFoundError unless what `write_overlay` needs is installed."""
    missing = [name for name, module in {"av": "av", "pillow": "PIL"}.items() if find_spec(module) is None]
    if missing:
        said = f"the overlay needs {' and '.join(missing)}, which is not installed"
        raise ModuleNotFoundError(f"{said}, expected: pip install 'posemamba[lift]'")


def write_overlay(
    bodies: Sequence[Body],
    path: str | Path,
    video: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Writes an MP4 of the video with the bodies' keypoints drawn over it: one frame in memory, no sound.

    The right side and the trunk are drawn in a strong colour, the left side in the light one beside it; what was
    interpolated is thinner. A video that is to be shown turned is turned.

    Args:
        path: the file; its folder must exist.
        video: a file that FFmpeg reads; without one the frames are empty.
        progress: called with the number of frames done.

    Raises:
        ValueError: as `checked`; a video that cannot be read, or of another shape than the keypoints' image.
        ModuleNotFoundError: PyAV or Pillow is not installed.

    Warns:
        RuntimeWarning: the video ends before the bodies do.
    """
    check_overlay()
    import av
    from PIL import ImageDraw

    bodies = checked(bodies)
    colours, last = shades(bodies), max(body.start + len(body) for body in bodies)
    with storage.atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as out:
        done, stream = 0, None
        for done, (rate, picture) in enumerate(_pictures(bodies, video, last), 1):
            scale = _scale(picture.size, bodies[0].size, video)
            pen = ImageDraw.Draw(picture)
            for body, pair in zip(bodies, colours, strict=True):
                at = done - 1 - body.start
                if 0 <= at < len(body):
                    _draw(pen, body.keypoints[at] * scale, body.confidence[at], pair, min(picture.size))
            if stream is None:
                codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
                stream = out.add_stream(codec, rate=rate, options={"preset": "veryfast", "crf": "20"})
                # H.264 halves the colours' resolution: sides must be even.
                stream.width, stream.height = (side + side % 2 for side in picture.size)
                stream.pix_fmt = "yuv420p"
            frame = picture.crop((0, 0, stream.width, stream.height))
            out.mux(stream.encode(av.VideoFrame.from_image(frame)))
            if progress is not None:
                progress(done)
        if stream is None:
            raise ValueError(f"{video} holds no picture, expected a video")
        out.mux(stream.encode())
    if done < last:
        said = f"{video} has {done} frames, expected {last}: the bodies' last ones are not drawn"
        warnings.warn(said, RuntimeWarning, stacklevel=2)


def _pictures(
    bodies: Sequence[Body], video: str | Path | None, last: int
) -> Iterator[tuple[Fraction, object]]:
    """The frames a second with each picture in turn: a video's, upright, or empty ones."""
    import av
    from PIL import Image

    rate = Fraction(bodies[0].fps).limit_denominator(1001)
    if video is None:
        yield from ((rate, Image.new("RGB", tuple(bodies[0].size), _BLANK)) for _ in range(last))
        return
    try:
        with av.open(str(video)) as source:
            for stream in source.streams.video[:1]:
                stream.thread_type = "AUTO"
                for frame in source.decode(stream):
                    # The display matrix says how far a frame is to be turned against the clock.
                    yield stream.average_rate or rate, frame.to_image().rotate(frame.rotation, expand=True)
    except av.FFmpegError as error:
        raise ValueError(f"{video} cannot be read as a video: {error}") from error


def _scale(found: tuple[int, int], size: tuple[int, int], video: str | Path | None) -> np.ndarray:
    """From the keypoints' image to the video's, which may be larger or smaller but not of another shape."""
    scale = np.array(found) / size
    if abs(scale[0] / scale[1] - 1) > 0.01:
        seen, wanted = (" x ".join(map(str, each)) for each in (found, size))
        raise ValueError(f"{video} is {seen} pixels, expected the shape of the keypoints' image, {wanted}")
    return scale


def _draw(pen, points: np.ndarray, confidence: np.ndarray, colours: tuple[str, str], side: int) -> None:
    """One body, with lines as wide as suits a picture whose smaller side is `side`."""
    wide, places = max(2, round(side / 200)), [tuple(point) for point in points.tolist()]
    for parent, child in BONES:
        sure = confidence[parent] > 0 and confidence[child] > 0
        pen.line(
            (places[parent], places[child]),
            fill=colours[child in LEFT],
            width=wide if sure else max(1, wide // 2),
        )
    for joint, (x, y) in enumerate(places):
        size = wide * (1 if confidence[joint] > 0 else 0.5)
        pen.ellipse((x - size, y - size, x + size, y + size), fill=colours[joint in LEFT])
