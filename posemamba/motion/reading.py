"""What a window holds: what a virtual camera, or a camera of the data set, makes of a piece's frames."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from posemamba import crops
from posemamba.camera import Camera
from posemamba.motion.clips import Clip, expect
from posemamba.motion.noise import DetectorNoise
from posemamba.motion.pieces import Piece, frames_apart, spread
from posemamba.motion.rig import see
from posemamba.motion.targets import root_relative, to_image
from posemamba.skeleton import JOINTS, flip

# What a view calls a target; any other name is the view's own.
_NAMES = {"metric": "camera", "2.5d": "joint3d_image"}
_INPUTS = ("detected", "projected", "joint3d_image")


@dataclass(frozen=True)
class Reading:
    """What windows hold; the arguments of `WindowSampler` and `evaluation_windows` say what they mean.

    Read are inputs (normalised), targets (relative to the root), and of 2.5D the mm per pixel, else None;
    with `factors` that is found from camera and joints where a set has the 2.5D pose and does not say it.
    """

    given: bool
    frames: int
    stride: int
    fps: float | None
    seed: int
    short: str
    inputs: str
    targets: str
    noise: DetectorNoise | None
    factors: bool = False
    view: str = "image"
    focal_error: float = 0.0
    rates: tuple[float, ...] = ()

    def __post_init__(self):
        for name, least in dict(frames=1, stride=1, seed=0).items():
            size, wanted = getattr(self, name), f"a whole number, {least} or more"
            expect(isinstance(size, Integral) and size >= least, name, size, wanted)
        known, noisy = self.given or self.targets in _NAMES, self.noise is not None
        rate = self.fps is None or 0 < self.fps < np.inf
        expect(rate, "fps", self.fps, "a positive number, or None for each clip's own rate")
        expect(all(0 < rate < np.inf for rate in self.rates), "rates", self.rates, "positive numbers")
        expect(self.short in ("pad", "resample"), "short", self.short, "'pad' or 'resample'")
        expect(self.inputs in _INPUTS, "inputs", self.inputs, f"one of {', '.join(_INPUTS)}")
        expect(self.view in crops.VIEWS, "view", self.view, f"one of {', '.join(crops.VIEWS)}")
        if self.view == "person" and (self.given or self.targets != "metric"):
            raise ValueError("the view 'person' is for virtual cameras and metric targets")
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
        found = []
        for index, clip in enumerate(clips):
            if self.given and not clip.views:
                raise ValueError(f"clip {clip.name!r} has no views, expected some: views is 'given'")
            if not self.given and clip.joints is None:
                raise ValueError(f"clip {clip.name!r} has no joints in a world, which virtual cameras need")
            numbers = range(len(clip.views)) if self.given else [None]
            for fps in (self.fps, *self.rates):
                ratio = 1 if fps is None else frames_apart(clip.fps, fps)
                for phase in range(min(ratio, len(clip)) if phases and isinstance(ratio, int) else 1):
                    found += [Piece(index, clip, number, phase, ratio) for number in numbers]
        found = [piece for piece in found if len(piece)]
        if not found:
            raise ValueError("in the views of these clips no frame is valid, expected some")
        for piece in found if self.given else ():
            self._raw(piece, slice(0, 1), False)
        return found

    def last(self, piece: Piece) -> int:
        """The last start from which a window fits."""
        return max(0, len(piece) - self.frames)

    def at(self, piece: Piece, start: int) -> slice | Int[np.ndarray, " frames"]:
        """Which of the piece's frames a window is."""
        if len(piece) >= self.frames:
            return slice(start, start + self.frames)
        if self.short == "pad":
            return np.minimum(np.arange(self.frames), len(piece) - 1)
        key = (self.seed, zlib.crc32(piece.name.encode("utf-8")), piece.phase)
        return spread(len(piece), self.frames, np.random.default_rng(key))

    def worlds(self, pieces: Sequence[Piece], at: Sequence) -> Float[Tensor, "n frames 17 3"]:
        """The joints of windows in the world, mm."""
        world = np.empty((len(pieces), self.frames, JOINTS, 3), np.float32)
        for rows, piece, frames in zip(world, pieces, at, strict=True):
            rows[:] = piece.take(piece.clip.joints, frames)
            piece.refuse_nan(rows, frames, "joints")
        return torch.from_numpy(world)

    def virtual(self, world: Float[Tensor, "n frames 17 3"], camera: Camera, mirrored: Tensor, seeds: Tensor):
        """What virtual cameras see of windows, mirrored or not, `(n,)`; the seeds `(n,)` are the noise's."""
        if self.view == "person":
            return *self._person(world, camera, mirrored, seeds), None
        (inputs, targets), factor = see(world, camera), None
        if self.targets == "2.5d":
            image, factor = to_image(camera.world_to_camera(world), camera)
            targets = root_relative(image) * (2 / camera.width)
        inputs = self._noisy(inputs, seeds)
        for part in (inputs, targets):
            part[mirrored] = flip(part[mirrored])
        return inputs, targets, factor

    def _person(self, world: Tensor, camera: Camera, mirrored: Tensor, seeds: Tensor):
        """What virtual cameras that face the person see, with the focal length known to a stated error."""
        points = camera.world_to_camera(world)
        error = torch.zeros(len(world))
        for row, seed in enumerate(seeds.tolist() if self.focal_error else ()):
            error[row] = torch.randn((), generator=torch.Generator().manual_seed(seed + 1))
        focal = camera.focal[:, 0] * (self.focal_error * error).exp().to(world)
        seen = crops.person_view(self._noisy(camera.project(points), seeds), focal, camera.center)
        inputs, targets = seen.inputs, seen.turn(root_relative(points))
        for part in (inputs, targets):
            part[mirrored] = flip(part[mirrored])
        return inputs, targets

    def of_views(self, pieces: Sequence[Piece], at: Sequence, mirrored: Tensor, seeds: Tensor):
        """What the pieces' views have of these frames, as `virtual` gives it."""
        shape = (len(pieces), self.frames, JOINTS)
        inputs, targets = (np.empty((*shape, size), np.float32) for size in (2, 3))
        factor = np.full(shape[:2], np.nan, np.float32)
        for row, (piece, frames, mirror) in enumerate(zip(pieces, at, mirrored.tolist(), strict=True)):
            pixels, body, turned, factor[row] = self._raw(piece, frames, mirror)
            piece.refuse_nan(pixels, frames, "inputs")
            piece.refuse_nan(body, frames, "targets")
            scaled, middle = _to_input(piece.view.width, piece.view.height, mirror)
            _product(pixels, scaled, inputs[row])
            inputs[row] -= middle
            _product(body, turned, targets[row])
        inputs, targets, factor = (torch.from_numpy(part) for part in (inputs, targets, factor))
        return self._noisy(inputs, seeds), targets, factor if self.targets == "2.5d" else None

    def _noisy(self, inputs: Tensor, seeds: Int[Tensor, " n"]) -> Tensor:
        return inputs if self.noise is None else self.noise.apply(inputs, None, seeds)[0]

    def _raw(self, piece: Piece, at: slice | np.ndarray, mirrored: bool) -> tuple:
        """Pixels, joints, the matrix that makes these a target, and mm per pixel or NaN."""
        view, world, own = piece.view, piece.clip.joints, piece.view.targets
        flat, name, factor = self.targets == "2.5d", _NAMES.get(self.targets, self.targets), np.nan
        projected, through = self.inputs != "detected", self.inputs == "projected"
        drawn = "joint3d_image" in own  # its x and y are what a pinhole has, without the lens's distortion
        scale = flat and self.factors and "2.5d_factor" not in own
        # Whether it is known where the joints are in the frame of the view's camera.
        placed = view.camera is not None and (world is not None or "camera" in own)
        if placed and (through or scale or (not drawn and (projected or flat))):
            camera = _single(view.camera)
            points = torch.tensor(piece.target("camera", at) if "camera" in own else piece.take(world, at))
            points = points if "camera" in own else camera.world_to_camera(points)
        if through and placed:
            pixels = camera.project(points).numpy()
        elif projected and drawn:
            pixels = piece.target("joint3d_image", at)[..., :2]
        elif projected and placed:
            pixels = to_image(points, camera)[0][..., :2].numpy()
        elif projected:
            raise piece.lacks(f"a camera and joints, or joint3d_image, for {self.inputs!r} inputs")
        elif view.keypoints is None:
            raise piece.lacks("keypoints for 'detected' inputs")
        else:
            pixels = piece.take(view.keypoints, at)
        turned = _to_target(2 / view.width if flat else 1.0, mirrored)
        if name in own:
            body = piece.target(name, at)
            if flat and "2.5d_factor" in own:
                factor = piece.target("2.5d_factor", at, ())
            elif scale and placed:
                factor = to_image(points, camera)[1].numpy()
        elif flat and placed:
            body, factor = (part.numpy() for part in to_image(points, camera))
        elif placed and self.targets in _NAMES:
            body, turned = piece.take(world, at), _to_target(view.camera, mirrored)
        else:
            other = "a camera and joints, or " if self.targets in _NAMES else ""
            raise piece.lacks(f"{other}its target {name!r} for targets {self.targets!r}")
        return pixels, body, turned, factor


