"""Turn MPI-INF-3DHP (Mehta et al., 2017) into a motion file of posemamba.

    python data_prep/mpi_inf_3dhp.py FOLDER mpi_inf_3dhp.safetensors

FOLDER is either of two packagings, and what it holds tells which:

- the official one: S1 to S8, each with Seq1 and Seq2 (annot.mat, camera.calibration), and
  mpi_inf_3dhp_test_set with TS1 to TS6 (annot_data.mat). Videos are not needed;
- the P-STMO pair that lifting papers exchange: data_train_3dhp.npz and data_test_3dhp.npz.

A clip is a sequence ("S1/Seq1", "TS1") with a view for each camera. Joints are in Human3.6M's order;
`posemamba.motion.mpi_inf_3dhp.from_h36m` gives the set's own. A view has `keypoints` (annot2, pixels) and the
targets "univ_annot3" (mm in the camera's frame, the body scaled to a standard height: what the protocol
scores; it does not project to the keypoints) and, from the official files, "annot3" (the same in true size).
Training clips have world joints, z up with the floor at 0, and cameras where camera.calibration is there.
Test clips have none; their view's camera is the lens alone, fitted to annot2 and annot3: its world is its own
frame. Only `valid` frames count in them; "activity_annotation" numbers the activity, 1 to 7.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data_prep.matlab import read_matlab_5, read_matlab_73
from data_prep.parts import Outcome, Source, convert, run
from data_prep.skeletool import fit_camera, read_calibration
from posemamba.motion import Clip, View
from posemamba.motion.mpi_inf_3dhp import TO_H36M, image_size, to_h36m
from posemamba.storage import read_arrays
from posemamba.storage.pickles import read_plain

NAME = "mpi_inf_3dhp"
ABOUT = {
    "set": "MPI-INF-3DHP (Mehta et al., Monocular 3D Human Pose Estimation In The Wild Using Improved CNN "
    "Supervision, 3DV 2017), for research only under its own licence",
    "command": f"data_prep/{NAME}.py",
    "joints": "Human3.6M's order; posemamba.motion.mpi_inf_3dhp.from_h36m gives the set's own",
}
# The frames that have a picture, and the rate, of each training sequence, as the set publishes them.
# Annotations go on a little longer in some.
SEQUENCES = {
    **{"S1/Seq1": (6416, 25), "S1/Seq2": (12430, 50), "S2/Seq1": (6502, 25), "S2/Seq2": (6081, 25)},
    **{"S3/Seq1": (12488, 50), "S3/Seq2": (12283, 50), "S4/Seq1": (6171, 25), "S4/Seq2": (6675, 25)},
    **{"S5/Seq1": (12820, 50), "S5/Seq2": (12312, 50), "S6/Seq1": (6188, 25), "S6/Seq2": (6145, 25)},
    **{"S7/Seq1": (6239, 25), "S7/Seq2": (6320, 25), "S8/Seq1": (6468, 25), "S8/Seq2": (6054, 25)},
}
TESTS = ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6")
TEST_FPS = 25.0  # not published; 25 makes TS1 to TS4 the four minutes that a sequence lasts
# Those of the fourteen that papers train on: none looks down from the ceiling.
CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)
# Of the 28 annotated joints the 17 "relevant" ones, in the set's order; and the same in Human3.6M's.
JOINTS_28 = (7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6)
JOINTS_28_H36M = [JOINTS_28[joint] for joint in TO_H36M]
PAIR = ("data_train_3dhp.npz", "data_test_3dhp.npz")


def main(arguments: list[str] | None = None) -> int:
    """Convert; bad input is one line on standard error and exit code 2."""
    keep_lines = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=keep_lines)
    parser.add_argument("folder", type=Path, help="the official folders, or the two npz files of P-STMO")
    parser.add_argument("target", type=Path, help="the motion file to write (.safetensors)")
    parser.add_argument("--allow-missing", action="store_true", help="convert what is there of the set")
    parser.add_argument(
        *("--cameras", "-c"),
        default=",".join(map(str, CAMERAS)),
        help="which of the cameras 0 to 13 of the training set, with commas (default %(default)s)",
    )
    given = parser.parse_args(arguments)
    return run(NAME, lambda: convert_folder(**vars(given)))


def convert_folder(folder: Path, target: Path, allow_missing: bool, cameras: str) -> Outcome:
    """Converts either packaging; see the module's text."""
    words = [word.strip() for word in cameras.split(",")]
    numbers = [str(int(word)) for word in words if word.isdecimal() and int(word) <= 13]
    if len(set(numbers)) < len(words):
        raise ValueError(f"--cameras is {cameras!r}, expected different numbers of 0 to 13 with commas")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder, expected the set's folder")
    sources, missing = _official(folder)
    pair = [Source(name, (folder / name,)) for name in PAIR if (folder / name).is_file()]
    if sources and pair:
        raise ValueError(f"{folder} holds both annot.mat files and {pair[0].key}, expected one packaging")
    if not sources and not pair:
        wanted = f"S1/Seq1/annot.mat and its like, or {' and '.join(PAIR)}"
        raise FileNotFoundError(f"{folder} holds nothing of MPI-INF-3DHP, expected {wanted}")
    if pair:
        missing = [name for name in PAIR if not (folder / name).is_file()]
    _missing(folder, missing, allow_missing)

    def read(source: Source) -> list[Clip]:
        if pair:
            return _pair_file(source.files[0], tuple(numbers), allow_missing)
        if source.key in TESTS:
            return [read_test(source.key, source.files[0])]
        return [read_training(source.key, *source.files, cameras=tuple(map(int, numbers)))]

    about = ABOUT | ({"missing": ", ".join(missing)} if missing else {})
    return convert(target, pair or sources, read, about, {"version": 1, "cameras": numbers})


