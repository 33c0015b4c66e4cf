"""The command for CMU's motion: official files, conversions and the archive, into clips."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data_prep import cmu
from data_prep.trials import cut
from posemamba.motion import load_motion
from posemamba.motion.files import read_about
from posemamba.skeleton import JOINT_NAMES
from tests.data_prep.bodies import MOTION_BUILDER, Puppet, amc, asf, person
from tests.data_prep.web import serving

HEAD = "subject,trial,set,split,action,description,fps,frames\n"
ROWS = (
    '3,1,open,train,walking,"walk, slowly",120,\n'
    "3,2,more,train,dance,turn,120,\n"
    "40,7,open,test,jumping,jump,120,\n"
)
FRAMES = 190


@pytest.fixture(scope="module")
def captured():
    """Three trials of two bodies: (text of the skeleton, text of the motion, the 17 joints by hand)."""
    made = {}
    for subject, trial in ((3, 1), (3, 2), (40, 7)):
        body = person(subject, odd=subject == 40)
        motion = body.motion(FRAMES, trial, size=0.1)
        made[subject, trial] = asf(body), amc(body, motion), body, motion
    return made


@pytest.fixture
def folder(captured, tmp_path):
    folder = tmp_path / "subjects"
    for (subject, trial), (skeleton, motion, *_) in captured.items():
        place = folder / f"{subject:02d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{subject:02d}.asf").write_text(skeleton)
        (place / f"{subject:02d}_{trial:02d}.amc").write_text(motion)
    (tmp_path / "list.csv").write_text(HEAD + ROWS)
    return folder


def run(capsys, *arguments):
    code = cmu.main([*map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out.strip(), said.err.strip()


def by_hand(body, motion, frame):
    """The 17 joints of one frame of the capture as the definition words them; z up, where they were."""
    one = {name: values[frame : frame + 1] for name, values in motion.items()}
    end = {name: places[0] for name, places in body.ends(one).items()}
    joints = [
        (end["lhipjoint"] + end["rhipjoint"]) / 2,
        *(
            end[name]
            for name in ("rhipjoint", "rfemur", "rtibia", "lhipjoint", "lfemur", "ltibia", "lowerback")
        ),
        (body.start("lowerneck", one)[0] + end["lowerneck"]) / 2,
        *(end[name] for name in ("upperneck", "head", "lclavicle", "lhumerus", "lwrist")),
        *(end[name] for name in ("rclavicle", "rhumerus", "rwrist")),
    ]
    return np.array([(x, -z, y) for x, y, z in joints])


def test_trials_become_the_clips_of_the_definition(folder, captured, tmp_path, capsys):
    target = tmp_path / "cmu.safetensors"
    arguments = (folder, target, "--list", tmp_path / "list.csv")
    code, out, _ = run(capsys, *arguments)
    assert code == 0 and "2 clips, 188 frames" in out
    clips = {clip.name: clip for clip in load_motion(target)}
    walk, jump = clips["03_01"], clips["40_07"]
    assert [(c.subject, c.action, c.split, c.fps) for c in (walk, jump)] == [
        ("3", "walking", "train", 60.0),
        ("40", "jumping", "test", 60.0),
    ]
    for clip, key in ((walk, (3, 1)), (jump, (40, 7))):
        # Every second frame, the first left out; the root over the origin in the mean; quarters of a mm.
        np.testing.assert_allclose(clip.joints[:, 0, :2].mean(axis=0), 0, atol=0.01)
        assert np.array_equal(clip.joints, np.round(clip.joints * 4) / 4)
        whole = [by_hand(*captured[key][2:], frame) for frame in (2, 100, 188)]
        got = clip.joints[[0, 49, 93]]
        shift = whole[0][0] - got[0][0]
        assert abs(shift[2]) < 0.2
        np.testing.assert_allclose(got + shift * [1, 1, 0], whole, atol=0.4)
    assert "NSF EIA-0196217" in read_about(target)["credit"]

    before = target.stat().st_mtime_ns
    code, out, _ = run(capsys, *arguments)
    assert code == 0 and "up to date" in out and target.stat().st_mtime_ns == before
    code, out, _ = run(capsys, *arguments, "--set", "all")
    assert code == 0 and "3 clips" in out
    code, out, _ = run(capsys, *arguments, "--fps", "120")
    assert code == 0 and "2 clips, 378 frames" in out


def test_the_jumps_of_a_capture_cut_it():
    joints = np.zeros((1200, 17, 3)) + 1000
    joints[:, :, 0] += np.arange(1200)[:, None]
    joints[301:, 5, 1] += 250  # one joint, between two frames of the thinned capture
    joints[500:, :, 2] -= 229  # not a jump
    joints[701:, :, 2] -= 300
    joints[801:, :, 2] -= 300
    clips = cut(joints, 120, 60, "a.amc")
    # 3 frames at each side of a jump are left out; the third piece is too short, and counts.
    assert [(place, len(clip)) for place, clip in clips] == [(0, 147), (1, 194), (3, 196)]
    first = clips[0][1]
    np.testing.assert_allclose(first[:, 3, 0], 2 * np.arange(147) - 146)
    assert (first[:, :, 2] == 1000).all() and (first[:, 0, 1] == 0).all()
    assert [len(clip) for _, clip in cut(joints[:260], 120, 120, "a.amc")] == [259]
    with pytest.raises(ValueError, match=r"100 frames a second.*fps 60.*100, 50"):
        cut(joints, 100, 60, "a.amc")


def test_a_list_may_say_which_frames_count_and_at_what_rate(folder, captured, tmp_path, capsys):
    rows = ROWS.replace('slowly",120,', 'slowly",60,11-110')
    (tmp_path / "list.csv").write_text(HEAD + rows)
    code, _, _ = run(capsys, folder, tmp_path / "a.safetensors", "--list", tmp_path / "list.csv")
    assert code == 0
    walk, jump = load_motion(tmp_path / "a.safetensors")
    assert (len(walk), len(jump)) == (99, 94)
    # Frames are numbered from 1, as in the file; the first that counts is left out too.
    height = by_hand(*captured[3, 1][2:], 11)[0, 2]
    assert walk.joints[0, 0, 2] == pytest.approx(height, abs=0.2)
    (tmp_path / "list.csv").write_text(HEAD + rows.replace("11-110", "last 99"))
    run(capsys, folder, tmp_path / "a.safetensors", "--list", tmp_path / "list.csv")
    walk = load_motion(tmp_path / "a.safetensors")[0]
    height = by_hand(*captured[3, 1][2:], FRAMES - 1)[0, 2]
    assert len(walk) == 98 and walk.joints[-1, 0, 2] == pytest.approx(height, abs=0.2)


def test_what_is_there_whatever_it_is(folder, tmp_path, capsys):
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "body.asf").write_text((folder / "03" / "03.asf").read_text())
    (flat / "stroll.amc").write_text((folder / "03" / "03_01.amc").read_text())
    code, out, _ = run(capsys, flat, tmp_path / "a.safetensors", "--set", "found", "--rate", "60")
    assert code == 0 and "1 clip, 189 frames" in out
    (clip,) = load_motion(tmp_path / "a.safetensors")
    assert (clip.name, clip.subject, clip.action, clip.split) == ("stroll", "flat", "unknown", "train")


def test_trials_that_are_not_listed_go_with_their_subject(folder, tmp_path, capsys):
    (tmp_path / "list.csv").write_text(HEAD + "40,9,open,test,jumping,jump,60,\n")
    arguments = ("--list", tmp_path / "list.csv", "--set", "found")
    code, _, _ = run(capsys, folder, tmp_path / "a.safetensors", *arguments)
    assert code == 0
    facts = [(c.name, c.split, c.action, len(c)) for c in load_motion(tmp_path / "a.safetensors")]
    assert facts == [
        *[(name, "train", "unknown", 94) for name in ("03_01", "03_02")],
        ("40_07", "test", "unknown", 189),
    ]


def test_conversions_serve_where_the_official_file_is_not(folder, tmp_path, capsys):
    puppet = Puppet.drawn(MOTION_BUILDER, 3, size=4.0)
    puppet.offsets["LeftLeg"] = puppet.offsets["RightLeg"] = np.array([0, -7.0, 0])
    puppet.offsets["LeftFoot"] = puppet.offsets["RightFoot"] = np.array([0, -7.0, 1.0])
    (folder / "40" / "40_07.bvh").write_text(puppet.text(puppet.motion(1)))  # not read
    (folder / "03" / "03_01.amc").unlink()
    rows = np.repeat(puppet.motion(1), FRAMES, axis=0)
    (folder / "03" / "03_01.bvh").write_text(puppet.text(rows))
    code, out, _ = run(capsys, folder, tmp_path / "a.safetensors", "--list", tmp_path / "list.csv")
    assert code == 0 and "2 clips, 188 frames" in out
    clip = load_motion(tmp_path / "a.safetensors")[0]
    knee, ankle = (clip.joints[0, JOINT_NAMES.index(f"left {joint}")] for joint in ("knee", "ankle"))
    assert np.linalg.norm(knee - ankle) == pytest.approx(np.sqrt(50) * 25.4 / 0.45, abs=0.5)


def test_a_reduced_npz_is_taken_too(tmp_path, capsys):
    joints = np.random.default_rng(0).normal(size=(7, 17, 3)).astype(np.float32)
    facts = {"length": np.array([3, 4]), "split": np.array(["train", "test"]), "name": np.array(["a", "b"])}
    facts |= {"action": np.array(["walking", "running"]), "fps": np.float64(120), "subject": np.array([2, 3])}
    np.savez(tmp_path / "cmu.npz", joints=joints, **facts)
    code, out, _ = run(capsys, tmp_path / "cmu.npz", tmp_path / "cmu.safetensors")
    assert code == 0 and "2 clips, 7 frames" in out
    clips = load_motion(tmp_path / "cmu.safetensors")
    assert [(c.name, c.subject, c.split, c.fps) for c in clips] == [
        ("a", "2", "train", 120),
        ("b", "3", "test", 120),
    ]
    assert np.array_equal(np.concatenate([c.joints for c in clips]), joints)


def packed(folder, prefix="all_asfamc/subjects", **more):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*.a*")):
            file.write(path, f"{prefix}/{path.relative_to(folder).as_posix()}")
        for name, text in more.items():
            file.writestr(name, text)
    return content.getvalue()


def test_fetching_gives_the_same_clips(folder, tmp_path, capsys):
    code, _, _ = run(capsys, folder, tmp_path / "local.safetensors", "--list", tmp_path / "list.csv")
    assert code == 0
    new = tmp_path / "new"
    with serving(packed(folder, readme="hello"), "allasfamc.zip") as server:
        server.stops = [5000]
        fetched = ("--fetch", new, "--url", server.url, "--list", tmp_path / "list.csv")
        code, out, _ = run(capsys, *fetched)
        assert code == 0 and "2 trials" in out and "now: 4" in out and "Range" in server.seen[1]
        code, out, _ = run(capsys, *fetched, "--out", tmp_path / "web.safetensors")
        assert code == 0 and len(server.seen) == 2
    assert sorted(path.name for path in new.rglob("*.a*")) == ["03.asf", "03_01.amc", "40.asf", "40_07.amc"]
    assert (tmp_path / "web.safetensors").read_bytes() == (tmp_path / "local.safetensors").read_bytes()
    # A file that was damaged since is taken out of the archive again.
    (new / "subjects" / "40" / "40_07.amc").write_text("cut")
    code, out, _ = run(capsys, *fetched, "--out", tmp_path / "web.safetensors")
    assert code == 0 and "up to date" in out


@pytest.mark.parametrize(
    "name", ["../03_01.amc", "/tmp/03_01.amc", "a/../../03_01.amc", "c:\\03_01.amc", "a\\..\\b"]
)
def test_an_archive_cannot_write_elsewhere(folder, tmp_path, name):
    path, inside = tmp_path / "evil.zip", tmp_path / "deep" / "inside"
    path.write_bytes(packed(folder, **{name: "evil"}))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="leads out of it"):
        cmu.extract(path, inside, [(3, 1)])
    outside = [each for each in sorted(tmp_path.rglob("*")) if inside not in (each, *each.parents)]
    assert [each for each in outside if each != inside.parent] == before


def test_an_archive_holds_no_links_no_bombs_and_no_damage(folder, tmp_path, monkeypatch):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as file:
        link = zipfile.ZipInfo("subjects/03/03_01.amc")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/hostname")
    with pytest.raises(ValueError, match=r"03_01.amc.*leads out of it"):
        cmu.extract(path, tmp_path / "a", [(3, 1)])
    content = packed(folder)
    path.write_bytes(content)
    monkeypatch.setattr(cmu, "LARGEST", 1000)
    with pytest.raises(ValueError, match=r"unpacks to .* bytes, expected at most 1,000"):
        cmu.extract(path, tmp_path / "a", [(3, 1)])
    monkeypatch.undo()
    with zipfile.ZipFile(path) as file:
        member = file.getinfo("all_asfamc/subjects/03/03_01.amc")
    at = member.header_offset + 30 + len(member.filename) + member.compress_size // 2
    path.write_bytes(content[:at] + bytes(4) + content[at + 4 :])
    with pytest.raises(ValueError, match=r"03_01.amc' is damaged, expected it whole"):
        cmu.extract(path, tmp_path / "a", [(3, 1)])
    assert not list((tmp_path / "a").rglob("*.amc"))
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="damaged or cut short"):
        cmu.extract(path, tmp_path / "a", [(3, 1)])


def broken(folder, case):
    walk = folder / "03" / "03_01.amc"
    if case == "cut":
        walk.write_text(walk.read_text()[:-2000])
    elif case == "bones":
        skeleton = folder / "03" / "03.asf"
        skeleton.write_text(skeleton.read_text().replace("lwrist", "lpalm"))
        walk.write_text(walk.read_text().replace("lwrist", "lpalm"))
    elif case == "missing":
        walk.unlink()
    elif case == "skeleton":
        (folder / "03" / "03.asf").unlink()
    elif case == "kind":
        walk.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    elif case == "rate":
        walk.write_text(walk.read_text().replace(":DEGREES", ":DEGREES\n:SAMPLES-PER-SECOND 100"))
    elif case == "twice":
        (folder / "03_01.amc").write_text("x")
    elif case == "list":
        (folder.parent / "list.csv").write_text(HEAD + ROWS + "3,1,open,train,walking,again,120,\n")
    elif case == "split":
        (folder.parent / "list.csv").write_text(HEAD + ROWS.replace("test", "validation"))
    elif case == "frames":
        (folder.parent / "list.csv").write_text(HEAD + ROWS.replace("120,", "120,twenty", 1))
    elif case == "bytes":
        (folder.parent / "list.csv").write_bytes(HEAD.encode() + b"3,1,open,train,walking,\xff,120,\n")
    elif case == "columns":
        (folder.parent / "list.csv").write_text("subject,trial\n3,1\n")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("cut", ("03_01.amc", "line", "frame", "lacks", "cut short")),
        ("bones", ("03.asf", "lacks lwrist", "17 joints")),
        ("missing", ("lacks 1 trials", "03_01", "--fetch", "--set found")),
        ("skeleton", ("03_01.amc", "no 03.asf beside it")),
        ("kind", ("03_01.amc", "HDF5", ".amc")),
        ("rate", ("03_01.amc", "100 frames a second", "--fps 100, 50")),
        ("twice", ("03_01.amc", "the same trial")),
        ("list", ("list.csv", "line 5", "each trial once")),
        ("split", ("list.csv", "line 4", "validation", "train or test")),
        ("frames", ("list.csv", "line 2", "twenty", "last 387")),
        ("columns", ("list.csv", "no column", "action")),
        ("bytes", ("list.csv", "UTF-8")),
    ],
)
def test_broken_input_is_one_line(folder, tmp_path, capsys, case, words):
    broken(folder, case)
    code, out, error = run(capsys, folder, tmp_path / "a.safetensors", "--list", tmp_path / "list.csv")
    assert code == 2 and not out and error.startswith("cmu: ") and len(error.splitlines()) == 1
    for word in words:
        assert word in error, f"{word!r} is not in {error!r}"
    assert not (tmp_path / "a.safetensors").exists()


def test_as_a_script_it_tells_what_it_wants(tmp_path):
    script = Path(cmu.__file__)
    done = subprocess.run(
        [sys.executable, str(script), "no_such_folder", "a.safetensors"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.strip() == (
        "cmu: no_such_folder is no folder, expected one with .asf and .amc files, or .bvh"
    )


def test_the_list_that_ships():
    everything, measured = cmu.read_list(cmu.LIST, "all"), cmu.read_list(cmu.LIST, "open")
    assert len(measured) == 241 and len(everything) == 322
    testing = {subject for (subject, _), row in measured.items() if row["split"] == "test"}
    assert testing == {2, 7, 9, 32, 39, 127}
    # Nobody is in both.
    assert not testing & {subject for (subject, _), row in everything.items() if row["split"] == "train"}
    assert len({row["action"] for row in measured.values()}) == 13
    assert max(subject for subject, _ in everything) < 145 and everything[1, 1]["description"].count(",") == 1
