import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posemamba import skeleton
from posemamba.skeleton import BONES, FLIP_ORDER, H36M, JOINT_NAMES, LIMB_ORDER, PARENTS, Skeleton


def test_the_joints_are_human36m_s():
    assert len(JOINT_NAMES) == len(PARENTS) == 17 and len(BONES) == 16
    named = {JOINT_NAMES[child]: JOINT_NAMES[parent] for parent, child in BONES}
    assert named["right ankle"] == "right knee" and named["left wrist"] == "left elbow"
    assert named["spine"] == "pelvis" and named["left shoulder"] == "thorax" and named["head"] == "nose"


def test_limb_order_is_the_released_one():
    assert LIMB_ORDER == (0, 0, 1, 2, 3, 0, 4, 5, 6, 8, 11, 12, 13, 8, 14, 15, 16)
    assert set(range(17)) - set(LIMB_ORDER) == {7, 9, 10}


def test_flip_order_swaps_sides_by_name():
    for joint, mirrored in enumerate(FLIP_ORDER):
        swap = {"left": "right", "right": "left"}
        words = [swap.get(word, word) for word in JOINT_NAMES[joint].split()]
        assert JOINT_NAMES[mirrored] == " ".join(words)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([2, 3]), st.lists(st.integers(1, 3), max_size=2))
def test_flip_twice_is_nothing_and_lengths_are_kept(seed, dims, batch):
    points = torch.randn(*batch, 17, dims, generator=torch.Generator().manual_seed(seed))
    flipped = skeleton.flip(points)
    assert torch.equal(skeleton.flip(flipped), points)
    assert torch.equal(flipped[..., 3, :], points[..., 6, :] * torch.tensor([-1.0, *[1.0] * (dims - 1)]))
    # Mirroring moves a right bone's length to the left and keeps those of the trunk.
    right = [BONES.index(bone) for bone in ((0, 1), (1, 2), (8, 14), (15, 16), (8, 9))]
    left = [BONES.index(bone) for bone in ((0, 4), (4, 5), (8, 11), (12, 13), (8, 9))]
    lengths, mirrored = skeleton.bone_lengths(points), skeleton.bone_lengths(flipped)
    torch.testing.assert_close(mirrored[..., left], lengths[..., right])


def test_arrays_and_tensors_agree_and_are_not_written_to():
    points = np.random.default_rng(0).normal(size=(4, 17, 3)).astype(np.float32)
    before = points.copy()
    flipped, lengths = skeleton.flip(points), skeleton.bone_lengths(points)
    assert flipped.dtype == np.float32 and np.array_equal(points, before)
    assert np.array_equal(flipped, skeleton.flip(torch.from_numpy(points)).numpy())
    np.testing.assert_allclose(lengths, skeleton.bone_lengths(torch.from_numpy(points)).numpy(), rtol=1e-6)
    bone = BONES.index((4, 5))
    np.testing.assert_allclose(
        lengths[:, bone], np.linalg.norm(points[:, 5] - points[:, 4], axis=1), rtol=1e-6
    )


@pytest.mark.parametrize("shape", [(17,), (16, 3), (3, 17), (2, 17, 4)])
@pytest.mark.parametrize("call", [skeleton.flip, skeleton.bone_lengths])
def test_other_shapes_are_refused(shape, call):
    with pytest.raises(ValueError, match=r"has shape .* expected \(\.\.\., 17, 2\) or \(\.\.\., 17, 3\)"):
        call(torch.zeros(shape))


def test_skeletons_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="3 joints but 2 parents"):
        Skeleton("x", ("a", "b", "c"), (-1, 0), (), ())
    with pytest.raises(ValueError, match="exactly one root"):
        Skeleton("x", ("a", "b", "c"), (-1, -1, 0), (), ())
    with pytest.raises(ValueError, match="do not hang from its root"):
        Skeleton("x", ("a", "b", "c"), (-1, 2, 1), (), ())
    with pytest.raises(ValueError, match="as many left joints"):
        Skeleton("x", ("a", "b", "c"), (-1, 0, 0), (1,), ())
    assert H36M.bones == BONES
