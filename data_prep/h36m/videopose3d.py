"""VideoPose3D's pair of files of Human3.6M: joints in the world, and their pixels in the four cameras."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from data_prep.h36m.cameras import EXACT, NAMES, Key, fit_cameras, read_cameras
from data_prep.h36m.facts import ACTIONS, SPELT, SUBJECTS, TAKES, Take, camera_of, make_clip, title
from data_prep.parts import Source
from posemamba.camera import Camera
from posemamba.motion import Clip
from posemamba.motion.targets import to_image, to_millimetres
from posemamba.storage import read_arrays
from posemamba.storage.kinds import existing_file, kind_of
from posemamba.storage.pickles import read_plain

# The 17 of the 32 joints: the others do not move, or mark hands and feet.
OF_32 = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
SIDES = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
FAR = 50.0  # pixels: a view whose detections are as far from the joints, in the median, is not theirs
SAMPLE = 40  # frames of a subject that cameras are found from


class VideoPose3D:
    """The clips of the pair, which is read when the first is asked for."""

    def __init__(self, joints: Path, pixels: Path, cameras: Path | None):
        self.joints, self.pixels, self.given = joints, pixels, cameras
        self.fit, self.away = None, []

    def __call__(self, source: Source) -> list[Clip]:
        """The clips of a subject."""
        return [self.clip(take) for take in sorted(self.world) if take[0] == source.key]

    @cached_property
    def world(self) -> dict[Take, np.ndarray]:
        """The 17 joints of each take, `(frames, 17, 3)` mm, float64."""
        world = {}
        for take, where, array in _takes(self.joints, "positions_3d"):
            _check(where, array, (32, 3))
            if not np.abs(array).max() < 20:
                raise ValueError(f"{where} joints {np.abs(array).max():.4g} from the origin, expected metres")
            world[take] = array[:, OF_32].astype(np.float64) * 1000
        return world

    @cached_property
    def keypoints(self) -> dict[Take, list[np.ndarray]]:
        return self.seen(self.pixels)

    def seen(self, path: Path) -> dict[Take, list[np.ndarray]]:
        """The pixels of each take in the four cameras, cut to the joints' frames as VideoPose3D does."""
        seen = {}
        for take, where, views in _takes(path, "positions_2d"):
            if take not in self.world:
                continue
            if not isinstance(views, list | tuple | np.ndarray) or len(views) != len(NAMES):
                found = f"{len(views)} views" if hasattr(views, "__len__") else type(views).__name__
                raise ValueError(f"{where} {found}, expected {len(NAMES)}")
            frames = len(self.world[take])
            for name, view in zip(NAMES, views, strict=True):
                _check(f"{where} in camera {name}", view, (17, 2))
                if len(view) < frames:
                    raise ValueError(
                        f"{where} {len(view)} frames in camera {name}, expected {frames} or more"
                    )
            seen[take] = [view[:frames] for view in views]
        missing = next((take for take in self.world if take not in seen), None)
        if missing:
            raise ValueError(f"{path} lacks {title(missing)}, which {self.joints.name} has")
        return seen

    @cached_property
    def cameras(self) -> dict[Key, Camera]:
        """The cameras: read, or found from exact pixels."""
        exact = self.given or self.pixels
        with open(existing_file(exact), "rb") as file:
            if kind_of(file.read(512)) != "a zip archive":
                return read_cameras(exact)
        seen, pairs = self.seen(exact) if self.given else self.keypoints, {}
        for subject in dict.fromkeys(take[0] for take in self.world):
            takes = [take for take in self.world if take[0] == subject]
            each = 2 + SAMPLE // len(takes)
            rows = {take: np.linspace(0, len(self.world[take]) - 1, each).astype(int) for take in takes}
            points = np.concatenate([self.world[take][rows[take]] for take in takes]).reshape(-1, 3)
            for at, name in enumerate(NAMES):
                pixels = np.concatenate([seen[take][at][rows[take]] for take in takes]).reshape(-1, 2)
                pairs[subject, name] = points, pixels
        cameras, self.fit = fit_cameras(pairs)
        if not self.fit < EXACT:
            found = (
                f"2D up to {self.fit:.3g} pixels from how any camera sees the joints of {self.joints.name}"
            )
            advice = "give --cameras the set's metadata.xml, a JSON of them, or data_2d_h36m_gt.npz"
            raise ValueError(
                f"{exact} has {found}, expected at most {EXACT} to find the cameras from; {advice}"
            )
        return cameras

    def clip(self, take: Take) -> Clip:
        world, views = self.world[take], []
        for name, pixels in zip(NAMES, self.keypoints[take], strict=True):
            camera = camera_of(self.cameras, take[0], name)
            points = camera.world_to_camera(torch.as_tensor(world))
            off = np.linalg.norm(camera.project(points).numpy() - pixels, axis=-1)
            middle, exact = float(np.median(off)), self.fit is not None and self.given is None
            if not (off.max() < EXACT if exact else middle < FAR):
                found, wanted = (
                    (off.max(), f"at most {EXACT}") if exact else (middle, f"a median under {FAR:g}")
                )
                where = f"{title(take)} {found:.3g} pixels from its joints as camera {name} sees them"
                raise ValueError(f"{self.pixels} has {where}, expected {wanted}")
            self.away.append(middle)
            image, factor = (part.numpy() for part in to_image(points, camera))
            view = {"name": name, "camera": camera, "joint_2d": pixels, "joint3d_image": image}
            if SUBJECTS[take[0]] == "test":
                view |= {"2.5d_factor": factor, "joints_2.5d_image": to_millimetres(image, factor)}
            views.append(view)
        return make_clip(self.pixels, take, world, views)

    def notes(self) -> Iterator[str]:
        """What was found, a sentence each."""
        if self.fit is not None:
            source = (self.given or self.pixels).name
            yield f"the cameras were found from {source}: the worst pixel of those used is {self.fit:.2g} off"
        if self.away:
            yield f"keypoints lie {np.median(self.away):.2g} pixels from the projected joints, in the median"


