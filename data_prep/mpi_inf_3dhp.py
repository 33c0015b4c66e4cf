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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data_prep.parts import Outcome, Source, convert, run  # noqa: E402
from data_prep.pickles import read_plain  # noqa: E402
from posemamba.motion import Clip  # noqa: E402
from posemamba.motion.clips import View  # noqa: E402
from posemamba.motion.mpi_inf_3dhp import TO_H36M, image_size, to_h36m  # noqa: E402
from posemamba.storage import read_arrays  # noqa: E402
from posemamba.storage.kinds import existing_file, kind_of  # noqa: E402

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
# The set's world has y up.
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def main(arguments: list[str] | None = None) -> int:
    """Convert; bad input is one line on standard error and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
    numbers = [word.strip() for word in cameras.split(",")]
    if any(not n.isdecimal() or int(n) > 13 for n in numbers) or len(set(numbers)) < len(numbers):
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
            return [test_clip(source.key, source.files[0])]
        return [training_clip(source.key, *source.files, cameras=tuple(map(int, numbers)))]

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
    roots = [root for root in (inner, inner / inner, Path()) if any((folder / root / t).is_dir() for t in TESTS)]
    for key in TESTS:
        file = (roots or [inner])[0] / key / "annot_data.mat"
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


def training_clip(
    key: str, annotations: Path, calibration: Path | None = None, cameras: Sequence[int] = CAMERAS
) -> Clip:
    """A training sequence from its annot.mat (MATLAB 5) and, where given, its camera.calibration."""
    found = _read_matlab_5(annotations, ("annot2", "univ_annot3", "cameras", "frames"), ("annot3",))
    numbers, frames = (np.asarray(found[name]).reshape(-1) for name in ("cameras", "frames"))
    if frames.dtype.kind not in "fiu" or numbers.dtype.kind not in "fiu" or (np.diff(frames) != 1).any():
        raise ValueError(f"{annotations}: cameras or frames are no numbers, or frames skips, expected 0, 1, 2")
    count, fps = SEQUENCES[key]
    if len(frames) < count:
        _say(f"{annotations} holds {len(frames):,} frames, of {count:,} that the set publishes for it")
    lenses = read_calibration(calibration) if calibration else {}
    world, views = None, []
    for number in cameras:
        if number not in numbers:
            raise ValueError(f"{annotations}: cameras are {numbers.tolist()}, expected {number} among them")
        cell = int(np.flatnonzero(numbers == number)[0])
        arrays = {
            name: _cell(annotations, name, found[name], cell, len(frames), int(name[-1]))[:count]
            for name in ("annot2", "univ_annot3", "annot3")
            if name in found
        }
        camera, (width, height) = None, image_size(key[:2])
        if lenses and "annot3" in arrays:
            if number not in lenses:
                raise ValueError(f"{calibration} holds no camera {number}, only {sorted(lenses)}")
            lens = lenses[number]
            camera, width, height = lens.camera(), *lens.size
            wrong = np.median(np.abs(lens.project(arrays["annot3"]) - arrays["annot2"]))
            if wrong > 2:
                raise ValueError(
                    f"{calibration}: annot3 of camera {number} of {annotations} comes {wrong:.0f} pixels beside "
                    "its annot2, expected the calibration of this sequence"
                )
            seen = lens.to_world(arrays["annot3"])
            world = seen if world is None else world
            apart = np.median(np.linalg.norm(seen - world, axis=-1))
            if apart > 20:
                raise ValueError(
                    f"{calibration}: cameras {cameras[0]} and {number} put the joints of {annotations} {apart:.0f} "
                    "mm apart, expected the calibration of this sequence"
                )
        points = {name: _float32(array) for name, array in arrays.items()}
        keypoints = points.pop("annot2")
        views.append(View(str(number), width, height, camera, keypoints, targets=points))
    joints = None if world is None else _float32(world)
    subject, action = key.split("/")
    return Clip(joints, float(fps), key, action, "train", subject, tuple(views))


def _read_matlab_5(path: Path, keys: Sequence[str], optional: Sequence[str]) -> dict[str, np.ndarray]:
    from scipy.io import loadmat, whosmat

    with existing_file(path).open("rb") as file:
        head = file.read(512)
    if not head.startswith(b"MATLAB 5.0"):
        newer = "a MATLAB 7.3 file" if head.startswith(b"MATLAB 7.3") else kind_of(head)
        raise ValueError(f"{path} is {newer}, expected a MATLAB 5 file")
    try:
        there = [name for name, *_ in whosmat(path)]
        found = loadmat(path, variable_names=[*keys, *optional]) if {*keys} <= {*there} else {}
    # A damaged file can fail anywhere in scipy's reader.
    except Exception as error:
        raise ValueError(f"{path} is damaged or cut short, expected a MATLAB 5 file") from error
    for key in keys:
        if key not in found:
            raise ValueError(f"{path} holds {', '.join(there) or 'nothing'}, expected {', '.join(keys)}")
    return {key: found[key] for key in (*keys, *optional) if key in found}


def _cell(path: Path, name: str, cells, cell: int, frames: int, dims: int) -> np.ndarray:
    """One camera's `(frames, 17, dims)` of a cell array of `(frames, 28 dims)`, in Human3.6M's order."""
    flat = cells.reshape(-1)[cell] if cells.dtype == object and cells.size > cell else cells
    what = f"{path}: {name} of cell {cell + 1}"
    if getattr(flat, "dtype", np.dtype(object)).kind not in "fiu" or flat.shape != (frames, 28 * dims):
        shape = getattr(flat, "shape", type(flat).__name__)
        raise ValueError(f"{what} has shape {shape}, expected cells of numbers ({frames}, {28 * dims})")
    points = flat.reshape(frames, 28, dims)[:, JOINTS_28_H36M]
    return _finite(what, points)


def _finite(what: str, points: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """The points; NaN and infinity are refused, but for frames that do not count, which become zero there."""
    good = np.isfinite(points).reshape(len(points), -1).all(1)
    bad = ~good if valid is None else ~good & valid
    if bad.any():
        raise ValueError(f"{what}: frame {bad.argmax()} holds NaN or infinity, expected finite numbers")
    return points if good.all() else np.where(np.isfinite(points), points, 0)


def _float32(points: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(points, dtype=np.float32)


class Lens:
    """A camera of camera.calibration.

    Attributes:
        size: width and height of the image, pixels.
        intrinsic, extrinsic: 4 by 4; the world (mm, y up) to the camera, and the camera to pixels.
    """

    def __init__(self, size: tuple[int, int], intrinsic: np.ndarray, extrinsic: np.ndarray):
        self.size, self.intrinsic = size, intrinsic
        self.rotation, self.translation = extrinsic[:3, :3] @ Z_UP.T, extrinsic[:3, 3]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels of points `(..., 3)` in the camera's frame."""
        image = points @ self.intrinsic[:3, :3].T
        return image[..., :2] / image[..., 2:]

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Points `(..., 3)` of the camera's frame in the world with z up, mm."""
        return (points - self.translation) @ self.rotation

    def camera(self):
        """The same as a `posemamba.camera.Camera`."""
        import torch

        from posemamba.camera import Camera

        matrix = self.intrinsic
        parts = (self.rotation, self.translation, matrix[[0, 1], [0, 1]], matrix[:2, 2])
        width, height = self.size
        return Camera(*(torch.from_numpy(_float32(part)) for part in parts), width=width, height=height)


