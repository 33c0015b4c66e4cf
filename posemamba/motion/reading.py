"""What a window holds: what a virtual camera, or a camera of the data set, makes of a piece's frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from posemamba.camera import Camera
from posemamba.motion.clips import Clip
from posemamba.motion.noise import DetectorNoise
from posemamba.motion.pieces import Piece, frames_apart
from posemamba.motion.rig import see
from posemamba.motion.targets import root_relative, to_image
from posemamba.skeleton import FLIP_ORDER, JOINTS

# What a view calls a target; any other name is the view's own.
_NAMES = {"metric": "camera", "2.5d": "joint3d_image"}

# Inputs (normalised, perhaps with confidences), targets (relative to the root), and of 2.5D the mm per pixel.
Seen = tuple[Tensor, Tensor, Tensor | None]


def expect(fine: bool, name: str, value, wanted: str) -> None:
    """Raises ValueError where an argument is not fine."""
    if not fine:
        raise ValueError(f"{name} is {value!r}, expected {wanted}")


@dataclass(frozen=True)
class Reading:
    """What windows hold; the arguments of `WindowSampler` and `evaluation_windows` say what they mean."""

    given: bool
    frames: int
    fps: float
    seed: int
    short: str
    inputs: str
    targets: str
    confidence: bool
    noise: DetectorNoise | None

    def __post_init__(self):
        noisy, known = self.noise is not None, self.given or self.targets in _NAMES
        expect(self.fps > 0, "fps", self.fps, "a positive number")
        expect(self.short in ("pad", "resample"), "short", self.short, "'pad' or 'resample'")
        expect(self.inputs in ("detected", "projected"), "inputs", self.inputs, "'detected' or 'projected'")
        expect(known, "targets", self.targets, "'metric' or '2.5d' with virtual cameras")
        expect(not noisy or isinstance(self.noise, DetectorNoise), "noise", self.noise, "a DetectorNoise")
        if self.given and noisy and self.inputs == "detected":
            raise ValueError("noise is for joints that are projected, and these inputs are 'detected'")

    def pieces(self, clips: Sequence[Clip], phases: bool) -> list[Piece]:
        """What windows are cut from, by clip, phase and view; with `phases` all of these, else the first.

        A view in which no frame counts gives none. The first frame of each is read: so what a view lacks is
        refused at once.
        """
        if not clips:
            raise ValueError("there are no clips to cut windows from, expected at least one")
        rules, found = (self.fps, self.frames, self.short, self.seed), []
        for index, clip in enumerate(clips):
            if self.given and not clip.views:
                raise ValueError(f"clip {clip.name!r} has no views, expected some: views is 'given'")
            if not self.given and clip.joints is None:
                wanted = "some for virtual cameras"
                raise ValueError(f"clip {clip.name!r} has no joints in a world, expected {wanted}")
            numbers, ratio = (
                range(len(clip.views)) if self.given else (None,),
                frames_apart(clip.fps, self.fps),
            )
            for phase in range(ratio if phases and isinstance(ratio, int) else 1):
                found += [Piece(index, clip, number, phase, *rules) for number in numbers]
        found = [piece for piece in found if len(piece)]
        if not found:
            raise ValueError("in the views of these clips no frame is valid, expected some")
        for piece in found if self.given else ():
            self._raw(piece, slice(0, 1), False)
        return found

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
        shape = (len(pieces), self.frames)
        inputs, targets = (np.empty((*shape, JOINTS * size), np.float32) for size in (2, 3))
        sure = np.ones((*shape, JOINTS), np.float32) if self.confidence else None
        factor = np.full(shape, np.nan, np.float32)
        for row, (piece, frames, mirror) in enumerate(zip(pieces, at, mirrored, strict=True)):
            view = piece.view
            pixels, body, turned, factor[row] = self._raw(piece, frames, mirror)
            piece.refuse_nan(pixels, frames, "inputs")
            piece.refuse_nan(body, frames, "targets")
            scaled, middle = _screen(view.width, view.height, mirror)
            np.matmul(pixels.reshape(self.frames, -1), scaled, out=inputs[row])
            inputs[row] -= middle
            np.matmul(body.reshape(self.frames, -1), turned, out=targets[row])
            if self.confidence and view.confidence is not None and self.inputs == "detected":
                rows = piece.take(view.confidence, frames)
                piece.refuse_nan(rows, frames, "confidences")
                sure[row] = rows[:, list(FLIP_ORDER)] if mirror else rows
        inputs, targets, factor = (torch.from_numpy(part) for part in (inputs, targets, factor))
        inputs = self._finish(inputs.view(*shape, JOINTS, 2), sure, seeds)
        return inputs, targets.view(*shape, JOINTS, 3), factor if self.targets == "2.5d" else None

    def _finish(self, inputs: Tensor, sure: Tensor | np.ndarray | None, seeds: Int[Tensor, " n"]) -> Tensor:
        if self.noise is not None:
            inputs, sure = self.noise.apply(inputs, None, seeds)
        return torch.cat([inputs, torch.as_tensor(sure)[..., None]], dim=-1) if self.confidence else inputs

    def _raw(
        self, piece: Piece, at, mirrored: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | float]:
        """Pixels, joints, what turns or scales these into a target, and mm per pixel or NaN."""
        view, world, own = piece.view, piece.clip.joints, piece.view.targets
        flat, name = self.targets == "2.5d", _NAMES.get(self.targets, self.targets)
        # Whether it is known where the joints are in the frame of the view's camera.
        placed = view.camera is not None and (world is not None or "camera" in own)
        if placed and (self.inputs == "projected" or (flat and name not in own)):
            camera = _single(view.camera)
            points = piece.target("camera", at) if "camera" in own else piece.take(world, at)
            points = torch.from_numpy(np.array(points))
            points = points if "camera" in own else camera.world_to_camera(points)
        if self.inputs == "detected":
            if view.keypoints is None:
                raise piece.lacks("keypoints for 'detected' inputs")
            pixels = piece.take(view.keypoints, at)
        elif placed:
            pixels = camera.project(points).numpy()
        elif "joint3d_image" in own:
            pixels = piece.target("joint3d_image", at)[..., :2]
        else:
            raise piece.lacks("a camera and joints, or joint3d_image, for 'projected' inputs")
        turned, factor = _scaled(3, 2 / view.width if flat else 1.0, mirrored), np.nan
        if name in own:
            body = piece.target(name, at)
            if flat and "2.5d_factor" in own:
                factor = piece.target("2.5d_factor", at, ())
        elif flat and placed:
            body, factor = (part.numpy() for part in to_image(points, camera))
        elif placed and self.targets in _NAMES:
            body, turned = piece.take(world, at), _turned(view.camera, mirrored)
        else:
            other = "a camera and joints, or " if self.targets in _NAMES else ""
            raise piece.lacks(f"{other}its target {name!r} for targets {self.targets!r}")
        return pixels, body, turned, factor


# Some twenty cameras make all of a set's views, so what follows from one is made once.
@lru_cache
def _single(camera: Camera) -> Camera:
    return camera.to(torch.float32)


@lru_cache
def _turned(camera: Camera, mirrored: bool) -> np.ndarray:
    return _matrix(camera.rotation.numpy().T, mirrored)


@lru_cache
def _scaled(size: int, scale: float, mirrored: bool) -> np.ndarray:
    return _matrix(np.eye(size) * scale, mirrored)


@lru_cache
def _screen(width: int, height: int, mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """What a frame's pixels, all in one row, are multiplied with, and what is then subtracted."""
    middle = [-1 if mirrored else 1, height / width]
    return _scaled(2, 2 / width, mirrored), np.tile(np.array(middle, np.float32), JOINTS)


def _matrix(axes: Float[np.ndarray, "k k"], mirrored: bool) -> Float[np.ndarray, "17k 17k"]:
    """What turns a frame's joints, all in one row, and mirrors them; in space also relative to the root.

    One product with it is by far the fastest way to do that for a window.
    """
    # Which joint (row) goes into which (column).
    joints = np.eye(JOINTS, dtype=np.float32)[list(FLIP_ORDER) if mirrored else range(JOINTS)]
    if len(axes) == 3:
        joints = joints - np.eye(JOINTS, 1, dtype=np.float32)
    axes = axes * ([-1] + [1] * (len(axes) - 1) if mirrored else 1)
    turned = joints[:, None, :, None] * axes[None, :, None, :].astype(np.float32)
    return turned.reshape(JOINTS * len(axes), -1)
