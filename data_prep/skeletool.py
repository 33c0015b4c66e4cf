"""Cameras of MPI-INF-3DHP: those that its camera.calibration declares, and one that fits points and pixels.

camera.calibration is Skeletool's text: a line "name NUMBER" for each camera, then lines of sensor, size,
animated, intrinsic and extrinsic (4 by 4, row by row), radial; mm, and y up in the world.
"""

from pathlib import Path

import numpy as np
import torch

from posemamba.camera import Camera
from posemamba.storage.kinds import existing_file

# From that world to ours: (x, y, z) goes to (x, -z, y), so that z is up and the floor stays at 0.
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def read_calibration(path: Path) -> dict[int, Camera]:
    """The cameras of a camera.calibration by number, in double precision; their world has z up.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: naming the file and the camera: another kind of text, missing or damaged lines, a matrix
            that is no rotation, a lens with distortion.
    """
    text = existing_file(path).read_text(encoding="utf-8", errors="replace")
    head, *blocks = text.split("\nname")
    if "Camera Calibration File" not in head or not blocks:
        raise ValueError(f"{path} has no cameras, expected Skeletool's camera calibration file")
    cameras = {}
    for block in blocks:
        name, *lines = block.splitlines() or [""]
        fields = {words[0]: words[1:] for words in map(str.split, lines) if words}
        what = f"{path}: camera {name.strip()[:20]!r}"
        try:
            number, (width, height) = int(name), map(int, fields["size"])
            inner, outer = (np.array(fields[key], float).reshape(4, 4) for key in ("intrinsic", "extrinsic"))
            radial = [float(word) for word in fields["radial"]]
        except (KeyError, ValueError) as error:
            wanted = "size, intrinsic and extrinsic (16 numbers each) and radial"
            raise ValueError(f"{what} is incomplete or damaged, expected {wanted}") from error
        turn, focal = outer[:3, :3], inner[[0, 1], [0, 1]]
        plain = np.isfinite([inner, outer]).all() and np.abs(turn @ turn.T - np.eye(3)).max() < 1e-3
        if not plain or np.linalg.det(turn) < 0 or min(*focal, width, height) <= 0:
            raise ValueError(f"{what} has an extrinsic that is no rotation or no proper lens")
        # The set's own cameras have neither, and its files do not say what the numbers would mean.
        if any(radial) or inner[0, 1]:
            raise ValueError(f"{what} has a lens with distortion or skew, expected radial 0 and no skew")
        parts = map(torch.tensor, (turn @ Z_UP.T, outer[:3, 3], focal, inner[:2, 2]))
        cameras[number] = Camera(*parts, width=width, height=height)
    return cameras


def fit_camera(points: np.ndarray, pixels: np.ndarray, width: int, height: int) -> Camera | None:
    """The lens without distortion that takes points of its own frame to pixels, by least squares.

    Args:
        points, pixels: `(n, 3)` mm and `(n, 2)`.
        width, height: the image, pixels.

    Returns:
        A camera whose world is its own frame; None where none comes within 2 pixels everywhere.
    """
    if (points[:, 2] < 1).any():
        return None
    plane, lens = points[:, :2] / points[:, 2:], []
    for axis in (0, 1):
        rows = np.stack([plane[:, axis], np.ones(len(plane))], axis=1)
        lens.append(np.linalg.lstsq(rows, pixels[:, axis], rcond=None)[0])
    focal, center = np.transpose(lens)
    if np.abs(plane * focal + center - pixels).max() > 2 or min(focal) <= 0:
        return None
    own = torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    return Camera(*own, torch.tensor(focal), torch.tensor(center), width=width, height=height)
