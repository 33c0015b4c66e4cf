"""Biovision's format: any channels in any order put the joints where plain geometry puts them."""

import numpy as np
import pytest

from data_prep.bvh import joint_places, read_bvh
from data_prep.trials import BVH, seventeen, unit_of
from posemamba.skeleton import JOINT_NAMES
from tests.data_prep.bodies import MOTION_BUILDER, Puppet
from tests.sentences import refused


@pytest.mark.parametrize("seed", range(5))
def test_any_channels_in_any_order(tmp_path, seed):
    puppet = Puppet.drawn(MOTION_BUILDER, seed, odd=seed > 0)
    rows, path = puppet.motion(3, seed), tmp_path / "a.bvh"
    with path.open("w", newline="") as file:
        file.write(puppet.text(rows, newline="\r\n" if seed % 2 else "\n"))
    motion = read_bvh(path)
    assert motion.fps == 120 and len(motion.values) == 3
    places = joint_places(motion)
    for name in (*puppet.parents, "end of Head", "end of LeftFoot"):
        expected = [puppet.place(name, row) for row in rows]
        np.testing.assert_allclose(places[name.lower()], expected, atol=1e-9, err_msg=name)


def test_the_seventeen_of_a_conversion(tmp_path):
    puppet = Puppet.drawn(MOTION_BUILDER, 3, size=4.0)
    # As those conversions have it: no thorax, no wrist.
    puppet.offsets["Neck"] = puppet.offsets["LeftShoulder"] = puppet.offsets["RightShoulder"] = np.zeros(3)
    puppet.offsets["LeftLeg"] = puppet.offsets["RightLeg"] = np.array([0, -7.0, 0])
    puppet.offsets["LeftFoot"] = puppet.offsets["RightFoot"] = np.array([0, -7.0, 1.0])
    rows, path = puppet.motion(1), tmp_path / "a.bvh"
    path.write_text(puppet.text(rows))
    joints = seventeen(joint_places(read_bvh(path)), BVH, path)[0]
    assert unit_of(joints[None], path) == pytest.approx(25.4 / 0.45)

    # The thorax goes on from Spine1 as Spine1 does from Spine, turned with it: an own joint shows where.
    puppet.parents["Thorax"], puppet.channels["Thorax"] = "Spine1", ()
    puppet.offsets["Thorax"] = puppet.offsets["Spine1"]
    at = {name: puppet.place(name, rows[0]) for name in (*puppet.parents, "end of Head")}
    lost = at["Thorax"] - at["Spine1"]
    assert np.linalg.norm(lost) > 1
    wrist = at["LeftForeArm"] + 1.5 * (at["LeftHand"] - at["LeftForeArm"])
    expected = {
        "pelvis": (at["LeftUpLeg"] + at["RightUpLeg"]) / 2,
        **{"right hip": at["RightUpLeg"], "right knee": at["RightLeg"], "left ankle": at["LeftFoot"]},
        **{"spine": at["Spine"], "thorax": (at["Neck"] + at["Neck1"]) / 2 + lost},
        **{"nose": at["Head"] + lost, "head": at["end of Head"] + lost},
        **{"left shoulder": at["LeftArm"] + lost, "right elbow": at["RightForeArm"] + lost},
        "left wrist": wrist + lost,
    }
    for name, place in expected.items():
        np.testing.assert_allclose(joints[JOINT_NAMES.index(name)], place, atol=1e-9, err_msg=name)


def test_the_seventeen_of_a_daz_figure(tmp_path):
    names = {
        "hip": None,
        "abdomen": "hip",
        "chest": "abdomen",
        "neck": "chest",
        "head": "neck",
        "leftEye": "head",
    }
    for side in "lr":
        names |= {f"{side}Collar": "chest", f"{side}Shldr": f"{side}Collar", f"{side}ForeArm": f"{side}Shldr"}
        names |= {f"{side}Hand": f"{side}ForeArm"}
    for side in "lr":
        names |= {f"{side}Buttock": "hip", f"{side}Thigh": f"{side}Buttock", f"{side}Shin": f"{side}Thigh"}
        names |= {f"{side}Foot": f"{side}Shin"}
    puppet, path = Puppet.drawn(names, size=20.0), tmp_path / "a.bvh"
    row = puppet.motion(1)[0]
    path.write_text(puppet.text([row]))
    joints = seventeen(joint_places(read_bvh(path)), BVH, path)[0]
    puppet.parents["beyond"], puppet.channels["beyond"] = "head", ()
    puppet.offsets["beyond"] = puppet.offsets["head"]
    at = {name: puppet.place(name, row) for name in puppet.parents}
    thorax, nose = (at["lCollar"] + at["rCollar"]) / 2, (at["head"] + at["beyond"]) / 2
    for name, place in {
        **{"pelvis": (at["lThigh"] + at["rThigh"]) / 2, "right knee": at["rShin"], "left ankle": at["lFoot"]},
        **{"spine": at["abdomen"], "thorax": thorax, "nose": nose, "head": nose + 0.69 * (nose - thorax)},
        **{"left shoulder": at["lShldr"], "right elbow": at["rForeArm"], "left wrist": at["lHand"]},
    }.items():
        np.testing.assert_allclose(joints[JOINT_NAMES.index(name)], place, atol=1e-9, err_msg=name)


