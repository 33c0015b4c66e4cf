"""Human3.6M's two packagings and its camera files, written from known motion and invented cameras."""

import json
import pickle
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from data_prep import human36m
from data_prep.h36m.cameras import NAMES
from data_prep.h36m.facts import ACTIONS, SUBJECTS
from posemamba.motion import Clip, load_motion, synthetic_clips

# Subject, act, subact, and what VideoPose3D calls it; the names are the set's own.
TAKEN = {
    ("S1", 4, 2): "Eating",
    ("S1", 4, 1): "Eating 2",
    ("S7", 12, 1): "Photo",
    ("S9", 5, 2): "Greeting",
    ("S9", 10, 2): "SittingDown 1",
    ("S11", 6, 1): "Phoning 3",
}


CLIPS = ["S1/Eating/1", "S1/Eating/2", "S7/Photo/1", "S9/Greeting/2", "S9/SittingDown/2", "S11/Phoning/1"]


# Of the set's 32: root, right leg, left leg, spine, thorax, nose, head, left arm, right arm.
OF_32 = [0, *(1, 2, 3), *(6, 7, 8), 12, 13, 14, 15, *(17, 18, 19), *(25, 26, 27)]


def numbers() -> np.ndarray:
    """The 300 numbers of metadata.xml's w0, of invented cameras: (4, 11, 6) and (4, 9)."""
    rng = np.random.default_rng(5)
    places = []
    for camera in range(4):
        for _ in range(11):
            azimuth = 0.7 + camera * np.pi / 2 + rng.normal(0, 0.05)
            position = np.array([5000 * np.cos(azimuth), 5000 * np.sin(azimuth), 1500 + rng.normal(0, 60)])
            forward = np.array([0, 0, 950.0]) - position + rng.normal(0, 50, 3)
            forward /= np.linalg.norm(forward)
            right = np.cross(forward, [0.02, 0, 1])
            right /= np.linalg.norm(right)
            rotation = np.stack([right, np.cross(forward, right), forward])
            # x, y, z are turned about the axes one after another, each already turned.
            angles = Rotation.from_matrix(rotation).as_euler("XYZ")
            places.append([*angles, *position])
    lenses = rng.normal(
        [1145, 1143, 512, 508, -0.2, 0.24, -0.003, -0.0014, -0.001],
        [3, 3, 5, 5, 0.01, 0.01, 1e-3, 5e-4, 5e-4],
        (4, 9),
    )
    return np.concatenate([np.ravel(places), lenses.ravel()])


W0 = numbers()


def camera(subject: str, at: int) -> dict:
    place, lens = W0[:264].reshape(4, 11, 6)[at, int(subject[1:]) - 1], W0[264:].reshape(4, 9)[at]
    x, y, z = place[:3]
    about_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    rotation = np.array(about_x) @ about_y @ about_z
    names = dict(f=lens[:2], c=lens[2:4], k=lens[4:7], p=lens[7:])
    return dict(R=rotation, T=place[3:]) | names


def look(world: np.ndarray, cam: dict) -> tuple[np.ndarray, ...]:
    """Human3.6M's projection and LCN's 2.5D, written out: pixels, joint3d_image, factor."""
    points = (world - cam["T"]) @ cam["R"].T
    x, y = (points[..., :2] / points[..., 2:]).transpose(2, 0, 1)
    (k1, k2, k3), (p1, p2), r2 = cam["k"], cam["p"], x * x + y * y
    scale = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + p1 * y + p2 * x
    bent = np.stack([x * scale + p2 * r2, y * scale + p1 * r2], axis=-1)
    left = (points[:, 0, 0] - 1000) / points[:, 0, 2] * cam["f"][0] + cam["c"][0]
    right = (points[:, 0, 0] + 1000) / points[:, 0, 2] * cam["f"][0] + cam["c"][0]
    ratio = (right - left + 1) / 2000
    depth = ratio[:, None] * (points[..., 2] - points[:, :1, 2])
    flat = np.stack([x, y], axis=-1) * cam["f"] + cam["c"]
    image = np.concatenate([flat, depth[..., None]], axis=-1)
    theirs, ours = image - image[:, :1], points - points[:, :1]
    factor = [(a * b).sum() / (a * a).sum() for a, b in zip(theirs, ours, strict=True)]
    return bent * cam["f"] + cam["c"], image, np.array(factor)


def known_motion() -> dict[tuple, np.ndarray]:
    """Known joints, mm, of each take, 20 to 25 frames; those of a subject in places of their own."""
    made = [
        clip for clip in synthetic_clips(4, train=1, test=1, seconds=4.0) if np.ptp(clip.joints[:, 0]) < 2000
    ]
    clips = {}
    for at, take in enumerate(TAKEN):
        joints = made[at].joints[: 4 * (20 + at) : 4].astype(float)
        joints = joints - joints.mean((0, 1)) * [1, 1, 0] + [350.0 * at - 800, 500 - 250.0 * at, 0]
        clips[take] = (joints / 1000).astype(np.float32).astype(float) * 1000
    return clips


