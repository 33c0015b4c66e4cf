"""Sliding windows and flip averaging, with stand-in models whose right answer is known exactly."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from posemamba.inference import lift, predict_windows, window_starts, window_weights
from posemamba.motion import CameraRig, see, synthetic_clips
from posemamba.motion.rig import middle_and_reach
from posemamba.skeleton import flip

# A plausible body is lifted without a word.
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


class StandIn(nn.Module):
    """A model made of one function of its window; remembers how it was called."""

    def __init__(self, function, frames=9, **config):
        super().__init__()
        self.config = SimpleNamespace(frames=frames, **config)
        self.function, self.calls, self.modes = function, [], []
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        self.calls.append(tuple(x.shape))
        self.modes.append((self.training, torch.is_grad_enabled()))
        return self.function(x)


def frame_by_frame(x):
    """Looks at each frame alone and mirrors as a body does: the depth ignores the sign of x."""
    return torch.cat([x, x[..., :1].abs() + x[..., 1:]], -1)


def place_in_window(x):
    """Answers with the frame's place in its window: as inconsistent between windows as can be."""
    place = torch.arange(x.shape[1], dtype=x.dtype)[None, :, None, None]
    return place.expand(*x.shape[:3], 3)


@cache
def walker() -> torch.Tensor:
    clip = synthetic_clips(train=1, test=0, seconds=7, actions=["walking"])[0]
    world = torch.from_numpy(clip.joints)
    generator = torch.Generator().manual_seed(0)
    return see(world, CameraRig().sample(generator, *middle_and_reach(world)))[0]


def sequence(length: int, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(length, 17, 2, generator=torch.Generator().manual_seed(seed))
    return walker()[:length] + 0.01 * noise


@pytest.mark.parametrize("length", [1, 2, 8, 9, 10, 13, 17, 18, 19, 50])
@pytest.mark.parametrize("overlap", [None, 0, 1, 4, 8])
def test_every_length_and_overlap_gives_the_frames_answer(length, overlap):
    keypoints = sequence(length)
    lifted = lift(StandIn(frame_by_frame), keypoints, overlap=overlap, batch_size=3)
    assert lifted.dtype == torch.float32 and lifted.shape == (length, 17, 3)
    torch.testing.assert_close(lifted, frame_by_frame(keypoints))


def test_a_short_sequences_last_frame_is_held():
    seen = []
    lifted = lift(StandIn(lambda x: seen.append(x) or frame_by_frame(x)), sequence(4), flip=False)
    (window,) = seen[0]
    assert torch.equal(window, sequence(4)[[0, 1, 2, 3, 3, 3, 3, 3, 3]].float())
    torch.testing.assert_close(lifted, frame_by_frame(sequence(4)))
    lift(StandIn(frame_by_frame, frames=1), sequence(3))


def test_a_network_for_the_persons_own_view_is_not_shown_the_image():
    with pytest.raises(ValueError, match=r"the person's own view: lifting\.lift_person"):
        lift(StandIn(frame_by_frame, view="person"), sequence(12))


def test_windows_cover_each_frame_and_end_with_the_sequence():
    assert window_starts(20, 9, 4) == [0, 5, 10, 11]
    assert window_starts(19, 9, 4) == [0, 5, 10]
    assert window_starts(9, 9, 4) == [0] and window_starts(3, 9, 4) == [0]
    for length in range(1, 60):
        for overlap in range(9):
            starts = window_starts(length, 9, overlap)
            covered = {frame for start in starts for frame in range(start, min(start + 9, length))}
            assert covered == set(range(length)) and starts == sorted(set(starts))


def test_the_blend_is_the_weighted_mean_over_windows():
    lifted = lift(StandIn(place_in_window), sequence(20), overlap=4, flip=False)
    weight = [np.sin(np.pi * (i + 0.5) / 9) ** 2 for i in range(9)]
    for frame in range(20):
        places = [frame - start for start in (0, 5, 10, 11) if 0 <= frame - start < 9]
        expected = sum(weight[i] * i for i in places) / sum(weight[i] for i in places)
        torch.testing.assert_close(lifted[frame], torch.full((17, 3), expected), rtol=1e-6, atol=1e-6)


def test_seams_do_not_jump():
    # Two windows that disagree by 1: what the eye sees is the largest step between frames.
    calls = []

    def disagreeing(x):
        calls.append(len(x))
        level = torch.arange(len(x), dtype=x.dtype)[:, None, None, None] % 2
        return level.expand(*x.shape[:3], 3)

    def jump(overlap):
        steps = lift(StandIn(disagreeing, frames=81), sequence(400), overlap=overlap, flip=False).diff(dim=0)
        return float(steps.abs().max())

    assert jump(0) == 1.0
    assert jump(40) < 0.05
    weights = window_weights(81)
    assert weights.argmax() == 40 and (weights > 0).all() and weights[0] < 1e-3
    torch.testing.assert_close(weights, weights.flip(0))


def test_flip_averages_with_the_mirrored_answer():
    def lopsided(x):  # adds 1 to every coordinate, whichever way the body faces
        return frame_by_frame(x) + 1

    keypoints = sequence(9)
    model = StandIn(lopsided)
    lifted = lift(model, keypoints)
    # Mirroring back turns the added x into -1, so the average keeps x as it was.
    torch.testing.assert_close(lifted, frame_by_frame(keypoints) + torch.tensor([0.0, 1.0, 1.0]))
    plain = lopsided(keypoints)
    torch.testing.assert_close(lift(model, keypoints, flip=False), plain)
    torch.testing.assert_close(lifted, (plain + flip(lopsided(flip(keypoints)))) / 2)
    # What is mirrored in is mirrored out.
    torch.testing.assert_close(lift(model, flip(keypoints)), flip(lifted))


def test_batches_change_nothing_and_report_progress():
    keypoints, reports = sequence(50), []
    model = StandIn(frame_by_frame)
    lifted = lift(model, keypoints, batch_size=4, progress=lambda done, total: reports.append((done, total)))
    assert reports == [(4, 10), (8, 10), (10, 10)]
    assert max(shape[0] for shape in model.calls) == 4
    for size in (1, 5, 100):
        torch.testing.assert_close(lift(model, keypoints, batch_size=size), lifted, rtol=0, atol=0)


def test_the_model_is_asked_in_evaluation_mode_and_left_as_it_was():
    for training in (True, False):
        model = StandIn(frame_by_frame).train(training)
        lifted = lift(model, sequence(5))
        assert model.modes == [(False, False)] * 2 and model.training is training
        assert not lifted.requires_grad
    model = StandIn(lambda x: 1 / 0).train()
    with pytest.raises(ZeroDivisionError):
        lift(model, sequence(5))
    assert model.training


def test_units_precision_and_arrays():
    keypoints = sequence(12)
    plain = lift(StandIn(frame_by_frame, millimetres_per_unit=None), keypoints)
    scaled = lift(StandIn(frame_by_frame, millimetres_per_unit=1000.0), keypoints)
    torch.testing.assert_close(scaled, 1000 * plain)
    torch.testing.assert_close(
        lift(StandIn(frame_by_frame).double(), keypoints.numpy().astype(np.float64)), plain
    )
    fixed = keypoints.numpy().copy()
    fixed.flags.writeable = False  # as a memory map is
    torch.testing.assert_close(lift(StandIn(frame_by_frame), fixed), plain)
    half = lift(StandIn(frame_by_frame).to(torch.bfloat16), keypoints)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain, rtol=0.02, atol=0.02)