def _official(folder: Path) -> tuple[list[Source], list[str]]:
    """The sequences that are there, and what is missing, as paths within the folder."""
    sources, missing = [], []
    for key in SEQUENCES:
        files = [folder / key / name for name in ("annot.mat", "camera.calibration")]
        if files[0].is_file():
            sources.append(Source(key, tuple(file for file in files if file.is_file())))
            if not files[1].is_file():
                _say(f"{files[1]} is missing: {key} gets no cameras and no world joints")
        else:
            missing.append(f"{key}/annot.mat")
    inner = Path("mpi_inf_3dhp_test_set")
    # The archive holds a folder of its own name; some unpack it into another.
    roots = [r for r in (inner, inner / inner, Path()) if any((folder / r / key).is_dir() for key in TESTS)]
    for key in TESTS:
        file = (*roots, inner)[0] / key / "annot_data.mat"
        if (folder / file).is_file():
            sources.append(Source(key, (folder / file,)))
        else:
            missing.append(file.as_posix())
    return sources, missing


def _missing(where: Path, missing: Sequence[str], allowed: bool) -> None:
    if missing and not allowed:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise FileNotFoundError(
            f"{where} lacks {missing[0]}{more}; with --allow-missing what is there is converted"
        )
    if missing:
        _say(f"{where} lacks {', '.join(missing)}")


def _say(text: str) -> None:
    print(f"{NAME}: {text}", file=sys.stderr)


