"""Human3.6M's four cameras, which each of its subjects had in places of their own.

They are read from the set's own metadata.xml or from the JSON that people exchange, or found from world
joints and their exact pixels: `fit_cameras` starts from the direct linear transform and refines by least
squares (Levenberg-Marquardt), with one lens a camera for all subjects. A key is (subject, camera), such as
("S9", "54138969").
"""

import json
import math
import re
from pathlib import Path

import numpy as np
import torch

from posemamba.camera import Camera
from posemamba.storage.kinds import existing_file

SIZES = {
    "54138969": (1000, 1002),
    "55011271": (1000, 1000),
    "58860488": (1000, 1000),
    "60457274": (1000, 1002),
}
NAMES = tuple(SIZES)  # as the set numbers them, from 1
ABOUT = (1145.0, 1145.0)  # the focal lengths, nearly: where the search for cameras starts
EXACT = 0.05  # pixels: what a projection in another precision may be off
Key = tuple[str, str]

_EXPECTED = "expected Human3.6M's metadata.xml or the JSON of its cameras"


def read_cameras(path: str | Path) -> dict[Key, Camera]:
    """Reads the cameras of all subjects, in float64.

    Args:
        path: the set's metadata.xml (its element w0: for 4 cameras x 11 subjects three angles and a position,
            then for 4 cameras f, c, k1 to k3, p1, p2), or a JSON `{"intrinsics": {camera: {
            "calibration_matrix", "distortion": [k1, k2, p1, p2, k3]}}, "extrinsics": {subject: {camera: {"R",
            "t"}}}}`.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: naming the file and what was found.
    """
    path = existing_file(path)
    content = path.read_bytes() if path.stat().st_size < 2**25 else b""
    try:
        if content.lstrip()[:1] == b"{":
            return _from_json(json.loads(content))
        # No entity can be declared without this word, and no web page is spared it.
        if content.lstrip()[:1] == b"<" and not re.search(rb"(?i)<!(doctype|entity)|<html", content):
            return _from_xml(content)
    except _Wrong as error:
        raise ValueError(f"{path} {error}, {_EXPECTED}") from None
    except (ValueError, TypeError, SyntaxError, RecursionError) as error:
        raise ValueError(f"{path} is damaged or cut short, {_EXPECTED}") from error
    raise ValueError(f"{path} is neither XML nor JSON, {_EXPECTED}")


class _Wrong(ValueError):
    """What was found; continues a sentence that starts with the file's name."""


def _from_xml(content: bytes) -> dict[Key, Camera]:
    from xml.etree import ElementTree

    from scipy.spatial.transform import Rotation

    found = ElementTree.fromstring(content).find("w0")
    if found is None:
        raise _Wrong("has no element w0")
    numbers = np.array(
        [float(number) for number in re.split(r"[\s,;]+", (found.text or "").strip(" \n\t[]"))]
    )
    if numbers.shape != (300,):
        raise _Wrong(f"has {numbers.size} numbers in w0, expected 300")
    cameras = {}
    for name, places, lens in zip(
        NAMES, numbers[:264].reshape(4, 11, 6), numbers[264:].reshape(4, 9), strict=True
    ):
        for subject, place in enumerate(places, start=1):
            rotation = Rotation.from_euler("XYZ", place[:3]).as_matrix()
            cameras[f"S{subject}", name] = _camera(
                name, rotation, -rotation @ place[3:], *np.split(lens, [2, 4, 7])
            )
    return cameras


def _from_json(found: dict) -> dict[Key, Camera]:
    cameras = {}
    try:
        for subject, places in found["extrinsics"].items():
            for name, place in places.items():
                lens = found["intrinsics"][name]
                matrix, (k1, k2, p1, p2, k3) = np.array(lens["calibration_matrix"], float), lens["distortion"]
                pinhole = matrix[[0, 1], [0, 1]], matrix[:2, 2]
                translation = np.array(place["t"], float).reshape(3)
                cameras[subject, name] = _camera(
                    name, place["R"], translation, *pinhole, [k1, k2, k3], [p1, p2]
                )
    except (KeyError, AttributeError, IndexError) as error:
        raise _Wrong(f"lacks {str(error)[:60]}") from None
    if not cameras:
        raise _Wrong("lists no cameras")
    return cameras


def _camera(name: str, *parts) -> Camera:
    """A camera from rotation, translation, focal, center, radial, tangential."""
    if name not in SIZES:
        raise _Wrong(f"names a camera {name[:40]!r}")
    tensors = [torch.as_tensor(np.array(part, dtype=float)) for part in parts]
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise _Wrong("holds NaN or infinity")
    return Camera(*tensors, *SIZES[name])


def fit_cameras(pairs: dict[Key, tuple[np.ndarray, np.ndarray]]) -> tuple[dict[Key, Camera], float]:
    """Finds cameras from points and the exact pixels that they show them at.

    Args:
        pairs: `(points, 3)` in the world, mm, and `(points, 2)` pixels, by subject and camera.

    Returns:
        The cameras, and the largest distance of a pixel from its point's projection. Where it is not under
        `EXACT` the pixels are not exact, and the search ends there.
    """
    cameras, largest = {}, 0.0
    for name in dict.fromkeys(name for _, name in pairs):
        subjects = [subject for subject, other in pairs if other == name]
        count = min(len(pairs[subject, name][0]) for subject in subjects)
        world, pixels = (np.stack([pairs[s, name][part][:count] for s in subjects]) for part in (0, 1))
        try:
            fitted, off = _fit_one(name, world.astype(float), pixels.astype(float))
        except (ValueError, np.linalg.LinAlgError):  # the search ran away
            return cameras, math.inf
        cameras |= {(subject, name): fitted[at] for at, subject in enumerate(subjects)}
        largest = max(largest, off)
        if not largest < EXACT:
            break
    return cameras, largest


