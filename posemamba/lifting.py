"""From a person that a detector found to a body in millimetres: any frame rate, image and camera.

A network knows the frame rates of the motion it was trained on. Keypoints are brought to one and the answers
back. Where a detector exchanged left and right, that is undone. What the network sees is `model.config.view`:
the whole image, or the person alone. On request bones are held constant, a filter smooths, and the root is
placed in front of the camera.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf, log

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from posemamba.camera import normalise_screen
from posemamba.inference import Progress, View, blend_windows
from posemamba.keypoints import Person
from posemamba.keypoints.sides import put_right
from posemamba.skeleton import BONES, FLIP_ORDER, bone_lengths
from posemamba.smoothing import FILTERS, savgol

#: The focal length that is guessed where none is known, in lengths of the image's longer side. Phones have
#: 0.7 to 0.9, the cameras of Human3.6M 1.15. With the guess the field of view is 53 degrees.
GUESSED_FOCAL = 1.0
# Rates that differ by less than this share are one, such as 59.94 and 60.
_SAME_RATE = 0.01
# What a joint that was not found, and so was interpolated, counts in placing the root.
_LEAST = 0.05


@dataclass(frozen=True, eq=False)
class Body:
    """One person's lifted motion.

    Attributes:
        track: who it is, `keypoints.Person`'s.
        start: the video's frame that the first of these is.
        fps: of the video.
        joints: relative to the root, mm, in the camera's axes: x right, y down, z forward.
        keypoints: pixels, as detected, with gaps interpolated and the sides put right.
        confidence: the detector's; 0 where it found nothing.
        size: the image's width and height, pixels.
        focal: the camera's focal length, pixels.
        focal_known: whether it was given; else it is a guess.
        root: where the root is in the camera's frame, mm: an estimate; None where it was not asked for.
        exchanged: in how many frames the detector had left and right exchanged, by `keypoints.sides`.
    """

    track: int
    start: int
    fps: float
    joints: Float[np.ndarray, "frames 17 3"] = field(repr=False)
    keypoints: Float[np.ndarray, "frames 17 2"] = field(repr=False)
    confidence: Float[np.ndarray, "frames 17"] = field(repr=False)
    size: tuple[int, int]
    focal: float
    focal_known: bool = False
    root: Float[np.ndarray, "frames 3"] | None = field(default=None, repr=False)
    exchanged: int = 0

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def placed(self) -> Float[np.ndarray, "frames 17 3"]:
        """The joints in the camera's frame, mm; relative to the root where that was not placed."""
        return self.joints if self.root is None else self.joints + self.root[:, None]


