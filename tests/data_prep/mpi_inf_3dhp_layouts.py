"""MPI-INF-3DHP's official layouts and the exchanged pair, written from known motion."""

from functools import cache
from pathlib import Path

import h5py
import numpy as np
import torch
from scipy.io import savemat

from data_prep.mpi_inf_3dhp import CAMERAS, JOINTS_28, SEQUENCES, TESTS, main
from posemamba.camera import Camera
from posemamba.motion import Clip, load_motion, synthetic_clips
from posemamba.motion.mpi_inf_3dhp import from_h36m

ROOT_FOLDER = Path(__file__).resolve().parents[2]


# All 28 as the set's own mpii_get_joint_set names them.
NAMES_28 = (
    *("spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top"),
    *("left_clavicle", "left_shoulder", "left_elbow", "left_wrist", "left_hand"),
    *("right_clavicle", "right_shoulder", "right_elbow", "right_wrist", "right_hand"),
    *("left_hip", "left_knee", "left_ankle", "left_foot", "left_toe"),
    *("right_hip", "right_knee", "right_ankle", "right_foot", "right_toe"),
)


FRAMES = 12


KEEP = dict(rtol=0, atol=2e-3)  # mm and pixels: float32 at some metres


@cache
def motion() -> np.ndarray:
    """Known world joints (frames, 17, 3), mm, z up, in Human3.6M's order."""
    return synthetic_clips(train=1, test=0, seconds=4, fps=25)[0].joints[:FRAMES].astype(float)


@cache
def rig() -> tuple[Camera, ...]:
    """Fourteen cameras around the body, in double precision, with unequal lenses."""
    middle = torch.from_numpy(motion().mean((0, 1)))
    cameras = []
    for number in range(14):
        turn = torch.tensor(number * 0.4)
        away = torch.stack([turn.cos(), turn.sin(), torch.tensor(0.1 * (number % 3))]) * (3500 + 50 * number)
        place = Camera.look_at(middle + away.double(), middle, 1497.0)
        focal, center = ([1490.0 + number, 1495.0], [1024.7, 1051.4 - number])
        lens = (torch.tensor(part, dtype=torch.float64) for part in (focal, center))
        found = Camera(place.rotation, place.translation, *lens, width=2048, height=2048)
        cameras.append(found)
    return tuple(cameras)


def seen(camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """annot2, annot3 and univ_annot3 of the known motion, in Human3.6M's order."""
    points = camera.world_to_camera(torch.from_numpy(motion()))
    # The body as if it had the standard height: no image of the points that the picture shows.
    return camera.project(points).numpy(), points.numpy(), points.numpy() * 0.93


def all_28(points: np.ndarray) -> np.ndarray:
    """As annot.mat holds them: 28 joints in a row, the eleven that nobody reads far away."""
    rows = np.full((len(points), 28, points.shape[-1]), -9e4)
    rows[:, JOINTS_28] = from_h36m(points)
    return rows.reshape(len(points), -1)


def calibration() -> str:
    lines = ["Skeletool Camera Calibration File V1.0"]
    y_up = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # our world to the set's
    for number, camera in enumerate(rig()):
        inner, outer = np.eye(4), np.eye(4)
        inner[[0, 1], [0, 1]], inner[:2, 2] = camera.focal.numpy(), camera.center.numpy()
        outer[:3, :3], outer[:3, 3] = camera.rotation.numpy() @ y_up.T, camera.translation.numpy()
        lines += [f"name          {number}", "  sensor      10 10", "  size        2048 2048"]
        lines += ["  animated    0"]
        for name, matrix in (("intrinsic", inner), ("extrinsic", outer)):
            lines.append(f"  {name}   {' '.join(f'{value:.12g}' for value in matrix.ravel())} ")
        lines.append("  radial      0")
    return "\n".join(lines) + "\n"


def annotations(**changed) -> dict:
    """The variables of annot.mat: 14 by 1 cells of doubles."""
    cells = {name: np.empty((14, 1), dtype=object) for name in ("annot2", "annot3", "univ_annot3")}
    for number, camera in enumerate(rig()):
        for name, points in zip(cells, seen(camera), strict=True):
            cells[name][number, 0] = all_28(points)
    cameras, frames = np.arange(14.0)[None], np.arange(float(FRAMES))[:, None]
    return {**cells, "cameras": cameras, "frames": frames, **changed}


def write_training(folder: Path, key: str = "S1/Seq1", **changed) -> Path:
    (folder / key).mkdir(parents=True, exist_ok=True)
    content = {name: value for name, value in annotations(**changed).items() if value is not None}
    savemat(folder / key / "annot.mat", content, do_compression=True)
    (folder / key / "camera.calibration").write_text(calibration(), encoding="utf-8")
    return folder / key / "annot.mat"


VALID = np.array([0, 0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0], bool)


def write_test(folder: Path, key: str = "TS1", **changed) -> Path:
    """annot_data.mat as MATLAB 7.3 writes it: 512 bytes of text, then HDF5 with the axes in reverse."""
    path = folder / "mpi_inf_3dhp_test_set" / key / "annot_data.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = zip(("annot2", "annot3", "univ_annot3"), seen(rig()[3]), strict=True)
    content = {name: from_h36m(points)[:, None] for name, points in arrays}
    for name in content:
        content[name][~VALID] = np.nan  # frames that do not count may hold anything
    content |= {"valid_frame": VALID[:, None].astype(float), "activity_annotation": np.full((FRAMES, 1), 3.0)}
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in (content | changed).items():
            if array is not None:
                file.create_dataset(name, data=array).attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124))
    return path


def pair(keys=("S1/Seq1", "S3/Seq1"), **changed) -> tuple[dict, dict]:
    """The dicts of P-STMO's two files: 17 joints in the set's order, no annot3."""
    cameras = {}
    for number in CAMERAS:
        pixels, _, points = seen(rig()[number])
        cameras[str(number)] = {"data_2d": from_h36m(pixels), "data_3d": from_h36m(points)}
    pixels, _, points = seen(rig()[3])
    test = {"data_2d": from_h36m(pixels), "data_3d": from_h36m(points), "valid": VALID.astype(float)}
    train = {key.replace("/", " "): [cameras, SEQUENCES[key][1]] for key in keys}
    return train | changed.get("train", {}), {key: test for key in TESTS} | changed.get("test", {})


def write_pair(folder: Path, **changed) -> None:
    folder.mkdir(exist_ok=True)
    for name, data in zip(("train", "test"), pair(**changed), strict=True):
        np.savez_compressed(folder / f"data_{name}_3dhp", data=data)


def convert(folder: Path, target: Path, *options: str) -> list[Clip]:
    assert main([str(folder), str(target), *options]) == 0
    return load_motion(target)


def refused(capsys, folder: Path, *options: str) -> str:
    """The one line with which the command ends; no motion file is there then."""
    target = folder.parent / "refused.safetensors"
    assert main([str(folder), str(target), "--allow-missing", *options]) == 2
    assert not target.exists()
    said = capsys.readouterr().err.strip().splitlines()
    last = said[-1]
    assert last.startswith("mpi_inf_3dhp: ") and len(last) < 500, last
    assert all("lacks" in line or "publishes" in line or "is missing" in line for line in said[:-1]), said
    return last
