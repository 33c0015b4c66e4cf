"""Reading windows: what a virtual camera, or a camera of the data set, makes of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from posemamba.camera import Camera
from posemamba.motion.noise import DetectorNoise
from posemamba.motion.pieces import Piece
from posemamba.motion.rig import see
from posemamba.motion.targets import root_relative, to_image
from posemamba.skeleton import FLIP_ORDER, JOINTS

# What a view calls a target; any other name is the view's own.
_NAMES = {"metric": "camera", "2.5d": "joint3d_image"}
# For plain and mirrored windows: which joint (row) goes into which (column), as it is and less the root.
_ORDER = [np.eye(JOINTS, dtype=np.float32)[list(order)] for order in (range(JOINTS), FLIP_ORDER)]
_FROM_ROOT = [order - np.eye(JOINTS, 1, dtype=np.float32) for order in _ORDER]

# Inputs (normalised, perhaps with confidences), targets (relative to the root), and of 2.5D the mm per pixel.
Seen = tuple[Tensor, Tensor, Tensor | None]


@dataclass(frozen=True)
class Reading:
    """What windows hold; the arguments of `WindowSampler` and `evaluation_windows` say what they mean."""

    given: bool
    inputs: str
    targets: str
    confidence: bool
    noise: DetectorNoise | None

    def __post_init__(self):
        if self.inputs not in ("detected", "projected"):
            raise ValueError(f"inputs is {self.inputs!r}, expected 'detected' or 'projected'")
        if self.given and self.noise is not None and self.inputs == "detected":
            raise ValueError("noise is for joints that are projected, and these inputs are 'detected'")
        if not self.given and self.targets not in _NAMES:
            raise ValueError(f"targets is {self.targets!r}, expected 'metric' or '2.5d' with virtual cameras")

    def check(self, piece: Piece) -> None:
        """Raises ValueError where the piece cannot give what is wanted."""
        if not self.given:
            if piece.clip.joints is None:
                raise ValueError(f"{piece.name} has no joints in a world, expected some for virtual cameras")
            return
        view, placed, name = piece.view, _placed(piece), _NAMES.get(self.targets, self.targets)
        wanted = None
        if self.inputs == "detected" and view.keypoints is None:
            wanted = "keypoints for 'detected' inputs"
        elif self.inputs == "projected" and not placed and "joint3d_image" not in view.targets:
            wanted = "a camera and joints, or joint3d_image, for 'projected' inputs"
        elif name in view.targets and view.targets[name].shape[1:] != (JOINTS, 3):
            wanted = f"its target {name!r} of shape (frames, {JOINTS}, 3)"
        elif name not in view.targets and not (placed and self.targets in _NAMES):
            other = "a camera and joints, or " if self.targets in _NAMES else ""
            wanted = f"{other}its target {name!r} for targets {self.targets!r}"
        if wanted:
            raise ValueError(f"{piece.name} lacks what is asked for, expected {wanted}")

    def through(
        self, world: Float[Tensor, "n frames 17 3"], camera: Camera, seeds: Int[Tensor, " n"]
    ) -> Seen:
        """What virtual cameras see of windows; the seeds are the noise's."""
        (inputs, targets), factor = see(world, camera), None
        if self.targets == "2.5d":
            image, factor = to_image(camera.world_to_camera(world), camera)
            targets = root_relative(image) * (2 / camera.width)
        return self._finish(inputs, inputs.new_ones(inputs.shape[:-1]), seeds), targets, factor

    def of_views(
        self, pieces: Sequence[Piece], at: Sequence, mirrored: Sequence[bool], seeds: Int[Tensor, " n"]
    ) -> Seen:
        """What the views of these pieces have of these frames."""
        shape = (len(pieces), pieces[0].frames, JOINTS)
        inputs, targets = (np.empty((*shape, size), np.float32) for size in (2, 3))
        sure = np.ones(shape, np.float32) if self.confidence else None
        factor = np.full(shape[:2], np.nan, np.float32)
        for row, (piece, frames, mirror) in enumerate(zip(pieces, at, mirrored, strict=True)):
            view = piece.view
            pixels, body, axes, factor[row] = self._raw(piece, frames)
            _product(pixels, _scaled(2, 2 / view.width, mirror), inputs[row])
            inputs[row, ..., 0] -= -1 if mirror else 1
            inputs[row, ..., 1] -= view.height / view.width
            turned = _scaled(3, axes, mirror) if isinstance(axes, float) else _matrix(axes, mirror)
            _product(body, turned, targets[row])
            if self.confidence and view.confidence is not None and self.inputs == "detected":
                rows = piece.take(view.confidence, frames)
                piece.refuse_nan(rows, frames, "confidences")
                sure[row] = rows[:, list(FLIP_ORDER)] if mirror else rows
            # A sum of squares is finite where all numbers are; it costs less than to look at each.
            if not math.isfinite(sum(np.vdot(part[row], part[row]) for part in (inputs, targets))):
                piece.refuse_nan(pixels, frames, "inputs")
                piece.refuse_nan(body, frames, "targets")
        sure = inputs[..., 0] if sure is None else sure
        inputs, targets, sure, factor = (torch.from_numpy(part) for part in (inputs, targets, sure, factor))
        return self._finish(inputs, sure, seeds), targets, factor if self.targets == "2.5d" else None

    def _finish(self, inputs: Tensor, sure: Tensor, seeds: Int[Tensor, " n"]) -> Tensor:
        if self.noise is not None:
            inputs, sure = self.noise.apply(inputs, None, seeds)
        return torch.cat([inputs, sure[..., None]], dim=-1) if self.confidence else inputs

    def _raw(self, piece: Piece, at) -> tuple[np.ndarray, np.ndarray, np.ndarray | float, np.ndarray | float]:
        """Pixels, joints, what turns or scales these into a target, and mm per pixel or NaN."""
        view, name = piece.view, _NAMES.get(self.targets, self.targets)
        made = self.targets == "2.5d" and name not in view.targets
        points, axes, factor = None, 2 / view.width if self.targets == "2.5d" else 1.0, np.nan
        if _placed(piece) and (made or self.inputs == "projected"):
            camera = view.camera.to(torch.float32)
            points = torch.from_numpy(np.array(piece.take(view.targets.get("camera", piece.clip.joints), at)))
            points = points if "camera" in view.targets else camera.world_to_camera(points)
        if self.inputs == "detected":
            pixels = piece.take(view.keypoints, at)
        elif points is not None:
            pixels = camera.project(points).numpy()
        else:
            pixels = piece.take(view.targets["joint3d_image"], at)[..., :2]
        if made:
            body, factor = (part.numpy() for part in to_image(points, camera))
        elif name in view.targets:
            body = piece.take(view.targets[name], at)
            if self.targets == "2.5d" and "2.5d_factor" in view.targets:
                factor = piece.take(view.targets["2.5d_factor"], at)
        else:
            body, axes = piece.take(piece.clip.joints, at), view.camera.rotation.numpy().T
        return pixels, body, axes, factor


def _placed(piece: Piece) -> bool:
    """Whether it is known where the joints are in the frame of the view's camera."""
    return piece.view.camera is not None and (piece.clip.joints is not None or "camera" in piece.view.targets)


def _matrix(axes: Float[np.ndarray, "k k"], mirrored: bool) -> Float[np.ndarray, "17k 17k"]:
    """What turns a frame's joints, all in one row, and mirrors them; in space also relative to the root.

    One product with it is by far the fastest way to do that for a window.
    """
    joints = (_ORDER if len(axes) == 2 else _FROM_ROOT)[mirrored]
    axes = axes * ([-1] + [1] * (len(axes) - 1) if mirrored else 1)
    turned = joints[:, None, :, None] * axes[None, :, None, :].astype(np.float32)
    return turned.reshape(JOINTS * len(axes), -1)


@lru_cache
def _scaled(size: int, scale: float, mirrored: bool) -> np.ndarray:
    return _matrix(np.eye(size) * scale, mirrored)


def _product(rows: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    np.matmul(rows.reshape(len(rows), -1), matrix, out=out.reshape(len(rows), -1))
