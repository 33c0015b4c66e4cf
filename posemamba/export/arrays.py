"""Numbers, for those who analyse: one .npz of arrays, and one tidy CSV."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posemamba import storage
from posemamba.export.scene import checked
from posemamba.lifting import Body
from posemamba.skeleton import JOINT_NAMES, PARENTS

_ABOUT = (
    "joints: mm, relative to the root (pelvis), in the camera's axes: x right, y down, z forward",
    "root: mm, the pelvis in the camera's frame, an estimate; NaN where it was not asked for",
    "keypoints: pixels, x right and y down from the image's upper left corner",
    "confidence: the detector's; 0 where a joint was interpolated",
    "person: each row's index into track, start, frames, focal, focal_known",
    "frame, time: of the video, from 0; seconds",
    "focal: pixels; a guess where focal_known is false",
    "fps, size: frames a second; the image's width and height, pixels",
)
_AXES = ("x_right_mm", "y_down_mm", "z_forward_mm")
_CHUNK = 1000  # frames of the CSV at once


def write_npz(bodies: Sequence[Body], path: str | Path) -> None:
    """Writes all bodies as one .npz: a row for each person and frame, and who the people are.

    Rows have joints `(n, 17, 3)`, keypoints `(n, 17, 2)`, confidence `(n, 17)`, root `(n, 3)`, person, frame
    and time `(n,)`; people have track, start, frames, focal, focal_known; the video has fps and size. With
    them are joint_names, parents, and `about`: text that gives units and axes.

    Args:
        path: the file; its folder must exist.

    Raises:
        ValueError: as `scene.checked`.
    """
    bodies = checked(bodies)
    frames = np.array([len(body) for body in bodies])
    roots = [np.full((len(b), 3), np.nan) if b.root is None else b.root for b in bodies]
    arrays = {k: [getattr(body, k) for body in bodies] for k in ("joints", "keypoints", "confidence")}
    arrays = {k: np.concatenate(each).astype(np.float32) for k, each in (arrays | {"root": roots}).items()}
    frame = np.concatenate([body.start + np.arange(len(body)) for body in bodies])
    arrays |= dict(person=np.repeat(np.arange(len(bodies)), frames), frame=frame, time=frame / bodies[0].fps)
    arrays |= {
        k: np.array([getattr(b, k) for b in bodies]) for k in ("track", "start", "focal", "focal_known")
    }
    arrays |= dict(frames=frames, fps=np.array(bodies[0].fps), size=np.array(bodies[0].size))
    arrays |= dict(joint_names=np.array(JOINT_NAMES), parents=np.array(PARENTS), about=np.array(_ABOUT))
    with storage.atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def write_csv(bodies: Sequence[Body], path: str | Path) -> None:
    """Writes all bodies as one tidy CSV: a row for each person, frame and joint.

    The columns, which name units and axes, are track, frame, time_s, joint, x_right_mm, y_down_mm,
    z_forward_mm (relative to the root, in the camera's axes), confidence, keypoint_x_px, keypoint_y_px; and,
    where a body is placed, root_x_right_mm, root_y_down_mm, root_z_forward_mm, empty for one that is not.

    Args:
        path: the file; its folder must exist.

    Raises:
        ValueError: as `scene.checked`.
    """
    bodies, line = checked(bodies), "{},{},{:.4f},{},{:.2f},{:.2f},{:.2f},{:.3f},{:.2f},{:.2f}{}\n"
    placed = any(body.root is not None for body in bodies)
    columns = ["track", "frame", "time_s", "joint", *_AXES, "confidence", "keypoint_x_px", "keypoint_y_px"]
    columns += [f"root_{axis}" for axis in _AXES] if placed else []
    with storage.atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(",".join(columns) + "\n")
        for body in bodies:
            parts = (body.joints, np.asarray(body.confidence)[..., None], body.keypoints)
            for first in range(0, len(body), _CHUNK):
                chunk = np.concatenate([part[first : first + _CHUNK] for part in parts], axis=-1).tolist()
                for at, pose in enumerate(chunk, first):
                    root = body.root[at].tolist() if body.root is not None else ()
                    end = "".join(f",{value:.2f}" for value in root) or ",,," * placed
                    head = body.track, body.start + at, (body.start + at) / body.fps
                    file.writelines(
                        line.format(*head, k, *v, end) for k, v in zip(JOINT_NAMES, pose, strict=True)
                    )