def test_missing_joints_and_sizes_are_named(tmp_path):
    path = tmp_path / "a.bvh"
    renamed = {name: name.replace("LeftArm", "Arm") for name in MOTION_BUILDER}
    puppet = Puppet.drawn({renamed[name]: renamed.get(parent) for name, parent in MOTION_BUILDER.items()})
    path.write_text(puppet.text(puppet.motion(2)))
    refused(
        lambda: seventeen(joint_places(read_bvh(path)), BVH, path), "a.bvh", "lacks leftarm", "MotionBuilder"
    )
    puppet = Puppet.drawn(MOTION_BUILDER, size=1e-3)
    path.write_text(puppet.text(puppet.motion(2)))
    joints = seventeen(joint_places(read_bvh(path)), BVH, path)
    refused(lambda: unit_of(joints, path), "a.bvh", "leg", "600 to 1100 mm", "--unit")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("HIERARCHY", "HIERARCHIES", ("line 1", "expected HIERARCHY")),
        ("MOTION", "NOTION", ("'NOTION'", "MOTION")),
        ("JOINT LeftLeg", "JOINT LeftUpLeg", ("'JOINT LeftUpLeg'", "names of their own")),
        ("\tOFFSET", "\tSET", ("line 4", "SET", "hierarchy of joints")),
        ("CHANNELS 3 Z", "CHANNELS 4 Z", ("CHANNELS", "their number")),
        ("Zrotation", "Wrotation", ("Wrotation", "Zrotation")),
        ("Frames: 2", "Frames: 3", ("2 frames", "3 that it announces")),
        ("Frames: 2", "Frames: two", ("frames:", "'two'", "1 finite")),
        ("Frame Time: .0083333", "Frame Time: 0", ("Frame Time of 0", "positive")),
        ("Frame Time:", "Time:", ("frame time:",)),
        ("{", "", ("expected a hierarchy",)),
        ("}\n\t}\n", "}\n\tEnd Site\n\t}\n", ("has no { OFFSET",)),
    ],
)
def test_a_broken_file_is_told(tmp_path, old, new, words):
    puppet = Puppet.drawn(MOTION_BUILDER)
    text = puppet.text(puppet.motion(2))
    assert old in text
    (tmp_path / "a.bvh").write_text(text.replace(old, new, 1))
    refused(lambda: read_bvh(tmp_path / "a.bvh"), "a.bvh", *words)


def test_broken_numbers_are_told(tmp_path):
    puppet, path = Puppet.drawn(MOTION_BUILDER), tmp_path / "a.bvh"
    lines = puppet.text(puppet.motion(2)).splitlines()
    count = len(lines[-1].split())
    for last, words in (
        (lines[-1].rsplit(" ", 1)[0], (f"found {count - 1} numbers", f"expected {count}")),
        (lines[-1] + " 1", (f"found {count + 1} numbers",)),
        ("nan " + lines[-1].split(" ", 1)[1], ("nan", "finite")),
        ("1,5 " + lines[-1].split(" ", 1)[1], (f"found {count + 1} numbers",)),
    ):
        path.write_text("\n".join([*lines[:-1], last]))
        refused(lambda: read_bvh(path), "a.bvh", f"line {len(lines)}", *words)
    path.write_text("\n".join(lines[: lines.index("MOTION")]))
    refused(lambda: read_bvh(path), "MOTION", "cut short")
    path.write_bytes(b"\x93NUMPY" + bytes(100))
    refused(lambda: read_bvh(path), "numpy array", ".bvh")
