"""Left and right, which detectors exchange for a while: found by how a body moves, and put right.

A body does not jump. Where a detector takes the left side for the right, all twelve joints of the limbs jump
across at once, and back when it ends. Of all ways to exchange some frames' sides the one counts after which
the joints move least. It needs no more than that, and cannot know which of two long stretches is the right
one: it takes the shorter for the exchanged one.
"""

import numpy as np
from jaxtyping import Bool, Float

from posemamba.skeleton import FLIP_ORDER, LEFT, RIGHT

# A joint that moves farther than this between two frames, in body sizes, was lost: how far says nothing.
_FAR = 0.5
# What a second with exchanged sides costs, in body sizes of movement: little beside one jump, and enough to
# decide where both ways are about as smooth.
_SECOND = 0.05
# What each change costs: where all joints are near the middle, from the side, a few frames may fit both ways.
_CHANGE = 0.01
# How far a joint that was not found, and so was interpolated, counts.
_LEAST = 0.05


def exchanged(
    pixels: Float[np.ndarray, "frames 17 2"], confidence: Float[np.ndarray, "frames 17"], fps: float
) -> Bool[np.ndarray, " frames"]:
    """In which frames left and right are exchanged: the smoothest choice, by dynamic programming (Viterbi).

    Exchanges of the arms or the legs alone are not looked for.

    Args:
        confidence: how much each joint's movement counts.
        fps: frames a second.
    """
    frames, limbs = len(pixels), [*LEFT, *RIGHT]
    size = max(float(np.median((pixels.max(1) - pixels.min(1)).max(-1))), 1e-9)
    seen, other = (pixels[:, joints] / size for joints in (limbs, np.array(FLIP_ORDER)[limbs]))
    weights = np.maximum(np.minimum(confidence[1:, limbs], confidence[:-1, limbs]), _LEAST)
    weights = weights / weights.sum(1, keepdims=True)

    def moved(after: np.ndarray) -> list[float]:
        far = np.linalg.norm(after[1:] - seen[:-1], axis=-1)
        return (np.minimum(far, _FAR) * weights).sum(1).tolist()

    # The least cost of all choices up to a frame that leave it as it is, and of those that exchange it.
    as_it_is, changed, came = 0.0, _SECOND / fps, []
    for stay, cross in zip(moved(seen), (cost + _CHANGE for cost in moved(other)), strict=True):
        came.append((changed + cross < as_it_is + stay, as_it_is + cross < changed + stay))
        as_it_is, changed = (
            min(as_it_is + stay, changed + cross),
            min(changed + stay, as_it_is + cross) + _SECOND / fps,
        )
    found = np.zeros(frames, bool)
    found[-1:] = changed < as_it_is
    for frame in range(frames - 1, 0, -1):
        found[frame - 1] = found[frame] ^ came[frame - 1][int(found[frame])]
    return found


def put_right(
    pixels: Float[np.ndarray, "frames 17 2"], confidence: Float[np.ndarray, "frames 17"], fps: float
) -> tuple[np.ndarray, np.ndarray, Bool[np.ndarray, " frames"]]:
    """Pixels and confidences, the sides changed back where `exchanged` finds them so, and these frames."""
    found, mirror = exchanged(pixels, confidence, fps), list(FLIP_ORDER)
    pixels = np.where(found[:, None, None], pixels[:, mirror], pixels)
    return pixels, np.where(found[:, None], confidence[:, mirror], confidence), found
