import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posemamba.motion import CameraRig, Clip, WindowSampler, evaluation_windows, resample, see
from posemamba.motion.rig import middle_and_reach
from posemamba.motion.windows import _generator
from posemamba.skeleton import FLIP_ORDER, flip

POSE = np.random.default_rng(0).normal(size=(17, 3)).astype(np.float32) * 250


def walk(frames: int, name="walk", action="walking", fps=60.0, speed=1400.0, base=0.0) -> Clip:
    """A rigid body that glides; joint 10's height over the root counts the frames."""
    joints = np.tile(POSE, (frames, 1, 1)) + np.array([0, 0, 1000], np.float32)
    joints[:, :, 0] += (np.arange(frames) * speed / fps)[:, None]
    joints[:, 10] = joints[:, 0]
    joints[:, 10, 2] += base + np.arange(frames)
    return Clip(joints.astype(np.float32), fps, name, action, "train")


def counts(targets: torch.Tensor, base=0.0) -> torch.Tensor:
    """The frame numbers that `walk` wrote: the distance from the root to joint 10, whatever the camera."""
    return (targets[..., 10, :].norm(dim=-1) - base).round().long()


def test_a_batch_is_what_a_camera_sees_of_the_motion():
    sampler = WindowSampler([walk(60)], frames=27, batch_size=16, seed=3)
    inputs, targets = sampler.batch(5)
    assert inputs.shape == (16, 27, 17, 2) and targets.shape == (16, 27, 17, 3)
    assert inputs.dtype == targets.dtype == torch.float32
    assert targets[:, :, 0].abs().max() == 0, "targets are relative to the root"
    # A target, moved by the right root, projects to the input. The root is found here by least squares from
    # focal * (X + rx) / (Z + rz) = u, which knows nothing of the package's cameras.
    focal = 1145 / 500
    for window in range(16):
        for frame in (0, 26):
            u, X = inputs[window, frame].double(), targets[window, frame].double()
            rows = [[focal, 0, -u[j, 0]] for j in range(17)] + [[0, focal, -u[j, 1]] for j in range(17)]
            right = [u[j, 0] * X[j, 2] - focal * X[j, 0] for j in range(17)]
            right += [u[j, 1] * X[j, 2] - focal * X[j, 1] for j in range(17)]
            matrix, right = torch.tensor(rows, dtype=torch.float64), torch.stack(right)
            root = torch.linalg.lstsq(matrix, right[:, None]).solution[:, 0]
            assert (matrix @ root - right).abs().max() < 0.2  # focal * mm
            assert 3500 < root.norm() < 7500
    # The camera is upright and in front: higher than the root in the world is above it in most images.
    assert (targets[:, :, 10, 1] < 0).float()[:, 5:].mean() > 0.99


def held(clips, frames, fps):
    """All clips in one tensor, as the first measured runs held them; each window's first and last frame."""
    pieces, windows, at = [], [], 0
    for clip in sorted(clips, key=lambda clip: clip.action):
        ratio = round(clip.fps / fps)
        for phase in range(min(len(clip), ratio if abs(clip.fps / fps - ratio) < 0.005 * ratio else 1)):
            pieces.append(torch.from_numpy(np.array(resample(clip.joints, clip.fps, fps, phase))))
            end = at + len(pieces[-1])
            windows += [(start, end - 1) for start in range(at, at + max(1, end - at - frames + 1))]
            at = end
    return torch.cat(pieces), *torch.tensor(windows).T


@pytest.mark.parametrize(("frames", "fps"), [(9, 60), (27, 60), (27, 30), (27, 45)])
def test_without_options_every_draw_is_that_of_the_first_measured_runs(frames, fps):
    clips = [walk(60), walk(90, "b", "running", fps=120.0), walk(10, "c", "jumping"), walk(40, "d", fps=50.0)]
    joints, starts, lasts = held(clips, frames, fps)
    sampler = WindowSampler(clips, frames, fps, batch_size=16, seed=3)
    assert len(sampler) == len(starts)
    for step in (0, 5):
        generator = _generator(3, step)
        window = torch.randint(len(starts), (16,), generator=generator)
        at = torch.minimum(starts[window, None] + torch.arange(frames), lasts[window, None])
        world = joints[at]
        camera = CameraRig().sample(generator, *middle_and_reach(world))
        chosen = (torch.rand(16, generator=generator) < 0.5)[:, None, None, None]
        for part, found in zip(see(world, camera), sampler.batch(step), strict=True):
            assert torch.equal(torch.where(chosen, flip(part), part), found), "to the last bit"


