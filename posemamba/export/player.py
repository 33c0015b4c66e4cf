"""A page that plays bodies in space beside the keypoints and the video; it works offline."""

import base64
import json
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np

from posemamba import storage
from posemamba.export.scene import checked, hips, shades, upright
from posemamba.lifting import Body
from posemamba.skeleton import BONES, LEFT


def write_player(bodies: Sequence[Body], path: str | Path, video: str | Path | None = None) -> None:
    """Writes one HTML file, with nothing to fetch: bodies to play, scrub and turn, and their keypoints.

    Args:
        path: the file; its folder must exist.
        video: is shown behind the keypoints, in step; linked by its path relative to the page, so the two must move
            together. A browser shows frame f at the time f / fps.

    Raises:
        ValueError: as `checked`.
    """
    bodies = checked(bodies)
    people = [
        dict(
            track=body.track,
            start=body.start,
            frames=len(body),
            shades=pair,
            points=_packed(upright(body.joints) + place[:, None]),
            pixels=_packed(body.keypoints),
            seen=base64.b64encode((np.asarray(body.confidence) > 0).astype(np.uint8).tobytes()).decode(),
        )
        for body, place, pair in zip(bodies, hips(bodies), shades(bodies), strict=True)
    ]
    placed = all(body.root is not None for body in bodies)
    data = dict(
        people=people,
        fps=bodies[0].fps,
        size=bodies[0].size,
        bones=BONES,
        left=LEFT,
        placed=placed,
        video=None,
    )
    if video is not None:
        data["video"] = quote(Path(os.path.relpath(video, Path(path).parent)).as_posix())
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    title = escape(f"Bodies of {Path(video).name}" if video is not None else "Lifted bodies")
    page = Template(storage.asset("player.html").read_text(encoding="utf-8")).substitute(
        title=title, data=text
    )
    with storage.atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")


def _packed(values: np.ndarray) -> dict:
    """Numbers as 16-bit steps of a scale."""
    scale = max(float(np.abs(values).max()), 1e-6) / 32767
    steps = np.round(values / scale).astype("<i2")
    return dict(scale=scale, data=base64.b64encode(steps.tobytes()).decode())
