"""Detectors of 2D joints behind one small interface: MediaPipe's, rtmlib's, or any function of a frame.

Neither package is needed to lift a file that a detector wrote elsewhere.
"""

import json
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import numpy as np
from jaxtyping import Float

from posemamba.inference import Progress
from posemamba.storage import atomic_path
from posemamba.storage.kinds import existing_file
from posemamba.video import Image, Video

People = Float[np.ndarray, "people joints 3"]  # x and y in pixels, confidence
# Who is less sure than this on average is nobody: without a box rtmlib looks at the whole image.
_NOBODY = 0.2


class Detector(Protocol):
    """Finds people's joints in a frame.

    Attributes:
        joint_set: the joints' set, a name in `skeleton.JOINT_SETS`; None where their number tells.
    """

    joint_set: str | None

    def detect(self, frame: Image) -> People:
        """The people in the next frame of a video, RGB; none is an array of length 0."""
        ...


class MediaPipe:
    """BlazePose: one person through the package's old interface, several with a model file in the new one."""

    joint_set = "BlazePose-33"

    def __init__(self, model: str | None = None, people: int = 1):
        mp = _package("mediapipe", "mediapipe==0.10.21, which brings its models and wants numpy<2")
        self.frames, self.image = 0, None
        if model is not None:
            options = dict(base_options=mp.tasks.BaseOptions(model_asset_path=str(existing_file(model))))
            vision = mp.tasks.vision
            options |= dict(running_mode=vision.RunningMode.VIDEO, num_poses=people)
            self.image = lambda frame: mp.Image(image_format=mp.ImageFormat.SRGB, data=frame)
            self.pose = vision.PoseLandmarker.create_from_options(vision.PoseLandmarkerOptions(**options))
        elif hasattr(mp, "solutions"):
            self.pose = mp.solutions.pose.Pose(model_complexity=1)
        else:
            wanted = "--detector mediapipe:pose_landmarker_full.task names one, and 0.10.21 brings them"
            raise ValueError(f"mediapipe {mp.__version__} comes without models: {wanted}")

    def detect(self, frame: Image) -> People:
        if self.image is None:
            found = self.pose.process(frame).pose_landmarks
            people = [] if found is None else [found.landmark]
        else:
            # It wants moments that grow, and looks at nothing else of them.
            people = self.pose.detect_for_video(self.image(frame), 33 * self.frames).pose_landmarks
            self.frames += 1
        rows = [[(joint.x, joint.y, joint.visibility) for joint in person] for person in people]
        height, width = frame.shape[:2]
        return np.array(rows, np.float64).reshape(-1, 33, 3) * (width, height, 1)


class RTMLib:
    """RTMPose with feet, a box for each person first; fetches its weights, or reads DETECTOR,POSE as ONNX."""

    joint_set = "Halpe-26"

    def __init__(self, model: str | None = None):
        rtmlib = _package("rtmlib", "rtmlib onnxruntime")
        files = [str(existing_file(file)) for file in model.split(",")] if model else []
        if len(files) not in (0, 2):
            raise ValueError(f"rtmlib's model is {model!r}, expected two ONNX files: DETECTOR,POSE")
        try:
            given = dict(zip(("det", "pose"), files, strict=False))
            self.body = rtmlib.BodyWithFeet(mode="balanced", backend="onnxruntime", **given)
        except (OSError, RuntimeError) as error:
            wanted = (
                "where there is a network they are fetched, else --detector rtmlib:DETECTOR,POSE names both"
            )
            raise OSError(f"rtmlib has no weights ({error}): {wanted}") from None

    def detect(self, frame: Image) -> People:
        points, sure = self.body(np.ascontiguousarray(frame[..., ::-1]))  # it reads BGR
        people = np.concatenate([points, np.asarray(sure)[..., None]], axis=-1).reshape(-1, 26, 3)
        return people[people[..., 2].mean(-1) > _NOBODY].astype(np.float64)


def open_detector(detector: str | Detector | Callable[[Image], People], people: int = 1) -> Detector:
    """A detector by name, or what does its work.

    Args:
        detector: mediapipe or rtmlib, perhaps with model files as in "mediapipe:pose_landmarker_full.task";
            a Python file with a function `detect` (and perhaps `joint_set`), which is run; or a function of
            a frame, or a `Detector`.
        people: for how many MediaPipe's new interface looks.

    Raises:
        ImportError, OSError, ValueError: the package, its weights or the name are not to be had.
    """
    found = detector
    if isinstance(detector, str):
        name, _, model = detector.partition(":")
        if name == "mediapipe":
            return MediaPipe(model or None, people)
        if name == "rtmlib":
            return RTMLib(model or None)
        if not detector.endswith(".py"):
            raise ValueError(f"detector is {detector!r}, expected mediapipe, rtmlib or a Python file")
        spec = spec_from_file_location("detector_of_a_user", existing_file(detector))
        found = module_from_spec(spec)
        spec.loader.exec_module(found)
        if not callable(getattr(found, "detect", None)):
            raise ValueError(f"{detector} has no function detect, expected one of a frame (height, width, 3)")
    detect = getattr(found, "detect", found)
    return SimpleNamespace(detect=detect, joint_set=getattr(found, "joint_set", None))


def check_people(people, frame: int | str) -> People:
    """What a detector said of a frame, looked at: finite, of the shape of `People`."""
    array = np.asarray(people, dtype=np.float64)
    array = array.reshape(0, 0, 3) if array.size == 0 else array
    if array.ndim != 3 or array.shape[-1] != 3 or not np.isfinite(array).all():
        found = f"an array of shape {array.shape}"
        raise ValueError(f"the detector said {found} of frame {frame}, expected finite (people, joints, 3)")
    return array


def write_detections(
    path: str | Path, video: Video, detector: Detector, progress: Progress | None = None
) -> None:
    """Detects people in each frame and writes them as JSON that `keypoints.read` reads, atomically.

    Pixels are rounded to hundredths. Memory does not grow with the video.
    """
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        head = dict(fps=video.fps, width=video.width, height=video.height)
        file.write(json.dumps(head)[:-1] + ', "frames": [')
        for at, image in enumerate(video):
            people = check_people(detector.detect(image), at).round(2).tolist()
            frame = dict(frame=at, people=[dict(keypoints=person) for person in people])
            file.write("," * (at > 0) + "\n" + json.dumps(frame, separators=(",", ":")))
            if progress is not None:
                progress(at + 1, max(video.frames or 0, at + 1))
        file.write("\n]}\n")


def _package(name: str, install: str):
    try:
        return __import__(name)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        fault = "is not installed" if missing else f"cannot be imported ({error})"
        raise ImportError(f"the detector {name} {fault}: pip install {install}") from None
