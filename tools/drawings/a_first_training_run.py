"""Drawings of "A first training run"."""

import numpy as np
import torch

from posemamba import metrics
from posemamba.skeleton import BONES
from tools.drawings.pen import BLUE, GREEN, ORANGE, WAVING, arrow, body, boxed, dot, line, shape, words

FRAMES, EVERY = 9, 3  # the chapter's window: 9 frames at 20 a second, of a clip with 60


def turned(pose, degrees: float) -> np.ndarray:
    """A pose (17, 3), x right, y down, z away, turned about its vertical axis."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return pose @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def _faint(parts, opacity=0.4) -> list[str]:
    return [f'<g opacity="{opacity:g}">', *parts, "</g>"]


def training_step() -> tuple[str, str, int, list[str]]:
    """A window is cut from a clip, a camera makes a pair of it, the loss compares, the gradient goes back."""
    size, left, first = 9.6, 20, 12
    parts = [words((left, 18), "a clip, 60 frames a second", bold=True)]
    for k in range(50):
        x, taken = left + size * k, k - first in range(0, FRAMES * EVERY, EVERY)
        box = [(x + 1, 28), (x + size - 1, 28), (x + size - 1, 46), (x + 1, 46)]
        parts += [shape(box, BLUE if taken else "currentColor", BLUE if taken else "none", 0.75)]
    ends = left + size * first, left + size * (first + EVERY * (FRAMES - 1) + 1)
    parts += [line((ends[0], 53), (ends[1], 53), BLUE, 2.5)]
    parts += [words((500, 18), f"a window: {FRAMES} frames, 20 a second", anchor="end")]
    # The camera, from above.
    centre, radius = np.array([96.0, 166]), 46
    parts += arrow((ends[0] + 20, 55), (centre[0] + 22, 108), BLUE)
    ring = f'<circle cx="{centre[0]:g}" cy="{centre[1]:g}" r="{radius}" fill="none" stroke="currentColor"'
    parts += [f'{ring} stroke-dasharray="2 5" opacity="0.7"/>', dot(centre, 5, BLUE)]
    for angle in (20, 92, 164, 236, 308):
        way = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
        at, aside = centre + radius * way, np.array([-way[1], way[0]])
        lens = [at - 7 * way, at + 7 * way + 7 * aside, at + 7 * way - 7 * aside]
        chosen = angle == 20
        drawn = shape(lens, GREEN if chosen else "currentColor", GREEN if chosen else "none", 0.9)
        parts += [drawn] if chosen else _faint([drawn])
    parts += [words((centre[0], 242), "a camera anywhere,", size=14, anchor="middle")]
    parts += [words((centre[0], 260), "mirrored half the time", size=14, anchor="middle")]
    parts += arrow((centre[0] + radius + 10, 166), (196, 166), GREEN)
    # The pair that it makes: the picture, and the body.
    boxes = {"reads": (202, 98, 132), "answers": (380, 98, 132)}
    for name, (x, y, wide) in boxes.items():
        parts += [shape([(x, y), (x + wide, y), (x + wide, y + 118), (x, y + 118)])]
        for k in range(3):
            at = np.array([x + 22 + 41 * k, y + 64.0])
            pose = turned(WAVING, 20 + 4 * k)
            pose[13, 0] += 0.1 * (k - 1)
            if name == "reads":
                parts += body(at + 40 * pose[:, :2], width=1.8)
            else:
                depth = np.stack([pose[:, 0] + 0.5 * pose[:, 2], pose[:, 1] - 0.35 * pose[:, 2]], 1)
                parts += body(at + 40 * depth, ORANGE, ORANGE, 2.6)
    parts += [
        words((202, 90), "in: 2D", bold=True),
        words((334, 90), f"{FRAMES}\u00d717\u00d72", size=14, anchor="end"),
    ]
    parts += [words((380, 90), "truth: 3D", bold=True)]
    parts += [words((512, 90), f"{FRAMES}\u00d717\u00d73", size=14, anchor="end")]
    parts += [*arrow((268, 218), (268, 262)), *boxed((208, 264), (120, 30), "network", BLUE)]
    parts += [*arrow((446, 218), (446, 262), ORANGE), *boxed((396, 264), (100, 30), "loss", GREEN)]
    parts += [*arrow((330, 272), (394, 272)), words((362, 256), "answer", size=14, anchor="middle")]
    parts += [
        *arrow((394, 287), (330, 287), GREEN),
        words((361, 318), "the gradient changes the weights", anchor="middle"),
    ]
    parts += [words((20, 344), "Step k: the seed and k alone decide window, camera, mirror.")]
    alt = (
        f"A clip as a row of frames; every third of 25 is taken, a window of {FRAMES}. A camera anywhere "
        "around the body, mirrored half the time, makes a pair of it: the 2D joints, which the network "
        "reads, and the body in 3D. A loss compares the network's answer with that body; its gradient goes "
        "back into the network's weights. The seed and the step's number decide window, camera and mirror."
    )
    return "One step of training", alt, 356, parts


def pole() -> tuple[str, str, int, list[str]]:
    """One pose from four cameras, and the mean over cameras all round it."""
    parts, middle, top = [], [52, 150, 248, 346], 118
    for x, degrees in zip(middle, (0, 90, 180, 270), strict=True):
        pose = turned(WAVING, degrees)
        parts += body(np.array([x, top]) + 96 * pose[:, :2], width=3)
        parts += [words((x, 228), f"{degrees}\u00b0", anchor="middle")]
    mean = np.mean([turned(WAVING, 15 * k) for k in range(24)], 0)
    parts += [
        *arrow((402, top), (434, top)),
        *body(np.array([474.0, top]) + 96 * mean[:, :2], ORANGE, ORANGE, 4),
    ]
    parts += [dot(np.array([474.0, top]) + 96 * place, 3.2, ORANGE) for place in mean[:, :2]]
    parts += [words((200, 18), "cameras on all sides", anchor="middle", bold=True)]
    parts += [
        words((474, 18), "mean", anchor="middle", bold=True),
        words((474, 228), "a pole", anchor="middle"),
    ]
    alt = (
        "A waving body as cameras at 0, 90, 180 and 270 degrees have it: the arm is on the right, in the "
        "middle, on the left. The mean over cameras on all sides is a pole: every joint at its height, on "
        "one axis."
    )
    return "Why the mean pose is a pole", alt, 240, parts


# For the three errors, mm: the truth in two frames, and an answer that leans, is too small and has its left
# forearm elsewhere. In the second frame the true hand goes down and out, the answer's a little up.
TRUTH = np.stack([1000 * WAVING, 1000 * WAVING])
TRUTH[1, 13, :2] += (170, 130)
_LEAN = np.deg2rad(14)
_TURN = 0.86 * np.array([[np.cos(_LEAN), np.sin(_LEAN), 0], [-np.sin(_LEAN), np.cos(_LEAN), 0], [0, 0, 1]])
_pose = 1000 * np.stack([WAVING, WAVING])
_pose[:, 13, :2] = _pose[:, 12, :2] + [(260, 100), (280, -40)]
ANSWER = _pose @ _TURN


def three_errors() -> tuple[str, str, int, list[str]]:
    """A body and an answer to it: joint by joint, after the best fit, and from frame to frame."""
    scale = 0.128
    truth, answer = TRUTH[..., :2], ANSWER[..., :2]
    fitted = metrics.align(torch.tensor(ANSWER[:1]), torch.tensor(TRUTH[:1]))[0].numpy()[:, :2]
    place, shape_, speed = (
        metrics.mpjpe(ANSWER[:1], TRUTH[:1]).item(),
        metrics.p_mpjpe(ANSWER[:1], TRUTH[:1]).item(),
        metrics.mpjve(ANSWER, TRUTH).item(),
    )
    parts = []
    for x, name, told, pose, error in (
        (110, "MPJPE", "pelvis on pelvis", answer[0], place),
        (374, "P-MPJPE", "moved, turned, scaled to fit", fitted, shape_),
    ):
        at = np.array([x, 158.0])
        parts += [words((x - 96, 18), name, bold=True), words((x - 96, 38), told, size=14)]
        parts += body(at + scale * truth[0], BLUE, BLUE, 3) + body(at + scale * pose, ORANGE, ORANGE, 3)
        for a, b in zip(truth[0], pose, strict=True):
            if np.linalg.norm(a - b) > 8:
                parts += [line(at + scale * a, at + scale * b, GREEN, 3)]
        parts += [words((x + 64, 256), f"{error:.0f} mm", bold=True)]
    parts += [words((190, 82), "truth", BLUE, size=14), words((200, 166), "answer", ORANGE, size=14)]
    top, upper = 308, [bone for bone in BONES if bone[1] > 6]
    parts += [
        words((14, top), "MPJVE", bold=True),
        words((14, top + 20), "from a frame to the next", size=14),
    ]
    for x, poses, colour in ((90, truth, BLUE), (252, answer, ORANGE)):
        before, after = (np.array([x, top + 140.0]) + scale * pose for pose in poses)
        parts += _faint([line(before[12], before[13], colour, 3)])
        parts += [line(after[a], after[b], colour, 3) for a, b in upper]
        parts += [dot(before[13], 4, colour), dot(after[13], 4, colour)]
    foot = np.array([398.0, top + 74])
    tips = [foot + 2 * scale * (poses[1, 13] - poses[0, 13]) for poses in (truth, answer)]
    parts += [*arrow(foot, tips[0], BLUE), *arrow(foot, tips[1], ORANGE), line(*tips, GREEN, 3), dot(foot, 4)]
    parts += [words((398, top + 18), "both steps of the", size=14, anchor="middle")]
    parts += [words((398, top + 36), "hand, larger", size=14, anchor="middle")]
    parts += [words((438, top + 140), f"{speed:.0f} mm a frame", bold=True, anchor="middle")]
    alt = (
        "A true body, and an answer that leans, is too small and holds its left forearm elsewhere. MPJPE, "
        f"pelvis on pelvis: {place:.0f} mm. P-MPJPE, after the answer was moved, turned and scaled to fit: "
        f"{shape_:.0f} mm, most of it at the forearm. MPJVE, from a frame to the next: the true hand goes "
        f"down, the answer's up; {speed:.0f} mm a frame, as the mean over 17 joints."
    )
    return "Three errors of one answer", alt, top + 156, parts
