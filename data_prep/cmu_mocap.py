"""Turn an .npz of CMU motion capture into a motion file of posemamba: one safetensors file, memory-mapped.

    python data_prep/cmu_mocap.py cmu_mocap_17.npz cmu.safetensors

Such an npz holds clips of the CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu) reduced to the 17
joints of Human3.6M, in the arrays that `posemamba.motion.read_cmu` names. The one that the book's measured
runs were made with, cmu_mocap_17.npz, is not distributed, and no command here makes it from the database
yet: without it, train on `--data synthetic`. `posemamba train --data` reads npz and motion file alike; the
motion file opens without being read into memory.
"""

import argparse
import sys

from posemamba.motion import read_cmu, save_motion


def main(arguments: list[str] | None = None) -> int:
    """Convert; bad input is one line on standard error and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="the .npz (the book's own, cmu_mocap_17.npz, is not distributed)")
    parser.add_argument("target", help="the motion file to write")
    given = parser.parse_args(arguments)
    try:
        clips = read_cmu(given.source)
        save_motion(given.target, clips)
    except (ValueError, OSError) as error:
        print(f"cmu_mocap: {error}", file=sys.stderr)
        return 2
    frames = sum(len(clip) for clip in clips)
    print(f"{len(clips)} clips, {frames:,} frames written to {given.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
