"""A person whom a detector found in a video, lifted to a body that moves."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Body:
    """One person's lifted motion.

    Attributes:
        track: who it is, as in `keypoints.Person`.
        start: the video's frame that the first of these is.
        fps: frames a second of the video.
        joints: mm in the camera's axes (x right, y down, z forward), relative to the root.
        keypoints: pixels, as detected; gaps are interpolated.
        confidence: the detector's; 0 where it was interpolated.
        size: the image's width and height, pixels.
        focal: focal length, pixels.
        focal_known: whether it was given; else it is a guess.
        root: where the root is in the camera's frame, mm: an estimate; None where it was not asked for.
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

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def placed(self) -> Float[np.ndarray, "frames 17 3"]:
        """The joints in the camera's frame, mm; relative to the root where its place is not known."""
        return self.joints if self.root is None else self.joints + self.root[:, None]
