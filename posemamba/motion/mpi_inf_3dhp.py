"""MPI-INF-3DHP (Mehta et al., 2017): its 17 joints' order, the way to Human3.6M's and back, image sizes.

Motion files hold this set in Human3.6M's order. Its protocol scores joints in the set's own, relative to the
pelvis (`ROOT`): `from_h36m(view.targets["univ_annot3"])` is what the set's files hold.
"""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from posemamba.skeleton import check_joints

# What the set calls its "relevant" joints, in its order.
JOINT_NAMES = (
    *("head_top", "neck"),
    *("right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("pelvis", "spine", "head"),
)
#: The pelvis's place in it.
ROOT = JOINT_NAMES.index("pelvis")  # 14

# Place by place, the set's joint that stands there in Human3.6M's order: its neck where that has the thorax,
# its head (the middle of the face) where that has the nose, the top of the head as the head.
TO_H36M = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
FROM_H36M = tuple(TO_H36M.index(joint) for joint in range(len(JOINT_NAMES)))


def to_h36m(points: Float[Tensor, "*b 17 dims"] | np.ndarray):
    """Poses `(..., 17, d)`, d = 2 or 3, tensors or arrays, from the set's order to Human3.6M's."""
    check_joints(points, "points")
    return points[..., list(TO_H36M), :]


def from_h36m(points: Float[Tensor, "*b 17 dims"] | np.ndarray):
    """The inverse of `to_h36m`."""
    check_joints(points, "points")
    return points[..., list(FROM_H36M), :]


def image_size(subject: str) -> tuple[int, int]:
    """Width and height of a subject's images, pixels: S1 to S8 in training, TS1 to TS6 in the test set."""
    return (1920, 1080) if subject in ("TS5", "TS6") else (2048, 2048)
