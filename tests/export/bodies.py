"""Bodies to write: a man who raises his right hand and turns around once, and a woman who enters late."""

import numpy as np

from posemamba.lifting import Body
from posemamba.skeleton import PARENTS

# Camera axes (x right, y down, z forward), mm. He faces the camera, so his right side is at negative x; his
# right hand is above his head, his left one before his belly.
STANDING = np.array(
    [
        *(
            (0, 0, 0),
            (-130, 0, 0),
            (-150, 430, -30),
            (-160, 860, 20),
            (130, 0, 0),
            (150, 430, -20),
            (160, 860, 30),
        ),
        *((0, -230, 10), (0, -470, 20), (0, -580, -80), (0, -700, 0), (170, -450, 30), (220, -180, 60)),
        *((80, -60, -120), (-170, -460, 10), (-330, -600, -90), (-280, -860, -140)),
    ],
    dtype=float,
)


def moving(frames: int, seed: int = 0, turns: float = 1.0, noise: float = 0.02) -> np.ndarray:
    """The standing pose waves and turns around, `(frames, 17, 3)`; noise changes its bones' lengths."""
    time = np.linspace(0, 1, frames)[:, None, None]
    joints = np.repeat(STANDING[None], frames, axis=0)
    joints[:, 16, 0] += 200 * np.sin(6 * np.pi * time[:, 0, 0])
    joints[:, [2, 3], 2] += 300 * np.sin(4 * np.pi * time[:, 0])
    joints *= 1 + noise * np.random.default_rng(seed).standard_normal(joints.shape)
    cos, sin = np.cos(2 * np.pi * turns * time), np.sin(2 * np.pi * turns * time)
    x, y, z = np.split(joints - joints[:, :1], 3, axis=-1)
    return np.concatenate([cos * x + sin * z, y, cos * z - sin * x], axis=-1)


def person(track: int, start: int, frames: int, root=None, at=(320, 240), **changes) -> Body:
    joints = moving(frames, track)
    confidence = np.full((frames, 17), 0.9)
    confidence[frames // 2, 3] = 0
    values = dict(joints=joints, keypoints=joints[..., :2] * 0.2 + at, confidence=confidence, root=root)
    return Body(track, start, **(dict(fps=30.0, size=(640, 480), focal=600.0) | values | changes))


def man() -> Body:
    return person(7, 0, 60)


def people() -> list[Body]:
    """He; she, who enters at frame 20 to his left in the image; and he again after a gap."""
    return [man(), person(2, 20, 30, at=(150, 240)), person(7, 75, 10)]


def placed() -> list[Body]:
    """The same two where the camera sees them, 4 m away and moving."""
    path = np.stack([np.linspace(-500, 500, 60), np.full(60, 200.0), np.full(60, 4000.0)], axis=-1)
    return [person(7, 0, 60, path), person(2, 20, 30, path[:30] + np.array([1200, 0, 500]))]


def constant(joints: np.ndarray) -> np.ndarray:
    """A pose with each bone's mean length and its own direction, y up, hips at the origin."""
    joints = joints * (1, -1, -1)
    found = np.zeros_like(joints)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            bone = joints[:, joint] - joints[:, parent]
            length = np.linalg.norm(bone, axis=-1, keepdims=True)
            found[:, joint] = found[:, parent] + bone / length * length.mean()
    return found
