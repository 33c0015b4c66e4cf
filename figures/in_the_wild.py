"""A real video whose truth is known: how far from it are BlazePose's bodies, and ours?

    python figures/in_the_wild.py --folder runs/in_the_wild
    python figures/in_the_wild.py --again --model runs/mine/model

The first fetches the package pose2sim 0.10.49 (51 MB), which carries four calibrated videos of one man, and
makes an environment for the detector: mediapipe 0.10.21, whose wheel has BlazePose's weights (for Python 3.9
to 3.12). Both can be there already: `--demo` and `--python`. What is in FOLDER is not made again. It measures
how far the videos are out of step, triangulates the truth, and leaves two files in FOLDER/assets:
wild.safetensors, a motion file with joints and no pictures, and measured/in_the_wild.json, the tables. With
`--again` these are made anew from the file that ships.
"""

import argparse
import itertools
import json
import subprocess
import sys
import venv
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.signal import savgol_filter

from posemamba import PoseMamba, record, storage
from posemamba.camera import Camera, normalise_screen
from posemamba.inference import lift
from posemamba.keypoints import Person, sides
from posemamba.lifting import lift_person
from posemamba.metrics import METRICS
from posemamba.motion import Clip, View, load_motion, save_motion
from posemamba.motion.rig import CameraRig
from posemamba.skeleton import BONES, FLIP_ORDER, JOINT_NAMES, JOINT_SETS, bone_lengths
from posemamba.triangulation import triangulate

WHAT = (
    "four videos of one man with their truth by triangulation: the detector's errors, and the lifted bodies'"
)
PACKAGE, DEMO = "pose2sim==0.10.49", "Pose2Sim/Demo_SinglePerson"
DETECTOR = ("mediapipe==0.10.21", "numpy<2")
ABOUT = {
    "source": "videos and calibration: pose2sim 0.10.49, Demo_SinglePerson, BSD 3-Clause, perfanalytics",
    "detector": "BlazePose, the full model of mediapipe 0.10.21, Apache 2.0; its 33 joints in pixels with "
    "their visibility (landmarks), the 17 made of them, and its own 3D of the 17, mm (blazepose)",
    "truth": "triangulated from the four cameras, smoothed over time",
    "command": "python figures/in_the_wild.py",
}
CAMERAS = ("cam01", "cam02", "cam03", "cam04")
SHIFTS = range(-6, 7)  # frames by which one camera may be behind another
CLIPPED, DROP = 15.0, 30.0  # px: an exchanged knee says nothing on time; where a camera may be left out
SMOOTH = (9, 2)  # frames and degree of Savitzky and Golay's filter
MODELS = ("open", "small_cmu", "small_orders")
SCORES = ("mpjpe", "p_mpjpe", "mpjve")
FPS = 60.0
LIMBS = {"legs": (1, 2, 3, 4, 5, 6), "arms": (11, 12, 13, 14, 15, 16)}


