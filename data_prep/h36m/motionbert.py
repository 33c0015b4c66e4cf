"""MotionBERT's pickle of Human3.6M: one row a frame, the views of a take one after another."""

import re
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from data_prep.h36m.cameras import EXACT, NAMES, read_cameras, triangulate
from data_prep.h36m.facts import SPLITS, SUBJECTS, Take, camera_of, make_clip, title
from data_prep.parts import Source
from posemamba.motion import Clip
from posemamba.motion.targets import to_image
from posemamba.storage.pickles import read_pickle

# What a frame has: numbers by their shape, and text.
FIELDS = {"source": None, "camera_name": None, "action": None, "joint_2d": (17, 2), "confidence": (17,)}
FIELDS |= {"joint3d_image": (17, 3), "2.5d_factor": (), "joints_2.5d_image": (17, 3)}
OPTIONAL = {"action", "confidence", "2.5d_factor", "joints_2.5d_image"}


class MotionBert:
    """The clips of the pickle, which is read when the first is asked for."""

    def __init__(self, path: Path, cameras: Path | None):
        self.path, self.cameras = path, read_cameras(cameras) if cameras else None
        self.short, self.off, self.depth = 0, 0.0, 0.0
        self.factors = {"fitted": 0.0, "box": 0.0}

    def __call__(self, source: Source) -> list[Clip]:
        """The clips of a subject."""
        return [self.clip(take, self.runs[take]) for take in sorted(self.runs) if take[0] == source.key]

    @cached_property
    def splits(self) -> dict[str, dict[str, np.ndarray]]:
        """The arrays of each split, of types and shapes that fit."""
        found = read_pickle(self.path)
        if not isinstance(found, dict) or not all(isinstance(found.get(split), dict) for split in SPLITS):
            keys = isinstance(found, dict) and f"a dict of {', '.join(map(repr, found))[:60] or 'nothing'}"
            wanted = "a dict with a dict 'train' and a dict 'test'"
            raise ValueError(f"{self.path} holds {keys or type(found).__name__}, expected {wanted}")
        return {split: dict(self.checked(split, found[split])) for split in SPLITS}

    def checked(self, split: str, part: dict) -> Iterator[tuple[str, np.ndarray]]:
        frames = None
        for key, end in FIELDS.items():
            array, where = part.get(key), f"{self.path} has in {split!r} as {key!r}"
            if array is None and key in OPTIONAL:
                continue
            if isinstance(array, list) and end is None and all(type(item) is str for item in array):
                array = np.array(array, dtype=str)
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            if not isinstance(array, np.ndarray) or array.dtype.kind not in ("SUO" if end is None else "f"):
                found = "nothing" if array is None else kind
                raise ValueError(
                    f"{where} {found}, expected {'text' if end is None else 'floats'} for each frame"
                )
            if end is None:
                array = array.astype(str)
            elif key == "confidence" and array.shape[2:] == (1,):
                array = array[..., 0]
            frames = len(array) if frames is None and array.ndim else frames
            if array.shape != (frames, *(end or ())):
                raise ValueError(f"{where} shape {array.shape}, expected {(frames, *(end or ()))}")
            yield key, array

    @cached_property
    def runs(self) -> dict[Take, dict[str, slice]]:
        """The frames of each take in each camera; a run ends where the source changes."""
        runs: dict[Take, dict[str, slice]] = {}
        for split, part in self.splits.items():
            sources = part["source"]
            edges = np.flatnonzero(sources[1:] != sources[:-1]) + 1
            for first, last in pairwise([0, *edges.tolist(), len(sources)] if len(sources) else []):
                source, where = str(sources[first]), f"{self.path} has in {split!r}, frame {first}, source"
                numbers = re.fullmatch(r"s_(\d+)_act_(\d+)_subact_(\d+)_ca_(\d+)", source)
                subject, action, take, camera = map(int, numbers.groups()) if numbers else (0, 0, 0, 0)
                if not (2 <= action <= 16 and 1 <= take <= 2 and 1 <= camera <= 4):
                    raise ValueError(
                        f"{where} {source[:60]!r}, expected such as 's_09_act_05_subact_02_ca_01'"
                    )
                if SUBJECTS.get(f"S{subject}") != split:
                    wanted = ", ".join(name for name, other in SUBJECTS.items() if other == split)
                    raise ValueError(f"{where} {source!r}, expected subjects {wanted} in this split")
                views, name = runs.setdefault((f"S{subject}", action, take), {}), NAMES[camera - 1]
                if name in views:
                    raise ValueError(f"{where} {source!r} once more, expected its frames in one run")
                views[name] = slice(first, last)
                for field, wanted in (("camera_name", name), ("action", None)):
                    given = set(part[field][first:last].tolist()) if field in part else {wanted}
                    if len(given) > 1 or (wanted and given != {wanted}):
                        found = ", ".join(sorted(given))[:60]
                        wanted = wanted or "one for all its frames"
                        raise ValueError(f"{where} {source!r} with {field} {found}, expected {wanted}")
        return runs

    def clip(self, take: Take, runs: dict[str, slice]) -> Clip:
        part = self.splits[SUBJECTS[take[0]]]
        lengths = {name: run.stop - run.start for name, run in runs.items()}
        frames, views = max(lengths.values()), []
        for name in (name for name in NAMES if name in runs):
            camera = self.cameras and camera_of(self.cameras, take[0], name)
            view, missing = {"name": name, "camera": camera}, frames - lengths[name]
            for key in (key for key, end in FIELDS.items() if key in part and end is not None):
                found = part[key][runs[name]]
                # A view that ends before the others stays as it ended; these frames do not count.
                view[key] = np.concatenate([found, np.repeat(found[-1:], missing, axis=0)])
            if missing:
                view["valid"], self.short = np.arange(frames) < lengths[name], self.short + 1
            views.append(view)
        exact = self.cameras and len(views) > 1 and len(set(lengths.values())) == 1
        return make_clip(self.path, take, self.world(take, views) if exact else None, views)

    def world(self, take: Take, views: list[dict]) -> np.ndarray:
        """The joints that all views agree on. Notes how near the file is to what our targets make of them."""
        images = np.stack([view["joint3d_image"] for view in views]).astype(np.float64)
        world, off = triangulate([view["camera"] for view in views], images[..., :2])
        if not off < EXACT:
            found = f"joint3d_image of {title(take)} {off:.3g} pixels from where these cameras could agree"
            raise ValueError(f"{self.path} has {found}, expected at most {EXACT}; are they its cameras?")
        self.off = max(self.off, off)
        for view, image in zip(views, images, strict=True):
            points = view["camera"].world_to_camera(torch.as_tensor(world))
            for scale in self.factors:
                ours, factor = (part.numpy() for part in to_image(points, view["camera"], scale))
                self.depth = max(self.depth, float(np.abs(ours - image)[..., 2].max()))
                if "2.5d_factor" in view:
                    gap = float(np.abs(view["2.5d_factor"] / factor - 1).max())
                    self.factors[scale] = max(self.factors[scale], gap)
        return world

    def notes(self) -> Iterator[str]:
        """What was found, a sentence each."""
        if self.short:
            yield f"{self.short} views end before others of their clip: their last frame goes on, not valid"
        if self.off:
            yield f"world joints were found from the views, which agree to {self.off:.2g} pixels"
            yield f"the z of joint3d_image is that of posemamba.motion.targets to {self.depth:.2g} pixels"
        if any(self.factors.values()):
            gaps = ", ".join(f"{gap:.2g} by scale={scale!r}" for scale, gap in self.factors.items())
            yield f"2.5d_factor is that of posemamba.motion.targets to within a part of {gaps}"
