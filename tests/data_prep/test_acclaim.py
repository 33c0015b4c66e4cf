"""Acclaim skeletons and motion: every way to declare a body puts its bones where plain geometry puts them."""

import numpy as np
import pytest

from data_prep.acclaim import bone_ends, read_amc, read_asf
from tests.data_prep.bodies import Body, Bone, amc, asf, person
from tests.sentences import refused


def written(folder, body, motion, newline="\n", **units):
    """The body and its motion as files, read back."""
    with (folder / "a.asf").open("w", newline="") as file:
        file.write(asf(body, newline=newline, **units))
    with (folder / "a.amc").open("w", newline="") as file:
        file.write(amc(body, motion, newline=newline, **units))
    skeleton = read_asf(folder / "a.asf")
    return skeleton, read_amc(folder / "a.amc", skeleton)


@pytest.mark.parametrize(
    ("seed", "radians"), [(0, False), (1, True), (2, False), (3, True), (4, False), (5, True)]
)
def test_any_skeleton_moves_as_plain_geometry_says(tmp_path, seed, radians):
    body = person(seed, odd=seed > 0)
    motion = body.motion(2, seed, size=2.5)
    units = {"length": (0.45, 1.0, 2.54)[seed % 3], "radians": radians, "shuffle": seed or None}
    skeleton, read = written(tmp_path, body, motion, newline="\r\n" if seed % 2 else "\n", **units)
    assert len(read) == 2 and skeleton.unit == pytest.approx(25.4 / units["length"])
    starts, ends = bone_ends(skeleton, read)
    for name, expected in body.ends(motion).items():
        np.testing.assert_allclose(ends[name], expected, atol=1e-7, err_msg=name)
    np.testing.assert_allclose(starts["lowerneck"], body.start("lowerneck", motion), atol=1e-7)


def test_a_quarter_turn_by_hand(tmp_path):
    # A shin hangs from a thigh that turns forward about x; the shin's frame is turned about y, so that
    # its rx is the world's -z.
    down = np.array([0.0, -1.0, 0.0])
    thigh = Bone("root", down, 400.0, dof=("rx",))
    shin = Bone("thigh", down, 300.0, axis=(0.0, np.pi / 2, 0.0), dof=("rx",))
    body = Body({"thigh": thigh, "shin": shin})
    motion = {"root": np.array([[10.0, 900, 0, 0, 0, 0]]), "thigh": np.array([[np.pi / 2]])}
    _, ends = bone_ends(*written(tmp_path, body, motion | {"shin": np.array([[0.0]])}))
    np.testing.assert_allclose(ends["thigh"], [[10, 900, -400]], atol=1e-9)
    np.testing.assert_allclose(ends["shin"], [[10, 900, -700]], atol=1e-9)
    motion["thigh"] *= 0
    _, ends = bone_ends(*written(tmp_path, body, motion | {"shin": np.array([[np.pi / 2]])}))
    np.testing.assert_allclose(ends["shin"], [[-290, 500, 0]], atol=1e-9)


def test_directions_count_as_they_are_written(tmp_path):
    # The digits of a file are part of the motion made of it; only what is far from length 1 is brought there.
    for direction, length in (([0.0, -1.0005, 0.0], 400.2), ([0.0, -2.0, 0.0], 400.0)):
        body = Body({"thigh": Bone("root", np.array(direction), 400.0, dof=())})
        _, ends = bone_ends(*written(tmp_path, body, {"root": np.zeros((1, 6))}))
        np.testing.assert_allclose(ends["thigh"], [[0, -length, 0]], atol=1e-9)


