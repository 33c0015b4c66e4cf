"""Both protocols once more, slow and plain: loops over frames and joints, NumPy, nothing of the package.

They start from what the official files hold, not from our motion file. Answers come as one for each of the
file's frames, in the units of a network; the tests' fake network, `Oracle`, gives the package the same ones.
"""

import numpy as np
import torch

BLOCKED = ("s_09_act_05_subact_02", "s_09_act_10_subact_02", "s_09_act_13_subact_01")
WIDTH, HEIGHT = 1000, {"54138969": 1002, "55011271": 1000, "58860488": 1000, "60457274": 1002}
LEFT, RIGHT = [4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]
PCK_OF_H36M = [1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16]
PCK_OF_3DHP = list(range(14))


def length(vector) -> float:
    return float(np.sqrt(sum(value**2 for value in vector)))


def scaled(found, true) -> np.ndarray:
    up = down = 0.0
    for joint in range(len(true)):
        for axis in range(3):
            up += found[joint, axis] * true[joint, axis]
            down += found[joint, axis] ** 2
    return found * (up / down)


def aligned(found, true) -> np.ndarray:
    """Umeyama's similarity for one pose."""
    a, b = found - found.mean(0), true - true.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a / len(a))
    turn = np.diag([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    scale = (s * np.diag(turn)).sum() / (a**2).sum() * len(a)
    return scale * a @ (u @ turn @ vt).T + true.mean(0)


def frame_errors(found, true, counted) -> dict[str, list[float]]:
    """Each joint's errors in one frame; `counted` are PCK's joints."""
    errors = {"mpjpe": found, "n_mpjpe": scaled(found, true), "p_mpjpe": aligned(found, true)}
    errors = {name: [length(p - t) for p, t in zip(b, true, strict=True)] for name, b in errors.items()}
    for name, thresholds in (("pck", [150]), ("auc", range(0, 151, 5))):
        errors[name] = []
        for joint in counted:
            near = sum(errors["mpjpe"][joint] < threshold for threshold in thresholds)
            errors[name].append(100 * near / len(thresholds))
    return errors


def window_errors(found, true, counted) -> tuple[list[dict], list[list[float]]]:
    """Errors of each frame of a window, and of each of its steps."""
    frames = [frame_errors(p, t, counted) for p, t in zip(found, true, strict=True)]
    steps = []
    for frame in range(len(true) - 1):
        moves = (found[frame + 1] - found[frame]) - (true[frame + 1] - true[frame])
        steps.append([length(move) for move in moves])
    return frames, steps


class Means:
    """Collects errors under a label, an action or a sequence."""

    def __init__(self):
        self.found: dict[str, dict[str, list[list[float]]]] = {}

    def add(self, label: str, errors: dict[str, list[float]]) -> None:
        for name, joints in errors.items():
            self.found.setdefault(name, {}).setdefault(label, []).append(joints)

    def labels(self, name: str) -> dict[str, float]:
        return {label: float(np.mean([np.mean(j) for j in e])) for label, e in self.found[name].items()}

    def over_labels(self, name: str) -> float:
        return float(np.mean(list(self.labels(name).values())))

    def over_frames(self, name: str) -> float:
        return float(np.mean([np.mean(joints) for each in self.found[name].values() for joints in each]))

    def joint(self, name: str, joint: int) -> float:
        return float(np.mean([np.mean([j[joint] for j in each]) for each in self.found[name].values()]))


def runs(part: dict) -> list[tuple[str, list[int]]]:
    """The pickle's frames of each source."""
    found: list[tuple[str, list[int]]] = []
    for frame, source in enumerate(part["source"]):
        if not found or found[-1][0] != source:
            found.append((source, []))
        found[-1][1].append(frame)
    return found


def h36m_inputs(part: dict, key: str = "joint_2d") -> np.ndarray:
    """What a network is shown of each frame."""
    found = []
    for pixels, name in zip(part[key][..., :2], part["camera_name"], strict=True):
        found.append([[x / WIDTH * 2 - 1, y / WIDTH * 2 - HEIGHT[name] / WIDTH] for x, y in pixels])
    return np.array(found)


def h36m(part: dict, answers: np.ndarray, frames: int, overwrite=None) -> tuple[Means, dict[str, int]]:
    """The pickle's test split by windows of `frames`; sources shorter than that are not for this code.

    `overwrite` are inputs that take the place of the answers' x and y.
    """
    means, count = Means(), {"scored": 0, "dropped": 0, "blocked": 0}
    for source, own in runs(part):
        if source[:-6] in BLOCKED:
            count["blocked"] += len(own)
            continue
        whole = len(own) // frames * frames
        count["scored"] += whole
        count["dropped"] += len(own) - whole
        for start in range(0, whole, frames):
            found, true = [], []
            for frame in own[start : start + frames]:
                pose = answers[frame].copy()
                pose[0] = 0
                if overwrite is not None:
                    pose[:, :2] = overwrite[frame]
                pixels = np.empty((17, 3))
                for joint in range(17):
                    pixels[joint] = pose[joint] * WIDTH / 2
                    pixels[joint, 0] += WIDTH / 2
                    pixels[joint, 1] += HEIGHT[part["camera_name"][frame]] / 2
                mm = pixels * part["2.5d_factor"][frame]
                found.append(mm - mm[0])
                true.append(part["joints_2.5d_image"][frame] - part["joints_2.5d_image"][frame][0])
            each, steps = window_errors(np.array(found), np.array(true), PCK_OF_H36M)
            for errors in each:
                means.add(part["action"][own[start]], errors)
            for errors in steps:
                means.add(part["action"][own[start]], {"mpjve": errors})
    return means, count


def size_of(key: str) -> tuple[int, int]:
    return (1920, 1080) if key in ("TS5", "TS6") else (2048, 2048)


def mpi_inputs(data: dict) -> dict[str, np.ndarray]:
    found = {}
    for key, sequence in data.items():
        width, height = size_of(key)
        found[key] = sequence["data_2d"] / width * 2 - np.array([1, height / width])
    return found


def mpi(data: dict, answers: dict[str, np.ndarray], half: bool = True) -> Means:
    """P-STMO's test file; answers in the set's order of joints, in halves of the image's width or in mm."""
    means = Means()
    for key, sequence in data.items():
        true = sequence["data_3d"] - sequence["data_3d"][:, 14:15]
        before = None
        for frame in range(len(true)):
            if not sequence["valid"][frame]:
                before = None
                continue
            pose = answers[key][frame] * (size_of(key)[0] / 2 if half else 1)
            pose[14] = 0
            means.add(key, frame_errors(pose, true[frame], PCK_OF_3DHP))
            if before is not None:
                moves = (pose - before) - (true[frame] - true[frame - 1])
                means.add(key, {"mpjve": [length(move) for move in moves]})
            before = pose
    return means


def mirror(poses: np.ndarray) -> np.ndarray:
    """Human3.6M's joints with left and right exchanged and x negated."""
    found = poses.copy()
    found[..., 0] *= -1
    found[..., LEFT + RIGHT, :] = found[..., RIGHT + LEFT, :]
    return found


class Oracle(torch.nn.Module):
    """Knows each frame by its 2D joints, and has an answer for it, whatever window it comes in."""

    def __init__(self, inputs: np.ndarray, answers: np.ndarray):
        super().__init__()
        self.inputs = torch.from_numpy(inputs).reshape(len(inputs), -1)
        self.answers, self.seen = torch.from_numpy(answers), []

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        self.seen.append(windows)
        frames = windows.reshape(-1, 34).double()
        away, which = torch.cdist(frames, self.inputs).min(dim=1)
        assert away.max() < 1e-4, "a frame that the file does not hold"
        return self.answers[which].reshape(*windows.shape[:-1], 3).float()
