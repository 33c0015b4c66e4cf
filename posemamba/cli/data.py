"""`posemamba data list | check | show`."""

import re
from collections import Counter, defaultdict
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from posemamba.cli.terminal import Progress, out

data = typer.Typer(help="Look at motion: what a file holds, what is wrong with it, a clip of it.", no_args_is_help=True)

Source = Annotated[str, Argument(metavar="FILE", help="A motion file, a reduced CMU .npz, or 'synthetic'.")]
Json = Annotated[Path | None, Option("--json", metavar="OUT", help="Also write it to this JSON file.")]
PARTS = ("camera", "keypoints", "confidence", "valid")


@data.command("list")
def contents(file: Source, save: Json = None) -> None:
    """Print what a file holds: clips, actions, subjects, bone lengths, views. Reads few of its frames."""
    from rich.table import Table

    from posemamba import storage

    facts = _facts(file)
    if save is not None:
        storage.write_json(save, facts)
    some = [f"{facts['clips']:,} clips", f"{facts['frames']:,} frames", f"{facts['minutes']:.1f} minutes"]
    out.print(f"{Path(file).name}: {', '.join(some)}", soft_wrap=True)
    rates = ", ".join(f"{rate} fps ({clips:,} clips)" for rate, clips in facts["rates"].items())
    joints = f"in {facts['with_joints']:,} clips" if facts["with_joints"] else "none"
    lines = {"rates": rates, "world joints": joints, **facts["about"]}
    for name, view in facts["views"].items():
        parts = ", ".join(f"{part} ({n:,})" for part, n in view["holds"].items())
        lines[f"view {name}"] = f"{' and '.join(view['sizes'])} pixels; frames with {parts or 'nothing'}"
    for name, text in lines.items():
        out.print(f"{name}: {text}", soft_wrap=True)
    table = Table("action", title="Frames of each action")
    table.add_column("train", justify="right")
    table.add_column("test", justify="right")
    for name, splits in [*facts["actions"].items(), ("all", facts["splits"])]:
        table.add_row(name, *(f"{splits.get(split, 0):,}" for split in ("train", "test")))
    out.print(table)
    table = Table("subject", title="Subjects, and their bones in mm (left and right where they differ)")
    for name in ("clips", "frames", *facts["bones"]):
        table.add_column(name, justify="right")
    for name, subject in facts["subjects"].items():
        bones = (" ".join(dict.fromkeys(f"{side:.0f}" for side in bone)) for bone in subject["bones"].values())
        table.add_row(name or "not named", f"{subject['clips']:,}", f"{subject['frames']:,}", *bones)
    out.print(table)


def _facts(source: str) -> dict:
    from posemamba.motion import open_motion, read_about
    from posemamba.motion.inspection import RIGID, typical_bones

    clips = open_motion(source)
    actions, subjects, views = defaultdict(Counter), defaultdict(Counter), {}
    for clip in clips:
        actions[clip.action][clip.split] += len(clip)
        subjects[clip.subject].update(clips=1, frames=len(clip))
        for view in clip.views:
            entry = views.setdefault(view.name, {"sizes": {}, "holds": Counter()})
            entry["sizes"][f"{view.width} x {view.height}"] = None
            there = [part for part in PARTS if getattr(view, part) is not None] + [*view.targets]
            entry["holds"].update(dict.fromkeys(there, len(clip)))
    lengths = typical_bones(clips)
    bones = {s: {n: b[[i - 1, j - 1]].round(1).tolist() for n, (i, j) in RIGID.items()} for s, b in lengths.items()}
    return {
        **dict(clips=len(clips), frames=sum(map(len, clips))),
        "minutes": sum(len(clip) / clip.fps for clip in clips) / 60,
        "rates": Counter(f"{clip.fps:g}" for clip in clips),
        "splits": sum(actions.values(), Counter()),
        "with_joints": sum(clip.joints is not None for clip in clips),
        "about": read_about(source),
        **dict(actions=actions, bones=[*RIGID] if bones else []),
        "subjects": {name: {**counts, "bones": bones.get(name, {})} for name, counts in subjects.items()},
        "views": {name: {**view, "sizes": [*view["sizes"]]} for name, view in views.items()},
    }


