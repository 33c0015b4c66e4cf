"""BlazePose's joints in videos: `in_the_wild.py` runs this with the Python of an environment of its own.

It has mediapipe 0.10.21: newer wheels carry no model, and this one wants numpy < 2.

    python figures/blazepose.py out.npz cam01.mp4 cam02.mp4 [...]

leaves, for each video: `pixels` (videos, frames, 33, 2), `visibility` (videos, frames, 33), `world` (videos,
frames, 33, 3), which is BlazePose's own 3D in mm (x right, y down, z forward, from the hips' middle), `size`
(videos, 2), `fps` (videos,). A frame in which nobody is found is NaN, with visibility 0.
"""

import sys

import cv2
import mediapipe as mp
import numpy as np


def detect(path: str):
    """The joints in each frame, the image's width and height, frames a second."""
    video = cv2.VideoCapture(path)
    if not video.isOpened():
        raise SystemExit(f"{path}: no video that OpenCV reads")
    frames = []
    # The "full" model, which the wheel carries; as a video, so that the box follows the man.
    with mp.solutions.pose.Pose(static_image_mode=False, model_complexity=1) as pose:
        while True:
            there, image = video.read()
            if not there:
                break
            height, width = image.shape[:2]
            found = pose.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            rows = np.full((33, 6), np.nan)
            rows[:, 2] = 0
            if found.pose_landmarks:
                both = zip(found.pose_landmarks.landmark, found.pose_world_landmarks.landmark, strict=True)
                rows[:] = [
                    (a.x * width, a.y * height, a.visibility, 1000 * b.x, 1000 * b.y, 1000 * b.z)
                    for a, b in both
                ]
            frames.append(rows)
    return np.stack(frames), (width, height), video.get(cv2.CAP_PROP_FPS)


def main(out: str, *paths: str) -> None:
    rows, sizes, rates = zip(*map(detect, paths), strict=True)
    shortest = min(map(len, rows))
    rows = np.stack([each[:shortest] for each in rows]).astype(np.float32)
    parts = dict(pixels=rows[..., :2], visibility=rows[..., 2], world=rows[..., 3:])
    np.savez(out, **parts, size=np.array(sizes), fps=np.array(rates))


if __name__ == "__main__":
    main(*sys.argv[1:])
