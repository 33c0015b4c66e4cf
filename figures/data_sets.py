"""What the chapter "The data" draws from motion and detections that are not shipped.

    python figures/data_sets.py

measures the package's own motion and leaves runs/data_sets/data_sets.json: each set's size, actions, people
and bone lengths; the principal axes of its poses; how far test poses are from the nearest pose in training.
What the book shows was measured so, on motion that `data_prep/cmu.py` fetches and converts and on a result
of AlphaPose, which is not distributed; the first file gives the axes:

    python figures/data_sets.py --motion "CMU, open"=cmu.safetensors \\
        --detections detections_alphapose_coco17.json --out posemamba/assets/measured/data_sets.json
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from posemamba import record, storage
from posemamba.camera import Camera
from posemamba.motion import open_motion, synthetic_clips
from posemamba.motion.clips import Clip
from posemamba.motion.noise import DetectorNoise
from posemamba.skeleton import BONES, bone_lengths

WHAT = "sets of motion side by side, the variety of their poses, and how a detector's joints jitter"
POINTS, NEIGHBOURS = 1200, 17_000  # poses drawn; poses to look for the nearest one among
DISTANCES = range(0, 401, 10)  # mm
NOISES, SMOOTH, TRACED = (0, 0.3, 0.65, 1.0), 15, 60  # px; frames; frames
BODIES = 12  # of each action, of the generator: what the open set's poses are compared with
COCO = {"nose": [0], "shoulders": [5, 6], "elbows": [7, 8], "wrists": [9, 10], "hips": [11, 12]}
COCO |= {"knees": [13, 14], "ankles": [15, 16]}
H36M = {"nose": [9], "shoulders": [11, 14], "elbows": [12, 15], "wrists": [13, 16], "hips": [1, 4]}
H36M |= {"knees": [2, 5], "ankles": [3, 6]}


def aligned(joints: np.ndarray) -> np.ndarray:
    """Poses `(n, 17, 3)` relative to the pelvis, turned about the vertical until the left hip is along y."""
    joints = joints.astype(np.float64) - joints[:, :1]
    across = joints[:, 4] - joints[:, 1]
    angle = np.arctan2(across[:, 0], across[:, 1])
    turn = np.zeros((len(joints), 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 0, 1], turn[:, 1, 0], turn[:, 2, 2] = -np.sin(angle), np.sin(angle), 1
    return np.einsum("nab,njb->nja", turn, joints)


def on_bones(joints: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Poses whose bones keep their directions and get these lengths: one body for all."""
    built = np.zeros_like(joints)
    for (start, end), length in zip(BONES, lengths, strict=True):
        bone = joints[:, end] - joints[:, start]
        built[:, end] = built[:, start] + length * bone / np.linalg.norm(bone, axis=-1, keepdims=True)
    return built


def person(clip: Clip) -> str:
    """Who moves; in older files only the trial's name tells it."""
    return getattr(clip, "subject", "") or clip.name.split("_")[0]


def sizes(name: str, clips: list[Clip]) -> dict:
    """A set's row: frames, people, rate, actions by split, and each person's bones, mm."""
    row = {"name": name, "clips": len(clips), "fps": sorted({float(clip.fps) for clip in clips})}
    row["frames"] = sum(map(len, clips))
    row["shorter_than_243"] = sum(len(clip) < 243 for clip in clips)
    for split in ("train", "test"):
        chosen, actions = [clip for clip in clips if clip.split == split], Counter()
        for clip in chosen:
            actions[clip.action] += len(clip)
        row[split] = {"frames": sum(map(len, chosen)), "people": len({person(c) for c in chosen})}
        row[split] |= {"actions": dict(actions.most_common())}
    bones = {}
    for clip in clips:
        bones.setdefault(person(clip), []).append(
            np.median(bone_lengths(np.array(clip.joints[::10])), axis=0)
        )
    # One recording in the middle of a person's: trials may be of different days.
    row["bones"] = {
        who: np.median(found, axis=0).round().astype(int).tolist() for who, found in bones.items()
    }
    return row


