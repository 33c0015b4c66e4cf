"""What all files share: the checked bodies, their names, colours and axes, and where each stands."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from posemamba.lifting import Body
from posemamba.skeleton import JOINTS

# (right side and trunk, left side): one pair a person; the book's figures have them too.
SHADES = (("#0072B2", "#56B4E9"), ("#D55E00", "#E69F00"), ("#009E73", "#7FCDB5"), ("#B0508A", "#DFA6C8"))
_SHAPES = {"joints": (JOINTS, 3), "keypoints": (JOINTS, 2), "confidence": (JOINTS,), "root": (3,)}
_APART = 1500.0  # mm between people whose places are not known


def checked(bodies: Sequence[Body]) -> tuple[Body, ...]:
    """The bodies, which must be of one video.

    Raises:
        ValueError: nobody, twins, arrays that do not fit or are not finite, several rates or sizes.
    """
    for body in bodies:
        frames, whose = len(body.joints), f"the body of track {body.track}"
        for name, shape in _SHAPES.items():
            values = np.asarray(getattr(body, name))
            if name == "root" and body.root is None:
                continue
            if values.shape != (frames, *shape) or not frames:
                wanted = f"expected {(frames, *shape)}, one frame or more"
                raise ValueError(f"{name} of {whose} has shape {values.shape}, {wanted}")
            if not np.isfinite(values).all():
                raise ValueError(f"{name} of {whose} holds NaN or infinity, expected finite numbers")
        if not (0 < body.fps < np.inf and body.start >= 0):
            said = f"{whose} has fps {body.fps} and start {body.start}"
            raise ValueError(f"{said}, expected a positive rate and a frame from 0")
    for name in ("fps", "size"):
        found = {getattr(body, name) for body in bodies}
        if len(found) != 1:
            raise ValueError(f"{name} of the bodies is {sorted(found)}, expected one for all: their video's")
    if len(set(map(label, bodies))) < len(bodies):
        raise ValueError("two of the bodies have one track and start, expected each once")
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
    order, middle = sorted(across, key=across.get), (len(across) - 1) / 2
    x = [(order.index(body.track) - middle) * _APART for body in bodies]
    places = [(side, body.joints[..., 1].max(), 0.0) for side, body in zip(x, bodies, strict=True)]
    return [np.tile(place, (len(body), 1)) for place, body in zip(places, bodies, strict=True)]
