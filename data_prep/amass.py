"""Turn positions of SMPL's joints, as exported from AMASS and the like, into a motion file of posemamba.

    python data_prep/amass.py FOLDER amass.safetensors [--fps 60] [--up z|y] [--rate 20] [--test-subjects A B]

FOLDER holds, in folders of any depth,

- .npz files with `joints` (frames, 22 or 24, 3), metres, z up as AMASS has it, and the rate as
  `mocap_framerate`, `mocap_frame_rate` or `fps`;
- .npy files, the same array alone, y up at 20 frames a second as HumanML3D's `joints` and `new_joints` are.

Of 52 or 55 joints (SMPL+H, SMPL-X) the first 22 are the same and are taken. AMASS itself holds parameters
(`poses`, `betas`), from which only the body model makes joints; its licence lets nobody pass it on.

Human3.6M's joints, from SMPL's by their numbers, placed where the capture of `data_prep/trials.py` has them:
on the body of HumanML3D the spine is 217 mm from the root, the thorax 496, and the nose 147 from the thorax;
the medians of CMU's clips are 223, 503 and 142.

    pelvis            the middle of the hips, 1 and 2 (SMPL's own pelvis, 0, lies higher)
    hip, knee, ankle  right 2, 5, 8; left 1, 4, 7
    spine             3, spine1
    thorax            the middle of the collars, 13 and 14
    nose              the middle of neck and head, 12 and 15
    head              half as far beyond 15 as 15 is from 12 (SMPL has no top of the head)
    shoulder, elbow, wrist  left 16, 18, 20; right 17, 19, 21

A clip's subject is its file's folder, or the file's own name where it lies in FOLDER itself (a mirrored
file, "M" and six digits, counts as the one it mirrors). Test subjects are those that --test-subjects names,
else one in five, told by a digest of the name: the same on every machine, and unchanged by what else is
there. Trials are thinned to --fps and cut at jumps as CMU's are, and pieces under 1.5 s dropped.
"""

import argparse
import hashlib
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data_prep.parts import Outcome, Source, convert, run
from data_prep.trials import cut
from posemamba.motion import Clip
from posemamba.skeleton import JOINTS
from posemamba.storage import read_arrays
from posemamba.storage.kinds import existing_file, kind_of
from posemamba.storage.pickles import read_plain

NAME, VERSION = "amass", 1
ABOUT = {
    "set": "joints of the SMPL body model, exported from AMASS (Mahmood et al., 2019) or HumanML3D (Guo et "
    "al., 2022); each keeps the terms of the capture it comes from",
    "command": f"data_prep/{NAME}.py",
}
RATES = ("mocap_framerate", "mocap_frame_rate", "fps")
HUMANML3D_RATE = 20.0
# Rows: Human3.6M's joints. What each is of SMPL's: {number: weight}.
TABLE = (
    *({1: 0.5, 2: 0.5}, {2: 1}, {5: 1}, {8: 1}, {1: 1}, {4: 1}, {7: 1}),
    *({3: 1}, {13: 0.5, 14: 0.5}, {12: 0.5, 15: 0.5}, {12: -0.5, 15: 1.5}),
    *({16: 1}, {18: 1}, {20: 1}, {17: 1}, {19: 1}, {21: 1}),
)
WEIGHTS = np.zeros((JOINTS, 22))
for _row, _places in enumerate(TABLE):
    WEIGHTS[_row, list(_places)] = list(_places.values())


def from_smpl(joints: Float[np.ndarray, "frames smpl 3"]) -> Float[np.ndarray, "frames 17 3"]:
    """Human3.6M's 17 joints from 22 or more of SMPL's, in the same unit and frame."""
    return WEIGHTS @ np.asarray(joints[:, :22], dtype=np.float64)


