"""Bodies of different proportions, their joint angles, and the joints that follow from them.

A body's own frame: x to its right, y forward, z up. All angles are in degrees, and zero when a body stands
upright with hanging arms. Two-bone inverse kinematics gives the legs' angles from the ankles' places.
"""

from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
from jaxtyping import Float

from posemamba.motion.synthetic.timing import Track

Points = Float[np.ndarray, "frames 3"]
SIDES = ("right", "left")

# How far human joints turn, degrees, rounded from the clinical tables (American Academy of Orthopaedic
# Surgeons). Knees and elbows bend one way only. The lumbar angles are the chest's to the pelvis; the bone
# from the pelvis to the spine takes half of them.
_TRUNK = {
    "pelvis": {"tilt": (-20, 60), "list": (-15, 15)},
    "lumbar": {"flexion": (-30, 60), "bend": (-30, 30), "twist": (-45, 45)},
    "neck": {"flexion": (-50, 50), "bend": (-40, 40), "twist": (-70, 70)},
}
_LIMBS = {
    "hip": {"flexion": (-30, 125), "abduction": (-30, 45), "rotation": (-45, 45)},
    "knee": {"flexion": (0, 150)},
    "shoulder": {"flexion": (-60, 180), "abduction": (-30, 150), "rotation": (-95, 90)},
    "elbow": {"flexion": (0, 150)},
}
_JOINTS = _TRUNK | {f"{side} {joint}": ways for side in SIDES for joint, ways in _LIMBS.items()}
LIMITS = {f"{joint} {way}": limits for joint, ways in _JOINTS.items() for way, limits in ways.items()}


def _share(of_height: float) -> float:
    """A part of the body whose mean share of the height is known."""
    return field(metadata={"share": of_height})


@dataclass(frozen=True)
class Body:
    """The sizes of a body, mm; left and right are alike.

    Attributes:
        height: stature.
        hip, shoulder: from the middle to one side.
        thigh, shank, upper_arm, forearm: limb bones.
        spine, chest: from the pelvis to the spine joint, and on to the thorax.
        neck, head: from the thorax to the nose, and on to the head's top.
        ankle: the ankle's height over the floor when the foot is flat.
    """

    # The shares follow Drillis and Contini (1966), with hips and shoulders as narrow as Human3.6M's.
    height: float
    hip: float = _share(0.074)
    thigh: float = _share(0.248)
    shank: float = _share(0.246)
    spine: float = _share(0.133)
    chest: float = _share(0.146)
    neck: float = _share(0.074)
    head: float = _share(0.068)
    shoulder: float = _share(0.088)
    upper_arm: float = _share(0.166)
    forearm: float = _share(0.146)
    ankle: float = _share(0.046)

    @property
    def leg(self) -> float:
        """The stretched leg from hip to ankle."""
        return self.thigh + self.shank

    @classmethod
    def sample(cls, generator: np.random.Generator) -> Self:
        """A random adult, 1.52 to 1.92 m tall; each part's share of it is a few per cent off the mean."""
        height, parts = generator.uniform(1520, 1920), fields(cls)[1:]
        spread = 1 + 0.03 * generator.normal(size=len(parts)).clip(-2, 2)
        return cls(height, *(p.metadata["share"] * height * by for p, by in zip(parts, spread, strict=True)))

    def __post_init__(self):
        for name, size in vars(self).items():
            if not size > 0:
                raise ValueError(f"a body's {name} is {size}, expected positive mm")


