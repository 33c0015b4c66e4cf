"""Turn trials of the CMU Motion Capture Database (mocap.cs.cmu.edu) into a motion file of posemamba.

    python data_prep/cmu.py --fetch FOLDER --out cmu.safetensors
    python data_prep/cmu.py FOLDER cmu.safetensors [--set open|all|found] [--list FILE] [--fps 60]

The first command gets the database's one archive (allasfamc.zip, about 1.1 GB; a stopped download goes on
where it was), takes the trials of the list out of it and converts them; the second converts a folder that is
there: NN.asf beside NN_TT.amc, in folders by subject or flat, or .bvh files. The list is cmu_trials.csv
beside this file: subject, trial, action, description, which subjects are for testing, the rate, and in
`frames` which of an official file's frames count where not all do. Its set "open" is what the book's measured
runs were made with; "all" adds more dance, gestures and sport; "found" takes whatever the folder holds,
listed or not.

The measured runs read 250 clips. All that could be held against official files, 38 of them, come out the same
to the last bit. At least thirteen short trials came to those runs without a part of their beginning or end.
The list says which frames of six of them count; the other seven (10_04, 32_01, 32_02, 35_11, 35_13, 35_33,
39_12) are longer here, by 274 frames together.

A clip is a trial at --fps frames a second, in mm, z up, its first frame left out, cut where the capture
jumps, "05_06#3" being the fourth piece of trial 05_06; `data_prep/trials.py` says where the 17 joints are.
The reduced .npz that `posemamba.motion.read_cmu` reads is taken in place of a folder too.

The data is free for all uses but may not be resold. Who publishes with it credits: "The data used in this
project was obtained from mocap.cs.cmu.edu. The database was created with funding from NSF EIA-0196217."
"""

import argparse
import csv
import re
import sys
import zlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data_prep.acclaim import bone_ends, read_amc, read_asf
from data_prep.bvh import joint_places, read_bvh
from data_prep.fetching import fetch
from data_prep.parts import Outcome, Source, convert, run
from data_prep.trials import ACCLAIM, BVH, cut, seventeen, unit_of
from posemamba.motion import Clip, read_cmu
from posemamba.motion.clips import SPLITS
from posemamba.storage import atomic_path
from posemamba.storage.kinds import existing_file, open_archive

NAME, VERSION = "cmu", 1
URL = "http://mocap.cs.cmu.edu/allasfamc.zip"
LIST = Path(__file__).with_name("cmu_trials.csv")
COLUMNS = ("subject", "trial", "set", "split", "action", "description", "fps", "frames")
ABOUT = {
    "set": "trials of the CMU Graphics Lab Motion Capture Database, mocap.cs.cmu.edu",
    "credit": "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created "
    "with funding from NSF EIA-0196217.",
    "terms": "free for all uses; may not be resold, even in converted form",
    "command": f"data_prep/{NAME}.py",
}
# What a trial of the largest size unpacks to, many times over.
LARGEST = 2**27


def read_list(path: Path, chosen: str) -> dict[tuple[int, int], dict[str, str]]:
    """The listed trials of a set ("open", "all"), by subject and trial.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: naming the file and the line.
    """
    with existing_file(path).open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            names, rows = reader.fieldnames or (), [(reader.line_num, row) for row in reader]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no list of trials in UTF-8, expected one: {error}") from error
        if lacking := set(COLUMNS) - set(names):
            raise ValueError(
                f"{path} has no column {', '.join(sorted(lacking))}, expected {', '.join(COLUMNS)}"
            )
        trials = {}
        for line, row in rows:
            try:
                key, rate = (int(row["subject"]), int(row["trial"])), float(row["fps"] or 120)
            except (TypeError, ValueError):
                key, rate = None, 0
            frames = re.fullmatch(r"(\d+-\d+|last \d+)?", row["frames"] or "")
            if key is None or key in trials or not rate > 0 or not frames or row["split"] not in SPLITS:
                found = f"found {list(row.values())}, expected numbers for subject, trial and fps"
                expected = "train or test, frames as 1-504 or last 387 or none, and each trial once"
                raise ValueError(f"{path}, line {line}: {found}, {expected}")
            trials[key] = row
    return {key: row for key, row in trials.items() if chosen == "all" or row["set"] == chosen}


