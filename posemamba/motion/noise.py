"""What a 2D detector gets wrong, by stated parameters: from true joints in an image to such keypoints."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from posemamba.skeleton import FLIP_ORDER, JOINT_NAMES, JOINTS, check_joints


@dataclass(frozen=True)
class DetectorNoise:
    """A detector's errors. Lengths are in body sizes: the mean over the frames of the joints' longer extent.

    The default jitter, its correlation, the factors of wrists and elbows and the confidence fit a real
    AlphaPose result, of a man who stands and speaks for 122 frames: what is left of its keypoints after
    smoothing over 7, 11 and 15 frames. Slower errors do not show there, nor how ankles err in a step, and it
    holds no swap, dropout or frozen joint: those defaults are assumptions. Shares are of all frames, in the
    long run; the spells that make them up begin by chance and have geometric lengths.

    Attributes:
        jitter: standard deviation along x and along y of the trunk's joints.
        wrists, elbows, ankles, knees: how many times larger it is there.
        correlation: frames in which the jitter's correlation with itself falls to 1/e; 0 for white noise.
        drift: standard deviation of slow errors, along x and along y, larger at the same joints as the
            jitter. A detector that takes a joint for another place does so for a while.
        drift_frames: frames in which their correlation falls to 1/e.
        strength: the least and the largest factor of a sequence's jitter and drift; its logarithm is drawn.
        limb_swaps, body_swaps: share of frames with the two arms exchanged, and as often the two legs; with
            left and right exchanged everywhere. Confidences move with their joints: nobody notices.
        swap_frames: a swap's mean length, frames.
        dropouts, dropout_frames: share of frames in which a joint is found elsewhere; mean length.
        dropout_distance: about how far away; at least half of this.
        frozen, frozen_frames: share of frames in which a joint keeps its last place; mean length.
        confidence: of a joint that is exactly right; it falls as exp(-error / confidence_error).
        confidence_error: the error at which it is 1/e of that.
        confidence_noise: standard deviation of what is added, correlated as the jitter is; the sum is held
            between 0 and 1.

    Raises:
        ValueError: a number below 0, a share or confidence over 1, spells shorter than a frame.
    """

    jitter: float = 0.004
    wrists: float = 2.1
    elbows: float = 1.8
    ankles: float = 1.5
    knees: float = 1.0
    correlation: float = 1.0
    drift: float = 0.0
    drift_frames: float = 30.0
    strength: tuple[float, float] = (1.0, 1.0)
    limb_swaps: float = 0.005
    body_swaps: float = 0.002
    swap_frames: float = 5.0
    dropouts: float = 0.002
    dropout_frames: float = 3.0
    dropout_distance: float = 0.2
    frozen: float = 0.002
    frozen_frames: float = 5.0
    confidence: float = 0.95
    confidence_error: float = 0.1
    confidence_noise: float = 0.025

    def __post_init__(self):
        shares = ("limb_swaps", "body_swaps", "dropouts", "frozen", "confidence")
        if not 0 < self.strength[0] <= self.strength[1] < math.inf:
            raise ValueError(f"the noise's strength is {self.strength}, expected positive numbers in order")
        for name, value in vars(self).items():
            if name == "strength":
                continue
            low = 1 if name.endswith("_frames") else 1e-6 if name == "confidence_error" else 0
            if not (low <= value <= (1 if name in shares else math.inf) and value < math.inf):
                upto = "to 1" if name in shares else "or more"
                raise ValueError(f"the noise's {name} is {value}, expected {low} {upto}")

    def apply(
        self,
        pixels: Float[Tensor, "*b frames 17 2"],
        size: Float[Tensor, "*b"] | float | None = None,
        seed: Int[Tensor, "*b"] | torch.Generator | int = 0,
    ) -> tuple[Float[Tensor, "*b frames 17 2"], Float[Tensor, "*b frames 17"]]:
        """The keypoints that such a detector gives for true joints, and its confidences.

        Args:
            pixels: the joints in the image, in pixels or normalised.
            size: the body's size in their unit; measured where left out. With 1 all lengths are pixels.
            seed: one for each sequence, whose errors then depend on it alone; or what these are drawn from.
        """
        check_joints(pixels, "pixels", dims=(2,))
        frames = pixels.shape[-3]
        points = pixels.reshape(-1, frames, JOINTS, 2)
        if size is None:
            size = (points.amax(2) - points.amin(2)).amax(-1).mean(-1)
        size = torch.as_tensor(size).to(points).flatten().expand(len(points))[:, None, None, None]
        normal, uniform, slow, factor = (p.to(points) for p in _draw(seed, pixels.shape[:-3], frames))
        least, most = self.strength
        strength = size * least * (most / least) ** factor[:, None, None, None]
        smooth = _correlate(normal, self.correlation)
        larger = dict(wrist=self.wrists, elbow=self.elbows, ankle=self.ankles, knee=self.knees)
        factors = points.new_tensor([[larger.get(name.split()[-1], 1.0)] for name in JOINT_NAMES])
        errors = self.jitter * smooth[..., :2]
        if self.drift:
            errors = errors + self.drift * _correlate(slow, self.drift_frames)
        found = points + strength * errors * factors
        _, last = _spells(uniform[..., :17], self.frozen, self.frozen_frames)
        found = found.gather(1, last[..., None].expand_as(found))
        dropped, last = _spells(uniform[..., 17:34], self.dropouts, self.dropout_frames)
        away = normal[..., :2].gather(1, last[..., None].expand_as(found))
        away = away * (0.5 + 0.5 / away.norm(dim=-1, keepdim=True).clamp_min(1e-6))
        found = found + size * self.dropout_distance * away * dropped[..., None]
        error = (found - points).norm(dim=-1) / size[..., 0]
        sure = self.confidence * (-error / self.confidence_error).exp()
        sure = (sure + self.confidence_noise * smooth[..., 2]).clamp(0, 1)
        whole, _ = _spells(uniform[..., 34:35], self.body_swaps, self.swap_frames)
        limbs, _ = _spells(uniform[..., 35:], self.limb_swaps, self.swap_frames)
        swap = whole | limbs[..., [0] * 11 + [1] * 6]  # legs; arms (the trunk mirrors onto itself)
        found = torch.where(swap[..., None], found[..., list(FLIP_ORDER), :], found)
        sure = torch.where(swap, sure[..., list(FLIP_ORDER)], sure)
        return found.reshape(pixels.shape), sure.reshape(pixels.shape[:-1])


#: A detector's errors on strangers' videos, from good to poor. BlazePose's on one real video from four sides
#: were slow more than trembling (they fell to 1/e after some 9 frames of 60 a second), 12 mm along each axis,
#: 22 in one camera; and another camera had left and right exchanged in a third of the frames.
WILD_NOISE = DetectorNoise(
    jitter=0.003,
    drift=0.008,
    drift_frames=8.0,
    strength=(0.4, 2.5),
    limb_swaps=0.01,
    body_swaps=0.06,
    swap_frames=20.0,
    dropouts=0.004,
)


def _draw(seed, batch: torch.Size, frames: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normal `(n, frames, 17, 3)` and uniform `(n, frames, 37)` numbers, then normal `(n, frames, 17, 2)` and
    uniform `(n,)` ones; each sequence has a seed."""
    if not isinstance(seed, Tensor):
        generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
        seed = torch.randint(2**31, batch, generator=generator)
    if seed.shape != batch:
        raise ValueError(f"the seeds have shape {tuple(seed.shape)}, expected {tuple(batch)}")
    normal, uniform = torch.empty(batch.numel(), frames, JOINTS, 3), torch.empty(batch.numel(), frames, 37)
    slow, factor = torch.empty(*normal.shape[:-1], 2), torch.empty(batch.numel())
    generator = torch.Generator()
    for row, one in enumerate(seed.flatten().tolist()):
        generator.manual_seed(one)
        normal[row].normal_(generator=generator)
        uniform[row].uniform_(generator=generator)
        slow[row].normal_(generator=generator)
        factor[row].uniform_(generator=generator)
    return normal, uniform, slow, factor


