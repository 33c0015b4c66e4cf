"""What the readers of skeletons and motion as text share: lines with their numbers, and turns."""

from collections.abc import Iterator
from math import isfinite
from pathlib import Path

import numpy as np
from jaxtyping import Float

from posemamba.storage.kinds import existing_file, kind_of


def rotation(axes: str, angles: Float[np.ndarray, "frames axes"]) -> Float[np.ndarray, "frames 3 3"]:
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


class TextFile:
    """A text file's lines as (number, words), without comments and empty lines; faults name file and line."""

    def __init__(self, path: str | Path, kind: str):
        self.path = existing_file(path)
        self.content = self.path.read_bytes()
        if (found := kind_of(self.content[:512])) != "a text file":
            raise ValueError(f"{path} is {found}, expected {kind}")

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        # Comments of these files hold whatever bytes their maker's language had.
        lines = self.content.decode("latin-1").splitlines()
        for number, line in enumerate(lines, 1):
            # Commas and parentheses are whitespace, by the format's definition.
            words = line.partition("#")[0].replace(",", " ").split()
            if words:
                yield number, words

    def fault(self, number: int, text: str) -> ValueError:
        return ValueError(f"{self.path}, line {number}: {text}")

    def numbers(self, number: int, words: list[str], count: int, what: str) -> list[float]:
        """Exactly so many finite numbers, or a ValueError that says what stands there."""
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) != count or not all(map(isfinite, values)):
            found = " ".join(words)[:60] or "nothing"
            raise self.fault(number, f"{what} is {found!r}, expected {count} finite numbers")
        return values