class Pose:
    """A body's root and joint angles over time.

    The root, `(frames, 3)` in mm, the heading and all angles (`LIMITS` names them; degrees) start at zero.
    `pose["right knee flexion"] = ...` sets an angle to a number or to `(frames,)` numbers.

    Signs: flexion brings a part forward and up (the knee's brings the shank back), abduction away from the
    middle, rotation inward; the trunk's bend and the pelvis' list lower the right side, twist and heading
    turn left.
    """

    def __init__(self, frames: int):
        self.root: Points = np.zeros((frames, 3))
        self.heading: Track = np.zeros(frames)
        self.angles: dict[str, Track] = {name: np.zeros(frames) for name in LIMITS}

    def __len__(self) -> int:
        return len(self.root)

    def __getitem__(self, name: str) -> Track:
        return self.angles[name]

    def __setitem__(self, name: str, degrees: float | Track):
        if name not in self.angles:
            raise KeyError(f"there is no angle {name!r}, expected one of {', '.join(LIMITS)}")
        self.angles[name] = np.broadcast_to(np.asarray(degrees, dtype=float), (len(self),)).copy()

    def cut(self, start: int, stop: int) -> Self:
        """The frames from start up to stop."""
        part = Pose(stop - start)
        part.root, part.heading = self.root[start:stop], self.heading[start:stop]
        part.angles = {name: values[start:stop] for name, values in self.angles.items()}
        return part

    def pelvis(self) -> Float[np.ndarray, "frames 3 3"]:
        """The pelvis' frame in the world."""
        return _turn("z", self.heading) @ _turn("x", -self["pelvis tilt"]) @ _turn("y", self["pelvis list"])


def _turn(axis: str, degrees: Track) -> Float[np.ndarray, "frames 3 3"]:
    """Rotations about one axis, right-handed."""
    angle = np.radians(degrees)
    i, j, k = np.roll(range(3), -"xyz".index(axis))
    matrix = np.zeros((*angle.shape, 3, 3))
    matrix[..., i, i] = 1
    matrix[..., j, j] = matrix[..., k, k] = np.cos(angle)
    matrix[..., k, j], matrix[..., j, k] = np.sin(angle), -np.sin(angle)
    return matrix


def _ball(pose: Pose, joint: str, sign: int) -> Float[np.ndarray, "frames 3 3"]:
    """A hip's or shoulder's rotation; sign is +1 on the right and -1 on the left."""
    flexion, abduction, rotation = (pose[f"{joint} {name}"] for name in ("flexion", "abduction", "rotation"))
    return _turn("x", flexion) @ _turn("y", -sign * abduction) @ _turn("z", sign * rotation)


def _trunk(pose: Pose, joint: str, share: float = 1.0) -> Float[np.ndarray, "frames 3 3"]:
    twist, flexion, bend = (share * pose[f"{joint} {name}"] for name in ("twist", "flexion", "bend"))
    return _turn("z", twist) @ _turn("x", -flexion) @ _turn("y", bend)


def forward_kinematics(body: Body, pose: Pose) -> Float[np.ndarray, "frames 17 3"]:
    """The 17 joints of a body in a pose: mm in the world, in the order of `skeleton.JOINT_NAMES`."""
    joints = np.zeros((len(pose), 17, 3))
    pelvis = pose.pelvis()
    abdomen, chest = pelvis @ _trunk(pose, "lumbar", 0.5), pelvis @ _trunk(pose, "lumbar")
    head = chest @ _trunk(pose, "neck")
    joints[:, 0] = pose.root
    joints[:, 7] = joints[:, 0] + abdomen @ (0, 0, body.spine)
    joints[:, 8] = joints[:, 7] + chest @ (0, 0, body.chest)
    # The nose stands before the neck, and the head's top a little behind the nose.
    joints[:, 9] = joints[:, 8] + head @ (0, 0.45 * body.neck, np.sqrt(1 - 0.45**2) * body.neck)
    joints[:, 10] = joints[:, 9] + head @ (0, -0.3 * body.head, np.sqrt(1 - 0.3**2) * body.head)
    for side, sign, hip, shoulder in (("right", 1, 1, 14), ("left", -1, 4, 11)):
        thigh = pelvis @ _ball(pose, f"{side} hip", sign)
        shank = thigh @ _turn("x", -pose[f"{side} knee flexion"])
        joints[:, hip] = joints[:, 0] + pelvis @ (sign * body.hip, 0, 0)
        joints[:, hip + 1] = joints[:, hip] - thigh @ (0, 0, body.thigh)
        joints[:, hip + 2] = joints[:, hip + 1] - shank @ (0, 0, body.shank)
        upper = chest @ _ball(pose, f"{side} shoulder", sign)
        lower = upper @ _turn("x", pose[f"{side} elbow flexion"])
        # Human3.6M's shoulders lie a little under its thorax.
        joints[:, shoulder] = joints[:, 8] + chest @ (sign * 0.98 * body.shoulder, 0, -0.2 * body.shoulder)
        joints[:, shoulder + 1] = joints[:, shoulder] - upper @ (0, 0, body.upper_arm)
        joints[:, shoulder + 2] = joints[:, shoulder + 1] - lower @ (0, 0, body.forearm)
    return joints