def read_calibration(path: Path) -> dict[int, Lens]:
    """The cameras of a camera.calibration by number (text; per camera name, sensor, size, ..., radial)."""
    text = existing_file(path).read_text(encoding="utf-8", errors="replace")
    head, *blocks = (" " + text).split("\nname")
    if "Camera Calibration File" not in head or not blocks:
        raise ValueError(f"{path} is not a camera calibration, expected Skeletool's text of names and matrices")
    lenses = {}
    for block in blocks:
        name, *lines = block.splitlines()
        fields = {words[0]: words[1:] for words in map(str.split, lines) if words}
        what = f"{path}: camera {name.strip()[:20]!r}"
        try:
            size = tuple(int(word) for word in fields["size"])
            intrinsic, extrinsic = (
                np.array(fields[key], dtype=float).reshape(4, 4) for key in ("intrinsic", "extrinsic")
            )
            number, radial = int(name), [float(word) for word in fields.get("radial", [])]
            if len(size) != 2 or min(size) < 1:
                raise ValueError("size")
        except (KeyError, ValueError) as error:
            wanted = "its size and an intrinsic and extrinsic matrix of 16 numbers"
            raise ValueError(f"{what} is incomplete or damaged, expected {wanted}") from error
        turn = extrinsic[:3, :3]
        odd = not np.isfinite([intrinsic, extrinsic]).all() or np.abs(turn @ turn.T - np.eye(3)).max() > 1e-3
        if odd or np.linalg.det(turn) < 0 or intrinsic[0, 0] <= 0 or intrinsic[1, 1] <= 0:
            raise ValueError(f"{what} has a matrix that is no rotation or no lens, expected a camera")
        if any(radial) or intrinsic[0, 1]:
            raise ValueError(f"{what} has a distorted lens or skewed pixels, expected radial 0 and no skew")
        lenses[number] = Lens(size, intrinsic, extrinsic)
    return lenses


