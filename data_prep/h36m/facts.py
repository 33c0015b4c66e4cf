"""What Human3.6M is made of, and how a clip is made of what a file has of a take."""

from pathlib import Path

import numpy as np

from data_prep.h36m.cameras import SIZES, Key
from posemamba.camera import Camera
from posemamba.motion import Clip, View

FPS = 50.0
SPLITS = ("train", "test")
SUBJECTS = dict.fromkeys(("S1", "S5", "S6", "S7", "S8"), "train") | dict.fromkeys(("S9", "S11"), "test")
# As the set numbers them, from 2; its number 1 is none of the fifteen.
ACTIONS = ("Directions", "Discussion", "Eating", "Greeting", "Phoning", "Posing", "Purchases", "Sitting")
ACTIONS += ("SittingDown", "Smoking", "Photo", "Waiting", "Walking", "WalkDog", "WalkTogether")
SPELT = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog", "WalkingTogether": "WalkTogether"}
# The two takes of an action are called "Eating 1" and "Eating"; but these have other numbers, - for none.
_TAKES = {
    "S1": "Eating 2 -, Sitting 1 2, SittingDown 2 -",
    "S5": "Directions 1 2, Discussion 2 3, Greeting 1 2, Photo - 2, SittingDown - 1, Waiting 1 2",
    "S6": "Eating 1 2, Photo - 1, Posing 2 -, Sitting 1 2, Waiting 3 -",
    "S7": "Phoning 2 -, Photo - 1, SittingDown - 1, Waiting 1 2, Walking 1 2",
    "S8": "SittingDown - 1, WalkTogether 1 2",
    "S9": "Discussion 1 2, SittingDown - 1",
    "S11": "Discussion 1 2, Greeting 2 -, Phoning 3 2, SittingDown - 1, Smoking 2 -",
}
TAKES = {
    (subject, action): [number.strip("-") for number in numbers]
    for subject, listed in _TAKES.items()
    for action, *numbers in map(str.split, listed.split(","))
}
TARGETS = ("joint3d_image", "2.5d_factor", "joints_2.5d_image")

Take = tuple[str, int, int]  # ("S9", 5, 2): subject, action and take, as the set numbers them


def title(take: Take) -> str:
    """The name of a take's clip, "S9/Greeting/2"."""
    return f"{take[0]}/{ACTIONS[take[1] - 2]}/{take[2]}"


def camera_of(cameras: dict[Key, Camera], subject: str, name: str) -> Camera:
    if (subject, name) not in cameras:
        raise ValueError(f"--cameras has no camera {name} of {subject}, expected all four of each subject")
    return cameras[subject, name]


def make_clip(path: Path, take: Take, joints: np.ndarray | None, views: list[dict]) -> Clip:
    """A clip; a view is a name, a camera, perhaps "valid", and arrays by their names in MotionBERT's file."""
    single = lambda array: None if array is None else array.astype(np.float32)  # noqa: E731
    try:
        made = []
        for view in views:
            seen = single(view["joint_2d"]), single(view.get("confidence")), view.get("valid")
            targets = {key: single(view[key]) for key in TARGETS if key in view}
            made.append(View(view["name"], *SIZES[view["name"]], view["camera"], *seen, targets=targets))
        subject, action = take[0], ACTIONS[take[1] - 2]
        return Clip(single(joints), FPS, title(take), action, SUBJECTS[subject], subject, tuple(made))
    except ValueError as error:
        raise ValueError(f"{path}, {title(take)}: {error}") from error