def test_windows_are_predicted_one_by_one():
    windows = torch.stack([sequence(9, seed) for seed in range(5)])
    model = StandIn(frame_by_frame, millimetres_per_unit=10.0)
    torch.testing.assert_close(predict_windows(model, windows, batch_size=2), 10 * frame_by_frame(windows))


def test_what_does_not_fit_is_named():
    model, keypoints = StandIn(frame_by_frame), sequence(12)
    with pytest.raises(ValueError, match=r"keypoints has shape \(12, 17, 3\), .*confidence"):
        lift(model, torch.zeros(12, 17, 3))
    with pytest.raises(ValueError, match=r"keypoints has shape \(12, 16, 2\), expected \(frames, 17, 2\)"):
        lift(model, keypoints[:, :16])
    with pytest.raises(ValueError, match="at least one frame"):
        lift(model, keypoints[:0])
    with pytest.raises(ValueError, match=r"overlap is 9, expected 0 to 8"):
        lift(model, keypoints, overlap=9)
    with pytest.raises(ValueError, match="batch_size is 0"):
        lift(model, keypoints, batch_size=0)
    with pytest.raises(ValueError, match=r"keypoints reach 1000 as pixels do, .*normalise_screen"):
        lift(model, 1000 * keypoints / keypoints.abs().max())
    broken = keypoints.clone()
    broken[7, 3, 1] = float("nan")
    with pytest.raises(ValueError, match=r"keypoints .* frame 7, joint 3 \(right ankle\)"):
        lift(model, broken)
    with pytest.raises(ValueError, match=r"inputs has shape \(12, 17, 2\), expected \(n, frames, 17, 2\)"):
        predict_windows(model, keypoints)
    with pytest.raises(ValueError, match=r"frame 7 of sequence 0, joint 3"):
        predict_windows(model, broken[None])
    with pytest.raises(
        ValueError, match=r"model answered with shape \(1, 9, 17, 2\), expected \(1, 9, 17, 3\)"
    ):
        lift(StandIn(lambda x: x), sequence(9))


def test_keypoints_that_look_wrong_are_refused_or_warned_about():
    model, keypoints = StandIn(frame_by_frame), sequence(12)
    fractions = (keypoints + 1) / 2
    with pytest.warns(RuntimeWarning, match=r"between 0 and 1: .*fractions.*normalise_screen") as seen:
        torch.testing.assert_close(lift(model, fractions), frame_by_frame(fractions))
    assert len(seen) == 1 and seen[0].filename == __file__
    with pytest.warns(RuntimeWarning, match=r"head lies far below the feet.*check=False"):
        lift(model, -keypoints)
    pixels = 500 * (keypoints + 1)
    with pytest.raises(ValueError, match=r"as pixels do.*check=False"):
        lift(model, pixels)
    for unseen in (fractions, -keypoints, pixels):
        torch.testing.assert_close(lift(model, unseen, check=False), frame_by_frame(unseen))
    lift(model, keypoints.double().requires_grad_())
