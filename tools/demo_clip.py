"""Write the demonstration clip that ships with the package, from the motion file that data_prep/cmu.py makes.

python tools/demo_clip.py cmu.safetensors
"""

import argparse
import sys

import numpy as np

from posemamba import storage
from posemamba.motion import Clip, open_motion, save_motion

NAME, FRAMES = "02_04", 240
CREDIT = (
    "trial 02_04 of the CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu), free for all uses; "
    "created with funding from NSF EIA-0196217"
)


def main(arguments: list[str] | None = None) -> None:
    """Cut the clip and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("motion", help="a motion file that holds trial 02_04")
    parser.add_argument("--out", default=storage.asset("demo.safetensors"), help="where to write it")
    given = parser.parse_args(arguments)
    found = [clip for clip in open_motion(given.motion) if clip.name == NAME]
    if not found or found[0].split != "test":
        raise SystemExit(f"{given.motion} holds no test clip {NAME}, expected one")
    (clip,) = found
    name = f"CMU {NAME}, frames 0 to {FRAMES - 1}"
    joints = np.ascontiguousarray(clip.joints[:FRAMES])
    # The database describes the trial as "jump, balance"; the list files it under acrobatics.
    demo = Clip(joints, clip.fps, name, "jumping", clip.split, clip.subject)
    save_motion(given.out, [demo], {"credit": CREDIT})


if __name__ == "__main__":
    sys.exit(main())