def test_the_draws_themselves_stay():
    sampler = WindowSampler(
        [walk(60), walk(40, "b", "running")], 9, 60, batch_size=2, seed=1, balance="actions"
    )
    windows = evaluation_windows([walk(60)], 9, views=2, seed=4)
    found = [*sampler.batch(3), windows.inputs[[0, 5]], windows.targets[[0, 5]]]
    stays = [
        [0.08925, -0.01038, -0.01371, 0.03595],
        [149.77534, -188.65906, 431.22314, -148.23251],
        [-0.23317, 0.00892, 0.18889, -0.18908],
        [-358.13629, -195.34888, 278.48730, 414.79150],
    ]
    here = torch.stack([part[:, 4, 13].flatten()[:4] for part in found])
    torch.testing.assert_close(here, torch.tensor(stays), rtol=2e-5, atol=2e-5)


def test_a_batch_depends_on_seed_and_step_alone():
    clips = [walk(60), walk(40, "b", "running")]
    one, two = (WindowSampler(clips, batch_size=4, seed=1) for _ in range(2))
    one.batch(0), one.batch(1)
    for ours, theirs in zip(one.batch(7), two.batch(7), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(one.batch(7)[0], one.batch(8)[0])
    assert not torch.equal(one.batch(7)[0], WindowSampler(clips, batch_size=4, seed=2).batch(7)[0])
    state = torch.get_rng_state()
    one.batch(3)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"


def test_windows_lie_within_one_clip_and_cover_it():
    clips = [walk(10, "c", base=3000), walk(30, "a", base=1000), walk(29, "b", base=2000)]
    sampler = WindowSampler(clips, frames=27, batch_size=400, seed=0, flip=False)
    assert len(sampler) == 4 + 3 + 1
    _, targets = sampler.batch(0)
    numbers, seen = counts(targets), set()
    for window in numbers:
        base = int(window[0]) // 1000 * 1000
        at = window - base
        if base == 3000:
            assert at.tolist() == [*range(10), *[9] * 17], "a short clip repeats its last frame"
        else:
            assert torch.equal(at, torch.arange(at[0], at[0] + 27)) and at[-1] <= (29 if base == 1000 else 28)
        seen.add((base, int(at[0])))
    assert len(seen) == 8


def test_balance_draws_windows_or_actions_alike():
    clips = [walk(1026, "a", "walking", base=2000), walk(126, "b", "running"), walk(126, "c", "jumping")]
    share = {}
    for balance in ("frames", "actions"):
        _, targets = WindowSampler(clips, batch_size=3000, balance=balance, flip=False).batch(0)
        share[balance] = (counts(targets)[:, 0] >= 2000).float().mean().item()
    assert abs(share["frames"] - 1000 / 1200) < 0.03
    assert abs(share["actions"] - 1 / 3) < 0.03


def test_flip_mirrors_half_of_the_windows_and_nothing_else():
    clips = [walk(60)]
    plain = WindowSampler(clips, batch_size=400, seed=0, flip=False).batch(0)
    mixed = WindowSampler(clips, batch_size=400, seed=0, flip=True).batch(0)
    flipped = torch.zeros(400, dtype=torch.bool)
    for ours, theirs in zip(plain, mixed, strict=True):
        mirrored = ours[:, :, list(FLIP_ORDER)] * torch.tensor([-1.0, 1.0, 1.0][: ours.shape[-1]])
        kept = (ours == theirs).flatten(1).all(1)
        flipped = (mirrored == theirs).flatten(1).all(1)
        assert (kept ^ flipped).all()
    assert 150 < flipped.sum() < 250


def test_resampling_takes_every_nth_frame_or_interpolates():
    frames = np.arange(13, dtype=np.float32)[:, None, None] * np.ones((1, 17, 3), np.float32)
    assert resample(frames, 120, 60)[:, 0, 0].tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert resample(frames, 120, 60, phase=1)[:, 0, 0].tolist() == [1, 3, 5, 7, 9, 11]
    assert np.array_equal(resample(frames, 59.94, 60), frames)
    np.testing.assert_allclose(resample(frames, 50, 60)[:, 0, 0], np.arange(15) * 50 / 60, rtol=1e-6)
    assert resample(frames[:1], 50, 60).shape == (1, 17, 3)
    with pytest.raises(ValueError, match="positive rates"):
        resample(frames, 0, 60)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.floats(10, 240), st.floats(10, 240))
def test_resampled_motion_stays_on_its_line_and_in_its_time(count, from_fps, to_fps):
    seconds = np.arange(count)[:, None] / from_fps
    result = resample(seconds, from_fps, to_fps)
    ratio = from_fps / to_fps
    if abs(ratio - round(ratio)) > 0.006 * ratio:
        np.testing.assert_allclose(result[:, 0], np.arange(len(result)) / to_fps, atol=1e-9)
    assert result[-1, 0] <= seconds[-1, 0] + 1e-9
    assert seconds[-1, 0] - result[-1, 0] < 1.006 / to_fps, "no more than a frame is lost at the end"


def test_both_phases_of_a_faster_capture_are_used():
    sampler = WindowSampler([walk(61, fps=120.0)], frames=27, batch_size=200, flip=False)
    numbers = counts(sampler.batch(0)[1])
    assert (numbers.diff(dim=1) == 2).all() and set((numbers[:, 0] % 2).tolist()) == {0, 1}
    assert len(sampler) == (31 - 26) + (30 - 26)