def find_sources(folder: Path, listed: dict[tuple[int, int], dict[str, str]], found: bool) -> list[Source]:
    """The trials of a folder, in the list's order: those of the list, or whatever is there.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: a trial of the list is not there, or has no skeleton; two files hold one trial.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder, expected one with .asf and .amc files, or .bvh")
    testing = {subject for (subject, _), row in listed.items() if row["split"] == "test"}
    rates = {subject: row["fps"] for (subject, _), row in listed.items()}
    files, skeletons = {}, {}
    for path in sorted(folder.rglob("*")):
        kind, numbers = path.suffix.lower(), re.fullmatch(r"0*(\d{1,4})_0*(\d{1,3})", path.stem)
        if path.name.startswith("."):
            continue
        if kind == ".asf":
            skeletons.setdefault(path.parent, []).append(path)
        elif kind in (".amc", ".bvh") and (numbers or found):
            name = path.relative_to(folder).with_suffix("").as_posix()
            key = (int(numbers[1]), int(numbers[2])) if numbers else name
            older = files.setdefault(key, path)
            if older.suffix.lower() == kind and older != path:
                raise ValueError(f"{older} and {path} hold the same trial, expected one file for it")
            # The database's own form is the exact one.
            files[key] = path if kind == ".amc" else older
    missing = [f"{key[0]:02d}_{key[1]:02d}" for key in listed if not found and key not in files]
    if missing:
        few = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        expected = f"all {len(listed)} (--fetch gets them; --set found takes what there is)"
        raise ValueError(f"{folder} lacks {len(missing)} trials of the list, {few}, expected {expected}")
    if found and not files:
        raise ValueError(f"{folder} holds no .amc and no .bvh, expected .asf and .amc files, or .bvh")
    sources = []
    for key in sorted(files, key=lambda key: (isinstance(key, str), key)) if found else listed:
        path, (subject, trial) = files[key], key if isinstance(key, tuple) else ("", "")
        split = "test" if subject in testing else "train"
        like = {"split": split, "fps": rates.get(subject, "")}
        row = listed.get(key) or {"action": "unknown", "frames": ""} | like
        name = f"{subject:02d}_{trial:02d}" if isinstance(key, tuple) else key
        given = row | {"name": name, "subject": str(subject) or path.parent.name}
        skeleton = (_skeleton(path, skeletons.get(path.parent, [])),) if path.suffix.lower() == ".amc" else ()
        sources.append(Source(name, (path, *skeleton), given))
    return sources


def _skeleton(path: Path, beside: list[Path]) -> Path:
    """The .asf of an .amc: of its subject, or the only one beside it."""
    own = [each for each in beside if each.stem == path.stem.split("_")[0] or each.stem == path.stem]
    if len(own or beside) != 1:
        found = f"{len(beside)} others" if beside else "none"
        raise ValueError(
            f"{path} has no {path.stem.split('_')[0]}.asf beside it, but {found}, expected its skeleton"
        )
    return (own or beside)[0]


def read_trial(
    source: Source, fps: float, rate: float | None = None, unit: float | None = None
) -> list[Clip]:
    """The clips of one trial.

    Args:
        source: as `find_sources` gives it.
        fps: frames a second of the clips.
        rate: of the trial, where the file does not tell; else the list's, or CMU's 120.
        unit: millimetres in one of the file's lengths, where the file does not tell.
    """
    path, *skeleton = source.files
    row = source.data
    if skeleton:
        bones = _read_asf(skeleton[0])
        motion = read_amc(path, bones)
        starts, ends = bone_ends(bones, motion)
        places = ends | {f"start of {name}": place for name, place in starts.items()}
        joints = seventeen(places, (ACCLAIM,), skeleton[0]) * (unit / bones.unit if unit else 1)
        if row["frames"]:
            last, first = int(re.search(r"\d+$", row["frames"])[0]), re.match(r"\d+", row["frames"])
            joints = joints[int(first[0]) - 1 : last] if first else joints[-last:]
        rate = motion.fps or rate or float(row["fps"] or 120)
    else:
        motion = read_bvh(path)
        joints = seventeen(joint_places(motion), BVH, path)
        joints, rate = joints * (unit or unit_of(joints, path)), motion.fps
    facts = {"fps": fps, "action": row["action"], "split": row["split"], "subject": row["subject"]}
    pieces = cut(joints, rate, fps, path)
    return [Clip(piece, name=row["name"] + f"#{place}" * (place > 0), **facts) for place, piece in pieces]


_read_asf = lru_cache(maxsize=8)(read_asf)


def extract(archive: Path, folder: Path, trials: Iterable[tuple[int, int]]) -> int:
    """Takes the listed trials and their subjects' skeletons out of the database's archive.

    They become FOLDER/subjects/NN/NN_TT.amc, each whole or not at all, its CRC checked; what is there already
    and the same is left. Names in the archive say which trial a file is and never where it goes.

    Returns:
        How many files were written.

    Raises:
        ValueError: it is no archive or a damaged one, holds a link, a name that leads out of its folder or a
            member of absurd size; naming archive and member.
    """
    wanted = set(trials)
    subjects, written = {subject for subject, _ in wanted}, 0
    with open_archive(archive, "the database's archive of .asf and .amc files") as members:
        for member in members.infolist():
            shown, parts = repr(member.filename[:80]), re.split(r"[\\/]", member.filename)
            if ".." in parts or parts[0] == "" or ":" in parts[0] or member.external_attr >> 28 == 0o12:
                expected = "plain files below one folder"
                raise ValueError(f"{archive} holds {shown}, which leads out of it, expected {expected}")
            name = re.fullmatch(r"0*(\d{1,3})(?:_0*(\d{1,3}))?\.(asf|amc)", parts[-1], re.IGNORECASE)
            if not name or (name[2] is None) != (name[3].lower() == "asf"):
                continue
            subject, trial = int(name[1]), name[2] and int(name[2])
            if not (subject in subjects if trial is None else (subject, trial) in wanted):
                continue
            stem = f"{subject:02d}" + (f"_{trial:02d}" if trial is not None else "")
            target = folder / "subjects" / f"{subject:02d}" / f"{stem}.{name[3].lower()}"
            if target.exists() and zlib.crc32(target.read_bytes()) == member.CRC:
                continue
            if member.file_size > LARGEST:
                found = f"{shown} unpacks to {member.file_size:,} bytes"
                raise ValueError(f"{archive}: {found}, expected at most {LARGEST:,}")
            try:
                content = members.read(member)
            except Exception as error:
                # zipfile and zlib raise half a dozen kinds for damage.
                raise ValueError(f"{archive}: {shown} is damaged, expected it whole: {error}") from error
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(target) as temporary:
                temporary.write_bytes(content)
            written += 1
    return written


def command(given: argparse.Namespace) -> Outcome | str:
    """What the command does; what it returns is what it prints."""
    folder, target = Path(given.fetch or given.folder), given.out or given.target
    if target is not None and folder.suffix.lower() == ".npz" and not folder.is_dir():
        settings = {"version": VERSION}
        return convert(
            target,
            [Source(folder.stem, (folder,))],
            lambda source: read_cmu(source.files[0]),
            ABOUT,
            settings,
        )
    listed = read_list(given.list, "all" if given.set == "found" else given.set)
    if not listed:
        raise ValueError(f"{given.list} lists no trial of the set {given.set!r}, expected at least one")
    if given.fetch:
        folder.mkdir(parents=True, exist_ok=True)
        archive = fetch(given.url, folder / "allasfamc.zip", "the database's archive, a zip")
        written = extract(archive, folder, listed)
        if target is None:
            return f"{len(listed)} trials are in {folder / 'subjects'}; files written now: {written}"
    sources = find_sources(folder / "subjects" if given.fetch else folder, listed, given.set == "found")
    settings = {"version": VERSION, "fps": given.fps, "rate": given.rate, "unit": given.unit}
    settings["rows"] = [[*source.data.values()] for source in sources]

    def read(source: Source) -> list[Clip]:
        return read_trial(source, given.fps, given.rate, given.unit)

    return convert(target, sources, read, ABOUT, settings)


def main(arguments: list[str] | None = None) -> int:
    """Fetch and convert; bad input is one line on standard error and exit code 2."""
    parser = argparse.ArgumentParser(
        prog=f"{NAME}.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", help="the trials: .asf and .amc, or .bvh; or a reduced .npz")
    parser.add_argument("target", nargs="?", help="the motion file to write, .safetensors")
    parser.add_argument(
        "--fetch", metavar="FOLDER", help="download the archive into FOLDER and unpack its trials"
    )
    parser.add_argument("--out", metavar="FILE", help="the motion file to write after --fetch")
    parser.add_argument("--set", choices=("open", "all", "found"), default="open", help="which trials (open)")
    parser.add_argument(
        "--list", type=Path, default=LIST, help="another list with the columns of cmu_trials.csv"
    )
    parser.add_argument("--fps", type=_positive, default=60.0, help="frames a second of the clips (60)")
    parser.add_argument(
        "--rate", type=_positive, help="frames a second of .amc files that are not listed (120)"
    )
    parser.add_argument(
        "--unit", type=_positive, help="millimetres in one of the files' lengths, if they do not tell"
    )
    parser.add_argument("--url", default=URL, help="where the archive is, for mirrors")
    given = parser.parse_args(arguments)
    if given.fetch and given.folder:
        parser.error("--fetch has its own FOLDER, and --out the motion file to write")
    if not given.fetch and (given.folder is None or (given.target or given.out) is None):
        parser.error("expected FOLDER and the motion file to write, or --fetch FOLDER")
    return run(NAME, lambda: command(given))


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


if __name__ == "__main__":
    sys.exit(main())
