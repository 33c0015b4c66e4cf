"""The video with the keypoints drawn over it, frame by frame."""

import warnings
from collections.abc import Sequence
from fractions import Fraction
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path

import numpy as np

from posemamba import storage
from posemamba.export.scene import checked, shades
from posemamba.lifting import Body
from posemamba.skeleton import BONES, LEFT

_EMPTY = 24  # the grey of a frame without a video


def check_overlay() -> None:
    """Raises ModuleNotFoundError unless what `write_overlay` needs is installed."""
    missing = [name for name, module in {"av": "av", "pillow": "PIL"}.items() if find_spec(module) is None]
    if missing:
        said = f"the overlay needs {' and '.join(missing)}, not installed here"
        raise ModuleNotFoundError(f"{said}, expected: pip install 'posemamba[lift]'")


def write_overlay(bodies: Sequence[Body], path: str | Path, video: str | Path | None = None) -> None:
    """Writes an MP4 of the video with the bodies' keypoints drawn over it: one frame in memory, no sound.

    The right side and the trunk are drawn in a strong colour, the left side in the light one beside it; what
    was interpolated is thinner. A video that is to be shown turned is turned.

    Args:
        path: the file; its folder must exist.
        video: without one the frames are empty.

    Raises:
        ValueError: as `scene.checked`; a video that cannot be read, or of another shape than the image.
        ModuleNotFoundError: PyAV or Pillow is not installed.

    Warns:
        RuntimeWarning: the video ends before the bodies do.
    """
    bodies, done = checked(bodies), 0
    check_overlay()
    import av
    from PIL import Image, ImageDraw

    from posemamba.video import Video

    (width, height), last = bodies[0].size, max(body.start + len(body) for body in bodies)
    images, rate = repeat(np.full((height, width, 3), _EMPTY, np.uint8), last), bodies[0].fps
    if video is not None:
        if Path(video).resolve() == Path(path).resolve():
            raise ValueError(f"{path} is the video itself, expected another file to write to")
        images = Video.open(video)
        rate, found = images.fps, (images.width, images.height)
        if abs(found[0] / found[1] * height / width - 1) > 0.01:
            said = f"{video} is {found[0]} x {found[1]} pixels"
            raise ValueError(f"{said}, expected the shape of the keypoints' image, {width} x {height}")
        width, height = found
    people = list(zip(bodies, shades(bodies), strict=True))
    with storage.atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as out:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = out.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
        # H.264 halves the colours' resolution: sides must be even.
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "20"}
        for done, image in enumerate(images, 1):
            picture = Image.fromarray(image)
            for body, colours in people:
                at = done - 1 - body.start
                if 0 <= at < len(body):
                    points = body.keypoints[at] * (np.array([width, height]) / body.size)
                    _draw(ImageDraw.Draw(picture), points, body.confidence[at], colours, min(width, height))
            frame = av.VideoFrame.from_image(picture.crop((0, 0, stream.width, stream.height)))
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    if done < last:
        said = f"{video} has {done} frames, expected {last}: the bodies' last ones are not drawn"
        warnings.warn(said, RuntimeWarning, stacklevel=2)


def _draw(pen, points: np.ndarray, confidence: np.ndarray, colours: tuple[str, str], side: int) -> None:
    """One body, in lines as wide as suits a picture whose smaller side is `side`."""
    places, sure, wide = (
        [tuple(point) for point in points.tolist()],
        confidence > 0,
        max(2, round(side / 200)),
    )
    for parent, child in BONES:
        width = wide if sure[parent] and sure[child] else max(1, wide // 2)
        pen.line((places[parent], places[child]), fill=colours[child in LEFT], width=width)
    for joint, (x, y) in enumerate(places):
        size = wide if sure[joint] else wide / 2
        pen.ellipse((x - size, y - size, x + size, y + size), fill=colours[joint in LEFT])
