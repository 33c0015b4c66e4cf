"""What all files share: the checked bodies, their names, colours and axes, and where each stands."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from posemamba.lifting import Body
from posemamba.skeleton import JOINTS

# (right side and trunk, left side): one pair a person, as the book's figures draw them.
SHADES = (("#0072B2", "#56B4E9"), ("#D55E00", "#E69F00"), ("#009E73", "#7FCDB5"), ("#B0508A", "#DFA6C8"))
APART = 1500.0  # mm between people whose places are not known


def checked(bodies: Sequence[Body]) -> tuple[Body, ...]:
    """The bodies, which must be of one video.

    Raises:
        ValueError: nobody, arrays that do not fit each other or are not finite, several rates or sizes.
    """
    bodies = tuple(bodies)
    if not bodies:
        raise ValueError("bodies is empty, expected at least one Body")
    for body in bodies:
        whose, frames = f"the body of track {body.track}", len(body.joints)
        shapes = {
            "joints": (frames, JOINTS, 3),
            "keypoints": (frames, JOINTS, 2),
            "confidence": (frames, JOINTS),
        }
        for name, shape in (shapes | {"root": (frames, 3)} if body.root is not None else shapes).items():
            values = np.asarray(getattr(body, name))
            if values.shape != shape or not frames:
                raise ValueError(
                    f"{name} of {whose} has shape {values.shape}, expected {shape} of 1 frame or more"
                )
            if not np.isfinite(values).all():
                raise ValueError(f"{name} of {whose} holds NaN or infinity, expected finite numbers")
        if not (0 < body.fps < np.inf and body.start >= 0):
            said = f"{whose} has fps {body.fps} and start {body.start}"
            raise ValueError(f"{said}, expected a positive rate and a frame from 0 on")
    for name in ("fps", "size"):
        found = {getattr(body, name) for body in bodies}
        if len(found) > 1:
            raise ValueError(f"the bodies' {name} is {sorted(found)}, expected one: that of their video")
    return bodies


def label(body: Body) -> str:
    """A body's name in files: a person who was lost and came back has several."""
    return f"person_{body.track}_from_{body.start}"


def shades(bodies: Sequence[Body]) -> list[tuple[str, str]]:
    """The colours of each body, one pair a track: of its right side and trunk, and of its left side."""
    tracks = sorted({body.track for body in bodies})
    return [SHADES[tracks.index(body.track) % len(SHADES)] for body in bodies]


def upright(points: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape 3"]:
    """Points with y up: the camera's frame turned half around x, so (x, y, z) becomes (x, -y, -z).

    Who faces the camera then looks along z, and has the left hand at positive x.
    """
    return np.asarray(points, dtype=np.float64) * (1, -1, -1)


def hips(bodies: Sequence[Body]) -> list[Float[np.ndarray, "frames 3"]]:
    """Where each body's hips are, mm, y up.

    In the camera's frame where all are placed there. Else the tracks stand side by side, from left to right as in
    the image, around the origin, and each body's lowest joint of all frames touches the floor y = 0.
    """
    if all(body.root is not None for body in bodies):
        return [upright(body.root) for body in bodies]
    across = {body.track: body.keypoints[..., 0].mean() for body in reversed(bodies)}
    order = sorted(across, key=across.get)
    places = []
    for body in bodies:
        x = (order.index(body.track) - (len(order) - 1) / 2) * APART
        places.append(np.tile([x, -upright(body.joints)[..., 1].min(), 0.0], (len(body), 1)))
    return places