def write_xml(path: Path, values=W0) -> Path:
    text = "\n ".join(f"{value:.15g}" for value in values)
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<a>\n<w0>[{text}]</w0>\n</a>', encoding="utf-8")
    return path


def write_json(path: Path, drop: str = "") -> Path:
    found: dict = {"intrinsics": {}, "extrinsics": {subject: {} for subject in SUBJECTS}}
    for at, name in enumerate(NAMES):
        for subject in SUBJECTS:
            cam = camera(subject, at)
            matrix = [[cam["f"][0], 0, cam["c"][0]], [0, cam["f"][1], cam["c"][1]], [0, 0, 1]]
            (k1, k2, k3), (p1, p2) = cam["k"], cam["p"]
            found["intrinsics"][name] = {"calibration_matrix": matrix, "distortion": [k1, k2, p1, p2, k3]}
            place = {"R": cam["R"].tolist(), "t": (-cam["R"] @ cam["T"])[:, None].tolist()}
            found["extrinsics"][subject][name] = place
    found.pop(drop, None)
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def rows(motion: dict, noise: float = 0.0, dtype=np.float64) -> dict:
    """MotionBERT's rows: a frame of a view each."""
    rng, splits = np.random.default_rng(0), {"train": {}, "test": {}}
    # Their order is that of the file names.
    for (subject, act, subact), world in sorted(
        motion.items(), key=lambda item: (int(item[0][0][1:]), *item[0][1:])
    ):
        for at, name in enumerate(NAMES):
            seen, image, factor = look(world, camera(subject, at))
            rows = splits[SUBJECTS[subject]]
            source = f"s_{int(subject[1:]):02d}_act_{act:02d}_subact_{subact:02d}_ca_{at + 1:02d}"
            new = {"joint_2d": seen + rng.normal(0, noise, seen.shape), "joint3d_image": image}
            new |= {"confidence": rng.uniform(size=(len(world), 17)).astype(np.float32)}
            new |= {"camera_name": np.array([name] * len(world)), "source": [source] * len(world)}
            if SUBJECTS[subject] == "test":
                new |= {"action": [ACTIONS[act - 2]] * len(world), "2.5d_factor": factor}
                new |= {"joints_2.5d_image": image * factor[:, None, None]}
            for key, value in new.items():
                rows.setdefault(key, []).append(value)
    for part in splits.values():
        for key, pieces in part.items():
            if key in ("source", "action"):
                part[key] = [text for piece in pieces for text in piece]
            else:
                part[key] = np.concatenate(pieces)
                if part[key].dtype == np.float64:
                    part[key] = part[key].astype(dtype)
    return splits


def write_pickle(path: Path, content, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def pair(motion: dict, noise: float = 0.0, more: int = 0) -> tuple[dict, dict]:
    """VideoPose3D's two dicts; `more` frames in 2D than in 3D, as its detections have."""
    rng, joints, pixels = np.random.default_rng(1), {}, {}
    for take, world in motion.items():
        all_32 = rng.normal(0, 1, (len(world), 32, 3))
        all_32[:, OF_32] = world / 1000
        joints.setdefault(take[0], {})[TAKEN[take]] = all_32.astype(np.float32)
        views = []
        for at in range(4):
            seen = look(world, camera(take[0], at))[0]
            seen = np.concatenate([seen, np.repeat(seen[-1:], more, axis=0)])
            views.append((seen + rng.normal(0, noise, seen.shape)).astype(np.float32))
        pixels.setdefault(take[0], {})[TAKEN[take]] = views
    return joints, pixels


SIDES = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]


def write_pair(folder: Path, joints: dict, pixels: dict, name: str = "gt", sides=SIDES) -> tuple[str, str]:
    three, two = folder / "data_3d_h36m.npz", folder / f"data_2d_h36m_{name}.npz"
    np.savez_compressed(three, positions_3d=joints)
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": sides}
    np.savez_compressed(two, positions_2d=pixels, metadata=metadata)
    return str(three), str(two)


def convert(folder: Path, *arguments) -> list[Clip]:
    target = folder / "h36m.safetensors"
    kind, *files = map(str, arguments)
    at = next((at for at, file in enumerate(files) if file.startswith("--")), len(files))
    assert human36m.main([kind, *files[:at], str(target), *files[at:]]) == 0
    return load_motion(target)


def fails(capsys, folder: Path, *arguments) -> str:
    """The one line that a command ends with."""
    kind, *files = map(str, arguments)
    at = next((at for at, file in enumerate(files) if file.startswith("--")), len(files))
    capsys.readouterr()
    assert human36m.main([kind, *files[:at], str(folder / "out.safetensors"), *files[at:]]) == 2
    line = capsys.readouterr().err.strip()
    assert "\n" not in line and len(line) < 500 and line.startswith("human36m: "), line
    assert not (folder / "out.safetensors").exists()
    return line
