"""Left and right, exchanged by known spells, are found and put right; what was right stays."""

import numpy as np
import pytest
import torch

from posemamba import storage
from posemamba.keypoints.sides import exchanged, put_right
from posemamba.motion import DetectorNoise, load_motion, synthetic_clips
from posemamba.motion.rig import WILD
from posemamba.skeleton import FLIP_ORDER

MIRROR = list(FLIP_ORDER)


def spells(frames: int, *when: tuple[int, int]) -> np.ndarray:
    found = np.zeros(frames, bool)
    for start, end in when:
        found[start:end] = True
    return found


def filmed(clip, seed: int, noise: DetectorNoise):
    """Detected joints (frames, 17, 2) and their confidences, through a camera of any kind."""
    world = torch.from_numpy(clip.joints)[None]
    camera = WILD.sample(torch.Generator().manual_seed(seed), world[:, :, 0].mean(1))
    pixels, confidence = noise.apply(camera.project(camera.world_to_camera(world)), seed=seed)
    return pixels[0].numpy(), confidence[0].numpy()


QUIET = dict(limb_swaps=0.0, body_swaps=0.0)


@pytest.mark.parametrize("fps", [24, 60])
def test_spells_are_found_and_put_right(fps):
    clips = synthetic_clips(0, train=0, test=3, seconds=4, fps=fps, actions=["walking", "waving", "sitting"])
    for seed, clip in enumerate(clips):
        pixels, confidence = filmed(clip, seed, DetectorNoise(**QUIET))
        when = spells(len(pixels), (10, 11), (20, 35), (50, 52))
        broken, unsure = pixels.copy(), confidence.copy()
        broken[when], unsure[when] = pixels[when][:, MIRROR], confidence[when][:, MIRROR]
        mended, sure, found = put_right(broken, unsure, fps)
        assert np.array_equal(found, when) and np.array_equal(exchanged(broken, unsure, fps), when)
        assert np.array_equal(mended, pixels) and np.array_equal(sure, confidence)


def test_what_is_right_stays_whatever_the_noise():
    noise = DetectorNoise(jitter=0.01, drift=0.02, frozen=0.01, dropouts=0.01, **QUIET)
    clips = synthetic_clips(1, train=0, test=1, seconds=5, fps=30)
    found = [exchanged(*filmed(clip, seed, noise), 30) for seed, clip in enumerate(clips)]
    assert sum(map(len, found)) >= 1000 and np.concatenate(found).sum() <= 2


def test_the_longer_stretch_counts_as_right():
    (clip,) = synthetic_clips(2, train=0, test=1, seconds=4, fps=30, actions=["waving"])
    pixels, confidence = filmed(clip, 0, DetectorNoise(**QUIET))
    assert np.array_equal(exchanged(pixels[:, MIRROR], confidence, 30), spells(120)), "nothing tells"
    pixels[80:] = pixels[80:][:, MIRROR]
    assert np.array_equal(exchanged(pixels, confidence, 30), spells(120, (80, 120)))


def test_one_frame_and_still_points_are_left():
    one = np.random.default_rng(0).normal(size=(1, 17, 2))
    assert not exchanged(one, np.ones((1, 17)), 30).any()
    assert not exchanged(np.zeros((5, 17, 2)), np.zeros((5, 17)), 30).any()


def test_the_real_videos_exchanges_are_found():
    (clip,) = load_motion(storage.asset("wild.safetensors"))
    counts = {v.name: int(exchanged(v.keypoints, v.confidence, clip.fps).sum()) for v in clip.views}
    assert counts == {"cam01": 0, "cam02": 32, "cam03": 0, "cam04": 0}
