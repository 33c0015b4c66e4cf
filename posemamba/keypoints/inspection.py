"""What 2D keypoints betray about their units, their axes and the order of their joints."""

from functools import partial

import numpy as np
from jaxtyping import Float

from posemamba.motion.inspection import Finding
from posemamba.skeleton import check_joints

_SPAN = "expected the image's width to span [-1, 1]: camera.normalise_screen turns pixels into that"
_ORDER = "expected Human3.6M's order, skeleton.JOINT_NAMES"
_length = partial(np.linalg.norm, axis=-1)


def inspect(points: Float[np.ndarray, "frames 17 2"]) -> list[Finding]:
    """Looks whether the 2D keypoints of one person are what a lifting network reads.

    That is: the image's width spans [-1, 1], y grows downwards, the joints are in Human3.6M's order. Left and
    right exchanged in the whole body cannot be seen: so looks a body from behind. There is at most one
    finding on the units and one on the joints.

    Raises:
        ValueError: another shape, no frames, NaN or infinity.
    """
    points = np.asarray(points, dtype=float)
    check_joints(points, "points", dims=(2,))
    if points.ndim != 3 or not len(points) or not np.isfinite(points).all():
        raise ValueError(f"points of shape {points.shape}: expected finite (frames, 17, 2), not empty")
    return [finding for finding in (_units(points), _joints(points)) if finding is not None]


def _units(points: np.ndarray) -> Finding | None:
    # The median: a person who walks past the camera leaves the image far behind.
    if np.median(np.abs(points)) > 10:
        return Finding(f"keypoints reach {np.abs(points).max():.0f} as pixels do, {_SPAN}", True)
    if ((points >= 0) & (points <= 1)).mean() >= 0.98:
        doubt = "either they are fractions of the image, or the person stays in its lower right quarter"
        how = "and fractions times the image's width and height are pixels"
        return Finding(f"keypoints lie between 0 and 1: {doubt}; {_SPAN}, {how}", False)


def _joints(points: np.ndarray) -> Finding | None:
    # Lengths are in sizes of the body. tests/keypoints/test_inspection.py measures what the limits catch.
    size = np.median(_spread(points))
    if not size > 0:
        return Finding("all joints lie in one point in most frames, expected a person", True)
    joint = points.swapaxes(0, 1) / size
    hips, shoulders = joint[4] - joint[1], joint[11] - joint[14]
    # From every side the pelvis is between the hips, the thorax nearly between the shoulders, and the spine
    # in the trunk, which may bend.
    pelvis, thorax = joint[0] - (joint[1] + joint[4]) / 2, joint[8] - (joint[11] + joint[14]) / 2
    spine = (joint[7] - (joint[0] + joint[8]) / 2) / 2
    if np.median(_length(np.concatenate([pelvis, thorax, spine], axis=-1))) > 0.6:
        if np.median(_spread(points[:, :5])) < 0.2 * size:
            return Finding(f"joints 0 to 4 lie together as COCO's nose, eyes and ears do, {_ORDER}", True)
        loose = "the pelvis does not lie between the hips, or the thorax not between the shoulders"
        return Finding(f"{loose}, as if the joints were in another order; {_ORDER}", False)
    along = (hips * shoulders).sum()
    if along < -0.5 * (_length(hips) * _length(shoulders)).sum() and along < -0.05 * len(points):
        against = "the shoulders run against the hips, as if left and right were exchanged in arms or legs"
        return Finding(f"{against}; {_ORDER}", False)
    below = np.mean(joint[10, :, 1] - (joint[3] + joint[6])[:, 1] / 2 > 1.8)
    if below > 0.9:
        seen = f"the head lies far below the feet in {below:.0%} of the frames"
        doubt = "either y points upwards, or the person is head down"
        return Finding(f"{seen}: {doubt}; expected y downwards as in an image", False)


def _spread(joints: Float[np.ndarray, "frames joints 2"]) -> Float[np.ndarray, " frames"]:
    """How large the joints are together: the root mean square distance from their middle."""
    return np.sqrt(joints.var(1).sum(-1))
