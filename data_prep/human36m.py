"""Turn Human3.6M, as people exchange it, into a motion file of posemamba.

    python data_prep/human36m.py motionbert h36m_sh_conf_cam_source_final.pkl h36m.safetensors
    python data_prep/human36m.py videopose3d data_3d_h36m.npz data_2d_h36m_gt.npz h36m_gt.safetensors
    python data_prep/human36m.py videopose3d data_3d_h36m.npz data_2d_h36m_cpn_ft_h36m_dbb.npz \\
        h36m_cpn.safetensors --cameras data_2d_h36m_gt.npz

The first is MotionBERT's file, with the detections that the paper uses and the 2.5D targets it learns; the
others are VideoPose3D's pair, joints in the world and their pixels, exact or detected. All give the same
clips: one for each subject, action and take, "S9/Greeting/2", with a view a camera, split by subject, at 50
frames a second.

--cameras takes the set's own metadata.xml, the JSON of its cameras that people exchange, or, for a pair,
exact pixels, from which the cameras are found. A pair with exact pixels needs none. MotionBERT's file has no
joints in the world; with cameras they are found from its four views.

Nothing in these files is run: they are pickles, and only plain data comes out of them. The set is not ours to
give: register for it at vision.imar.ro/human3.6m.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data_prep.h36m.facts import SUBJECTS
from data_prep.h36m.motionbert import MotionBert
from data_prep.h36m.videopose3d import VideoPose3D
from data_prep.parts import Source, convert, run

VERSION = 1
CREDIT = "Human3.6M (Ionescu et al., 2014), for the academic use of those who registered for it"


def main(arguments: list[str] | None = None) -> int:
    """Converts; bad input is one line on standard error and exit code 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    motionbert = kinds.add_parser("motionbert", help="MotionBERT's pickle")
    motionbert.add_argument("pickle", type=Path, help="h36m_sh_conf_cam_source_final.pkl")
    pair = kinds.add_parser("videopose3d", help="VideoPose3D's pair of npz files")
    pair.add_argument("joints", type=Path, help="data_3d_h36m.npz")
    pair.add_argument("pixels", type=Path, help="data_2d_h36m_gt.npz or data_2d_h36m_cpn_ft_h36m_dbb.npz")
    for kind in (motionbert, pair):
        kind.add_argument("target", type=Path, help="the motion file to write, .safetensors")
        kind.add_argument("--cameras", type=Path, help="metadata.xml, a JSON, or (for a pair) exact pixels")
    given = parser.parse_args(arguments)
    files = [given.pickle] if given.kind == "motionbert" else [given.joints, given.pixels]

    def command() -> str:
        read = (MotionBert if given.kind == "motionbert" else VideoPose3D)(*files, given.cameras)
        used = (*files, *filter(None, [given.cameras]))
        names = ", ".join(path.name for path in used)
        about = {"credit": CREDIT, "command": f"human36m.py {given.kind}", "sources": names}
        sources = [Source(subject, used) for subject in SUBJECTS]
        outcome = convert(given.target, sources, read, about, {"version": VERSION, "kind": given.kind})
        return "\n".join([str(outcome), *read.notes()])

    return run("human36m", command)


if __name__ == "__main__":
    sys.exit(main())
