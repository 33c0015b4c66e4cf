"""What is wrong with motion, a sentence each; limits set on 485 clips of real capture and the generator's."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from posemamba.camera import Camera
from posemamba.motion.clips import Clip, View
from posemamba.skeleton import FLIP_ORDER, JOINT_NAMES, bone_lengths

UNITS = {"metres": 1000.0, "centimetres": 10.0, "inches": 25.4, "the CMU database's units": 25.4 / 0.45}
# Rigid bones by the joints that they end in, left and right; the trunk's and the collar's stand for several.
RIGID = {"hip": (4, 1), "thigh": (5, 2), "shin": (6, 3), "upper arm": (12, 15), "forearm": (13, 16)}
_RIGID = [joint - 1 for pair in RIGID.values() for joint in pair]
_LIMBS = {"legs": [1, 2, 3, 4, 5, 6], "arms": [14, 15, 16, 11, 12, 13]}
# What a joint stands for of the body's mass, near enough for its centre (after Winter, 2009).
_MASS = np.array([20, 5, 8, 3.5, 5, 8, 3.5, 14, 16, 0, 8, 1.4, 2.5, 1.1, 1.4, 2.5, 1.1]) / 102.4
# A part of the body over another, and the lowest and highest ratio that passes.
_RATIOS = (
    ("forearm", "upper arm", 0.72, 1.35),
    ("shin", "thigh", 0.75, 1.4),
    ("hips to head", "leg", 0.76, 1.1),
)

_length = np.linalg.norm
Fault = tuple[str, int | None, str, bool]  # kind, frame, what was seen and expected, certain


class Finding(NamedTuple):
    """One thing that is wrong with motion or with keypoints.

    Attributes:
        sentence: what was seen and what was expected.
        certain: false where a rare movement or view of a person could look so too.
        kind: the fault in a word or two.
    """

    sentence: str
    certain: bool
    kind: str = ""


def inspect(clip: Clip) -> list[Finding]:
    """Looks what is wrong with a clip, its body and its views; of each fault the worst place is told.

    A body that jumps falls as gravity wants, which tells a rate that is off by a quarter; without a jump
    nothing here does. Sides exchanged in a whole clip show where a knee bends. Standing with hanging arms is
    no bind pose: people do.
    """
    faults, body, world = [], _body_of(clip), clip.joints is not None
    if world:
        faults += _not_finite("joints", clip.joints)
    if body is not None and np.isfinite(body).all():
        faults += _body(np.asarray(body, dtype=float), clip.fps, world)
    faults += [fault for view in clip.views for fault in _view(view, clip.joints)]
    found = []
    for kind, frame, text, certain in faults:
        at = f"clip {clip.name!r}" if frame is None else f"clip {clip.name!r}, frame {frame}"
        found.append(Finding(f"{at}: {text}", bool(certain), kind))
    return found


def compare(clips: Sequence[Clip]) -> list[Finding]:
    """Looks what is wrong between clips: names and frames that are there twice, bodies that nobody has."""
    found = []
    for name, count in Counter(clip.name for clip in clips).items():
        if count > 1:
            found.append(Finding(f"clip {name!r} is there {count} times, expected once", True, "duplicate"))
    for (a, b), frames in _shared_frames(clips).items():
        splits = "" if a.split == b.split else f", one in {a.split}, one in {b.split}"
        told = f"clips {a.name!r} and {b.name!r} share {frames} frames{splits}, expected none"
        found.append(Finding(told, True, "duplicate"))
    for subject, lengths in typical_bones(clips).items():
        who = f"subject {subject!r}" if subject else "the body of the clips that name no subject"
        found += [Finding(f"{who}: {text}", False, kind) for kind, text in _proportions(lengths)]
    return found


def _shared_frames(clips: Sequence[Clip]) -> dict[tuple[Clip, Clip], int]:
    """How many frames (3 or more) a clip has to the last bit from an earlier one."""
    first, shared = {}, Counter()
    for place, clip in enumerate(clips):
        poses = clip.joints if clip.joints is not None else clip.views[0].keypoints
        for pose in {hash(pose.tobytes()) for pose in (() if poses is None else poses)}:
            shared[first.setdefault(pose, place), place] += 1
    return {(clips[a], clips[b]): count for (a, b), count in shared.items() if a < b and count >= 3}


def typical_bones(clips: Iterable[Clip], frames: int = 20) -> dict[str, Float[np.ndarray, " 16"]]:
    """Each subject's bone lengths, mm, ordered as `skeleton.BONES`: medians over some frames of each clip."""
    some = defaultdict(list)
    for clip in clips:
        if (body := _body_of(clip)) is not None:
            some[clip.subject].append(body[:: len(clip) // frames + 1])
    return {who: np.nanmedian(bone_lengths(np.concatenate(poses)), axis=0) for who, poses in some.items()}


def _body_of(clip: Clip) -> np.ndarray | None:
    """The joints in the world, or else in the frame of a camera that has them all the time, mm."""
    seen = (view.body() for view in clip.views if view.valid is None or view.valid.all())
    return next((body for body in (clip.joints, *seen) if body is not None), None)


def _proportions(lengths: np.ndarray) -> Iterator[tuple[str, str]]:
    sides = {name: lengths[[left - 1, right - 1]] for name, (left, right) in RIGID.items()}
    uneven = {name: pair for name, pair in sides.items() if np.ptp(pair) > 0.05 * pair.max()}
    if uneven:
        told = ", ".join(f"{name} {left:.0f} and {right:.0f} mm" for name, (left, right) in uneven.items())
        yield "lopsided", f"left and right differ ({told}), expected at most 5%"
    size = {name: pair.mean() for name, pair in sides.items()} | {"hips to head": lengths[6:10].sum()}
    size["leg"] = size["thigh"] + size["shin"]
    for a, b, low, high in _RATIOS:
        if not low <= (ratio := size[a] / max(size[b], 1e-9)) <= high:
            told = f"{a} is {size[a]:.0f} mm, {ratio:.2f} of the {b}, expected {low} to {high} of it"
            yield "proportions", told


def _not_finite(name: str, array: np.ndarray) -> Iterator[Fault]:
    bad = ~np.isfinite(array).reshape(len(array), -1).all(-1)
    if bad.any():
        told = f"{name} hold NaN or infinity in {bad.sum()} of {len(bad)} frames, expected finite numbers"
        yield "not finite", bad.argmax(), told, True


def _runs(mask: np.ndarray) -> list[list[int]]:
    """Where it is true: first and one past last, the longest run first."""
    runs = np.flatnonzero(np.diff(np.r_[False, mask, False])).reshape(-1, 2).tolist()
    return sorted(runs, key=lambda run: run[0] - run[1])


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1) / np.maximum(_length(a, axis=-1) * _length(b, axis=-1), 1e-9)


def _body(x: Float[np.ndarray, "frames 17 3"], fps: float, world: bool) -> Iterator[Fault]:
    """The faults of a body; wrong units and axes are put right for what follows."""
    leg = np.median(bone_lengths(x), axis=0)[[1, 2, 4, 5]].sum() / 2
    if not leg > 0:
        yield "units", None, "the legs' joints lie in one point in most frames, expected a person", True
        return
    if not 400 <= leg <= 1200:
        unit = min(UNITS, key=lambda name: abs(np.log(leg * UNITS[name] / 850)))
        told = f"a leg is {leg:.3g} long, expected 400 to 1200 mm: the nearest unit is {unit}"
        yield "units", None, told, True
        x = x * (850 / leg)
    up = np.array([_cosine(x[:, 10] - x[:, [3, 6]].mean(1), axis).mean() for axis in np.eye(3)])
    axis = int(np.abs(up).argmax())
    if world and abs(up[axis]) > 0.8 and (axis < 2 or up[2] < 0):
        seen = f"from feet to head is {'-' if up[axis] < 0 else ''}{'xyz'[axis]} in all the clip, expected z"
        yield "axes", None, f"{seen}: either the axes are exchanged, or the person never stands", False
        x = np.roll(x, 2 - axis, axis=-1) * (1, np.sign(up[axis]), np.sign(up[axis]))
        x -= (0, 0, x[..., 2].min())
    yield from _bones(bone_lengths(x)[:, _RIGID])
    yield from _poses(x)
    if len(x) >= 4:
        yield from _steps(x, fps)
    if world:
        yield from _floor(x[..., 2], fps)


def _bones(lengths: np.ndarray) -> Iterator[Fault]:
    usual = np.median(lengths, axis=0)
    change = np.abs(lengths / np.maximum(usual, 1e-9) - 1)
    frame, bone = np.unravel_index(change.argmax(), change.shape)
    if change[frame, bone] > 0.02:
        told = f"the bone to the {JOINT_NAMES[_RIGID[bone] + 1]} is {lengths[frame, bone]:.0f} mm long"
        told = f"{told}, {usual[bone]:.0f} in the median, expected a rigid one"
        yield "bones", frame, told, change[frame, bone] > 0.1


def _poses(x: np.ndarray) -> Iterator[Fault]:
    trunk, hips, shoulders = x[:, 8] - x[:, 0], x[:, 1] - x[:, 4], x[:, 14] - x[:, 11]
    # Limbs: right and left leg, right and left arm.
    upper, lower = x[:, [2, 5, 15, 12]] - x[:, [1, 4, 14, 11]], x[:, [3, 6, 16, 13]] - x[:, [2, 5, 15, 12]]
    legs, arms = np.split(upper + lower, 2, axis=1)
    straight = _cosine(upper, lower).min(1)
    down = _cosine(legs, -trunk[:, None]).min(1)
    out = _cosine(arms, np.stack([hips, -hips], 1)).min(1)
    # The elbows of a T may bend by 20 degrees, those of an A by 14.
    held = (down > 0.95) & np.where(out > 0.9, straight > 0.94, (out > 0.5) & (straight > 0.97))
    if held.any():
        first, end = _runs(held)[0]
        told = (
            f"a bind pose ({'T' if out[first] > 0.9 else 'A'}) for {end - first} frames, {held.sum()} in all"
        )
        told = f"{told}: arms out, elbows and knees straight; expected movement"
        yield "bind pose", first, told, straight[first:end].max() > 0.999
    if np.median(_cosine(hips, shoulders)) < -0.3:
        told = "the shoulders run against the hips: left and right exchanged in arms or legs"
        yield "sides", None, told, True
    along = (upper[:, :2] * legs).sum(-1) / np.maximum((legs * legs).sum(-1), 1e-9)
    knees = upper[:, :2] - legs * along[..., None]  # off the line from hip to ankle
    ahead = (_cosine(knees, np.cross(trunk, hips)[:, None]) > 0)[_length(knees, axis=-1) > 60]
    if len(ahead) >= 5 and ahead.mean() < 0.5:
        told = f"knees bend backwards in {1 - ahead.mean():.0%} of the frames where they bend"
        yield "sides", None, f"{told}: left and right are exchanged, or an axis is mirrored", True


def _steps(x: np.ndarray, fps: float) -> Iterator[Fault]:
    step, told = _length(np.diff(x, axis=0), axis=-1), np.zeros(len(x) - 1, bool)
    for name, both in _LIMBS.items():
        crossed = _length(x[1:, both[3:] + both[:3]] - x[:-1, both], axis=-1).sum(1)
        swapped = crossed < 0.8 * step[:, both].sum(1)
        if swapped.any():
            seen = f"left and right {name} change places with the frame before, {swapped.sum()} times in all"
            yield "sides", swapped.argmax() + 1, seen, True
            told |= swapped
    step[told] = 1  # these are no jumps
    still = (step == 0).all(1)
    if still.sum() > 1:
        first, end = _runs(still)[0]
        seen = f"{end - first} frames repeat the one before, {still.sum()} in all, expected movement"
        yield "frozen", first + 1, seen, True
    speed = step * fps / 1000
    around = np.pad(speed, ((2, 2), (0, 0)), "reflect")
    around = np.maximum(np.minimum(around[:-4], around[1:-3]), np.minimum(around[3:-1], around[4:]))
    # No body gains 30 g and 40 mm in one frame and loses them in the next, or moves at 20 m/s.
    spike = np.where((speed - around) * 1000 / fps > 40, speed - around, 0) * fps
    bad = (spike > 300) | (speed > 20)
    if bad.any():
        at = np.unravel_index(np.where(bad, speed, 0).argmax(), bad.shape)
        seen = f"the {JOINT_NAMES[at[1]]} moves {step[at]:.0f} mm in one frame, {speed[at]:.1f} m/s"
        seen = f"{seen}, and {around[at]:.1f} m/s around that; {bad.any(1).sum()} in all"
        yield "jump", at[0] + 1, seen, (spike > 600).any() or (speed > 20).any()


def _floor(z: Float[np.ndarray, "frames 17"], fps: float) -> Iterator[Fault]:
    lowest, ankles, falls = z.min(1), z[:, [3, 6]].min(1), {}
    usual = np.percentile(ankles, 10)
    if lowest.min() < -20:
        where = "feet go through it" if usual > 0 else "the clip's floor is not at z = 0"
        told = f"a joint is {-lowest.min():.0f} mm under the floor: {where}"
        yield "floor", lowest.argmin(), told, True
    elif np.percentile(lowest, 5) > 250:
        told = f"no joint comes nearer to the floor than {lowest.min():.0f} mm: it is not at z = 0"
        yield "floor", None, f"{told}, or the person is on something", False
    for first, end in _runs(ankles > usual + 80):
        if end - first >= 6:
            time, height = np.arange(end - first) / fps, z[first:end] @ _MASS
            curve = np.polyfit(time, height, 2)
            rise = -curve[0] * (time[-1] / 2) ** 2
            # A parabola, to 8% of its height: nothing but gravity acts.
            if rise > 30 and np.abs(np.polyval(curve, time) - height).max() < 0.08 * rise:
                falls[first] = -2 * curve[0] / 1000
    if falls and not 7 < (fall := np.median([*falls.values()])) < 13.6:
        told = f"{len(falls)} jumps fall at {fall:.1f} m/s^2, expected 9.8: they would"
        rate = f"{fps * (9.81 / fall) ** 0.5:.0f} frames a second, not {fps:g}"
        yield "rate", min(falls), f"{told} at {rate}", True


def _view(view: View, joints: np.ndarray | None) -> Iterator[Fault]:
    name, frames = f"view {view.name!r}", slice(None) if view.valid is None else np.flatnonzero(view.valid)
    for key, array in view.arrays():
        yield from _not_finite(f"{name}: {key}", array)
    if view.valid is not None and not view.valid.any():
        yield "valid", None, f"{name} has no valid frame, expected some", True
    elif view.keypoints is not None and np.isfinite(points := view.keypoints[frames].astype(float)).all():
        if (most := np.abs(points).max()) < 4:
            yield "units", None, f"{name}: keypoints reach {most:.2f} at most, expected pixels", True
            return
        outside = (np.abs(points / (view.width, view.height) - 0.5) > 0.6).any(-1)
        if (share := outside.mean()) > 0.001:
            first = np.arange(len(view.keypoints))[frames][outside.any(1).argmax()]
            told = f"{name}: {share:.1%} of the keypoints lie far outside its {view.width} x {view.height}"
            yield "image", first, f"{told} pixels", share > 0.5
        if view.camera is not None and joints is not None and np.isfinite(joints).all():
            told = _projection(points, view.camera, torch.from_numpy(np.array(joints[frames])))
            if told:
                yield "camera", None, f"{name}: its camera {told}", True


def _projection(points: np.ndarray, camera: Camera, joints: torch.Tensor) -> str:
    """What is wrong with a camera that saw these joints at these pixels; nothing, or a sentence's end."""
    seen = camera.project(camera.world_to_camera(joints.to(camera.rotation))).double().numpy()
    if (behind := np.isnan(seen).mean()) > 0.01:
        return f"has {behind:.0%} of the joints behind it"
    size = np.sqrt(((seen - np.nanmean(seen, 1, keepdims=True)) ** 2).sum(-1).mean(1))[:, None]  # the body's
    apart, crossed = (_length(points - other, axis=-1) for other in (seen, seen[:, list(FLIP_ORDER)]))
    pixels, other = np.nanmedian(apart), np.nanmedian(crossed)
    if other >= 0.6 * pixels and np.nanmedian(apart / size) <= 0.3:
        return ""
    fit = f", {other:.0f} with left and right exchanged" if other < 0.6 * pixels else ""
    return f"sees the joints {pixels:.0f} pixels (median) from the keypoints{fit}"
