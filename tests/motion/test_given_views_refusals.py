"""Windows of views that do not hold what is asked for: one sentence each."""

from dataclasses import replace

import numpy as np
import pytest

from posemamba.motion import Clip, DetectorNoise, WindowSampler, evaluation_windows
from tests.motion.views import TRUTH, seen


def test_what_cannot_be_had_is_refused_in_one_sentence(tmp_path):
    clip = seen(TRUTH[0], 40, targets=("camera",))
    bare = Clip(clip.joints, 50, "bare", "a", "train")
    loose = replace(clip, joints=None, views=(replace(clip.views[0], camera=None, targets={}),), name="loose")
    both = (WindowSampler, evaluation_windows)
    for call in both:
        given = dict(views="given")
        with pytest.raises(ValueError, match="clip 'bare' has no views"):
            call([clip, bare], **given)
        with pytest.raises(ValueError, match="clip 'loose' has no joints in a world"):
            call([clip, loose])
        with pytest.raises(
            ValueError,
            match=r"'loose', view '0' lacks .* expected a camera and joints, or its target 'camera'",
        ):
            call([loose], **given)
        with pytest.raises(
            ValueError, match=r"lacks .* expected a camera and joints, or joint3d_image, for 'projected'"
        ):
            call([loose], inputs="projected", targets="univ", **given)
        with pytest.raises(ValueError, match=r"joint3d_image, for 'joint3d_image' inputs"):
            call([loose], inputs="joint3d_image", targets="univ", **given)
        with pytest.raises(ValueError, match=r"lacks .* expected its target 'annot3' for targets 'annot3'"):
            call([clip], targets="annot3", **given)
        unseen = replace(clip, views=(replace(clip.views[0], keypoints=None),))
        with pytest.raises(ValueError, match=r"lacks .* expected keypoints for 'detected' inputs"):
            call([unseen], **given)
        odd = replace(
            clip, views=(replace(clip.views[0], targets={"camera": np.zeros((40, 17), np.float32)}),)
        )
        with pytest.raises(ValueError, match=r"expected its target 'camera' of shape \(frames, 17, 3\)"):
            call([odd], **given)
        with pytest.raises(ValueError, match="noise is for joints that are projected"):
            call([clip], noise=DetectorNoise(), **given)
        with pytest.raises(ValueError, match=r"noise is 0\.1, expected a DetectorNoise"):
            call([clip], noise=0.1, inputs="projected", **given)
        for name, found in {
            **dict(short="cut", inputs="gt", targets="3d", views="all", stride=0, noise=0.1, seed=-1),
            **dict(frames=27.5, fps=float("inf")),
        }.items():
            with pytest.raises(ValueError, match=f"{name} is '?{found}'?, expected"):
                call([clip], **{name: found})
    with pytest.raises(ValueError, match="tails is 'keep'"):
        evaluation_windows([clip], tails="keep")


def test_targets_of_another_shape_are_refused_wherever_they_are_read():
    clip = seen(TRUTH[0], 40, targets=("joint3d_image", "camera", "2.5d_factor"))
    for name, end, rules in (
        ("joint3d_image", (17,), dict(inputs="projected", targets="own")),
        ("2.5d_factor", (1,), dict(targets="2.5d")),
        ("camera", (16, 3), dict(targets="2.5d")),
    ):
        view = clip.views[0]
        own = dict(view.targets, own=view.targets["camera"], **{name: np.zeros((40, *end), np.float32)})
        if name == "camera":
            del own["joint3d_image"]
        camera = None if name == "joint3d_image" else view.camera
        broken = replace(clip, views=(replace(view, camera=camera, targets=own),))
        shape = r"\(frames\)" if name == "2.5d_factor" else r"\(frames, 17, 3\)"
        for call in (WindowSampler, evaluation_windows):
            with pytest.raises(ValueError, match=f"lacks .* expected its target '{name}' of shape {shape}"):
                call([broken], 27, 50, views="given", **rules)


def test_nan_is_found_in_the_windows_that_hold_it():
    clip = seen(TRUTH[0], 120, views=2)
    for array, what, rules in (
        (clip.joints, "targets", dict(views="given")),
        (clip.views[1].keypoints, "inputs", dict(views="given")),
        (clip.joints, "joints", dict()),
    ):
        view = "" if not rules else f", view '{0 if what == 'targets' else 1}'"
        kept, array[100, 5] = array[100, 5].copy(), np.nan
        try:
            sentence = f"{view}: {what} hold NaN or infinity in frame 100, joint 5 .left knee., expected"
            with pytest.raises(ValueError, match=sentence):
                evaluation_windows([clip], 27, 50, **rules)
            sampler = WindowSampler([clip], 27, 50, 200, **rules)
            with pytest.raises(ValueError, match=f"{what} hold NaN or infinity in frame 100"):
                sampler.batch(0)
            sampler = WindowSampler([clip], 27, 50, 4, stride=100, **rules)  # frames 0 to 26 alone
            assert sampler.batch(0)[0].isfinite().all()
        finally:
            array[100, 5] = kept
