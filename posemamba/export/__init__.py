"""What animators and analysts open: arrays, a table, BVH, glTF, a page that plays, and the video drawn over."""

from collections.abc import Sequence
from pathlib import Path

from posemamba import storage
from posemamba.export.arrays import write_csv, write_npz
from posemamba.export.bvh import write_bvh
from posemamba.export.gltf import write_gltf
from posemamba.export.overlay import check_overlay, write_overlay
from posemamba.export.player import write_player
from posemamba.export.scene import checked, label
from posemamba.lifting import Body

__all__ = [
    "KINDS",
    "write",
    "write_bvh",
    "write_csv",
    "write_gltf",
    "write_npz",
    "write_overlay",
    "write_player",
]

_Y_UP = "y up, so that the camera's (x right, y down, z forward) is (x, -y, -z) here"
# Each kind's file, and the line of README.txt about it.
KINDS = {
    "npz": (
        "motion.npz",
        "numpy's arrays; `about` in it gives units and axes (mm; x right, y down, z forward)",
    ),
    "csv": ("motion.csv", "a row for each person, frame and joint; units and axes are in the columns' names"),
    "html": ("player.html", "a page to play and turn; works offline; shows the video where that still lies"),
    "bvh": (
        "person_*.bvh",
        f"one for each body, named by track and first frame; centimetres, {_Y_UP}; Z, X, Y",
    ),
    "gltf": (
        "motion.glb",
        f"all bodies with their animation; metres, {_Y_UP}; time 0 is the video's first frame",
    ),
    "overlay": ("overlay.mp4", "the video, or an empty picture, with the keypoints drawn over it; no sound"),
}


def write(
    bodies: Sequence[Body],
    folder: str | Path,
    kinds: Sequence[str] = ("npz", "csv", "html", "bvh", "gltf"),
    video: str | Path | None = None,
) -> list[Path]:
    """Writes bodies as files of several kinds, and a README.txt that gives their units and axes.

    Args:
        bodies: of one video.
        folder: is made where it is missing; files of the same names are replaced.
        kinds: of `KINDS`.
        video: the bodies' video, which the page shows (it is linked, not copied) and the overlay is drawn over.

    Returns:
        The files' paths.

    Raises:
        ValueError: an unknown kind; bodies that do not fit each other or the video.
        FileNotFoundError: there is no such video.
        ModuleNotFoundError: what the overlay needs is not installed.
    """
    bodies, folder = checked(bodies), Path(folder)
    kinds = [kinds] if isinstance(kinds, str) else list(dict.fromkeys(kinds))
    if not kinds or set(kinds) - set(KINDS):
        raise ValueError(f"kinds is {kinds}, expected some of {', '.join(KINDS)}")
    if video is not None and not Path(video).is_file():
        raise FileNotFoundError(f"there is no video {video}")
    if "overlay" in kinds:
        check_overlay()
    folder.mkdir(parents=True, exist_ok=True)
    paths, told = [], []
    for kind in kinds:
        name, about = KINDS[kind]
        path = folder / name
        if kind == "bvh":
            for body in bodies:
                paths.append(folder / f"{label(body)}.bvh")
                write_bvh(body, paths[-1])
        else:
            extra = dict(video=video) if kind in ("html", "overlay") else {}
            _WRITERS[kind](bodies, path, **extra)
            paths.append(path)
        told.append(f"{name}: {about}.")
    known = "known" if all(body.root is not None for body in bodies) else "not known"
    told.append(
        f"The bodies' places in the camera's frame are {known}{' (an estimate)' * (known == 'known')}."
    )
    with storage.atomic_path(folder / "README.txt") as temporary:
        temporary.write_text("\n".join(told) + "\n", encoding="utf-8")
    return [*paths, folder / "README.txt"]


_WRITERS = {
    "npz": write_npz,
    "csv": write_csv,
    "gltf": write_gltf,
    "html": write_player,
    "overlay": write_overlay,
}
