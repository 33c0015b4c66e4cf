"""What all files share: the checked bodies, their names, colours and axes, and where each stands."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from posemamba.lifting import Body
from posemamba.skeleton import JOINTS

# (right side and trunk, left side): one pair a person, as the book's figures draw them.
SHADES = (("#0072B2", "#56B4E9"), ("#D55E00", "#E69F00"), ("#009E73", "#7FCDB5"), ("#B0508A", "#DFA6C8"))
_APART = 1500.0  # mm between people whose places are not known


def checked(bodies: Sequence[Body]) -> tuple[Body, ...]:
    """The bodies, which must be of one video.

    Raises:
        ValueError: nobody, arrays that do not fit each other or are not finite, several rates or sizes.
    """
    for body in bodies:
        frames, whose = len(body.joints), f"the body of track {body.track}"
        shapes = {
            "joints": (frames, JOINTS, 3),
            "keypoints": (frames, JOINTS, 2),
            "confidence": (frames, JOINTS),
        }
        for name, shape in (shapes if body.root is None else shapes | {"root": (frames, 3)}).items():
            found = np.shape(getattr(body, name))
            if found != shape or not frames:
                raise ValueError(f"{name} of {whose} has shape {found}, expected {shape}, one frame or more")
            if not np.isfinite(getattr(body, name)).all():
                raise ValueError(f"{name} of {whose} holds NaN or infinity, expected finite numbers")
        if not (0 < body.fps < np.inf and body.start >= 0):
            raise ValueError(
                f"{whose} has fps {body.fps} and start {body.start}, expected a rate and 0 or later"
            )
    for name in ("fps", "size"):
        found = {getattr(body, name) for body in bodies}
        if len(found) != 1:
            raise ValueError(f"{name} of the bodies is {sorted(found)}, expected one for all: their video's")
    return tuple(bodies)


def label(body: Body) -> str:
    """A body's name in files: a person who was lost and came back has several."""
    return f"person_{body.track}_from_{body.start}"


def shades(bodies: Sequence[Body]) -> list[tuple[str, str]]:
    """The colours of each body, one pair a track."""
    tracks = sorted({body.track for body in bodies})
    return [SHADES[tracks.index(body.track) % len(SHADES)] for body in bodies]


def upright(points: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape 3"]:
    """Points with y up: the camera's frame turned half around x, so (x, y, z) becomes (x, -y, -z).

    Who faces the camera then looks along z, and has the left hand at positive x.
    """
    return np.asarray(points, dtype=np.float64) * (1, -1, -1)


def hips(bodies: Sequence[Body]) -> list[Float[np.ndarray, "frames 3"]]:
    """Where each body's hips are, mm, y up: in the camera's frame where all are placed there.

    Else the tracks stand side by side around the origin, from left to right as in the image, and the lowest
    joint in all of a body's frames touches the floor y = 0.
    """
    if all(body.root is not None for body in bodies):
        return [upright(body.root) for body in bodies]
    across = {body.track: np.mean(body.keypoints[..., 0]) for body in reversed(bodies)}
    x = {
        track: (at - (len(across) - 1) / 2) * _APART
        for at, track in enumerate(sorted(across, key=across.get))
    }
    places = [(x[body.track], -upright(body.joints)[..., 1].min(), 0.0) for body in bodies]
    return [np.tile(place, (len(body), 1)) for place, body in zip(places, bodies, strict=True)]