def _fit_one(name: str, world: np.ndarray, pixels: np.ndarray) -> tuple[Camera, float]:
    """One camera in its places: `(places, points, 3)` and `(places, points, 2)`."""
    from scipy.optimize import least_squares
    from scipy.spatial.transform import Rotation

    lens = np.array([*ABOUT, *np.array(SIZES[name]) / 2, 0, 0, 0, 0, 0])
    places = [
        _direct(points, (seen - lens[2:4]) / lens[:2]) for points, seen in zip(world, pixels, strict=True)
    ]
    points, seen = torch.as_tensor(world), torch.as_tensor(pixels)

    def camera(numbers: np.ndarray) -> Camera:
        where = numbers[9:].reshape(-1, 6)
        one = np.broadcast_to(numbers[:9], (len(where), 9))
        parts = (
            Rotation.from_rotvec(where[:, :3]).as_matrix(),
            where[:, 3:],
            *np.split(one, [2, 4, 7], axis=1),
        )
        return _camera(name, *parts)

    # Numbers of one size: pixels, the lens's, radians, mm.
    sizes = [np.full(4, 1000.0), [0.1, 0.1, 0.1, 0.01, 0.01], np.tile([1.0] * 3 + [1e3] * 3, len(world))]
    sizes = np.concatenate(sizes)

    def off(scaled: np.ndarray) -> np.ndarray:
        found = camera(scaled * sizes)
        # A point behind a half-found camera has no pixel.
        return (found.project(found.world_to_camera(points)) - seen).nan_to_num(1e4).numpy()

    def slopes(scaled: np.ndarray) -> np.ndarray:
        at, step = off(scaled), 1e-7
        found = np.zeros((*at.shape, len(scaled)))
        for number in range(15):  # a place's six numbers move its own pixels only: all places move at once
            moved = scaled.copy()
            if number < 9:
                moved[number] += step
                found[..., number] = (off(moved) - at) / step
            else:
                moved[number::6] += step
                for place, slope in enumerate((off(moved) - at) / step):
                    found[place, ..., number + 6 * place] = slope
        return found.reshape(-1, len(scaled))

    start = np.concatenate([lens, *places]) / sizes
    ends = {"method": "lm", "xtol": 1e-10, "ftol": 1e-6, "max_nfev": 200}
    found = least_squares(lambda scaled: off(scaled).ravel(), start, slopes, **ends).x
    return camera(found * sizes), float(np.linalg.norm(off(found), axis=-1).max())


def _direct(world: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Where a camera of known lens stands, by the direct linear transform: rotation vector and translation.

    The points are `(points, 3)`, what it sees of them `(points, 2)`, as x / z and y / z.
    """
    from scipy.spatial.transform import Rotation

    middle, size = world.mean(0), world.std()
    points = np.concatenate([(world - middle) / size, np.ones((len(world), 1))], axis=1)
    zeros, (u, v) = np.zeros_like(points), plane.T[..., None]
    rows = np.concatenate([np.hstack([points, zeros, -u * points]), np.hstack([zeros, points, -v * points])])
    matrix = np.linalg.svd(rows, full_matrices=False)[2][-1].reshape(3, 4)
    matrix *= np.sign((points @ matrix[2]).sum())  # the points are before the camera
    left, stretch, right = np.linalg.svd(matrix[:, :3])
    rotation = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    translation = matrix[:, 3] / stretch.mean() * size - rotation @ middle
    return np.concatenate([Rotation.from_matrix(rotation).as_rotvec(), translation])


def triangulate(cameras: list[Camera], pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """Points from their pinhole pixels in two or more cameras, nearest to all rays by least squares.

    Args:
        cameras: one for each view.
        pixels: `(views, ..., 2)`, without the lens's distortion.

    Returns:
        `(..., 3)` in the world, mm, and the largest distance of a pixel from its point's projection.
    """
    matrix, right = np.zeros((*pixels.shape[1:-1], 3, 3)), np.zeros((*pixels.shape[1:-1], 3))
    for camera, seen in zip(cameras, pixels, strict=True):
        ray = np.concatenate(
            [(seen - camera.center.numpy()) / camera.focal.numpy(), np.ones((*seen.shape[:-1], 1))], -1
        )
        ray = (ray / np.linalg.norm(ray, axis=-1, keepdims=True)) @ camera.rotation.numpy()
        across = np.eye(3) - ray[..., :, None] * ray[..., None, :]
        matrix += across
        right += across @ camera.position.numpy()
    world = np.linalg.solve(matrix, right[..., None])[..., 0]
    off = 0.0
    for camera, seen in zip(cameras, pixels, strict=True):
        flat = camera.world_to_camera(torch.as_tensor(world)).numpy()
        again = flat[..., :2] / flat[..., 2:] * camera.focal.numpy() + camera.center.numpy()
        off = max(off, float(np.abs(again - seen).max()))
    return world, off