# No leg is stretched beyond this share of its length: near a straight knee, angles move without bound.
REACH = 0.998


def hips(body: Body, pose: Pose) -> dict[str, Points]:
    """Where the hips are, mm in the world, by side."""
    aside = pose.pelvis() @ (body.hip, 0, 0)
    return {"right": pose.root + aside, "left": pose.root - aside}


def highest_root(body: Body, pose: Pose, ankles: dict[str, Points]) -> Track:
    """How high the root may be for both legs to reach their ankles, mm, whatever its height is now."""
    heights = []
    for side, hip in hips(body, pose).items():
        across = np.linalg.norm((ankles[side] - hip)[:, :2], axis=1)
        down = np.sqrt(np.maximum((REACH * body.leg) ** 2 - across**2, 0))
        heights.append(ankles[side][:, 2] + down - (hip - pose.root)[:, 2])
    return np.minimum(*heights)


def place_feet(body: Body, pose: Pose, ankles: dict[str, Points], toes: dict[str, Track]) -> None:
    """Sets hip and knee angles for where the ankles should be: analytic two-bone inverse kinematics.

    Args:
        body, pose: the root and the pelvis' angles are read, the legs' angles are written.
        ankles: by side, `(frames, 3)` mm in the world. One out of reach is reached towards.
        toes: by side, `(frames,)` where the knee points, degrees in the world, 0 along y and turning left.
    """
    pelvis, a, b = pose.pelvis(), body.thigh, body.shank
    for side, hip in hips(body, pose).items():
        sign = 1 if side == "right" else -1
        down = ankles[side] - hip
        distance = np.linalg.norm(down, axis=1, keepdims=True)
        down /= distance
        distance = np.clip(distance, abs(a - b) + 1, REACH * body.leg)
        toe = np.radians(toes[side])
        ahead = np.stack([-np.sin(toe), np.cos(toe), 0 * toe], axis=1)
        hinge = np.cross(ahead, -down)
        hinge /= np.linalg.norm(hinge, axis=1, keepdims=True)
        cosine = (a * a + distance**2 - b * b) / (2 * a * distance)
        thigh = cosine * down + np.sqrt(1 - cosine**2) * np.cross(-down, hinge)
        frame = np.stack([hinge, np.cross(-thigh, hinge), -thigh], axis=-1)
        local = np.swapaxes(pelvis, 1, 2) @ frame
        # local = Rx(flexion) Ry(-sign abduction) Rz(sign rotation), read backwards.
        pose[f"{side} hip flexion"] = np.degrees(np.arctan2(-local[:, 1, 2], local[:, 2, 2]))
        pose[f"{side} hip abduction"] = -sign * np.degrees(np.arcsin(np.clip(local[:, 0, 2], -1, 1)))
        pose[f"{side} hip rotation"] = sign * np.degrees(np.arctan2(-local[:, 0, 1], local[:, 0, 0]))
        bend = (distance[:, 0] ** 2 - a * a - b * b) / (2 * a * b)
        pose[f"{side} knee flexion"] = np.degrees(np.arccos(bend))