def test_cameras_stand_where_the_rig_says():
    rig = CameraRig()
    targets = torch.tensor([3000.0, -2000.0, 900.0]).expand(2000, 3)
    camera = rig.sample(torch.Generator().manual_seed(0), targets)
    offset = camera.position - targets
    distance = offset.norm(dim=-1)
    assert distance.min() > 4499 and distance.max() < 6501 and distance.max() - distance.min() > 1900
    assert camera.position[:, 2].min() > 799 and camera.position[:, 2].max() < 2001
    azimuth = torch.atan2(offset[:, 1], offset[:, 0])
    assert torch.histc(azimuth, 8, -math.pi, math.pi).min() > 180, "all round the body"
    assert (camera.focal == 1145).all() and camera.width == camera.height == 1000
    pixels = camera.project(camera.world_to_camera(targets))
    assert pixels.std(0).min() > 10 and (pixels - 500).abs().max() < 130, "near the middle, not in it"


def test_a_runner_in_a_long_window_is_always_seen():
    clip = walk(600, speed=6000.0)
    inputs, _ = WindowSampler([clip], frames=243, batch_size=64).batch(0)
    assert inputs.isfinite().all()
    assert evaluation_windows([clip], frames=243).inputs.isfinite().all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=4), st.integers(1, 30), st.integers(1, 3))
def test_each_frame_is_scored_once_a_view(lengths, frames, views):
    clips = [walk(length, f"clip {i}", "ab"[i % 2], base=1000 * (i + 1)) for i, length in enumerate(lengths)]
    windows = evaluation_windows(clips, frames=frames, views=views)
    numbers = counts(windows.targets)
    for index, length in enumerate(lengths):
        for view in range(views):
            mine = (windows.clip == index) & (windows.view == view)
            scored = numbers[mine][windows.scored[mine]] - 1000 * (index + 1)
            assert scored.tolist() == list(range(length)), "each once, in order"
        assert windows.actions[windows.action[windows.clip == index][0]] == "ab"[index % 2]
    starts = numbers[:, 0] - 1000 * (windows.clip + 1)
    assert torch.equal(starts, windows.start)
    assert windows.scored.any(1).all(), "no window is there for nothing"


def test_evaluation_cameras_depend_on_clip_window_and_view_alone():
    clips = [walk(60, "a"), walk(40, "b", "running")]
    windows = evaluation_windows(clips, views=2, seed=4)
    again = evaluation_windows(clips[1:], views=3, seed=4)
    mine = windows.clip == 1
    both = windows.targets[mine], again.targets[again.view < 2]
    assert torch.equal(*both) and torch.equal(windows.inputs[mine], again.inputs[again.view < 2])
    assert not torch.equal(windows.targets, evaluation_windows(clips, views=2, seed=5).targets)
    poses = windows.targets[:, 0].flatten(1)
    assert torch.cdist(poses, poses).fill_diagonal_(1e9).min() > 1, "no two cameras are the same"
    # The stored cameras are the ones that were used.
    world = torch.from_numpy(clips[0].joints[:27])
    inputs, targets = see(world, windows.camera[0])
    torch.testing.assert_close(inputs, windows.inputs[0])
    torch.testing.assert_close(targets, windows.targets[0])


def test_bad_arguments_are_refused():
    clips = [walk(30)]
    for call in (WindowSampler, evaluation_windows):
        with pytest.raises(ValueError, match="no clips to cut windows from"):
            call([])
        with pytest.raises(ValueError, match="frames is 0"):
            call(clips, frames=0)
        with pytest.raises(ValueError, match="fps is 0"):
            call(clips, fps=0)
    with pytest.raises(ValueError, match="balance is 'fair'"):
        WindowSampler(clips, balance="fair")
    with pytest.raises(ValueError, match="batch_size is 0"):
        WindowSampler(clips, batch_size=0)
    with pytest.raises(ValueError, match="views is 0"):
        evaluation_windows(clips, views=0)
    with pytest.raises(ValueError, match="expected 0 or more"):
        WindowSampler(clips).batch(-1)
    with pytest.raises(ValueError, match=r"rig's distance is \(5, 4\)"):
        CameraRig(distance=(5, 4))
    with pytest.raises(ValueError, match=r"rig\'s focal is \(0, 0\)"):
        CameraRig(focal=0)


def test_a_batch_takes_no_more_from_a_long_clip_than_from_a_short_one():
    """How long a batch takes is measured by figures/benchmark/windows.py."""
    peaks = []
    for frames in (500, 50_000):
        sampler = WindowSampler([walk(frames)])
        sampler.batch(0)
        tracemalloc.start()
        sampler.batch(1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] > 64 * 27 * 17 * 3 * 4 and peaks[1] < 1.1 * peaks[0]
