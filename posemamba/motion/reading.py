"""Reading windows: what a virtual camera, or a camera of the data set, makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
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


@dataclass(frozen=True, eq=False)
class Seen:
    """Windows as a network wants them.

    Attributes:
        inputs: normalised; with a third channel, the confidence, where that was wanted.
        targets: relative to the root: mm, or with "2.5d" in units of half the image's width.
        factor: mm per pixel of 2.5D targets, else None.
    """

    inputs: Float[Tensor, "n frames 17 channels"]
    targets: Float[Tensor, "n frames 17 3"]
    factor: Float[Tensor, "n frames"] | None = None


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
        clip, name = piece.clip, _NAMES.get(self.targets, self.targets)
        if not self.given:
            if clip.joints is None:
                raise ValueError(f"{piece.name} has no joints in a world, expected some for virtual cameras")
            return
        view, placed = piece.view, _placed(piece)
        inputs = view.keypoints is not None if self.inputs == "detected" else "joint3d_image" in view.targets
        if not (inputs or (self.inputs == "projected" and placed)):
            wanted = "keypoints" if self.inputs == "detected" else "a camera and joints, or joint3d_image"
            raise ValueError(f"{piece.name} cannot give {self.inputs} inputs: it needs {wanted}")
        if name in view.targets:
            if view.targets[name].shape[1:] != (JOINTS, 3):
                found = f"target {name} of shape {view.targets[name].shape}"
                raise ValueError(f"{piece.name} has a {found}, expected (frames, {JOINTS}, 3)")
        elif not (placed and self.targets in _NAMES):
            wanted = f"{name} among its targets" + (
                " or a camera and joints" if self.targets in _NAMES else ""
            )
            raise ValueError(f"{piece.name} cannot give {self.targets} targets: it needs {wanted}")

    def through(
        self, world: Float[Tensor, "n frames 17 3"], camera: Camera, seeds: Int[Tensor, " n"]
    ) -> Seen:
        """What virtual cameras see of windows; the seeds are the noise's."""
        (inputs, targets), factor = see(world, camera), None
        if self.targets == "2.5d":
            image, factor = to_image(camera.world_to_camera(world), camera)
            targets = root_relative(image) * (2 / camera.width)
        return Seen(self._finish(inputs, inputs.new_ones(inputs.shape[:-1]), seeds), targets, factor)

    def of_views(
        self,
        pieces: Sequence[Piece],
        at: Sequence,
        mirrored: Bool[np.ndarray, " n"],
        seeds: Int[Tensor, " n"],
    ) -> Seen:
        """What the views of these pieces have of these frames."""
        shape = (len(pieces), pieces[0].frames, JOINTS)
        inputs, targets = (np.empty((*shape, size), np.float32) for size in (2, 3))
        sure, factor = np.ones(shape, np.float32), np.full(shape[:2], np.nan, np.float32)
        for row, (piece, frames, mirror) in enumerate(zip(pieces, at, mirrored, strict=True)):
            view = piece.view
            pixels, body, axes, factor[row] = self._raw(piece, frames)
            _turn(pixels, np.eye(2, dtype=np.float32) * (2 / view.width), _ORDER[mirror], mirror, inputs[row])
            inputs[row, ..., 0] -= -1 if mirror else 1
            inputs[row, ..., 1] -= view.height / view.width
            _turn(body, axes, _FROM_ROOT[mirror], mirror, targets[row])
            if self.confidence and view.confidence is not None and self.inputs == "detected":
                sure[row] = piece.take(view.confidence, frames)[
                    :, list(FLIP_ORDER) if mirror else slice(None)
                ]
        for found in (inputs, targets, sure):
            finite = np.isfinite(found).all((1, 2, 3)[: found.ndim - 1])
            if not finite.all():
                piece, frames = pieces[finite.argmin()], at[finite.argmin()]
                pixels, body, *_ = self._raw(piece, frames)
                piece.refuse_nan(pixels, frames, "inputs")
                piece.refuse_nan(body, frames, "targets")
                piece.refuse_nan(found[finite.argmin()], frames, "confidences")
        inputs, targets, sure, factor = (torch.from_numpy(part) for part in (inputs, targets, sure, factor))
        return Seen(self._finish(inputs, sure, seeds), targets, factor if self.targets == "2.5d" else None)

    def _finish(self, inputs: Tensor, sure: Tensor, seeds: Int[Tensor, " n"]) -> Tensor:
        if self.noise is not None:
            inputs, sure = self.noise.apply(inputs, None, seeds)
        return torch.cat([inputs, sure[..., None]], dim=-1) if self.confidence else inputs

    def _raw(self, piece: Piece, at) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | float]:
        """Pixels, the joints that a target is made of, what turns their axes, and mm per pixel or NaN."""
        view, name = piece.view, _NAMES.get(self.targets, self.targets)
        made = self.targets == "2.5d" and name not in view.targets
        points, axes, factor = None, np.eye(3, dtype=np.float32), np.nan
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
        if self.targets == "2.5d":
            axes = axes * (2 / view.width)
        return pixels, body, axes.astype(np.float32), factor


def _placed(piece: Piece) -> bool:
    """Whether it is known where the joints are in the frame of the view's camera."""
    return piece.view.camera is not None and (piece.clip.joints is not None or "camera" in piece.view.targets)


def _turn(rows: np.ndarray, axes: np.ndarray, joints: np.ndarray, mirrored: bool, out: np.ndarray) -> None:
    """Joints taken to others and their axes turned, then mirrored, as one product: by far the fastest way."""
    if mirrored:
        axes = axes * np.array([-1, *(1,) * (len(axes) - 1)], np.float32)
    matrix = (joints[:, None, :, None] * axes[None, :, None, :]).reshape(JOINTS * len(axes), -1)
    np.matmul(rows.reshape(len(rows), -1), matrix, out=out.reshape(len(rows), -1))