def test_clip(key: str, path: Path) -> Clip:
    """A test sequence from its annot_data.mat (MATLAB 7.3, which is HDF5: axes come in reverse)."""
    sizes = {"annot2": 2, "annot3": 3, "univ_annot3": 3, "valid_frame": 0, "activity_annotation": 0}
    found = _read_hdf5(path, sizes)
    return _test_clip(key, str(path), found)


def _test_clip(key: str, what: str, found: dict[str, np.ndarray]) -> Clip:
    """The clip of `(frames, 17, d)` arrays in the set's order, and `(frames,)` ones."""
    valid = found.pop("valid_frame") != 0
    for name, array in found.items():
        if len(array) != len(valid):
            raise ValueError(f"{what}: {name} has {len(array)} frames, but valid_frame {len(valid)}")
        found[name] = _finite(f"{what}: {name}", array, valid)
    if not valid.any():
        raise ValueError(f"{what}: valid_frame marks no frame, expected at least one")
    points = {name: _float32(to_h36m(a) if a.ndim == 3 else a) for name, a in found.items()}
    width, height = image_size(key)
    camera = None
    if "annot3" in found:
        lens = _fitted_lens(found["annot3"][valid], found["annot2"][valid], (width, height))
        camera = lens and lens.camera()
    keypoints = points.pop("annot2")
    view = View("0", width, height, camera, keypoints, valid=valid, targets=points)
    return Clip(None, TEST_FPS, key, key, "test", key, (view,))


def _fitted_lens(points: np.ndarray, pixels: np.ndarray, size: tuple[int, int]) -> Lens | None:
    """The lens without distortion that takes points in the camera's frame to pixels; None: to 2 there is none."""
    if (points[..., 2] < 1).any():
        return None
    plane, intrinsic = points[..., :2] / points[..., 2:], np.eye(4)
    for axis in (0, 1):
        line = np.stack([plane[..., axis].ravel(), np.ones(plane[..., axis].size)], axis=1)
        intrinsic[axis, [axis, 2]] = np.linalg.lstsq(line, pixels[..., axis].ravel(), rcond=None)[0]
    world = np.eye(4)
    world[:3, :3] = Z_UP
    lens = Lens(size, intrinsic, world)
    return lens if np.abs(lens.project(points) - pixels).max() < 2 else None