def read_training(
    key: str, annotations: Path, calibration: Path | None = None, cameras: Sequence[int] = CAMERAS
) -> Clip:
    """A training sequence from its annot.mat (MATLAB 5) and, where given, its camera.calibration."""
    found = read_matlab_5(annotations, ("annot2", "univ_annot3", "cameras", "frames"), ("annot3",))
    numbers, frames = found.pop("cameras").reshape(-1), found.pop("frames").reshape(-1)
    if "O" in (frames.dtype.kind, numbers.dtype.kind) or (np.diff(frames) != 1).any():
        raise ValueError(f"{annotations}: frames or cameras are odd, expected numbers, frames without gaps")
    count, fps = SEQUENCES[key]
    if len(frames) < count:
        _say(f"{annotations} holds {len(frames):,} of the {count:,} frames that the set publishes for it")
    known = read_calibration(calibration) if calibration and "annot3" in found else {}
    world, views = None, []
    for number in cameras:
        if number not in numbers or (known and number not in known):
            where, there = (calibration, [*known]) if number in numbers else (annotations, numbers.tolist())
            raise ValueError(f"{where} has the cameras {there}, expected {number} among them")
        cell, camera, size = int(np.flatnonzero(numbers == number)[0]), None, image_size(key[:2])
        arrays = {}
        for name, cells in found.items():
            what = f"{annotations}: {name} of camera {number}"
            arrays[name] = _annotation(what, cells, cell, len(frames), int(name[-1]))[:count]
        if known:
            camera = known[number]
            size, points = (camera.width, camera.height), torch.from_numpy(arrays["annot3"])
            seen = camera.camera_to_world(points).numpy()
            world = seen if world is None else world
            strays = (camera.project(points).numpy() - arrays["annot2"], seen - world)
            # The set says that annot3 projects onto annot2. One joint in ten may stray; NaN is behind it.
            off, apart = (np.quantile(np.linalg.norm(stray, axis=-1), 0.9) for stray in strays)
            if not (off < 2 and apart < 20):
                found = f"{off:.0f} pixels off annot2, {apart:.0f} mm from where camera {cameras[0]} has it"
                wrong = f"camera {number} puts annot3 of {annotations} {found}"
                raise ValueError(f"{calibration}: {wrong}, expected the cameras of this sequence")
        arrays = {name: _float32(array) for name, array in arrays.items()}
        keypoints = arrays.pop("annot2")
        views.append(View(str(number), *size, camera, keypoints, targets=arrays))
    subject, action = key.split("/")
    joints = None if world is None else _float32(world)
    return Clip(joints, float(fps), key, action, "train", subject, tuple(views))


def _annotation(what: str, cells: np.ndarray, cell: int, frames: int, dims: int) -> np.ndarray:
    """One camera's `(frames, 17, dims)` of a cell array of `(frames, 28 dims)`, in Human3.6M's order."""
    wanted = f"a cell of numbers ({frames}, {28 * dims})"
    if cells.dtype != object or cells.size <= cell:
        raise ValueError(f"{what} is not there: found {cells.shape} {cells.dtype}, expected {wanted}")
    flat = np.asarray(cells.reshape(-1)[cell])
    if flat.dtype.kind not in "fiu" or flat.shape != (frames, 28 * dims):
        raise ValueError(f"{what} has shape {flat.shape} and type {flat.dtype}, expected {wanted}")
    return _finite(what, flat.reshape(frames, 28, dims)[:, JOINTS_28_H36M].astype(float))


