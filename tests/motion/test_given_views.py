"""Windows of the views that clips come with."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from posemamba.camera import normalise_screen
from posemamba.motion import (
    CameraRig,
    DetectorNoise,
    WindowSampler,
    evaluation_windows,
    load_motion,
    save_motion,
)
from posemamba.motion.pieces import spread
from posemamba.motion.targets import normalise_image, root_relative, to_image, to_millimetres
from posemamba.skeleton import flip
from tests.motion.views import SIZES, TRUTH, close, expected, seen


@pytest.mark.parametrize("inputs", ["detected", "projected"])
def test_given_views_are_read_as_their_cameras_saw_them(inputs):
    clips = [seen(TRUTH[0], 100), seen(TRUTH[1], 61)]
    windows = evaluation_windows(clips, 27, 50, "given", inputs=inputs)
    assert windows.size[:4].tolist() == [list(SIZES[0]), list(SIZES[1]), list(SIZES[2]), list(SIZES[0])]
    assert windows.view[:4].tolist() == [0, 1, 2, 0] and windows.start[:4].tolist() == [0, 0, 0, 27]
    for row in range(len(windows)):
        start, clip, view = (int(part[row]) for part in (windows.start, windows.clip, windows.view))
        assert windows.frame[row].tolist() == list(range(start, start + 27))
        wanted = expected(clips[clip], view, slice(start, start + 27), inputs == "projected")
        close((windows.inputs[row], windows.targets[row]), wanted)
        torch.testing.assert_close(windows.camera.focal[row], clips[clip].views[view].camera.focal.float())
    for view in range(3):  # each valid frame once
        mine = (windows.clip == 0) & (windows.view == view)
        scored = windows.frame[mine][windows.scored[mine]]
        assert scored.tolist() == [frame for frame in range(100) if frame % 7 != 3]


@pytest.mark.parametrize("own", [("joint3d_image", "2.5d_factor"), ("camera",), ()])
def test_true_2d_are_x_and_y_of_the_25d_pose_without_the_lens_whoever_holds_it(own):
    clips = [seen(TRUTH[0], 60, targets=own)]
    detected, true, projected = (
        evaluation_windows(clips, 27, 50, "given", inputs=inputs, targets="2.5d")
        for inputs in ("detected", "joint3d_image", "projected")
    )
    assert torch.equal(true.targets, detected.targets)
    torch.testing.assert_close(true.targets[..., :2], true.inputs - true.inputs[:, :, :1], atol=1e-5, rtol=0)
    for view in range(3):
        one, mine = clips[0].views[view], true.view == view
        points = one.camera.world_to_camera(torch.from_numpy(clips[0].joints).double())
        pixels = normalise_screen(to_image(points, one.camera)[0][..., :2], one.width, one.height)
        torch.testing.assert_close(true.inputs[mine], pixels[true.frame[mine]].float(), atol=1e-5, rtol=0)
    bent = (true.inputs - projected.inputs).abs().max()
    assert bent > 1e-3  # the lens is all the difference
    drawn = WindowSampler(clips, 27, 50, 8, views="given", inputs="joint3d_image", targets="2.5d").batch(0)
    relative = drawn[0] - drawn[0][:, :, :1]
    torch.testing.assert_close(drawn[1][..., :2], relative, atol=1e-5, rtol=0)
    flat = (evaluation_windows([TRUTH[0]], 27, 60, 1, inputs=i) for i in ("joint3d_image", "projected"))
    assert torch.equal(*(windows.inputs for windows in flat))  # virtual cameras have no lens


def test_a_sampler_of_given_views_draws_all_of_them_and_mirrors_half():
    clips = [seen(TRUTH[0], 40), seen(TRUTH[1], 33)]
    sampler = WindowSampler(clips, 27, 50, batch_size=600, seed=1, views="given")
    assert len(sampler) == 3 * (14 + 7)
    table = {}
    for index, clip in enumerate(clips):
        for view in range(3):
            for start in range(len(clip) - 26):
                table[index, view, start] = expected(clip, view, slice(start, start + 27))
    keys, plain = list(table), torch.stack([inputs for inputs, _ in table.values()])
    both = torch.cat([plain, flip(plain)])
    drawn, mirrored = set(), 0
    for inputs, targets in zip(*sampler.batch(4), strict=True):
        row = int((both - inputs).flatten(1).abs().amax(1).argmin())
        key, turned = keys[row % len(keys)], row >= len(keys)
        wanted = [flip(part) for part in table[key]] if turned else table[key]
        close((inputs, targets), wanted)
        drawn.add(key)
        mirrored += turned
    assert len(drawn) == len(table) and 240 < mirrored < 360
    again = WindowSampler(clips, 27, 50, batch_size=600, seed=1, views="given")
    with ThreadPoolExecutor(2) as pool:
        for ours, theirs in zip(pool.map(sampler.batch, range(8)), map(again.batch, range(8)), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_windows_out_of_a_file_are_the_same(tmp_path):
    clips = [seen(TRUTH[0], 60), seen(TRUTH[1], 50)]
    save_motion(tmp_path / "m.safetensors", clips)
    opened = load_motion(tmp_path / "m.safetensors")
    for views in ("given", "virtual"):
        ours, theirs = (WindowSampler(c, 27, 50, 32, views=views).batch(0) for c in (clips, opened))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_targets_2_5d_are_the_set_s_own_or_made():
    own = seen(TRUTH[0], 60, targets=("joint3d_image", "2.5d_factor"))
    for clip in (own, seen(TRUTH[0], 60), seen(TRUTH[0], 60, keep_world=False, targets=("camera",))):
        windows = evaluation_windows([clip], 27, 50, "given", targets="2.5d")
        for row in range(len(windows)):
            view, at = own.views[int(windows.view[row])], windows.frame[row].numpy()
            image = torch.from_numpy(view.targets["joint3d_image"][at])
            wanted = normalise_image(image, view.width, view.height)
            torch.testing.assert_close(windows.targets[row], wanted - wanted[:, :1], atol=2e-5, rtol=0)
            factor = torch.from_numpy(view.targets["2.5d_factor"][at])
            torch.testing.assert_close(windows.factor[row], factor, rtol=1e-4, atol=0)
            # As the released evaluation: back to pixels, times the factor.
            found = windows.targets[row] * (windows.size[row, 0] / 2) * windows.factor[row, :, None, None]
            wanted = root_relative(to_millimetres(image, factor))
            torch.testing.assert_close(found, wanted, atol=0.05, rtol=1e-4)
    mirrored = WindowSampler([own], 27, 50, 64, views="given", targets="2.5d").batch(0)
    plain = WindowSampler([own], 27, 50, 64, views="given", targets="2.5d", flip=False).batch(0)
    same = (mirrored[0] == plain[0]).flatten(1).all(1)
    for ours, theirs in zip(mirrored, plain, strict=True):
        torch.testing.assert_close(flip(ours[~same]), theirs[~same], atol=1e-6, rtol=0)
    assert 15 < same.sum() < 50
    no_factor = seen(TRUTH[0], 60, keep_world=False, targets=("joint3d_image",))
    assert evaluation_windows([no_factor], 27, 50, "given", targets="2.5d").factor.isnan().all()
    virtual = WindowSampler([own], 27, 50, 8, targets="2.5d", flip=False).batch(0)[1]
    metric = WindowSampler([own], 27, 50, 8, flip=False).batch(0)[1]
    assert (virtual[..., 2] / metric[..., 2])[:, :, 10].std() < 1e-3, "depth in pixels of the root's depth"


def test_a_target_of_the_set_s_own_name_and_inputs_without_a_camera():
    clip = seen(TRUTH[0], 60, targets=("joint3d_image", "camera"))
    views = []
    for view in clip.views:
        own = {"joint3d_image": view.targets["joint3d_image"], "univ_annot3": view.targets["camera"] / 2}
        views.append(replace(view, camera=None, targets=own, scan=True))
    clip = replace(clip, joints=None, views=tuple(views), scan=True)
    windows = evaluation_windows([clip], 27, 50, "given", inputs="projected", targets="univ_annot3")
    assert windows.camera is None and windows.factor is None
    for row in range(len(windows)):
        view, at = clip.views[int(windows.view[row])], windows.frame[row].numpy()
        target = torch.from_numpy(view.targets["univ_annot3"][at])
        image = torch.from_numpy(view.targets["joint3d_image"][at, :, :2])
        wanted = normalise_screen(image, view.width, view.height), target - target[:, :1]
        close((windows.inputs[row], windows.targets[row]), wanted)


def test_strides_and_tails_are_the_released_ones():
    clips = [seen(TRUTH[0], length, views=1) for length in (27, 53, 54, 100, 20)]
    windows = evaluation_windows(clips, 27, 50, "given", tails="drop", short="resample")
    assert [int((windows.clip == number).sum()) for number in range(5)] == [1, 1, 2, 3, 1]
    assert (windows.start % 27 == 0).all()
    assert len(WindowSampler(clips[:4], 27, 50, stride=9, views="given")) == 1 + 3 + 4 + 9
    starts = set()
    sampler = WindowSampler(clips[3:4], 27, 50, 200, views="given", stride=9, flip=False)
    for inputs, _ in zip(*sampler.batch(0), strict=True):
        own = expected(clips[3], 0, slice(None))[0]
        starts.add(int((own[:74] - inputs[0]).abs().sum((1, 2)).argmin()))
    assert starts == set(range(0, 74, 9))
    overlapping = evaluation_windows(clips[3:4], 27, 50, "given", stride=9)
    assert overlapping.start.tolist() == [*range(0, 73, 9), 73]
    assert overlapping.frame[overlapping.scored].tolist() == [f for f in range(100) if f % 7 != 3]


def test_a_view_that_ends_early_gives_the_windows_that_it_has():
    clip = seen(TRUTH[0], 100)
    for number, end in ((1, 60), (2, 0)):
        clip.views[number].valid[end:] = False
    windows = evaluation_windows([clip], 27, 50, "given", tails="drop")
    assert list(zip(windows.start.tolist(), windows.view.tolist(), strict=True)) == [
        *((0, 0), (0, 1), (27, 0), (27, 1), (54, 0))
    ]
    assert evaluation_windows([clip], 27, 50, "given").start.tolist() == [0, 0, 27, 27, 54, 32, 73]
    assert len(WindowSampler([clip], 27, 50, views="given", stride=27)) == 3 + 2
    for view in clip.views:
        view.valid[:] = False
    for call in (WindowSampler, evaluation_windows):
        with pytest.raises(ValueError, match="no frame is valid"):
            call([clip], 27, 50, views="given")
        assert call([clip], 27, 50) is not None, "of no matter to virtual cameras"


def test_an_action_that_no_window_shows_is_not_drawn():
    clips = [seen(TRUTH[0], 60), replace(seen(TRUTH[1], 60), action="zzz", scan=True)]
    for view in clips[1].views:
        view.valid[:] = False
    sampler = WindowSampler(clips, 27, 50, 64, views="given", balance="actions")
    assert sampler.actions == ("walking",) and sampler.batch(0)[0].isfinite().all()
    assert evaluation_windows(clips, 27, 50, "given").actions == ("walking",)


def test_a_short_clip_is_spread_as_the_released_code_spreads_it():
    generator = np.random.default_rng(0)
    found = np.stack([spread(20, 27, generator) for _ in range(4000)])
    assert (np.diff(found) >= 0).all() and found.min() == 0 and found.max() == 19
    even = np.arange(27) * 20 / 27
    assert ((found >= np.floor(even) - 1) & (found <= np.ceil(even))).all()
    # Rounding each down or up with probability 1/2 leaves, on average, the middle of both.
    wanted = ((np.floor(even) + np.ceil(even)).clip(max=38) / 2).sum()
    assert abs(found.sum(1).mean() - wanted) < 0.2
    assert len(np.unique(found, axis=0)) > 3900
    clips = [seen(TRUTH[0], 20)]
    one, two = (evaluation_windows(clips, 27, 50, "given", short="resample", seed=seed) for seed in (0, 1))
    assert not torch.equal(one.frame, two.frame) and not torch.equal(one.frame[0], one.frame[1])
    assert torch.equal(one.frame, evaluation_windows(clips, 27, 50, "given", short="resample").frame)
    for row in range(3):
        close((one.inputs[row], one.targets[row]), expected(clips[0], row, one.frame[row].numpy()))
        assert one.scored[row].tolist() == [frame % 7 != 3 for frame in one.frame[row].tolist()]
    padded = evaluation_windows(clips, 27, 50, "given")
    assert padded.frame[0].tolist() == [*range(20), *[19] * 7] and not padded.scored[0, 20:].any()
    virtual = evaluation_windows(clips, 27, 50, 2, short="resample")
    assert virtual.scored.all() and (virtual.frame.diff(dim=1) == 0).any()


def test_given_views_at_another_rate():
    clip = seen(TRUTH[0], 100, views=1)
    half = evaluation_windows([clip], 27, 25, "given")
    assert half.frame[0].tolist() == list(range(0, 54, 2))
    close((half.inputs[0], half.targets[0]), expected(clip, 0, slice(0, 54, 2)))
    sampler = WindowSampler([clip], 27, 25, 100, views="given", flip=False)
    assert len(sampler) == 24 + 24
    between = evaluation_windows([clip], 27, 40, "given")
    every = expected(clip, 0, slice(None))
    wanted = [(part[1] * 3 + part[2]) / 4 for part in every]
    close((between.inputs[0, 1], between.targets[0, 1]), wanted)
    assert between.frame[0, :5].tolist() == [0, 1, 2, 3, 5]


def test_noise_is_for_projected_inputs_and_changes_nothing_else():
    clips, noise = [seen(TRUTH[0], 60)], DetectorNoise(jitter=0.01)
    for rules in (dict(views="given", inputs="projected"), dict()):
        plain, noisy = (WindowSampler(clips, 27, 50, 64, noise=n, **rules).batch(2) for n in (None, noise))
        assert torch.equal(plain[1], noisy[1])
        error = (noisy[0] - plain[0]).abs()
        assert 1e-4 < error.median() < 1e-2 and (error > 0).float().mean() > 0.99
    few, more = (evaluation_windows(clips * n, 27, 50, 2, noise=noise) for n in (1, 2))
    assert torch.equal(few.inputs, more.inputs[: len(few)])


def test_the_rig_s_image_is_noted_for_virtual_windows():
    windows = evaluation_windows([seen(TRUTH[0], 40)], 27, 50, 1, rig=CameraRig(size=500))
    assert windows.size.tolist() == [[500, 500]] * 2 and windows.factor is None
