"""Turns and chains of bones, for the skeletons that motion files declare."""

import numpy as np
from jaxtyping import Float


def rotation(
    axes: str, angles: Float[np.ndarray, "frames axes"]
) -> Float[np.ndarray, "frames 3 3"]:
    """The rotation that turns about fixed x, y and z in the order given.

    Args:
        axes: such as "xyz" (about x first) or "zx"; none is no turn.
        angles: radians, a column an axis.
    """
    turned = np.broadcast_to(np.eye(3), (len(angles), 3, 3))
    for axis, angle in zip(axes, angles.T, strict=True):
        one, two = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
        turn = np.zeros((len(angles), 3, 3))
        turn[:] = np.eye(3)
        turn[:, one, one] = turn[:, two, two] = np.cos(angle)
        turn[:, two, one] = np.sin(angle)
        turn[:, one, two] = -turn[:, two, one]
        turned = turn @ turned
    return turned