def poses(clips: list[Clip], most: int) -> tuple[np.ndarray, np.ndarray]:
    """About `most` aligned poses `(n, 17, 3)`, evenly over all frames, and their actions."""
    step = max(1, sum(map(len, clips)) // most)
    chosen = [
        (aligned(clip.joints[step // 2 :: step]), clip.action) for clip in clips if len(clip) > step // 2
    ]
    return np.concatenate([p for p, _ in chosen]), np.concatenate([[a] * len(p) for p, a in chosen])


def nearest(queries: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each pose the mean distance of its joints from the nearest one's, mm: an MPJPE."""
    among, found = torch.from_numpy(among).float().transpose(0, 1), []
    for part in torch.from_numpy(queries).float().split(256):
        found.append(torch.cdist(part.transpose(0, 1), among).mean(0).amin(1))
    return torch.cat(found).numpy()


def middle(distances: np.ndarray) -> float:
    return round(float(np.median(distances)), 1)


def variety(clips: list[Clip], generated: list[Clip]) -> dict:
    """The principal axes of a set's poses, some poses placed along them, and how near other motion comes."""
    everything, actions = poses(clips, NEIGHBOURS)
    flat = everything.reshape(len(everything), -1)
    mean = flat.mean(0)
    _, spread, axes = np.linalg.svd(flat - mean, full_matrices=False)
    # Signs are free: the first axis lifts the right wrist, the second brings the thorax forward.
    axes = axes[:2] * np.sign([axes[0, 16 * 3 + 2], axes[1, 8 * 3]])[:, None]
    share = spread**2 / (spread**2).sum()
    few, their = poses(clips, POINTS)
    names = sorted(set(actions.tolist()))
    places = ((few.reshape(len(few), -1) - mean) @ axes.T).round().astype(int)
    made = poses(generated, NEIGHBOURS)[0]
    test = poses([clip for clip in clips if clip.split == "test"], NEIGHBOURS // 4)[0]
    train = poses([clip for clip in clips if clip.split == "train"], NEIGHBOURS)[0]
    # Hips lie farther apart in one set than in another: ask again with one body's bones for all.
    body, by_action = np.median(bone_lengths(train), axis=0), {}
    same = [on_bones(of, body) for of in (everything[::3], made, test, train)]
    lacking, built = nearest(everything[::3], made), nearest(same[0], same[1])
    for name in names:
        of = actions[::3] == name
        if of.any():
            row = {"median_mm": middle(lacking[of]), "same_bones_mm": middle(built[of])}
            by_action[name] = row | {"poses": int(of.sum())}
    every = [round(float((lacking > d).mean()), 4) for d in DISTANCES]
    curves = {"the generator": nearest(test, made), "training, other people": nearest(test, train)}
    curves["both"] = np.minimum(*curves.values())
    fair = {"the generator": nearest(same[2], same[1]), "training, other people": nearest(same[2], same[3])}
    fair["both"] = np.minimum(*fair.values())
    found = {
        "mean": mean.round(1).tolist(),
        "axes": axes.round(4).tolist(),
        "explained": share[:8].round(4).tolist(),
    }
    found |= {"actions": names, "points": [*places.T.tolist(), [names.index(action) for action in their]]}
    found["test_poses"], found["among"] = len(test), {"the generator": len(made), "training": len(train)}
    found["distances_mm"] = list(DISTANCES)
    found["farther"] = {
        name: [round(float((of > d).mean()), 4) for d in DISTANCES] for name, of in curves.items()
    }
    found["median_mm"] = {name: [middle(of), middle(fair[name])] for name, of in curves.items()}
    return found | {"all_farther_from_the_generator": every, "from_the_generator_by_action": by_action}


def known(clips: list[Clip]) -> list[dict]:
    """How near to test poses other people's training poses come, and the same person's of other trials."""
    train, rows = poses([clip for clip in clips if clip.split == "train"], NEIGHBOURS)[0], []
    test = [clip for clip in clips if clip.split == "test"]
    for who in sorted({person(clip) for clip in test}):
        theirs = [clip for clip in test if person(clip) == who]
        own, others, among = [], [], []
        for clip in theirs:
            # "35_05#2" is the second piece of trial 35_05.
            rest = [c for c in theirs if c.name.split("#")[0] != clip.name.split("#")[0]]
            if rest:
                query, candidates = aligned(clip.joints[2::6]), poses(rest, 2000)[0]
                own.append(nearest(query, candidates))
                others.append(nearest(query, train))
                among.append(len(candidates))
        if own:
            row = {"person": who, "actions": sorted({clip.action for clip in theirs}), "clips": len(own)}
            row |= {"same_mm": middle(np.concatenate(own)), "others_mm": middle(np.concatenate(others))}
            rows.append(row | {"same_among": round(float(np.mean(among))), "others_among": len(train)})
    return rows


def jitter(points: np.ndarray) -> np.ndarray:
    """`(joints,)` the standard deviation that white noise would have if it gave these third differences.

    Of smooth motion little is left after three differences; of white noise 20 times its variance.
    """
    return np.sqrt((np.diff(points, n=3, axis=0) ** 2).mean((0, 2)) / 20)


def extent(points: np.ndarray) -> float:
    """A body's size in the image: its joints' longer extent, mean over the frames."""
    return float(np.ptp(points, axis=1).max(-1).mean())


def grouped(values: np.ndarray, groups: dict[str, list[int]], digits: int = 3) -> dict[str, float]:
    return {name: round(float(np.mean(values[joints])), digits) for name, joints in groups.items()}


class Grid:
    """The places that a network can name in its boxes: half cells of a heat map of 64 rows for 1.25 boxes.

    It has a peak at the cell k, moved by 1/4 towards its higher neighbour: the middles of half cells.
    """

    def __init__(self, boxes: np.ndarray):
        step = np.maximum(boxes[:, 3], boxes[:, 2] * 256 / 192) * 1.25 / 128
        self.step, self.centre = step[:, None, None], (boxes[:, :2] + boxes[:, 2:] / 2)[:, None]

    def cells(self, points: np.ndarray) -> np.ndarray:
        return (points - self.centre) / self.step - 0.5

    def rounded(self, points: np.ndarray) -> np.ndarray:
        return (self.cells(points).round() + 0.5) * self.step + self.centre


def replayed(where: np.ndarray, grid: Grid, draws: int = 20) -> dict[str, float]:
    """Jitter, px, that smooth paths with so much white noise have, once rounded to each box's grid."""
    edge = np.pad(where, ((SMOOTH // 2,) * 2, (0, 0), (0, 0)), mode="edge")
    smooth = np.lib.stride_tricks.sliding_window_view(edge, SMOOTH, axis=0).mean(-1)
    rng = np.random.default_rng(0)
    calm = [k for name, joints in COCO.items() if name not in ("elbows", "wrists") for k in joints]
    found = {"measured": jitter(where)[calm].mean(), "smoothed": jitter(smooth)[calm].mean()}
    for noise in NOISES:
        noisy = [grid.rounded(smooth + noise * rng.normal(size=where.shape)) for _ in range(draws)]
        found[f"{noise:g}"] = np.mean([jitter(points)[calm].mean() for points in noisy])
    return {name: round(float(value), 2) for name, value in found.items()}


def follows(sure: np.ndarray, calm: np.ndarray) -> dict[str, list[float]]:
    """Rank correlation of confidence with jerks; where 95% of it lies if one is shifted against the other."""
    first, second = (np.argsort(np.argsort(v, axis=0), axis=0) for v in (sure, calm))
    shifts = np.array(
        [
            [np.corrcoef(np.roll(first[:, k], shift), second[:, k])[0, 1] for k in range(17)]
            for shift in (0, *range(10, len(first) - 10))
        ]
    )
    found = {}
    for name, joints in COCO.items():
        of = shifts[:, joints].mean(1)
        found[name] = [round(float(v), 2) for v in (of[0], *np.quantile(of[1:], (0.025, 0.975)))]
    return found


def detected(path: Path) -> dict:
    """What can be told of a detector's result without the truth: jitter, confidence, the grid it lies on."""
    entries = storage.read_json(path)
    try:
        points = np.array([entry["keypoints"] for entry in entries], dtype=np.float64).reshape(-1, 17, 3)
        boxes = np.array([entry["box"] for entry in entries], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected AlphaPose's list with 17 keypoints and a box an entry") from error
    where, sure, grid = points[..., :2], points[..., 2], Grid(boxes)
    size, error, cells, step = extent(where), jitter(where), grid.cells(where), float(grid.step.mean())
    third = np.diff(where, n=3, axis=0)
    jerks = np.linalg.norm(np.diff(where, n=2, axis=0), axis=-1)  # each belongs to its middle frame
    lags = [float((third[lag:] * third[:-lag]).sum() / (third**2).sum()) for lag in (1, 2, 3)]
    moves = np.abs(np.diff(grid.centre[:, 0], axis=0)).mean()
    found = {"frames": len(points), "size_px": round(size, 1), "step_px": round(step, 2)}
    found |= {"box_px": round(128 * step / 1.25), "box_moves_px": round(float(moves), 2)}
    found |= {"largest_distance_from_grid_steps": round(float(np.abs(cells - cells.round()).max()), 6)}
    found |= {"jitter_px": grouped(error, COCO), "jitter_percent": grouped(100 * error / size, COCO)}
    found |= {"replayed_px": replayed(where, grid)}
    found |= {"confidence": grouped(sure.mean(0), COCO), "confidence_lowest": grouped(sure.min(0), COCO)}
    found |= {"confidence_against_jerks": follows(sure[1:-1], jerks)}
    # How two joints' places across the picture change from their first ones: a look at it, not a copy.
    traced = {"right wrist": 10, "right hip": 12}
    found |= {
        "traces_px": {n: (where[:TRACED, k, 0] - where[0, k, 0]).round(1).tolist() for n, k in traced.items()}
    }
    return found | {"third_differences_lags": [round(lag, 3) for lag in lags]}


def modelled(seeds: int = 20) -> dict:
    """The same of the noise model on the shipped clip, without its spells, and of the clip's true joints."""
    from posemamba.motion import load_motion

    (clip,) = load_motion(storage.asset("demo.safetensors"))
    body = torch.from_numpy(np.array(clip.joints))
    middle = body[:, 0].mean(0)
    camera = Camera.look_at(middle + torch.tensor([3500.0, -3500.0, 600.0]), middle, focal=1145)
    true = camera.project(camera.world_to_camera(body))
    size = extent(true.numpy())
    noise = DetectorNoise(limb_swaps=0, body_swaps=0, dropouts=0, frozen=0)
    runs = [noise.apply(true, seed=seed) for seed in range(seeds)]
    error = np.mean([100 * jitter(points.numpy()) / size for points, _ in runs], axis=0)
    sure = np.mean([confidence.numpy().mean(0) for _, confidence in runs], axis=0)
    found = {"jitter_percent": grouped(error, H36M), "confidence": grouped(sure, H36M), "seeds": seeds}
    return found | {"true_joints_percent": grouped(100 * jitter(true.numpy()) / size, H36M)}


def main(arguments: list[str] | None = None) -> int:
    """Measure, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    told = "'synthetic' or files of motion, each with a name of yours before it: NAME=FILE"
    parser.add_argument("--motion", nargs="+", default=["synthetic"], help=told)
    parser.add_argument("--detections", type=Path, help="a result of AlphaPose, COCO's 17 joints, one person")
    parser.add_argument("--out", type=Path, default=Path("runs/data_sets/data_sets.json"))
    given = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        named = [tuple(motion.rpartition("=")[::2]) for motion in given.motion]
        command = ["python", "figures/data_sets.py", "--motion"]
        command += [f"{name}={Path(file).name}" if name else Path(file).name for name, file in named]
        command += ["--detections", given.detections.name] if given.detections else []
        report = record.head(WHAT, command, [0])
        sets = {name or Path(file).stem: open_motion(file) for name, file in named}
        generated = synthetic_clips(seed=0, train=BODIES, test=0)
        report["sets"] = [sizes(name, clips) for name, clips in sets.items()]
        report["variety"] = variety(next(iter(sets.values())), generated)
        report["known_people"] = known(next(iter(sets.values())))
        report["detections"] = {"model": modelled()}
        if given.detections:
            report["detections"]["real"] = detected(given.detections)
        record.write(given.out, report)
    except (OSError, ValueError) as error:
        print(f"data_sets: {error}", file=sys.stderr)
        return 2
    print(given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