def _correlate(white: Float[Tensor, "n frames 17 k"], time: float) -> Float[Tensor, "n frames 17 k"]:
    """White noise made to correlate as exp(-lag / time), of the same variance: a recurrence, by doubling."""
    kept = math.exp(-1 / time) if time else 0.0
    result, step = white * math.sqrt(1 - kept**2), 1
    result[:, 0] = white[:, 0]
    while step < white.shape[1] and kept**step > 1e-4:
        result[:, step:] += kept**step * result[:, :-step]
        step *= 2
    return result


def _spells(uniform: Float[Tensor, "n frames k"], share: float, length: float) -> tuple[Tensor, Tensor]:
    """Whether a spell is on, and the last frame until now at which none was (else the first).

    A Markov chain of two states with this share and mean length, from one uniform number a step: a low one
    switches on, a high one off, and what is between leaves it as it was.
    """
    ends = min(1 / length, 1 - share)  # a large share makes spells longer
    begins = ends * share / max(1 - share, 1e-9)
    frame = torch.arange(uniform.shape[1], device=uniform.device)[:, None]
    switched_on = torch.where(frame > 0, uniform < begins, uniform < share)
    event = switched_on | (uniform > 1 - ends) | (frame == 0)
    on = switched_on.gather(1, torch.where(event, frame, 0).cummax(1).values)
    return on, torch.where(on, 0, frame).cummax(1).values
