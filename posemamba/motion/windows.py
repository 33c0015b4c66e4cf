"""Windows of motion seen through virtual cameras: what a lifting network reads, and what it should say.

The input is the window's image in normalised coordinates (the square image's width spans [-1, 1]); the
target is the same window in the camera's frame, relative to the root joint, in millimetres.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from posemamba.camera import Camera
from posemamba.motion.clips import Clip
from posemamba.motion.rig import CameraRig, middle_and_reach, see
from posemamba.skeleton import flip as flip_pose


def resample(joints: Float[np.ndarray, "frames ..."], from_fps: float, to_fps: float, phase: int = 0):
    """Motion at another rate: every n-th frame where one rate is n times the other, else between frames.

    Args:
        joints: `(frames, ...)`.
        from_fps, to_fps: the rates, frames a second; to 0.5% a whole ratio counts as whole.
        phase: where to start, in frames of `joints`; only for whole ratios.

    Returns:
        `(fewer or more frames, ...)`, linear between the two nearest frames where the ratio is not whole.

    Raises:
        ValueError: rates that are not positive.
    """
    if not (from_fps > 0 and to_fps > 0):
        raise ValueError(
            f"cannot resample from {from_fps} to {to_fps} frames a second, expected positive rates"
        )
    stride = whole_stride(from_fps, to_fps)
    if stride:
        return joints[phase::stride]
    count = math.floor((len(joints) - 1) * to_fps / from_fps + 1e-9) + 1
    at = np.arange(count) * (from_fps / to_fps)
    before = np.minimum(at.astype(np.int64), len(joints) - 1)
    after = np.minimum(before + 1, len(joints) - 1)
    weight = (at - before).astype(joints.dtype).reshape(-1, *(1,) * (joints.ndim - 1))
    return joints[before] * (1 - weight) + joints[after] * weight


def whole_stride(from_fps: float, to_fps: float) -> int:
    """n where `from_fps` is n times `to_fps` to 0.5% (59.94 counts as 60), else 0."""
    ratio = from_fps / to_fps
    stride = round(ratio)
    return stride if stride >= 1 and abs(ratio - stride) <= 0.005 * stride else 0


def _check_sizes(clips: Sequence[Clip], frames: int, fps: float) -> None:
    if not clips:
        raise ValueError("there are no clips to cut windows from, expected at least one")
    if frames < 1:
        raise ValueError(f"windows of {frames} frames were asked for, expected at least 1")
    if not fps > 0:
        raise ValueError(f"fps is {fps}, expected a positive number")


class WindowSampler:
    """Random training windows, each seen through a camera of its own.

    All clips are resampled once and held in one tensor; a batch is one gather. A clip recorded at n times
    the rate gives n interleaved sequences. A clip shorter than a window is padded by repeating its last
    frame.

    Args:
        clips: the training clips.
        frames: the window's length.
        fps: the windows' rate, frames a second.
        batch_size: windows a batch.
        seed: with the step it decides everything random.
        flip: mirror each window, input and target, with probability 1/2.
        balance: "frames" draws all windows alike; "actions" draws an action first, each alike, then one of
            its windows.
        rig: where the cameras stand.

    Raises:
        ValueError: no clips, sizes that are not positive, an unknown balance.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        frames: int = 27,
        fps: float = 60,
        batch_size: int = 64,
        seed: int = 0,
        flip: bool = True,
        balance: str = "frames",
        rig: CameraRig | None = None,
    ):
        _check_sizes(clips, frames, fps)
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected at least 1")
        if balance not in ("frames", "actions"):
            raise ValueError(f"balance is {balance!r}, expected 'frames' or 'actions'")
        self.frames, self.fps, self.batch_size, self.seed, self.flip = frames, fps, batch_size, seed, flip
        self.balance, self.rig = balance, rig or CameraRig()
        # Sorted by action, so that an action's windows are one range.
        self.actions = tuple(sorted({clip.action for clip in clips}))
        pieces, starts, ends, counts, at = [], [], [], dict.fromkeys(self.actions, 0), 0
        for clip in sorted(clips, key=lambda clip: clip.action):
            for phase in range(min(len(clip), max(1, whole_stride(clip.fps, fps)))):
                piece = resample(clip.joints, clip.fps, fps, phase)
                windows = max(1, len(piece) - frames + 1)
                pieces.append(piece)
                starts.append(torch.arange(at, at + windows))
                ends.append(torch.full((windows,), at + len(piece) - 1))
                counts[clip.action] += windows
                at += len(piece)
        self._joints: Float[Tensor, "all 17 3"] = torch.from_numpy(np.concatenate(pieces))
        self._starts: Int[Tensor, " windows"] = torch.cat(starts)
        self._lasts: Int[Tensor, " windows"] = torch.cat(ends)
        self._counts: Int[Tensor, " actions"] = torch.tensor([counts[action] for action in self.actions])

    def __len__(self) -> int:
        """The number of different windows, cameras and flips apart."""
        return len(self._starts)

    def _draw(self, generator: torch.Generator) -> Int[Tensor, " batch"]:
        if self.balance == "frames":
            return torch.randint(len(self._starts), (self.batch_size,), generator=generator)
        action = torch.randint(len(self.actions), (self.batch_size,), generator=generator)
        within = torch.rand(self.batch_size, generator=generator, dtype=torch.float64)
        first = self._counts.cumsum(0) - self._counts
        return first[action] + (within * self._counts[action]).long()

    def batch(
        self, step: int
    ) -> tuple[Float[Tensor, "batch frames 17 2"], Float[Tensor, "batch frames 17 3"]]:
        """The batch of one training step, 0 or more: normalised image coordinates, and root-relative mm.

        It depends on the seed and the step alone, so training resumes anywhere.
        """
        generator = _generator(self.seed, step)
        window = self._draw(generator)
        at = self._starts[window, None] + torch.arange(self.frames)
        world = self._joints[torch.minimum(at, self._lasts[window, None])]
        camera = self.rig.sample(generator, *middle_and_reach(world))
        inputs, targets = see(world, camera)
        if self.flip:
            chosen = (torch.rand(self.batch_size, generator=generator) < 0.5)[:, None, None, None]
            inputs = torch.where(chosen, flip_pose(inputs), inputs)
            targets = torch.where(chosen, flip_pose(targets), targets)
        return inputs, targets