def _read_hdf5(path: Path, sizes: dict[str, int]) -> dict[str, np.ndarray]:
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"reading {path} needs h5py: pip install h5py") from error

    with existing_file(path).open("rb") as file:
        head = file.read(1024)
    if b"\x89HDF\r\n\x1a\n" not in (head[:8], head[512:520]):
        older = "a MATLAB 5 file" if head.startswith(b"MATLAB 5.0") else kind_of(head[:512])
        raise ValueError(f"{path} is {older}, expected a MATLAB 7.3 file (HDF5)")
    try:
        with h5py.File(path, "r") as file:
            return {name: _read_dataset(path, file, name, size) for name, size in sizes.items()}
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is damaged or cut short, expected a MATLAB 7.3 file (HDF5)") from error


def _read_dataset(path: Path, file, name: str, dims: int) -> np.ndarray:
    """A data set `(frames, 1, 17, dims)` as `(frames, 17, dims)`, or a row or column of frames."""
    import h5py

    if name not in file:
        raise ValueError(f"{path} holds {', '.join(file)[:200] or 'nothing'}, expected {name}")
    # A link or a data set whose numbers lie in another file could show any file of this machine.
    plain = isinstance(file.get(name, getlink=True), h5py.HardLink)
    data = file[name] if plain else None
    if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
        raise ValueError(f"{path}: {name} is not an array in this file, expected numbers")
    shape, kind = data.shape, data.dtype.kind
    fits = len(shape) == 4 and shape[1:] == (1, 17, dims) if dims else len(shape) == 2 and 1 in shape
    if kind not in "fiub" or not fits:
        wanted = f"numbers (frames, 1, 17, {dims})" if dims else "a row or column of numbers"
        raise ValueError(f"{path}: {name} has shape {shape} and type {data.dtype}, expected {wanted}")
    # Nothing stored at all reads as zeros of any size.
    if data.size * 8 > 1000 * path.stat().st_size:
        raise ValueError(f"{path}: {name} declares shape {shape}, far more than the file can hold")
    return data[()].reshape(-1, 17, dims) if dims else data[()].reshape(-1)


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
        raise ValueError(f"{what} is not a dict of cameras and a rate, expected [cameras, fps]")
    views, frames = [], None
    for name in cameras:
        if name not in found[0]:
            raise ValueError(f"{what} has cameras {', '.join(map(str, found[0]))[:80]}, expected {name} too")
        arrays = _pair_arrays(f"{what}, camera {name}", found[0][name], ("data_2d", "data_3d"))
        frames = len(arrays["data_2d"]) if frames is None else frames
        for part, array in arrays.items():
            if len(array) != frames:
                raise ValueError(f"{what}, camera {name}: {part} has {len(array)} frames, expected {frames}")
            arrays[part] = _float32(to_h36m(_finite(f"{what}, camera {name}: {part}", array)))
        size, targets = image_size(key[:2]), {"univ_annot3": arrays["data_3d"]}
        views.append(View(name, *size, keypoints=arrays["data_2d"], targets=targets))
    subject, action = key.split()
    return Clip(None, float(found[1]), f"{subject}/{action}", action, "train", subject, tuple(views))


def _pair_test_clip(what: str, key: str, found, _) -> Clip:
    arrays = _pair_arrays(what, found, ("data_2d", "data_3d", "valid"))
    names = {"data_2d": "annot2", "data_3d": "univ_annot3", "valid": "valid_frame"}
    return _test_clip(key, what, {names[part]: array for part, array in arrays.items()})


def _pair_arrays(what: str, found, parts: Sequence[str]) -> dict[str, np.ndarray]:
    shapes = {"data_2d": (17, 2), "data_3d": (17, 3), "valid": ()}
    if type(found) is not dict:
        raise ValueError(f"{what} is a {type(found).__name__}, expected a dict of {', '.join(parts)}")
    for part in parts:
        array = found.get(part)
        good = isinstance(array, np.ndarray) and array.dtype.kind in "fiub" and array.shape[1:] == shapes[part]
        if not good or array.ndim == 0 or not len(array):
            wanted = f"numbers of shape {('frames', *shapes[part])}".replace("'", "")
            raise ValueError(f"{what}: {part} has shape {getattr(array, 'shape', None)}, expected {wanted}")
    return {part: found[part] for part in parts}


if __name__ == "__main__":
    sys.exit(main())
