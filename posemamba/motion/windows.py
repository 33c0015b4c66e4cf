"""Which windows of motion a network sees: drawn at random to train on, or in order to be scored.

The input is the window's image in normalised coordinates (the image's width spans [-1, 1]); the target is the
same window in the camera's frame, relative to the root, mm.
"""

import zlib
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, replace
from numbers import Integral

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from posemamba.camera import Camera
from posemamba.motion.clips import Clip, expect
from posemamba.motion.noise import DetectorNoise
from posemamba.motion.pieces import Piece
from posemamba.motion.reading import Reading
from posemamba.motion.rig import CameraRig, middle_and_reach
from posemamba.motion.variety import BodyVariety


@dataclass(eq=False)
class WindowSampler:
    """Random training windows, each seen through a camera of its own, or by one of its clip's own cameras.

    A clip recorded at n times the rate gives n interleaved sequences. What does not fill a last stride is
    left out, as in the released code.

    Attributes:
        clips, rig: the training clips, and where virtual cameras stand.
        frames, fps: the windows' length, and rate in frames a second; None takes each clip at its own.
        batch_size, seed: windows a batch, and what decides, with the step, everything random.
        flip: mirror each window, input and target, with probability 1/2.
        balance: "frames" draws all windows alike; "actions" an action first, then one of its windows;
            "epochs" takes every window once, in an order of chance, before any comes again. What does not
            fill an epoch's last batch is left out of that epoch.
        stride: frames from one window's start to the next.
        short: what becomes of a clip shorter than a window: "pad" repeats its last frame; "resample" spreads
            its frames, each place rounded down or up by chance, as MotionBERT's and PoseMamba's data code.
        views: "virtual" cameras, or those "given" with the clips.
        inputs: of given views, the keypoints as "detected", the joints "projected" through the camera, or
            x and y of the 2.5D pose, "joint3d_image", the paper's ground-truth 2D. Virtual cameras have no
            lens that bends, so that all three are the same.
        targets: "metric", mm; "2.5d", as the set has it or `targets.to_image` makes it, in units of half the
            image's width; of given views also a target that they have by another name. Relative to the root.
        noise: the errors of a detector for joints that are projected.
        view: what the network is shown of virtual cameras, the "image" with its width from -1 to 1, or the
            "person", `crops.person_view`; the targets are then in that view's axes.
        focal_error: with "person", how wrong the focal length is, the standard deviation of its logarithm.
        variety: other bodies than those recorded; None for these.
        rates: frames a second at which windows are cut too, beside `fps`.

    Raises:
        ValueError: no clips, sizes that are not positive, unknown choices, clips that cannot give what is
            wanted; from `batch`, a frame that holds NaN.
    """

    clips: InitVar[Sequence[Clip]]
    frames: int = 27
    fps: float | None = 60
    batch_size: int = 64
    seed: int = 0
    flip: bool = True
    balance: str = "frames"
    rig: CameraRig | None = None
    stride: int = 1
    short: str = "pad"
    views: str = "virtual"
    inputs: str = "detected"
    targets: str = "metric"
    noise: DetectorNoise | None = None
    view: str = "image"
    focal_error: float = 0.0
    variety: BodyVariety | None = None
    rates: tuple[float, ...] = ()

    def __post_init__(self, clips: Sequence[Clip]):
        expect(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        known = ("frames", "actions", "epochs")
        expect(self.balance in known, "balance", self.balance, "'frames', 'actions' or 'epochs'")
        expect(self.views in ("virtual", "given"), "views", self.views, "'virtual' or 'given'")
        self.rig = self.rig or CameraRig()
        rules = self.frames, self.stride, self.fps, self.seed, self.short, self.inputs, self.targets
        seen = dict(view=self.view, focal_error=self.focal_error, rates=self.rates)
        self._reading = Reading(self.views == "given", *rules, self.noise, **seen)
        # Sorted by action, so that an action's windows are one range.
        self._pieces = self._reading.pieces(sorted(clips, key=lambda clip: clip.action), phases=True)
        self.actions, action = _actions(self._pieces)
        # A table of pieces and not of windows: there may be millions of these.
        count = torch.tensor([self._reading.last(piece) // self.stride + 1 for piece in self._pieces])
        self._ends: Int[Tensor, " pieces"] = count.cumsum(0)
        self._begins = self._ends - count
        self.clips = list(clips)
        self._kept: tuple[int, Tensor] | None = None
        self._counts: Int[Tensor, " actions"] = torch.bincount(action, weights=count.double()).long()

    def __len__(self) -> int:
        """The number of different windows, virtual cameras and flips apart."""
        return int(self._ends[-1])

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The inputs `(batch, frames, 17, 2)` and targets `(batch, frames, 17, 3)` of a step, 0 or more.

        They depend on the seed and the step alone, so training resumes anywhere, and threads may share this.
        """
        reading, generator = self._reading, _generator(self.seed, step)
        if self.balance == "frames":
            window = torch.randint(len(self), (self.batch_size,), generator=generator)
        elif self.balance == "epochs":
            epoch, place = divmod(step, max(1, len(self) // self.batch_size))
            window = self._order(epoch)[place * self.batch_size :][: self.batch_size]
        else:
            action = torch.randint(len(self.actions), (self.batch_size,), generator=generator)
            within = torch.rand(self.batch_size, generator=generator, dtype=torch.float64)
            first = self._counts.cumsum(0) - self._counts
            window = first[action] + (within * self._counts[action]).long()
        number = torch.searchsorted(self._ends, window, right=True)
        starts = (window - self._begins[number]) * self.stride
        pieces = [self._pieces[index] for index in number.tolist()]
        at = [reading.at(piece, start) for piece, start in zip(pieces, starts.tolist(), strict=True)]
        if not reading.given:
            world = reading.worlds(pieces, at)
            if self.variety is not None:
                world = self.variety.apply(world, _generator(self.seed, step, 3))
            camera = self.rig.sample(generator, *middle_and_reach(world))
        mirrored = torch.rand(len(window), generator=generator) < (0.5 if self.flip else 0)
        # Errors have a generator of their own, so that with and without them the windows are the same.
        seeds = torch.randint(2**31, (len(window),), generator=_generator(self.seed, step, 1))
        if reading.given:
            return reading.of_views(pieces, at, mirrored, seeds)[:2]
        return reading.virtual(world, camera, mirrored, seeds)[:2]

    def _order(self, epoch: int) -> Int[Tensor, " windows"]:
        """The order of an epoch's windows; the last one asked for is kept."""
        kept = self._kept
        if kept is None or kept[0] != epoch:
            order = torch.randperm(len(self), generator=_generator(self.seed, epoch, 2))
            self._kept = kept = epoch, order  # set in one go: threads may share this
        return kept[1]


@dataclass(frozen=True, eq=False)
class EvaluationWindows:
    """Windows to score a model on; n of them.

    Attributes:
        inputs, targets: `(n, frames, 17, 2)`, normalised, and `(n, frames, 17, 3)`, mm as `see` has them, or
            in units of half the image's width for "2.5d".
        scored: `(n, frames)` true where the frame counts: each valid frame of each clip once a view.
        action: `(n,)` index into `actions`, the sorted names.
        clip, start: `(n,)` the window's clip in the list that was given, and at which of its frames, at the
            windows' rate, it starts.
        view, camera: `(n,)` which of the views it is, and through which camera; None where a view has none.
            With views of several sizes the camera's own width and height are the first one's.
        place, frame: `(n, frames)` which of the clip's frames at the windows' rate each is; and which of its
            own frames that is, or comes after.
        size: `(n, 2)` the image's width and height, pixels.
        factor: `(n, frames)` mm per pixel, with "2.5d" alone; NaN where it is not known.
    """

    inputs: Float[Tensor, "n frames 17 2"]
    targets: Float[Tensor, "n frames 17 3"]
    scored: Bool[Tensor, "n frames"]
    action: Int[Tensor, " n"]
    actions: tuple[str, ...]
    clip: Int[Tensor, " n"]
    start: Int[Tensor, " n"]
    view: Int[Tensor, " n"]
    camera: Camera | None
    place: Int[Tensor, "n frames"]
    frame: Int[Tensor, "n frames"]
    size: Int[Tensor, "n 2"]
    factor: Float[Tensor, "n frames"] | None

    def __len__(self) -> int:
        return len(self.inputs)


def evaluation_windows(
    clips: Sequence[Clip],
    frames: int = 27,
    fps: float | None = 60,
    views: int | str = 4,
    seed: int = 0,
    rig: CameraRig | None = None,
    *,
    stride: int | None = None,
    tails: str = "cover",
    short: str = "pad",
    inputs: str = "detected",
    targets: str = "metric",
    noise: DetectorNoise | None = None,
    view: str = "image",
    focal_error: float = 0.0,
    variety: BodyVariety | None = None,
) -> EvaluationWindows:
    """Windows that cover each clip, in each view through a camera of its own; by clip, window, view.

    They follow each other without overlap; a clip's last window is shifted back to end with the clip, and
    only its frames that no earlier window scored count. A shorter clip is padded by repeating its last frame;
    the padding does not count. Cameras depend on the seed, the clip's name, the window's place and the view.

    Args:
        clips: the clips to score on.
        frames, fps: the windows' length, and rate in frames a second; None takes each clip at its own.
        views, seed, rig: how many cameras a window has, their seed, where they stand; "given" for the views
            that the clips come with.
        stride: frames from one window's start to the next; the windows' length where left out.
        tails: "cover" what is over at a clip's end, as above, or "drop" it, as the released evaluation.
        short: "pad" as above, or "resample" a shorter clip as in `WindowSampler`: then all its frames count.
        inputs, targets, noise, view, focal_error, variety: as in `WindowSampler`.

    Raises:
        ValueError: no clips, sizes that are not positive, unknown choices, clips that cannot give what is
            wanted, frames that hold NaN.
    """
    given, stride = views == "given", frames if stride is None else stride
    expect(given or (isinstance(views, Integral) and views >= 1), "views", views, "1 or more, or 'given'")
    expect(tails in ("cover", "drop"), "tails", tails, "'cover' or 'drop'")
    seen = dict(factors=True, view=view, focal_error=focal_error)
    reading = Reading(given, frames, stride, fps, seed, short, inputs, targets, noise, **seen)
    rig, rows = rig or CameraRig(), []
    for piece in reading.pieces(clips, phases=False):
        key, fits, done = zlib.crc32(piece.clip.name.encode("utf-8")), reading.last(piece), 0
        for window, start in enumerate(range(0, fits + (stride if tails == "cover" else 1), stride)):
            start = min(start, fits)
            at, after = reading.at(piece, start), np.arange(start, start + frames)
            scored = (after >= done) & ((after < len(piece)) | (short == "resample"))
            done = start + frames
            if given and piece.view.valid is not None:
                scored &= piece.view.valid[piece.source(at)]
            world = None if given else reading.worlds([piece], [at])
            if variety is not None and not given:
                world = variety.apply(world, _generator(seed, key, window))
            around = () if given else middle_and_reach(world[0])
            for number in (piece.number,) if given else range(views):
                draws = _generator(seed, key, window, number)
                camera = piece.view.camera if given else rig.sample(draws, *around)
                noisy = torch.randint(2**31, (), generator=draws)
                rows.append((piece.index, window, number, start, piece, at, scored, camera, noisy, world))
    rows.sort(key=lambda row: row[:3])
    clip, _, number, start, pieces, at, scored, camera, seeds, world = zip(*rows, strict=True)
    seeds, mirrored = torch.stack(seeds), torch.zeros(len(rows), dtype=torch.bool)
    if given:
        size = [(piece.view.width, piece.view.height) for piece in pieces]
        alike = dict(zip(("width", "height"), size[0], strict=True))
        camera = None if None in camera else Camera.stack([replace(one, **alike) for one in camera])
        camera = camera and camera.to(torch.float32)
        *seen, factor = reading.of_views(pieces, at, mirrored, seeds)
    else:
        size, camera = [(rig.size, rig.size)] * len(pieces), Camera.stack(camera)
        *seen, factor = reading.virtual(torch.cat(world), camera, mirrored, seeds)
    actions, action = _actions(pieces)
    place = [np.arange(len(piece))[where] for piece, where in zip(pieces, at, strict=True)]
    frame = [piece.source(where) for piece, where in zip(pieces, at, strict=True)]
    place, frame, scored = (torch.from_numpy(np.stack(rows)) for rows in (place, frame, scored))
    clip, start, number, size = map(torch.tensor, (clip, start, number, size))
    of = clip, start, number, camera, place, frame, size, factor
    return EvaluationWindows(*seen, scored, action, actions, *of)


def _actions(pieces: Sequence[Piece]) -> tuple[tuple[str, ...], Int[Tensor, " n"]]:
    """The actions' sorted names, and which of them each piece shows."""
    names = tuple(sorted({piece.clip.action for piece in pieces}))
    return names, torch.tensor([names.index(piece.clip.action) for piece in pieces])


def _generator(*key: int) -> torch.Generator:
    """A generator that depends on all the whole numbers of the key."""
    if min(key) < 0:
        raise ValueError(f"a seed or step is {min(key)}, expected 0 or more")
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)