def _takes(path: Path, key: str) -> Iterator[tuple[Take, str, object]]:
    """The takes of one of the files, each with the start of a sentence about it."""
    arrays = read_arrays(path, read_plain)
    found = arrays[key].item() if key in arrays and arrays[key].shape == () else None
    if not isinstance(found, dict) or not all(isinstance(actions, dict) for actions in found.values()):
        what = f"{key} of another kind" if key in arrays else f"arrays {', '.join(arrays)[:60] or 'none'}"
        raise ValueError(f"{path} holds {what}, expected {key}: {{subject: {{action: ...}}}}")
    about = arrays["metadata"].item() if "metadata" in arrays and arrays["metadata"].shape == () else None
    sides = about.get("keypoints_symmetry", SIDES) if isinstance(about, dict) else SIDES
    if key == "positions_2d" and str([list(side) for side in sides]) != str(SIDES):
        raise ValueError(f"{path} has left and right joints {sides!s:.60}, expected those of Human3.6M's 17")
    for subject, actions in found.items():
        for action, array in actions.items():
            where = f"{path} has in {key}, {subject!s:.20}, {action!s:.40},"
            name, _, number = str(action).partition(" ")
            name = SPELT.get(name, name)
            takes = TAKES.get((str(subject), name), ["1", ""])
            if subject not in SUBJECTS or name not in ACTIONS or number not in takes:
                wanted = f"a take of {', '.join(SUBJECTS)} by the name that the set gives it"
                raise ValueError(f"{where} expected {wanted}")
            yield (subject, ACTIONS.index(name) + 2, takes.index(number) + 1), where, array


def _check(where: str, array, end: tuple[int, ...]) -> None:
    good = isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.shape[1:] == end
    if not good or not len(array):
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{where} {found}, expected floats of shape (frames, {', '.join(map(str, end))})")
    finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if not finite.all():
        raise ValueError(f"{where} NaN or infinity in frame {finite.argmin()}, expected finite numbers")
