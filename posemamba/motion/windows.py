"""Windows of motion seen through virtual cameras: what a lifting network reads, and what it should say.

The input is the window's image in normalised coordinates (the square image's width spans [-1, 1]); the
target is the same window in the camera's frame, relative to the root, mm.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import InitVar, dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from posemamba.camera import Camera
from posemamba.motion.clips import Clip
from posemamba.motion.rig import CameraRig, middle_and_reach, see
from posemamba.skeleton import flip as flip_pose


def resample(joints: Float[np.ndarray, "frames ..."], from_fps: float, to_fps: float, phase: int = 0):
    """Motion at another rate: every n-th frame, or where that ratio is not whole, linear between two.

    Args:
        joints: `(frames, ...)`.
        from_fps, to_fps: the rates, frames a second; to 0.5% a whole ratio counts as whole.
        phase: where to start, in frames of `joints`; only for whole ratios.

    Raises:
        ValueError: rates that are not positive.
    """
    if not (from_fps > 0 and to_fps > 0):
        raise ValueError(f"cannot resample from {from_fps} to {to_fps} fps, expected positive rates")
    stride = whole_stride(from_fps, to_fps)
    if stride:
        return joints[phase::stride]
    count = math.floor((len(joints) - 1) * to_fps / from_fps + 1e-9) + 1
    at = np.arange(count) * (from_fps / to_fps)
    before, after = (np.minimum(at.astype(int) + step, len(joints) - 1) for step in (0, 1))
    weight = (at - before).astype(joints.dtype).reshape(-1, *(1,) * (joints.ndim - 1))
    return joints[before] * (1 - weight) + joints[after] * weight


def whole_stride(from_fps: float, to_fps: float) -> int:
    """n where `from_fps` is n times `to_fps` to 0.5% (59.94 counts as 60), else 0."""
    ratio = from_fps / to_fps
    stride = round(ratio)
    return stride if stride >= 1 and abs(ratio - stride) <= 0.005 * stride else 0


def _check(clips: Sequence[Clip], fps: float, **sizes: int) -> None:
    if not clips:
        raise ValueError("there are no clips to cut windows from, expected at least one")
    if not fps > 0:
        raise ValueError(f"fps is {fps}, expected a positive number")
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}, expected at least 1")


@dataclass(eq=False)
class WindowSampler:
    """Random training windows, each seen through a camera of its own.

    All clips are resampled once and held in one tensor. A clip recorded at n times the rate gives n
    interleaved sequences; one shorter than a window is padded by repeating its last frame.

    Attributes:
        clips, rig: the training clips, and where the cameras stand.
        frames, fps: the windows' length, and rate in frames a second.
        batch_size, seed: windows a batch, and what decides, with the step, everything random.
        flip: mirror each window, input and target, with probability 1/2.
        balance: "frames" draws all windows alike; "actions" an action first, then one of its windows.

    Raises:
        ValueError: no clips, sizes that are not positive, an unknown balance.
    """

    clips: InitVar[Sequence[Clip]]
    frames: int = 27
    fps: float = 60
    batch_size: int = 64
    seed: int = 0
    flip: bool = True
    balance: str = "frames"
    rig: CameraRig | None = None

    def __post_init__(self, clips: Sequence[Clip]):
        _check(clips, self.fps, frames=self.frames, batch_size=self.batch_size)
        if self.balance not in ("frames", "actions"):
            raise ValueError(f"balance is {self.balance!r}, expected 'frames' or 'actions'")
        self.rig = self.rig or CameraRig()
        pieces, windows, at = [], [], 0
        self.actions = tuple(sorted({clip.action for clip in clips}))
        # Sorted by action, so that an action's windows are one range.
        for clip in sorted(clips, key=lambda clip: clip.action):
            for phase in range(min(len(clip), max(1, whole_stride(clip.fps, self.fps)))):
                piece = resample(clip.joints, clip.fps, self.fps, phase)
                pieces.append(piece)
                start = torch.arange(at, at + max(1, len(piece) - self.frames + 1))
                at += len(piece)
                rest = (at - 1, self.actions.index(clip.action))
                windows.append(torch.stack([start, *(torch.full_like(start, number) for number in rest)]))
        self._joints: Float[Tensor, "all 17 3"] = torch.from_numpy(np.concatenate(pieces))
        self._starts, self._lasts, action = torch.cat(windows, dim=1)
        self._counts: Int[Tensor, " actions"] = action.bincount()

    def __len__(self) -> int:
        """The number of different windows, cameras and flips apart."""
        return len(self._starts)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The inputs `(batch, frames, 17, 2)` and targets `(batch, frames, 17, 3)` of a step, 0 or more.

        They depend on the seed and the step alone, so training resumes anywhere.
        """
        generator = _generator(self.seed, step)
        if self.balance == "frames":
            window = torch.randint(len(self), (self.batch_size,), generator=generator)
        else:
            action = torch.randint(len(self.actions), (self.batch_size,), generator=generator)
            within = torch.rand(self.batch_size, generator=generator, dtype=torch.float64)
            first = self._counts.cumsum(0) - self._counts
            window = first[action] + (within * self._counts[action]).long()
        at = self._starts[window, None] + torch.arange(self.frames)
        world = self._joints[torch.minimum(at, self._lasts[window, None])]
        camera = self.rig.sample(generator, *middle_and_reach(world))
        inputs, targets = see(world, camera)
        if self.flip:
            chosen = (torch.rand(self.batch_size, generator=generator) < 0.5)[:, None, None, None]
            inputs, targets = (torch.where(chosen, flip_pose(part), part) for part in (inputs, targets))
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
        inputs, targets: `(n, frames, 17, 2)`, normalised, and `(n, frames, 17, 3)`, mm, as `see` gives.
        scored: `(n, frames)` true where the frame counts: each frame of each clip once a view.
        action: `(n,)` index into `actions`, the sorted names.
        clip, start: `(n,)` the window's clip in the list that was given, and at which of its frames, at the
            windows' rate, it starts.
        view, camera: `(n,)` which of the views it is, and through which camera.
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
    """Windows that cover each clip, in each view through a camera of its own; by clip, window, view.

    They follow each other without overlap; a clip's last window is shifted back to end with the clip, and
    only its frames that no earlier window scored count. A shorter clip is padded by repeating its last frame;
    the padding does not count. Cameras depend on the seed, the clip's name, the window's place and the view.

    Args:
        clips: the clips to score on.
        frames, fps: the windows' length, and rate in frames a second.
        views, seed, rig: how many cameras a window has, their seed, where they stand.

    Raises:
        ValueError: no clips, sizes that are not positive.
    """
    _check(clips, fps, frames=frames, views=views)
    rig = rig or CameraRig()
    actions = tuple(sorted({clip.action for clip in clips}))
    rows = []
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
                camera = rig.sample(_generator(seed, key, window, view), *middle_and_reach(world))
                rows.append((world, counts, camera, (actions.index(clip.action), index, start, view)))
    worlds, scored, cameras, places = zip(*rows, strict=True)
    camera, (action, *places) = Camera.stack(cameras), torch.tensor(places).unbind(1)
    seen = see(torch.stack(worlds), camera)
    return EvaluationWindows(*seen, torch.stack(scored), action, actions, *places, camera)
