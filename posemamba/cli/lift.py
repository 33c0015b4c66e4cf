"""`posemamba lift`."""

import math
import os
import re
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from posemamba.cli.terminal import Progress, out

_FILE = "A detector's keypoints (JSON, a folder of it, .npz, .npy), or a video."
_MODEL = "A kept network's name, or a network's folder."
_JOINTS = "The file's joint set, where it does not tell: COCO-17, BODY_25, BlazePose-33, ..."
_DETECTOR = (
    "For video: mediapipe, rtmlib, with model files as NAME:FILE; or a Python file with detect(frame)."
)
_FORMATS = "Some of npz,csv,html,bvh,gltf,overlay; all by default, overlay where there is a video."
_CAMERA = "Live: a camera's number, or a video file in its place. Windows look back only."
_SMOOTH = "A filter: none, one-euro, savgol or gaussian."
_SMALL = """The kept small weights know exact joints seen by level cameras. On real video they are
far off: expect the kind of movement, not its measures."""


def lift(
    file: Annotated[Path | None, Argument(help=_FILE)] = None,
    size: Annotated[str | None, Option(help="The image's size, such as 1920x1080.")] = None,
    fps: Annotated[float | None, Option(help="The video's frames a second.")] = None,
    folder: Annotated[Path, Option("--out", help="The folder for what is written.")] = Path("lifted"),
    model: Annotated[str | None, Option(help=_MODEL)] = None,
    joints: Annotated[str | None, Option(help=_JOINTS)] = None,
    people: Annotated[str, Option(help="all, or how many: who is seen longest comes first.")] = "all",
    focal: Annotated[float | None, Option(help="The camera's focal length, pixels.")] = None,
    fov: Annotated[float | None, Option(help="Instead: degrees across the image's longer side.")] = None,
    rigid: Annotated[bool, Option("--rigid", help="Hold bones at constant lengths.")] = False,
    smooth: Annotated[str, Option(help=_SMOOTH)] = "none",
    place: Annotated[bool, Option("--place", help="Estimate where the root is, by the camera.")] = False,
    formats: Annotated[str | None, Option(help=_FORMATS)] = None,
    video: Annotated[Path | None, Option(help="The keypoints' video, to show them on.")] = None,
    detector: Annotated[str, Option(help=_DETECTOR)] = "mediapipe",
    threshold: Annotated[float, Option(help="A joint of a confidence not above it is missing.")] = 0.0,
    max_gap: Annotated[int, Option(help="Missing frames on end that are interpolated.")] = 10,
    sides: Annotated[bool, Option(help="Change left and right back where they were exchanged.")] = True,
    flip: Annotated[bool, Option(help="Average with the mirrored input's answer.")] = True,
    camera: Annotated[str | None, Option(help=_CAMERA)] = None,
) -> None:
    """Lift people to 3D: from a detector's file, a video, or live from a camera."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as for training: threads that wait sleep

    from posemamba.export import KINDS, write
    from posemamba.export.overlay import check_overlay
    from posemamba.smoothing import FILTERS

    if (file is None) == (camera is None):
        raise ValueError("expected a FILE to lift, or --camera, and not both")
    filmed = file is not None and _is_video(file)
    video = file if filmed else video
    if video is not None and not video.is_file():
        raise FileNotFoundError(f"--video {video} does not exist")
    default = [kind for kind in KINDS if kind != "overlay" or video is not None]
    kinds = default if formats is None else formats.split(",")
    if odd := [kind for kind in kinds if kind not in KINDS]:
        raise ValueError(f"--formats has {odd[0]!r}, expected some of {','.join(KINDS)}")
    if "overlay" in kinds:
        check_overlay()  # now, and not after minutes
    if people != "all" and not (people.isdecimal() and int(people)):
        raise ValueError(f"--people is {people!r}, expected all, or 1 or more")
    if smooth not in FILTERS:
        raise ValueError(f"--smooth is {smooth!r}, expected one of {', '.join(FILTERS)}")
    for name, value, most in (("fps", fps, 1e5), ("focal", focal, 1e6), ("fov", fov, 180)):
        if value is not None and not 0 < value < most:
            raise ValueError(f"--{name} is {value:g}, expected a number between 0 and {most:g}")
    if focal is not None and fov is not None:
        raise ValueError("--focal and --fov both tell the focal length, expected one of them")
    pixels = re.fullmatch(r"(\d+)[xX*](\d+)", size or "1x1")
    if pixels is None:
        raise ValueError(f"--size is {size!r}, expected the image's width and height such as 1920x1080")
    sides = None if size is None else (int(pixels[1]), int(pixels[2]))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder} is a file, expected a folder")
    if camera is not None and (smooth not in ("none", "one-euro") or rigid or place or video is not None):
        wanted = "expected --smooth one-euro at most, and no --rigid, --place or --video"
        raise ValueError(f"--camera looks back only, {wanted}")
    network = _network(model)
    if camera is not None:
        _live(network, camera, detector, focal, fov, flip, smooth == "one-euro")
        return

    from posemamba import keypoints
    from posemamba.detectors import open_detector, write_detections
    from posemamba.lifting import lift_person
    from posemamba.video import Video

    with warnings.catch_warnings(record=True) as said, Progress(None) as bar:
        warnings.simplefilter("always", RuntimeWarning)
        source = file
        if filmed:
            seen = Video.open(file)
            find = open_detector(detector, people=5 if people == "all" else int(people))
            folder.mkdir(parents=True, exist_ok=True)
            source = folder / "detections.json"
            write_detections(source, seen, find, partial(bar.stage, "looking for people"))
            joints, fps = joints or find.joint_set, fps or seen.fps
        bar.stage(f"reading {source}")
        rules = dict(size=sides, joint_set=joints, max_gap=max_gap, threshold=threshold)
        found = keypoints.read(source, **rules)
        if (fps := fps or found.fps) is None:
            raise ValueError(f"{source} does not tell its frames a second, expected --fps")
        chosen = list(dict.fromkeys(person.track for person in found.people))
        chosen = chosen if people == "all" else chosen[: int(people)]
        those = [person for person in found.people if person.track in chosen]
        longer = max(found.width, found.height)
        known = _focal(focal, fov, longer)
        began, bodies = time.perf_counter(), []
        for at, person in enumerate(those):
            text = f"lifting person {person.track} ({at + 1} of {len(those)})"
            rules = dict(flip=flip, smooth=smooth, rigid=rigid, place=place, sides=sides)
            bodies.append(
                lift_person(network, person, fps, known, progress=partial(bar.stage, text), **rules)
            )
        took = time.perf_counter() - began
        bar.stage("writing")
        written = [source] * (source != file) + write(bodies, folder, kinds, video)
    for warning in said:
        out.print(f"Note: {warning.message}.", soft_wrap=True)
    for body in bodies[:10]:
        sure = f"{(body.confidence > 0).mean():.0%} of the joints found"
        when = f"frames {body.start:,} to {body.start + len(body) - 1:,} ({len(body) / fps:.1f} s)"
        sure += f", left and right changed back in {body.exchanged:,} frames" * bool(body.exchanged)
        out.print(f"Person {body.track}: {when}, {sure}.", soft_wrap=True)
    if len(bodies) > 10:
        out.print(f"And {len(bodies) - 10:,} more stretches of people.")
    total = sum(map(len, bodies))
    out.print(f"{total:,} frames ({total / fps:.1f} s of a person) lifted in {took:.1f} s.")
    where = "the root's path is an estimate" if place else "relative to the root"
    guessed = "" if known else " is a guess (--focal or --fov tells it)"
    wide = 2 * math.degrees(math.atan(longer / 2 / bodies[0].focal))
    out.print(
        f"Focal length {bodies[0].focal:.0f} pixels, {wide:.0f} degrees across{guessed}.", soft_wrap=True
    )
    out.print(f"Joints are in mm in the camera's axes (x right, y down, z forward), {where}.", soft_wrap=True)
    out.print("Written: " + ", ".join(map(str, written)), soft_wrap=True)


def _network(name: str | None):
    """A network by name or folder: by default "open", or until it ships the small one."""
    from posemamba.checkpoints import kept
    from posemamba.model import PoseMamba

    name = name or ("open" if "open" in kept() else "small_cmu")
    if name.startswith("small") and name in kept() and not Path(name).is_dir():
        out.print(f"Note: {name}. {' '.join(_SMALL.split())}", soft_wrap=True)
    return PoseMamba.from_pretrained(name)


def _is_video(file: Path) -> bool:
    from posemamba.storage.kinds import existing_file, kind_of

    if file.is_dir():
        return False
    with open(existing_file(file), "rb") as content:
        return kind_of(content.read(512)) == "a file of an unknown kind"


def _focal(focal: float | None, fov: float | None, longer: int) -> float | None:
    return focal if fov is None else longer / 2 / math.tan(math.radians(fov) / 2)


def _live(network, camera: str, detector: str, focal, fov, flip: bool, smooth: bool) -> None:
    from posemamba.detectors import open_detector
    from posemamba.live import Page, watch
    from posemamba.video import newest

    find, page = open_detector(detector), Page()
    try:
        out.print(f"The body is shown at {page.url} on this machine. Ctrl-C stops.", soft_wrap=True)
        if not camera.isdecimal() and not page.opened.wait(10):  # a file would be over before it is looked at
            out.print("Nobody has opened the page in 10 seconds; the file is played all the same.")
        shots = newest(camera)
        with Progress(None) as bar:
            lens = partial(_focal, focal, fov)
            found = watch(network, shots, find, page.show, lens, flip, smooth, bar.stage)
    finally:
        page.close()
    counts = "{came:,} frames came, {looked:,} were looked at, {shown:,} had a body"
    times = """; the rest came while one was looked at. Latency, from a frame's arrival to its body:
    {latency_ms:.0f} ms in the median, {latency_95_ms:.0f} ms in 95%; the detector took {detector_ms:.0f} ms,
    the network {network_ms:.0f} ms"""
    times = " ".join(times.split()) if found["shown"] else ""
    out.print((counts + times).format(**found) + ".", soft_wrap=True)
