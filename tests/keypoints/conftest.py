"""A person of known joints, in pixels, as each set of joints has them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from posemamba.camera import denormalise_screen
from posemamba.motion import CameraRig, load_motion, see
from posemamba.motion.rig import middle_and_reach
from posemamba.skeleton import JOINT_NAMES, JOINT_SETS
from posemamba.storage import asset

# Where the joints that Human3.6M does not have lie from one that it has, in pixels of an image 1000 wide: for
# a left joint to the right. The first word that occurs in a joint's name counts.
ASIDE = {
    **{"foot": ("ankle", 8, 7), "toe": ("ankle", 9, 8), "heel": ("ankle", -3, 6)},
    **{"pinky": ("wrist", 5, 9), "index": ("wrist", 0, 9), "thumb": ("wrist", -4, 6)},
    **{"eye": ("nose", 4, -5), "ear": ("nose", 9, -4), "mouth": ("nose", 3, 6)},
    **{"neck": ("thorax", 0, 0), "top": ("head", 0, 0), "hip": ("pelvis", 0, 0)},
}


@pytest.fixture(scope="session")
def walk() -> np.ndarray:
    """The demonstration clip's first frames through a camera: `(60, 17, 2)` pixels of an image 1000 wide."""
    world = torch.from_numpy(np.array(load_motion(asset("demo.safetensors"))[0].joints[:60]))
    camera = CameraRig().sample(torch.Generator().manual_seed(1), *middle_and_reach(world))
    return denormalise_screen(see(world, camera)[0], 1000, 1000).double().numpy()


@pytest.fixture(scope="session")
def as_set() -> Callable[[np.ndarray, str], np.ndarray]:
    """Makes of a body `(frames, 17, 2)` what another set has of it."""

    def convert(body, name):
        points = []
        for joint in JOINT_SETS[name].joints:
            near, right, down = joint, 0, 0
            if joint not in JOINT_NAMES:
                near, right, down = next(ASIDE[word] for word in ASIDE if word in joint)
            side = joint.split()[0]
            near = near if near in JOINT_NAMES else f"{side} {near}"
            way = (1 if side == "left" else -1) * right, down
            points.append(body[:, JOINT_NAMES.index(near)] + way)
        return np.stack(points, axis=1)

    return convert