@data.command()
def check(
    file: Source,
    save: Json = None,
    every: Annotated[bool, Option("--all", help="Print all findings, not three of each kind.")] = False,
) -> None:
    """Look what is wrong with motion. The exit code is 0 where nothing is found, 1 where something is.

    Each finding is a sentence with clip and frame. One marked ? may also be a rare movement or view.
    """
    from posemamba import storage
    from posemamba.motion import open_motion
    from posemamba.motion.inspection import compare, inspect

    clips, found = open_motion(file), []
    with Progress(len(clips)) as bar:
        for done, clip in enumerate(clips, 1):
            found += inspect(clip)
            bar.stage("looking at clips", done)
        found += compare(clips)
    if save is not None:
        storage.write_json(save, [finding._asdict() for finding in found])
    for kind, count in Counter(finding.kind for finding in found).items():
        out.print(f"{kind}: {count:,}")
        told = [f"{' ' if one.certain else '?'} {one.sentence}." for one in found if one.kind == kind]
        told, rest = (told, 0) if every else (told[:3], count - 3)
        for line in [*told, *([f"  and {rest:,} more (--all shows them)"] if rest > 0 else [])]:
            out.print(line, soft_wrap=True)
    out.print(f"{len(clips):,} clips, {len(found):,} findings.")
    raise typer.Exit(1 if found else 0)


@data.command()
def show(
    file: Source,
    name: Annotated[str | None, Argument(metavar="CLIP", help="A clip's name, by default the first.")] = None,
    save: Annotated[Path | None, Option("--out", help="The page, by default CLIP.html in this folder.")] = None,
    view: Annotated[str | None, Option(help="The view whose keypoints to draw, by default the first.")] = None,
    start: Annotated[float, Option(min=0, help="Seconds into the clip to begin at.")] = 0,
    seconds: Annotated[float | None, Option(min=0.1, help="How long, by default to the clip's end.")] = None,
) -> None:
    """Write a clip as a page that plays it in 3D, with a view's keypoints beside it. It needs no network."""
    from posemamba import storage
    from posemamba.motion import open_motion
    from posemamba.plotting import skeleton_2d, skeleton_animation
    from posemamba.plotting.bodies import MOST_FRAMES

    clip = _chosen({clip.name: clip for clip in open_motion(file)}, name, f"{file} has no clip")
    seen = _chosen({view.name: view for view in clip.views}, view, f"clip {clip.name!r} has no view")
    first = int(start * clip.fps)
    end = len(clip) if seconds is None else min(len(clip), first + max(1, round(seconds * clip.fps)))
    if first >= end:
        raise ValueError(f"clip {clip.name!r} ends after {len(clip) / clip.fps:.2f} s, --start is {start:g}")
    frames = slice(first, end)
    stride = -(-(end - first) // MOST_FRAMES)
    which = f"every {stride}th of " if stride > 1 else ""
    subject = f", subject {clip.subject}" if clip.subject else ""
    told = f"{clip.action}{subject}, {which}frames {first} to {end - 1} of {len(clip)} at {clip.fps:g} fps"
    title, space, poses = f"{clip.name}: {told}", "world", clip.joints
    points = None if seen is None or seen.keypoints is None else seen.keypoints[frames]
    if poses is None and seen is not None:
        space, poses = "camera", next((seen.targets[key] for key in CAMERA if key in seen.targets), None)
    if poses is not None:
        figure = skeleton_animation(poses[frames], clip.fps, title, points, space)
    elif points is not None:
        figure = skeleton_2d(points, clip.fps, title)
    else:
        raise ValueError(f"clip {clip.name!r} has neither joints nor keypoints to show")
    save = save or Path(re.sub(r"[^\w.-]+", "-", clip.name).strip("-.") + ".html")
    with storage.atomic_path(save) as path:
        page = figure.to_html(include_plotlyjs=True, auto_play=False, config=dict(responsive=True))
        path.write_text(page, encoding="utf-8")
    out.print(f"{title}. Written to {save}.", soft_wrap=True)


def _chosen(there: dict, name: str | None, missing: str):
    """What has this name, or the first; ValueError suggests what is nearest to it."""
    if name is None:
        return next(iter(there.values()), None)
    if name not in there:
        near = get_close_matches(name, there, 3, 0.4) or [*there][:3]
        raise ValueError(f"{missing} {name!r}; it has {len(there)}, such as {', '.join(map(repr, near)) or 'none'}")
    return there[name]