def find_sources(folder: Path, tests: Sequence[str] | None) -> list[Source]:
    """The files of a folder, with each one's name, subject and split.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: no files, a test subject that is not there.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is no folder, expected one with .npz or .npy files of SMPL's joints"
        )
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".npz", ".npy"))
    sources = []
    for path in paths:
        name = path.relative_to(folder)
        alone = len(name.parts) == 1
        subject = re.sub(r"^M(?=\d{6}$)", "", path.stem) if alone else name.parent.as_posix()
        name = name.with_suffix("").as_posix()
        digest = hashlib.sha256(subject.encode()).digest()[0]
        split = "test" if (subject in tests if tests else digest % 5 == 0) else "train"
        sources.append(Source(name, (path,), {"name": name, "subject": subject, "split": split}))
    if not sources:
        raise ValueError(f"{folder} holds no .npz and no .npy, expected files of SMPL's joints")
    known = sorted({source.data["subject"] for source in sources})
    if unknown := sorted(set(tests or ()) - set(known)):
        few = ", ".join(known[:9]) + (", ..." if len(known) > 9 else "")
        raise ValueError(
            f"--test-subjects names {', '.join(unknown)}, of which {folder} has none, expected some of {few}"
        )
    return sources


def read_joints(
    path: Path, up: str | None, rate: float | None
) -> tuple[Float[np.ndarray, "frames 22 3"], float]:
    """A file's joints, metres and y up, and their rate.

    Args:
        up: "z" or "y"; None: as files of its kind commonly have it.
        rate: frames a second where the file does not tell; None: HumanML3D's for .npy.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: naming file and array, what was found and what was expected.
    """
    path, expected = existing_file(path), "(frames, 22 or 24, 3)"
    if path.suffix.lower() == ".npy":
        try:
            joints = np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            with path.open("rb") as file:
                raise ValueError(
                    f"{path} is {kind_of(file.read(512))}, or damaged, expected an array {expected}"
                ) from error
        rate, up, what = rate or HUMANML3D_RATE, up or "y", "its array"
    else:
        # Some writers keep even a rate or a gender as a Python object.
        arrays = read_arrays(path, objects=lambda stream, size: read_plain(stream, size))
        if "joints" not in arrays:
            held = ", ".join(sorted(arrays)[:9])
            why = "; the body model makes joints of poses and betas" if "poses" in arrays else ""
            raise ValueError(f"{path} holds {held}, expected an array 'joints' of shape {expected}{why}")
        joints, up, what = arrays["joints"], up or "z", "array 'joints'"
        told = [arrays[name] for name in RATES if name in arrays]
        if told:
            rate = _number(path, told[0])
        elif rate is None:
            raise ValueError(f"{path} tells no rate, expected {', '.join(RATES[:-1])} or fps, or --rate")
    shape, numbers = joints.shape, joints.dtype.kind == "f"
    if len(shape) != 3 or not shape[0] or shape[1] not in (22, 24, 52, 55) or shape[2] != 3 or not numbers:
        raise ValueError(f"{path}: {what} is {joints.dtype} of shape {shape}, expected numbers of {expected}")
    joints = joints[:, :22].astype(np.float64)
    finite = np.isfinite(joints).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(
            f"{path}: {what} holds NaN or infinity in frame {finite.argmin()}, expected finite metres"
        )
    if up == "z":
        joints = joints[..., [0, 2, 1]] * [1, 1, -1]
    leg = np.linalg.norm(joints[:, 1] - joints[:, 4], axis=-1) + np.linalg.norm(
        joints[:, 4] - joints[:, 7], axis=-1
    )
    if not 0.3 < leg.mean() < 1.5:
        raise ValueError(f"{path}: a leg is {leg.mean():.4g} long, expected 0.3 to 1.5 metres")
    # People lie on the floor too, but they seldom lie for a whole trial with the head that far from the feet.
    tall = (joints[:, 15] - joints[:, [7, 8]].mean(axis=1)).mean(axis=0)
    if abs(tall[1]) < 0.2 and abs(tall[2]) > 1:
        other = {"z": "y", "y": "z"}[up]
        raise ValueError(f"{path}: the body lies along an axis that is not up, expected --up {other}")
    return joints, rate


def read_trial(source: Source, fps: float | None, up: str | None, rate: float | None) -> list[Clip]:
    """The clips of one file; without `fps` at its own rate or the whole fraction of it at or under 60."""
    (path,), facts = source.files, source.data
    joints, rate = read_joints(path, up, rate)
    fps = fps or rate / max(1, int(np.ceil(rate / 60 - 1e-6)))
    return [
        Clip(
            piece, fps, facts["name"] + f"#{place}" * (place > 0), "unknown", facts["split"], facts["subject"]
        )
        for place, piece in cut(1000 * from_smpl(joints), rate, fps, path)
    ]


def _number(path: Path, array: np.ndarray) -> float:
    try:
        value = float(array.item())
    except (TypeError, ValueError):
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"{path}: its rate is {array!r:.60}, expected a positive number of frames a second")
    return value


def command(given: argparse.Namespace) -> Outcome:
    """What the command does; what it returns is what it prints."""
    sources = find_sources(given.folder, given.test_subjects)
    settings = {"version": VERSION, "fps": given.fps, "up": given.up, "rate": given.rate}
    settings["splits"] = [source.data["split"] for source in sources]
    read = partial(read_trial, fps=given.fps, up=given.up, rate=given.rate)
    return convert(given.target, sources, read, ABOUT, settings)


def main(arguments: list[str] | None = None) -> int:
    """Convert; bad input is one line on standard error and exit code 2."""
    parser = argparse.ArgumentParser(
        prog=f"{NAME}.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, help="files of SMPL's joints, .npz or .npy, in folders by subject"
    )
    parser.add_argument("target", type=Path, help="the motion file to write, .safetensors")
    parser.add_argument(
        "--fps", type=float, help="frames a second of the clips (the files' own, or a fraction under 60)"
    )
    parser.add_argument("--up", choices=("z", "y"), help="the files' axis that is up (z in .npz, y in .npy)")
    parser.add_argument("--rate", type=float, help="frames a second of files that do not tell (20 in .npy)")
    parser.add_argument(
        "--test-subjects", nargs="+", metavar="SUBJECT", help="the subjects of the test split"
    )
    given = parser.parse_args(arguments)
    for name in ("fps", "rate"):
        if getattr(given, name) is not None and not 0 < getattr(given, name) < float("inf"):
            parser.error(f"--{name} is {getattr(given, name)}, expected a positive number")
    return run(NAME, lambda: command(given))


if __name__ == "__main__":
    sys.exit(main())