def _finite(what: str, points: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """The points; NaN is refused, but for frames that do not count, which then hold 0."""
    good = np.abs(points) < 1e30  # what float32 can hold
    bad = ~good.reshape(len(points), -1).all(axis=1)
    counts = bad if valid is None else bad & valid
    if counts.any():
        raise ValueError(f"{what}: frame {counts.argmax()} holds NaN or infinity, expected finite numbers")
    return np.where(good, points, 0) if bad.any() else points


def _float32(points: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(points, dtype=np.float32)


def read_test(key: str, path: Path) -> Clip:
    """A test sequence from its annot_data.mat (MATLAB 7.3)."""
    shapes = {"annot2": (1, 17, 2), "annot3": (1, 17, 3), "univ_annot3": (1, 17, 3), "valid_frame": ()}
    shapes["activity_annotation"] = ()
    found = read_matlab_73(path, shapes, optional=("annot3", "activity_annotation"))
    found = {name: array[:, 0] if shapes[name] else array for name, array in found.items()}
    return _test_clip(key, str(path), found)


def _test_clip(key: str, what: str, found: dict[str, np.ndarray]) -> Clip:
    """The clip of arrays `(frames, 17, d)`, in the set's order, and `(frames,)`."""
    valid, size = found.pop("valid_frame") != 0, image_size(key)
    if not valid.any():
        raise ValueError(f"{what}: valid_frame marks no frame, expected at least one")
    arrays = {}
    for name, array in found.items():
        if len(array) != len(valid):
            wanted = f"{len(valid)} as valid_frame"
            raise ValueError(f"{what}: {name} has {len(array)} frames, expected {wanted}")
        array = _finite(f"{what}: {name}", array, valid)
        found[name] = to_h36m(array) if array.ndim == 3 else array
        arrays[name] = _float32(found[name])
    camera = None
    if "annot3" in found:
        points, pixels = (found[name][valid].reshape(-1, d) for name, d in (("annot3", 3), ("annot2", 2)))
        camera = fit_camera(points, pixels, *size)
    keypoints = arrays.pop("annot2")
    view = View("0", *size, camera, keypoints, valid=valid, targets=arrays)
    return Clip(None, TEST_FPS, key, key, "test", key, (view,))


def _pair_file(path: Path, cameras: Sequence[str], allow_missing: bool) -> list[Clip]:
    """The clips of data_train_3dhp.npz or data_test_3dhp.npz; their joints are in the set's order."""
    data = read_arrays(path, objects=read_plain).get("data")
    data = data.item() if isinstance(data, np.ndarray) and data.dtype == object and data.ndim == 0 else None
    if type(data) is not dict:
        raise ValueError(f"{path} holds no dict of sequences in 'data', expected P-STMO's packaging")
    train = path.name == PAIR[0]
    keys = [key.replace("/", " ") for key in SEQUENCES] if train else list(TESTS)
    odd = [str(key) for key in data if key not in keys]
    if odd:
        raise ValueError(f"{path}: data holds {odd[0][:40]!r}, expected {keys[0]} to {keys[-1]}")
    _missing(path, [key for key in keys if key not in data], allow_missing)
    clip = _pair_training_clip if train else _pair_test_clip
    return [clip(f"{path}: {key}", key, data[key], cameras) for key in keys if key in data]


def _pair_training_clip(what: str, key: str, found, cameras: Sequence[str]) -> Clip:
    plain = type(found) in (list, tuple) and len(found) == 2 and type(found[0]) is dict
    if not plain or not isinstance(found[1], int | float | np.number) or not 0 < found[1] < 1000:
        raise ValueError(f"{what} is no list of a dict of cameras and a rate, expected [cameras, fps]")
    views = []
    for name in cameras:
        if name not in found[0]:
            there = ", ".join(map(str, found[0]))[:80]
            raise ValueError(f"{what} has the cameras {there}, expected {name} among them")
        where = f"{what}, camera {name}"
        arrays = _pair_arrays(where, found[0][name], ("data_2d", "data_3d"))
        data_2d, data_3d = (_float32(to_h36m(_finite(f"{where}: {p}", a))) for p, a in arrays.items())
        view = View(name, *image_size(key[:2]), keypoints=data_2d, targets={"univ_annot3": data_3d})
        views.append(view)
    subject, action = key.split()
    return Clip(None, float(found[1]), f"{subject}/{action}", action, "train", subject, tuple(views))


def _pair_test_clip(what: str, key: str, found, _) -> Clip:
    arrays = _pair_arrays(what, found, ("data_2d", "data_3d", "valid"))
    names = {"data_2d": "annot2", "data_3d": "univ_annot3", "valid": "valid_frame"}
    return _test_clip(key, what, {names[part]: array for part, array in arrays.items()})


def _pair_arrays(what: str, found, parts: Sequence[str]) -> dict[str, np.ndarray]:
    """The parts of a dict, arrays of numbers with as many frames."""
    shapes = {"data_2d": (17, 2), "data_3d": (17, 3), "valid": ()}
    if type(found) is not dict:
        raise ValueError(f"{what} is a {type(found).__name__}, expected a dict of {', '.join(parts)}")
    for part in parts:
        array = found.get(part)
        shape = getattr(array, "shape", None)
        frames = len(found[parts[0]]) if array is not found.get(parts[0]) else shape and shape[0]
        if not shape or array.dtype.kind not in "fiub" or shape != (frames, *shapes[part]) or not frames:
            wanted = ", ".join(map(str, (frames or "frames", *shapes[part])))
            raise ValueError(f"{what}: {part} has shape {shape}, expected numbers of shape ({wanted})")
    return {part: found[part] for part in parts}


if __name__ == "__main__":
    sys.exit(main())