def test_the_motion_s_own_angles_count(tmp_path):
    body = person(1)
    motion = body.motion(2)
    (tmp_path / "a.asf").write_text(asf(body))
    (tmp_path / "a.amc").write_text(amc(body, motion, radians=True))
    skeleton, expected = read_asf(tmp_path / "a.asf"), body.ends(motion)["rwrist"]
    _, ends = bone_ends(skeleton, read_amc(tmp_path / "a.amc", skeleton))
    np.testing.assert_allclose(ends["rwrist"], expected, atol=1e-7)
    # Without a word of its own the motion is in the skeleton's angles.
    (tmp_path / "a.amc").write_text(amc(body, motion, head=":SAMPLES-PER-SECOND 60"))
    read = read_amc(tmp_path / "a.amc", skeleton)
    np.testing.assert_allclose(bone_ends(skeleton, read)[1]["rwrist"], expected, atol=1e-7)
    assert read.fps == 60


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (":root", ":rest", ("a.asf", "no :root section")),
        (":hierarchy", ":other", ("no :hierarchy",)),
        ("  end\n:hierarchy", ":hierarchy", ("no end", "begin ... end")),
        ("  end\n  begin\n    id 2", "  begin\n    id 2", ("no end", "begin ... end")),
        ("  order TX TY TZ RX RY RZ", "  order", ("root's order is empty",)),
        ("  angle deg", "  angle grad", ("line 7", "grad", "deg or rad")),
        ("length 0.45", "length 0", ("line 6", "positive")),
        ("    name lfemur", "    name ltibia", ("'ltibia'", "name of its own")),
        ("lhipjoint lfemur", "lhipjoint lthigh", ("'lthigh'", "no :bonedata")),
        ("    lhipjoint lfemur", "    lfemur lfemur", ("lfemur", "hang from no bone")),
        ("lfemur ltibia", "lfemur ltibia lhipjoint", ("'lhipjoint'", "hangs from two bones")),
        ("    dof rx ry rz", "    dof rx rx", ("rx rx", "each once")),
        ("0.0 0.0 0.0 XYZ", "0.0 0.0 0.0 XYY", ("axis of lhipjoint", "XYZ")),
        ("0.0 0.0 0.0 XYZ", "0.0 nan 0.0 XYZ", ("axis of lhipjoint", "nan", "3 finite")),
        ("    length", "    width", ("has no length",)),
    ],
)
def test_a_broken_skeleton_is_told(tmp_path, old, new, words):
    text = asf(person())
    assert old in text
    (tmp_path / "a.asf").write_text(text.replace(old, new, 1))
    refused(lambda: read_asf(tmp_path / "a.asf"), "a.asf", *words)


def test_a_skeleton_cut_short_or_of_another_kind(tmp_path):
    text, path = asf(person()), tmp_path / "a.asf"
    path.write_text(text[: text.index("name head")])
    refused(lambda: read_asf(path), "line", "cut short")
    path.write_bytes(b"PK\x03\x04" + bytes(600))
    refused(lambda: read_asf(path), "zip archive", ".asf")
    path.write_text("<!DOCTYPE html><html></html>")
    refused(lambda: read_asf(path), "web page", ".asf")
    path.write_text("")
    refused(lambda: read_asf(path), "is empty")
    refused(lambda: read_asf(tmp_path / "b.asf"), "does not exist")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines[:-3], ("frame 2 (from line", "lacks", "rwrist", "cut short")),
        (lambda lines: lines[:9] + lines[10:], ("frame 1", "lacks", "rhipjoint")),
        (lambda lines: [*lines[:10], "tail 1 2 3", *lines[10:]], ("line 11", "'tail'", "a.asf", "lowerback")),
        (lambda lines: [*lines[:10], lines[9], *lines[10:]], ("line 11", "comes twice in frame 1")),
        (lambda lines: [*lines[:8], "lfoot 1 2", *lines[9:]], ("line 9", "lfoot", "'1 2'", "3 finite")),
        (lambda lines: [*lines[:8], "lfoot 1 2 x", *lines[9:]], ("line 9", "lfoot", "'1 2 x'")),
        (lambda lines: [*lines[:8], "lfoot 1 nan 2", *lines[9:]], ("line 9", "lfoot", "'1 nan 2'")),
        (lambda lines: lines[:3], ("no frames",)),
        (lambda lines: lines[:3] + lines[4:], ("line 4", "root", "before the first frame")),
    ],
)
def test_broken_motion_is_told(tmp_path, change, words):
    body = person()
    (tmp_path / "a.asf").write_text(asf(body))
    lines = amc(body, body.motion(2)).splitlines()
    assert lines[8].startswith("lfoot") and lines[9].startswith("rhipjoint")
    (tmp_path / "a.amc").write_text("\n".join(change(lines)))
    refused(lambda: read_amc(tmp_path / "a.amc", read_asf(tmp_path / "a.asf")), "a.amc", *words)
