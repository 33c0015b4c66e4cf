import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posemamba import skeleton
from posemamba.skeleton import (
    BONES,
    FLIP_ORDER,
    H36M,
    JOINT_NAMES,
    JOINT_SETS,
    LIMB_ORDER,
    PARENTS,
    JointSet,
    Skeleton,
)


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


# A joint's number in each set, as the sets' authors number them.
NUMBERS = {
    "COCO-17": {
        "nose": 0,
        "right eye": 2,
        "left ear": 3,
        "right shoulder": 6,
        "left wrist": 9,
        "right ankle": 16,
    },
    "Halpe-26": {"right hip": 12, "head": 17, "neck": 18, "hip": 19, "left big toe": 20, "right heel": 25},
    "BODY_25": {
        "neck": 1,
        "left wrist": 7,
        "middle hip": 8,
        "right ankle": 11,
        "left ear": 18,
        "right heel": 24,
    },
    "COCO-18": {
        "neck": 1,
        "right wrist": 4,
        "left shoulder": 5,
        "right hip": 8,
        "left ankle": 13,
        "left ear": 17,
    },
    "MPII-16": {
        "right ankle": 0,
        "left hip": 3,
        "upper neck": 8,
        "head top": 9,
        "right wrist": 10,
        "left wrist": 15,
    },
    "BlazePose-33": {
        "right eye": 5,
        "left ear": 7,
        "left shoulder": 11,
        "right wrist": 16,
        "left hip": 23,
        "right knee": 26,
        "left foot index": 31,
    },
}


@pytest.mark.parametrize("name", NUMBERS)
def test_joint_sets_are_in_their_authors_order(name):
    joints = JOINT_SETS[name].joints
    assert len(joints) == len(set(joints)) == int(name.replace("_", "-").split("-")[1])
    assert {joint: joints.index(joint) for joint in NUMBERS[name]} == NUMBERS[name]


@pytest.mark.parametrize("joint_set", JOINT_SETS.values(), ids=JOINT_SETS)
def test_conversion_keeps_sides_and_names(joint_set):
    swap = {"left": "right", "right": "left"}
    other = [" ".join(swap.get(word, word) for word in joint.split()) for joint in joint_set.joints]
    mirror = [joint_set.joints.index(joint) for joint in other]
    points = np.random.default_rng(0).normal(size=(5, len(joint_set.joints), 2))
    joints, confidence, present = joint_set.convert(points)
    assert joints.shape == (5, 17, 2) and (confidence == 1).all() and present.all()
    flipped = joint_set.convert(points[:, mirror] * (-1, 1))[0]
    np.testing.assert_allclose(flipped, skeleton.flip(joints), atol=1e-12)
    for at, joint in enumerate(JOINT_NAMES):
        if joint.split()[0] in swap:
            np.testing.assert_array_equal(joints[:, at], points[:, joint_set.joints.index(joint)])
    # A shift and a turn of the image go through: the weights sum to 1.
    turn = np.array([[0.0, -2.0], [2.0, 0.0]])
    np.testing.assert_allclose(joint_set.convert(points @ turn + 7)[0], joints @ turn + 7, atol=1e-12)


def test_made_joints_by_hand():
    coco = np.random.default_rng(1).normal(size=(17, 2))
    joints = JOINT_SETS["COCO-17"].convert(coco)[0]
    hips, shoulders, ears = ((coco[i] + coco[i + 1]) / 2 for i in (11, 5, 3))
    expected = [hips, (hips + shoulders) / 2, shoulders, coco[0], ears + 0.35 * (ears - shoulders)]
    np.testing.assert_allclose(joints[[0, 7, 8, 9, 10]], expected, atol=1e-12)
    halpe = np.random.default_rng(2).normal(size=(26, 2))
    joints = JOINT_SETS["Halpe-26"].convert(halpe)[0]
    middle = [halpe[19], (halpe[18] + halpe[19]) / 2, halpe[18], halpe[0], halpe[17]]
    np.testing.assert_allclose(joints[[0, 7, 8, 9, 10]], middle, atol=1e-12)
    assert np.array_equal(JOINT_SETS["H36M-17"].convert(coco)[0], coco)


def test_confidence_is_the_least_and_others_stand_in_for_the_unseen():
    body = JOINT_SETS["BODY_25"]
    points, confidence = np.random.default_rng(3).normal(size=(25, 2)), np.linspace(0.2, 0.9, 25)
    at = {joint: number for number, joint in enumerate(body.joints)}
    confidence[at["left ear"]] = 0
    joints, least, present = body.convert(points, confidence)
    ear, shoulders = points[at["right ear"]], points[[at["left shoulder"], at["right shoulder"]]].mean(0)
    np.testing.assert_allclose(joints[10], ear + 0.35 * (ear - shoulders), atol=1e-12)
    assert present.all() and least[10] == confidence[at["right shoulder"]] and least[7] == confidence[1]
    confidence[[at["neck"], at["right ear"], at["nose"]]] = 0
    joints, least, present = body.convert(points, confidence)
    assert [JOINT_NAMES[joint] for joint in np.flatnonzero(~present)] == ["nose", "head"]
    assert (joints[~present] == 0).all() and (least[~present] == 0).all()
    np.testing.assert_allclose(joints[8], shoulders, atol=1e-12)
    present = np.ones(25, bool)  # interpolated joints count, though nobody saw them
    joints, least, there = body.convert(points, confidence, present)
    assert there.all() and least[8] == 0 and np.array_equal(joints[8], points[1])


def test_joint_sets_that_cannot_be_converted_are_refused():
    with pytest.raises(ValueError, match="'x' makes 'right ankle' of 'right ankle', none of its joints"):
        JointSet("x", tuple(name for name in JOINT_NAMES if name != "right ankle"))
    with pytest.raises(ValueError, match=r"makes 'nose' of weights that sum to 0\.9"):
        JointSet("x", JOINT_NAMES, {"nose": ({"head": 0.9},)})
    with pytest.raises(ValueError, match=r"'x' makes 'Nose', none of Human3\.6M's joints"):
        JointSet("x", JOINT_NAMES, {"Nose": ({"head": 1},)})
    coco = JOINT_SETS["COCO-17"]
    with pytest.raises(ValueError, match=r"COCO-17 has shapes \(3, 16, 2\), .* expected \(\.\.\., 17, d\)"):
        coco.convert(np.zeros((3, 16, 2)))
    with pytest.raises(ValueError, match=r"\(3, 17, 2\), \(17,\), \(17,\), expected"):
        coco.convert(np.zeros((3, 17, 2)), np.ones(17))