# A set's cameras are few, so what follows from one is made once. One product with a matrix is by far the
# fastest way to turn and mirror a window; the matrix's rows are what becomes of unit poses.
@lru_cache(1024)
def _single(camera: Camera) -> Camera:
    return camera.to(torch.float32)


@lru_cache(1024)
def _to_target(axes: Camera | float, mirrored: bool) -> Float[np.ndarray, "51 51"]:
    """Joints turned as a camera turns them, or scaled; relative to the root, and perhaps mirrored."""
    turn = axes.rotation.numpy().T if isinstance(axes, Camera) else np.eye(3) * axes
    poses = np.eye(JOINTS * 3, dtype=np.float32).reshape(-1, JOINTS, 3) @ turn.astype(np.float32)
    poses = poses - poses[:, :1]
    return (flip(poses) if mirrored else poses).reshape(len(poses), -1)


@lru_cache
def _to_input(width: int, height: int, mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """Pixels scaled and perhaps mirrored, `(34, 34)`; and what is then subtracted, `(17, 2)`."""
    poses = np.eye(JOINTS * 2, dtype=np.float32).reshape(-1, JOINTS, 2) * np.float32(2 / width)
    middle = np.tile(np.float32([1, height / width]), (JOINTS, 1))
    poses, middle = (flip(part) if mirrored else part for part in (poses, middle))
    return poses.reshape(len(poses), -1), middle


def _product(rows: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    np.matmul(rows.reshape(len(rows), -1), matrix, out=out.reshape(len(rows), -1))
