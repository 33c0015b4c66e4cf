"""A page that plays bodies in space beside their keypoints and the video; it works offline."""

import json
import os
from base64 import b64encode
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
    """Writes one HTML file that fetches nothing: bodies to play, scrub and turn, beside their keypoints.

    Args:
        path: the file; its folder must exist.
        video: is shown behind the keypoints, in step: frame f at the time f / fps. The page links it by
            its path from the page's folder, so the two must move together.

    Raises:
        ValueError: as `scene.checked`.
    """
    bodies, people = checked(bodies), []
    for body, place, pair in zip(bodies, hips(bodies), shades(bodies), strict=True):
        person = dict(track=body.track, start=body.start, frames=len(body), shades=pair)
        person |= dict(points=_packed(upright(body.joints) + place[:, None]), pixels=_packed(body.keypoints))
        seen = np.asarray(body.confidence) > 0
        people.append(person | {"seen": b64encode(seen.astype(np.uint8).tobytes()).decode()})
    data = dict(people=people, fps=bodies[0].fps, size=bodies[0].size, bones=BONES, left=LEFT)
    data |= dict(placed=all(body.root is not None for body in bodies), video=None)
    if video is not None:
        try:
            data["video"] = quote(Path(os.path.relpath(video, Path(path).parent)).as_posix())
        except ValueError:  # on another of Windows' drives
            data["video"] = Path(video).resolve().as_uri()
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    title = escape("Lifted bodies" if video is None else f"Bodies of {Path(video).name}")
    page = Template(storage.asset("player.html").read_text(encoding="utf-8")).substitute(
        title=title, data=text
    )
    with storage.atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")


def _packed(values: np.ndarray) -> dict:
    """Numbers as 16-bit steps of a scale."""
    scale = max(float(np.abs(values).max()), 1e-6) / 32767
    return dict(scale=scale, data=b64encode(np.round(values / scale).astype("<i2").tobytes()).decode())