def fetch(folder: Path) -> Path:
    """The demonstration's folder, got from the package where it is not there."""
    demo = folder / DEMO
    if not demo.is_dir():
        run(sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", PACKAGE, "--dest", folder)
        with zipfile.ZipFile(next(folder.glob("pose2sim-*.whl"))) as wheel:
            wanted = [f"{DEMO}/calibration/Calib.qca.txt", *(f"{DEMO}/videos/{name}.mp4" for name in CAMERAS)]
            wheel.extractall(folder, wanted)
    return demo


def environment(folder: Path) -> Path:
    """The Python of the detector's own environment, which is made where it is not there."""
    place = folder / "detector"
    python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (place / "made").exists():
        venv.create(place, with_pip=True, clear=True)
        run(python, "-m", "pip", "install", "--quiet", *DETECTOR)
        (place / "made").touch()
    return python


def run(*command) -> None:
    """Run a command; RuntimeError with its last words."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise RuntimeError(f"{' '.join(map(str, command))} failed: {last[0]}")


def read_cameras(path: Path, sizes: np.ndarray) -> list[Camera]:
    """The cameras of a calibration by Qualisys: mm, z up; focal length and centre in 1/64 pixel."""
    cameras = []
    for found, (width, height) in zip(ElementTree.parse(path).iter("camera"), sizes.tolist(), strict=True):
        turn, lens = ({k: float(v) for k, v in found.find(tag).items()} for tag in ("transform", "intrinsic"))
        # Row by row from the world to an image whose y points up and z backwards.
        rotation = np.array([[turn[f"r{row}{column}"] for column in (1, 2, 3)] for row in (1, 2, 3)])
        rotation = np.diag([1.0, -1, -1]) @ rotation
        numbers = dict(rotation=rotation, translation=-rotation @ [turn["x"], turn["y"], turn["z"]])
        numbers["focal"] = [lens[f"focalLength{axis}"] / 64 for axis in "UV"]
        numbers["center"] = [lens[f"centerPoint{axis}"] / 64 for axis in "UV"]
        numbers["radial"] = [lens[f"radialDistortion{k}"] for k in (1, 2, 3)]
        numbers["tangential"] = [lens[f"tangentalDistortion{k}"] for k in (1, 2)]
        tensors = {name: torch.tensor(np.array(number)) for name, number in numbers.items()}
        cameras.append(Camera(**tensors, width=width, height=height))
    return cameras


def measure_offsets(cameras: list[Camera], joints: np.ndarray) -> tuple[list[int], dict]:
    """By how many frames each camera is behind the first: where rays of pairs of cameras meet best.

    Returns the offsets, and for each pair the mean reprojection error, px, for each shift of the second.
    """
    # The same frames for all shifts.
    inner, errors = np.arange(-SHIFTS[0], joints.shape[1] - SHIFTS[-1]), {}
    pairs = [*itertools.combinations(range(len(cameras)), 2)]
    for a, b in pairs:
        for shift in SHIFTS:
            seen = np.stack([joints[a][inner], joints[b][inner + shift]])
            error = triangulate([cameras[a], cameras[b]], seen)[1].mean(0)
            errors[a, b, shift] = float(error.clamp(max=CLIPPED).mean())

    def cost(offsets: tuple[int, ...]) -> float:
        return sum(errors.get((a, b, offsets[b] - offsets[a]), np.inf) for a, b in pairs)

    best = min(((0, *rest) for rest in itertools.product(SHIFTS, repeat=len(cameras) - 1)), key=cost)
    table = {f"{CAMERAS[a]}, {CAMERAS[b]}": [round(errors[a, b, s], 2) for s in SHIFTS] for a, b in pairs}
    return [*best], dict(shifts=[*SHIFTS], pairs=table)


def residuals(cameras: list[Camera], points: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Pixels `(cameras, frames, 17, 2)` less where the cameras would show the points `(frames, 17, 3)`."""
    points = torch.as_tensor(points).double()
    images = [camera.project(camera.world_to_camera(points)).numpy() for camera in cameras]
    return joints - np.stack(images)


def exchanged(wrong: np.ndarray, mirrored: np.ndarray, limbs: tuple[int, ...]) -> np.ndarray:
    """In which frames of which cameras limbs lie nearer to the truth when left and right change places."""
    plain, other = (np.linalg.norm(w[:, :, list(limbs)], axis=-1).mean(-1) for w in (wrong, mirrored))
    return other < plain


def find_truth(cameras: list[Camera], joints: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The body in the world, mm, smoothed. Legs or arms that one camera sees exchanged are changed back."""
    joints, confidence, mirror = joints.copy(), confidence.copy(), list(FLIP_ORDER)
    for _ in range(3):
        points = triangulate(cameras, joints, confidence, drop=DROP)[0].numpy()
        points = savgol_filter(points, *SMOOTH, axis=0)
        wrong, mirrored = (residuals(cameras, points, j) for j in (joints, joints[:, :, mirror]))
        for limbs in LIMBS.values():
            part = np.isin(np.arange(17), limbs) & exchanged(wrong, mirrored, limbs)[..., None]
            joints = np.where(part[..., None], joints[:, :, mirror], joints)
            confidence = np.where(part, confidence[:, :, mirror], confidence)
    return points


def make_clip(demo: Path, detected: dict[str, np.ndarray]) -> tuple[Clip, dict]:
    """The clip of what the cameras see at the same moments, and how that was found."""
    cameras = read_cameras(demo / "calibration" / "Calib.qca.txt", detected["size"])
    joint_set, visibility = JOINT_SETS["BlazePose-33"], detected["visibility"]
    if not (visibility > 0).any(-1).all():
        raise ValueError("BlazePose finds nobody in some frames, expected the man in all of them")
    joints, confidence, _ = joint_set.convert(detected["pixels"], visibility)
    own, _, _ = joint_set.convert(detected["world"], visibility)
    offsets, shifts = measure_offsets(cameras, joints)
    first, count = -min(offsets), joints.shape[1] - (max(offsets) - min(offsets))
    moments = [np.arange(first + offset, first + offset + count) for offset in offsets]

    def together(arrays: np.ndarray) -> np.ndarray:
        return np.stack([array[at] for array, at in zip(arrays, moments, strict=True)]).astype(np.float32)

    joints, confidence, own = together(joints), together(confidence), together(own)
    landmarks = together(np.concatenate([detected["pixels"], visibility[..., None]], axis=-1))
    truth = find_truth(cameras, joints.astype(np.float64), confidence).astype(np.float32)
    views = []
    for at, (name, camera) in enumerate(zip(CAMERAS, cameras, strict=True)):
        kept = dict(landmarks=landmarks[at], blazepose=own[at])
        size = camera.width, camera.height
        views.append(View(name, *size, camera, joints[at], confidence[at], targets=kept))
    rate = float(detected["fps"][0])
    clip = Clip(truth, rate, "Demo_SinglePerson", "walking, leaning, turning", "test", "wild", tuple(views))
    return clip, dict(offsets=dict(zip(CAMERAS, offsets, strict=True)), **shifts)


def as_readme(model: torch.nn.Module, view: View, keypoints: np.ndarray) -> np.ndarray:
    """The lifted body, mm: the image's width spans -1 to 1."""
    return lift(model, normalise_screen(keypoints, view.width, view.height), check=False).numpy()


def as_trained(model: torch.nn.Module, view: View, keypoints: np.ndarray) -> np.ndarray:
    """The lifted body, mm: lens undone, and brought to the focal length of the kept weights' training."""
    return lift(model, plane_of(view, keypoints) * CameraRig().focal, check=False).numpy()


def plane_of(view: View, keypoints: np.ndarray) -> torch.Tensor:
    """Pixels as a pinhole of focal length 1 would show them."""
    pixels = torch.as_tensor(keypoints).double()
    return view.camera.to(torch.float64).unproject(pixels, torch.ones(pixels.shape[:-1]).double())[..., :2]


def as_lifted(model: torch.nn.Module, view: View, keypoints: np.ndarray, known: bool) -> np.ndarray:
    """The body, mm, as `posemamba lift` does it, with the camera known or its focal length guessed."""
    focal, middle = float(view.camera.focal[0]), np.array([view.width, view.height]) / 2
    if known:
        keypoints = plane_of(view, keypoints).numpy() * focal + middle
    keypoints = np.asarray(keypoints, np.float32)
    person = Person(0, 0, keypoints, np.ones(keypoints.shape[:2], np.float32), view.width, view.height)
    return lift_person(model, person, FPS, focal if known else None).joints


# How a network's answer is had, by its `config.view`: functions of it, a view and pixels (frames, 17, 2).
LIFTERS: dict[str, dict[str, Callable]] = {
    "image": {"image": as_readme, "image, focal length": as_trained},
    "person": {f"person, {word}": partial(as_lifted, known=word == "known") for word in ("known", "guessed")},
}


def sides_put_right(view: View, keypoints: np.ndarray) -> np.ndarray:
    """BlazePose's own bodies, left and right changed back where its 2D has them exchanged."""
    body, where = view.targets["blazepose"], sides.exchanged(keypoints, view.confidence, FPS)
    return np.where(where[:, None, None], body[:, list(FLIP_ORDER)], body)


def relative(joints: np.ndarray) -> np.ndarray:
    return joints - joints[:, :1]


def scores(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    found, truth = relative(found), relative(truth)
    return {name: round(float(METRICS[name].of(found, truth).mean()), 2) for name in SCORES}


def in_camera(clip: Clip, view: View) -> np.ndarray:
    """The truth in the camera's axes, mm."""
    return view.camera.to(torch.float64).world_to_camera(torch.tensor(clip.joints).double()).numpy()


def exact(clip: Clip, view: View) -> np.ndarray:
    """Where the camera shows the truth, pixels."""
    return view.camera.to(torch.float64).project(torch.tensor(in_camera(clip, view))).numpy()


def table(clip: Clip, models: dict[str, torch.nn.Module]) -> list[dict]:
    """Each way to a body from each source of 2D: its errors in each camera, and their mean, mm."""
    ways = [("BlazePose", "detected", lambda view, _: view.targets["blazepose"])]
    ways += [("BlazePose, sides put right", "detected", sides_put_right)]
    for name, model in models.items():
        for how, lifter in LIFTERS[model.config.view].items():
            ways += [(f"{name}, {how}", source, partial(lifter, model)) for source in ("detected", "exact")]
    rows = []
    for name, source, way in ways:
        errors = {}
        for view in clip.views:
            seen = view.keypoints if source == "detected" else exact(clip, view)
            errors[view.name] = scores(way(view, seen), in_camera(clip, view))
        mean = {score: round(np.mean([e[score] for e in errors.values()]), 2) for score in SCORES}
        rows.append(dict(body=name, joints=source, mean=mean, cameras=errors))
    return rows


def two_d_errors(clip: Clip) -> dict:
    """By camera: how far BlazePose's joints are from the truth's image, and where sides are exchanged.

    Medians over frames: `pixels`, and `mm` at the joint's depth; `beside` is the median error along x and y.
    """
    found = {}
    for view in clip.views:
        truth, wrong = in_camera(clip, view), view.keypoints - exact(clip, view)
        mirrored = view.keypoints[:, list(FLIP_ORDER)] - exact(clip, view)
        distance = np.linalg.norm(wrong, axis=-1)
        scale = truth[..., 2] / float(view.camera.focal.mean())
        swaps = {part: exchanged(wrong[None], mirrored[None], limbs)[0] for part, limbs in LIMBS.items()}
        medians = dict(pixels=np.median(distance, 0), mm=np.median(distance * scale, 0))
        told = {unit: dict(zip(JOINT_NAMES, m.round(1).tolist(), strict=True)) for unit, m in medians.items()}
        swaps = {part: np.flatnonzero(frames).tolist() for part, frames in swaps.items()}
        found[view.name] = told | dict(beside=np.median(wrong, (0, 1)).round(1).tolist(), exchanged=swaps)
    return found


def quality(clip: Clip) -> dict:
    """How good the truth is: its reprojection errors, and how constant its bones are."""
    error = np.stack([np.linalg.norm(v.keypoints - exact(clip, v), axis=-1) for v in clip.views])
    depth = np.stack([in_camera(clip, v)[..., 2] / float(v.camera.focal.mean()) for v in clip.views])
    bones = {}
    for (start, end), lengths in zip(BONES, bone_lengths(clip.joints).T, strict=True):
        told = dict(
            median_mm=round(float(np.median(lengths)), 1), deviation_mm=round(float(lengths.std()), 1)
        )
        bones[f"{JOINT_NAMES[start]} to {JOINT_NAMES[end]}"] = told
    named = dict(median=error, largest_of_cameras=error.max(0), second_of_cameras=np.sort(error, 0)[-2])
    found = {f"{name}_px": round(float(np.median(each)), 2) for name, each in named.items()}
    return found | dict(median_mm=round(float(np.median(error * depth)), 2), frames=len(clip), bones=bones)


def load_model(name: str) -> torch.nn.Module:
    """A network that ships, by name, or one in a folder."""
    return PoseMamba.from_pretrained(name if Path(name).is_dir() else storage.asset(name))


def main(arguments: list[str] | None = None) -> int:
    """Detect, triangulate, lift, write; or, again, lift and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default="runs/in_the_wild", help="where the videos and the detector go")
    parser.add_argument("--demo", help=f"the folder {DEMO} of the package, where it is there already")
    parser.add_argument("--python", help="the Python of an environment with mediapipe 0.10.21")
    parser.add_argument("--out", help="the folder of assets to write to; FOLDER/assets by default")
    parser.add_argument("--again", action="store_true", help="only the tables, from the file that ships")
    parser.add_argument("--model", nargs="+", default=[], help="more networks: names of assets, or folders")
    given = parser.parse_args(arguments)
    folder = Path(given.folder)
    out = Path(given.out or folder / "assets")
    try:
        models = {"/".join(Path(name).parts[-2:]): load_model(name) for name in (*MODELS, *given.model)}
        more = ["--again"] * given.again + ["--model", *list(models)[len(MODELS) :]] * bool(given.model)
        head = record.head(WHAT, ["python", "figures/in_the_wild.py", *more], [0])  # nothing is drawn
        (out / "measured").mkdir(parents=True, exist_ok=True)
        if given.again:
            (clip,) = load_motion(storage.asset("wild.safetensors"))
            sync = record.read(storage.asset("measured/in_the_wild.json"))["synchronisation"]
        else:
            folder.mkdir(parents=True, exist_ok=True)
            demo = Path(given.demo) if given.demo else fetch(folder)
            script, found = Path(__file__).with_name("blazepose.py"), folder / "blazepose.npz"
            if not found.exists():
                python = given.python or environment(folder)
                run(python, script, found, *(demo / "videos" / f"{name}.mp4" for name in CAMERAS))
            clip, sync = make_clip(demo, storage.read_arrays(found))
            about = ABOUT | dict(offsets=json.dumps(sync["offsets"]))
            save_motion(out / "wild.safetensors", [clip], about)
        report = head | dict(synchronisation=sync, truth=quality(clip), detector=two_d_errors(clip))
        report["table"] = table(clip, models)
        record.write(out / "measured" / "in_the_wild.json", report)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"in_the_wild: {error}", file=sys.stderr)
        return 2
    print(f"offsets {sync['offsets']}, {report['truth']['largest_of_cameras_px']:.1f} px")
    for row in report["table"]:
        each = ", ".join(f"{e['mpjpe']:.0f} {e['p_mpjpe']:.0f}" for e in row["cameras"].values())
        mean = ", ".join(f"{METRICS[name].label} {value:.1f}" for name, value in row["mean"].items())
        print(f"{row['body']}, {row['joints']} joints: {mean} ({each})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