def _generator(*key: int) -> torch.Generator:
    """A generator that depends on all the whole numbers of the key."""
    if min(key) < 0:
        raise ValueError(f"a seed or step is {min(key)}, expected 0 or more")
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


@dataclass(frozen=True, eq=False)
class EvaluationWindows:
    """Windows to score a model on; n of them.

    Attributes:
        inputs: `(n, frames, 17, 2)` normalised image coordinates.
        targets: `(n, frames, 17, 3)` mm, camera frame, root-relative.
        scored: `(n, frames)` true where the frame counts: each frame of each clip once a view.
        action: `(n,)` index into `actions`.
        actions: the actions' names, sorted.
        clip: `(n,)` index of the window's clip in the list that was given.
        start: `(n,)` the clip's frame, at the windows' rate, at which the window starts.
        view: `(n,)` which of the views it is.
        camera: the windows' cameras, batch shape `(n,)`.
    """

    inputs: Float[Tensor, "n frames 17 2"]
    targets: Float[Tensor, "n frames 17 3"]
    scored: Bool[Tensor, "n frames"]
    action: Int[Tensor, " n"]
    actions: tuple[str, ...]
    clip: Int[Tensor, " n"]
    start: Int[Tensor, " n"]
    view: Int[Tensor, " n"]
    camera: Camera

    def __len__(self) -> int:
        return len(self.inputs)


def evaluation_windows(
    clips: Sequence[Clip],
    frames: int = 27,
    fps: float = 60,
    views: int = 4,
    seed: int = 0,
    rig: CameraRig | None = None,
) -> EvaluationWindows:
    """Windows that cover each clip, in each view through a camera of its own.

    Windows follow each other without overlap; a clip's last window is shifted back to end with the clip,
    and only its frames that no earlier window scored count. A clip shorter than a window is padded by
    repeating its last frame; the padding does not count. A window's cameras depend on the seed, the clip's
    name, the window's place and the view.

    Args:
        clips: the clips to score on.
        frames, fps: the windows' length, and rate in frames a second.
        views: cameras a window.
        seed: of the cameras.
        rig: where the cameras stand.

    Returns:
        The windows, ordered by clip, window, view.

    Raises:
        ValueError: no clips, sizes that are not positive.
    """
    _check_sizes(clips, frames, fps)
    if views < 1:
        raise ValueError(f"{views} views were asked for, expected at least 1")
    rig = rig or CameraRig()
    actions = tuple(sorted({clip.action for clip in clips}))
    worlds, scored, cameras, rows = [], [], [], []
    for index, clip in enumerate(clips):
        joints = torch.from_numpy(np.array(resample(clip.joints, clip.fps, fps)))
        done, key = 0, zlib.crc32(clip.name.encode("utf-8"))
        for window in range(math.ceil(len(joints) / frames)):
            start = max(0, min(window * frames, len(joints) - frames))
            at = torch.arange(start, start + frames)
            world = joints[at.clamp_max(len(joints) - 1)]
            counts = (at >= done) & (at < len(joints))
            done = start + frames
            for view in range(views):
                worlds.append(world)
                scored.append(counts)
                cameras.append(rig.sample(_generator(seed, key, window, view), *middle_and_reach(world)))
                rows.append((actions.index(clip.action), index, start, view))
    camera = Camera.stack(cameras)
    inputs, targets = see(torch.stack(worlds), camera)
    action, clip_index, start, view = torch.tensor(rows).unbind(1)
    return EvaluationWindows(
        inputs, targets, torch.stack(scored), action, actions, clip_index, start, view, camera
    )