def lift_person(
    model: nn.Module,
    person: Person,
    fps: float,
    focal: float | None = None,
    flip: bool = True,
    smooth: str = "none",
    rigid: bool = False,
    place: bool = False,
    sides: bool = True,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Body:
    """Lifts one person.

    Args:
        model: as in `inference.predict_windows`, its outputs in a known unit.
        person: what `keypoints.read` found.
        fps: frames a second of the video.
        focal: the camera's focal length, pixels; by default `GUESSED_FOCAL` of the image's longer side.
        flip, batch_size, progress: as in `inference.predict_windows`.
        smooth: a filter of `smoothing.FILTERS`, for the joints and the root.
        rigid: whether each bone is held at its median length, left and right at their mean.
        place: whether the root is placed in the camera's frame, as `place_root` does.
        sides: whether left and right are changed back where the detector exchanged them, as
            `keypoints.sides.put_right` does.

    Raises:
        ValueError: a network whose unit is not known, a rate, a focal length or a filter that cannot be.
    """
    size = person.width, person.height
    known, focal = focal is not None, GUESSED_FOCAL * max(size) if focal is None else focal
    if getattr(model.config, "millimetres_per_unit", None) is None:
        unit = "whose outputs have no known unit (config.millimetres_per_unit is None)"
        raise ValueError(f"this is a network {unit}, expected one that answers in mm")
    for name, value, unit in (("fps", fps, "frames a second"), ("focal", focal, "pixels")):
        if not 0 < value < inf:
            raise ValueError(f"{name} is {value}, expected a positive number of {unit}")
    if smooth not in FILTERS:
        raise ValueError(f"smooth is {smooth!r}, expected one of {', '.join(FILTERS)}")
    pixels, confidence, found = person.keypoints, person.confidence, np.zeros(0)
    if sides:
        pixels, confidence, found = put_right(pixels, confidence, fps)
    ratio = fps / trained_fps(model, fps)
    ratio = 1.0 if abs(ratio - 1) < _SAME_RATE else ratio
    last = len(person) - 1
    # When the network's frames are, in the video's; the last may follow sooner, so as not to lie beyond.
    at = np.minimum(np.arange(np.ceil(last / ratio - 1e-6) + 1) * ratio, last)
    points = torch.tensor(pixels if ratio == 1 else resample(pixels, at))
    view = view_of(model, size, focal)
    rules = dict(flip=flip, batch_size=batch_size, progress=progress)
    joints = blend_windows(model, points, view, **rules).numpy()
    if ratio != 1:
        joints = resample(joints, np.interp(np.arange(last + 1), at, np.arange(len(at))))
    joints = joints - joints[:, :1]
    joints = FILTERS[smooth](joints, fps)
    joints = hold_bones(joints) if rigid else joints
    root = None
    if place:
        root = place_root(joints, pixels, confidence, size, focal, fps)
        root = FILTERS[smooth](root, fps)
    seen = pixels, confidence, size, float(focal), known
    return Body(person.track, person.start, float(fps), joints, *seen, root, int(found.sum()))


def trained_fps(model: nn.Module, near: float | None = None) -> float:
    """Frames a second of the motion that a network was trained on: what its folder says, else 60.

    Args:
        near: of several rates (`rates` beside `fps` in its training's settings) the nearest to this one; by
            default the main one, `fps`.
    """
    found = getattr(model, "about", None)
    for key in ("training", "data"):
        found = found.get(key) if isinstance(found, dict) else None
    found = found if isinstance(found, dict) else {}
    rates = [found.get("fps"), *(found.get("rates") or ())]
    rates = [float(rate) for rate in rates if isinstance(rate, int | float) and 0 < rate < inf] or [60.0]
    return rates[0] if near is None else min(rates, key=lambda rate: abs(log(rate / near)))


def view_of(model: nn.Module, size: tuple[int, int], focal: float) -> View:
    """What a network wants to see of windows of pixels, and the way back to the camera's axes.

    ValueError for a `model.config.view` other than "image" (its width spans [-1, 1], as in the paper) and
    "person" (`crops.person_view`).
    """
    kind = getattr(model.config, "view", "image")
    if kind == "image":
        return lambda pixels: (normalise_screen(pixels, *size), lambda joints: joints)
    if kind != "person":
        raise ValueError(f"the network's view is {kind!r}, expected 'image' or 'person'")
    from posemamba.crops import person_view

    def turned(pixels: torch.Tensor) -> tuple[torch.Tensor, Callable]:
        seen = person_view(pixels, focal, (size[0] / 2, size[1] / 2))
        return seen.inputs, seen.turn_back

    return turned


def resample(values: Float[np.ndarray, "frames joints dims"], at: Float[np.ndarray, " moments"]):
    """Values between frames, by straight lines through them; their type is kept.

    Cubics follow a motion as exactly at these rates (within 0.05 mm of the lifted joints), and noise more.

    Args:
        at: the moments in frames, from 0 to the last frame.
    """
    first = np.clip(at.astype(int), 0, max(len(values) - 2, 0))
    share = (at - first)[:, None, None].astype(values.dtype)
    return values[first] * (1 - share) + values[np.minimum(first + 1, len(values) - 1)] * share


def hold_bones(joints: Float[np.ndarray, "frames 17 3"]) -> Float[np.ndarray, "frames 17 3"]:
    """Bones of constant length in the directions that they have, hung from the root.

    Each gets its median length; of left and right the mean.
    """
    lengths = np.median(bone_lengths(joints), axis=0)
    lengths = (lengths + lengths[np.array(FLIP_ORDER)[1:] - 1]) / 2  # bone i ends in joint i + 1
    held = joints.copy()
    for (parent, child), length in zip(BONES, lengths, strict=True):
        way = joints[:, child] - joints[:, parent]
        far = np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-6)
        held[:, child] = held[:, parent] + way * (length / far)
    return held


def place_root(
    joints: Float[np.ndarray, "frames 17 3"],
    keypoints: Float[np.ndarray, "frames 17 2"],
    confidence: Float[np.ndarray, "frames 17"],
    size: tuple[int, int],
    focal: float,
    fps: float,
    seconds: float = 0.4,
) -> Float[np.ndarray, "frames 3"]:
    """Where the root is in the camera's frame, mm: an estimate by the camera equation.

    A joint (X, Y, Z) from the root (x, y, z) has its image at u = (X + x) / (Z + z) from the principal point,
    the image's middle, in focal lengths. So x - u z = u Z - X, and likewise below: two linear equations a
    joint for three unknowns, solved by least squares with the confidences as weights. The depth z is what
    noise moves most: it is smoothed by parabolas, `smoothing.savgol`, and x and y are solved for it.

    Args:
        joints: relative to the root, mm.
        keypoints: pixels, without distortion.
        focal: pixels. Depths are proportional to it, and as wrong as it is.
        seconds: how many of them a parabola is fitted to.
    """
    weights = np.maximum(confidence, _LEAST)[..., None]
    weights = weights / weights.sum(1, keepdims=True)
    rays = (keypoints - np.array(size) / 2) / focal
    right = rays * joints[..., 2:] - joints[..., :2]  # what x - u z and y - v z should be
    ray, least = (weights * rays).sum(1), (weights * right).sum(1)
    spread = (weights * (rays - ray[:, None]) ** 2).sum((1, 2))
    depth = -(weights * (rays - ray[:, None]) * right).sum((1, 2)) / np.maximum(spread, 1e-12)
    # A body whose answer does not fit its image at all may come out behind the camera: then its size decides.
    flat = joints[..., :2] - (weights * joints[..., :2]).sum(1, keepdims=True)
    apart = np.sqrt((weights * flat**2).sum((1, 2)) / np.maximum(spread, 1e-12))
    depth = np.where(depth > -joints[..., 2].min(1), depth, apart)
    depth = savgol(depth, fps, seconds, order=2)
    return np.concatenate([least + ray * depth[:, None], depth[:, None]], axis=-1).astype(joints.dtype)
