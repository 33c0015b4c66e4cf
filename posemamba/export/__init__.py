"""What animators and analysts open: arrays, a table, BVH, glTF, a page that plays, the video drawn over."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from posemamba import storage
from posemamba.export.arrays import write_csv, write_npz
from posemamba.export.bvh import write_bvh
from posemamba.export.gltf import write_gltf
from posemamba.export.overlay import check_overlay, write_overlay
from posemamba.export.player import write_player
from posemamba.export.scene import checked, label
from posemamba.lifting import Body
from posemamba.storage.kinds import existing_file

__all__ = ["write", "write_bvh", "write_csv", "write_gltf", "write_npz", "write_overlay", "write_player"]

_Y_UP = "y up: (x, -y, -z) of the camera's (x right, y down, z forward)"
#: Each kind's file, and what motion.txt says of it.
KINDS = {
    "npz": ("motion.npz", "numpy's arrays; mm, x right, y down, z forward; `about` in it says what each is"),
    "csv": ("motion.csv", "a row for each person, frame and joint; its columns name units and axes"),
    "html": ("player.html", "plays in a browser, offline; shows the video if neither has moved"),
    "bvh": ("person_*.bvh", f"one a body, named by track and first frame; centimetres, {_Y_UP}; T pose"),
    "gltf": ("motion.glb", f"all bodies; metres, {_Y_UP}; T pose; time 0 is the video's first frame"),
    "overlay": ("overlay.mp4", "the video with the keypoints drawn over it, without sound"),
}


def write(
    bodies: Sequence[Body],
    folder: str | Path,
    kinds: Sequence[str] = ("npz", "csv", "html", "bvh", "gltf"),
    video: str | Path | None = None,
) -> list[Path]:
    """Writes bodies as files of several kinds, with a motion.txt that gives units and axes; their paths.

    Args:
        bodies: of one video.
        folder: is made where it is missing; files of the same names are replaced.
        kinds: of "npz", "csv", "html", "bvh", "gltf" and "overlay".
        video: the bodies' own: the page links it, the overlay is drawn over it.

    Raises:
        ValueError: an unknown kind; bodies that do not fit each other or the video.
        FileNotFoundError: there is no such video.
        ModuleNotFoundError: what the overlay needs is not installed.
    """
    bodies, folder, kinds = checked(bodies), Path(folder), [kinds] if isinstance(kinds, str) else list(kinds)
    if not kinds or set(kinds) - set(KINDS):
        raise ValueError(f"kinds is {kinds}, expected some of {', '.join(KINDS)}")
    if video is not None:
        existing_file(video)
    if "overlay" in kinds:
        check_overlay()
    folder.mkdir(parents=True, exist_ok=True)
    writers = {"npz": write_npz, "csv": write_csv, "gltf": write_gltf}
    writers |= {"html": partial(write_player, video=video), "overlay": partial(write_overlay, video=video)}
    paths, placed = [], all(body.root is not None for body in bodies)
    for kind in kinds:
        if kind == "bvh":
            for body in bodies:
                paths.append(folder / f"{label(body)}.bvh")
                write_bvh(body, paths[-1])
        else:
            paths.append(folder / KINDS[kind][0])
            writers[kind](bodies, paths[-1])
    lines = [f"{name}: {told}." for name, told in map(KINDS.get, kinds)]
    lines += [f"The bodies' places in the camera's frame are {'estimated' if placed else 'not known'}."]
    with storage.atomic_path(folder / "motion.txt") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [*paths, folder / "motion.txt"]
