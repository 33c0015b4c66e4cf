"""Numbers: one .npz of arrays, and one tidy CSV, for those who analyse."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posemamba import storage
from posemamba.export.scene import checked
from posemamba.lifting import Body
from posemamba.skeleton import JOINT_NAMES, PARENTS

_ABOUT = {
    "joints": "mm, relative to the root (pelvis), camera's axes: x right, y down, z forward",
    "root": "mm, the pelvis in the camera's frame, an estimate; NaN where it was not asked for",
    "keypoints": "pixels, x right and y down from the image's upper left corner",
    "confidence": "the detector's; 0 where a joint was interpolated",
    "person": "each row's index into the arrays track, start, frames, focal and focal_known",
    "frame": "the video's frame, from 0",
    "time": "seconds from the video's first frame",
    "focal": "focal length, pixels; a guess where focal_known is false",
    "size": "the image's width and height, pixels",
    "fps": "frames a second",
}
_CHUNK = 1000  # frames of CSV at once


def write_npz(bodies: Sequence[Body], path: str | Path) -> None:
    """Writes all bodies as one .npz: a row for each person and frame, and who the people are.

    The arrays are joints `(n, 17, 3)`, keypoints `(n, 17, 2)`, confidence `(n, 17)`, root `(n, 3)`, person, frame and
    time `(n,)`; for each person track, start, frames, focal, focal_known; joint_names, parents, fps, size; and
    `about`, text that gives the arrays' units and axes.

    Args:
        path: the file; its folder must exist.

    Raises:
        ValueError: as `checked`.
    """
    bodies = checked(bodies)
    rows = {
        name: np.concatenate([getattr(b, name) for b in bodies])
        for name in ("joints", "keypoints", "confidence")
    }
    rows["root"] = np.concatenate(
        [np.full((len(b), 3), np.nan) if b.root is None else b.root for b in bodies]
    )
    arrays = {name: values.astype(np.float32) for name, values in rows.items()}
    arrays["person"] = np.repeat(np.arange(len(bodies)), [len(body) for body in bodies])
    arrays["frame"] = np.concatenate([body.start + np.arange(len(body)) for body in bodies])
    arrays["time"] = arrays["frame"] / bodies[0].fps
    people = {
        name: np.array([getattr(b, name) for b in bodies])
        for name in ("track", "start", "focal", "focal_known")
    }
    people["frames"] = np.array([len(body) for body in bodies])
    video = dict(fps=np.float64(bodies[0].fps), size=np.array(bodies[0].size))
    names = dict(joint_names=np.array(JOINT_NAMES), parents=np.array(PARENTS))
    about = np.array([f"{name}: {text}" for name, text in _ABOUT.items()])
    with storage.atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays, **people, **video, **names, about=about)


def write_csv(bodies: Sequence[Body], path: str | Path) -> None:
    """Writes all bodies as one tidy CSV: a row for each person, frame and joint.

    Units and axes stand in the columns' names: track, frame, time_s, joint, x_right_mm, y_down_mm, z_forward_mm
    (relative to the root, in the camera's axes), confidence, keypoint_x_px, keypoint_y_px; and, where a body is placed
    in the camera's frame, the root's place as root_x_right_mm, root_y_down_mm, root_z_forward_mm, which is empty for
    a body that is not.

    Args:
        path: the file; its folder must exist.

    Raises:
        ValueError: as `checked`.
    """
    bodies = checked(bodies)
    axes, placed = ("x_right_mm", "y_down_mm", "z_forward_mm"), any(body.root is not None for body in bodies)
    header = ["track", "frame", "time_s", "joint", *axes, "confidence", "keypoint_x_px", "keypoint_y_px"]
    header += [f"root_{axis}" for axis in axes] if placed else []
    line = "{},{},{:.4f},{},{:.2f},{:.2f},{:.2f},{:.3f},{:.2f},{:.2f}{}\n"
    with storage.atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(",".join(header) + "\n")
        for body in bodies:
            values = (body.joints, body.confidence[..., None], body.keypoints)
            for first in range(0, len(body), _CHUNK):
                chunk = np.concatenate([each[first : first + _CHUNK] for each in values], axis=-1).tolist()
                for at, pose in enumerate(chunk, first):
                    frame, root = body.start + at, ",,," * placed
                    if body.root is not None:
                        root = "".join(f",{value:.2f}" for value in body.root[at].tolist())
                    head = body.track, frame, frame / body.fps
                    pairs = zip(JOINT_NAMES, pose, strict=True)
                    file.writelines(line.format(*head, name, *numbers, root) for name, numbers in pairs)
