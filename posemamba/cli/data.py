"""`posemamba data list | check | show`."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from posemamba.cli.terminal import Progress, out, say

data = typer.Typer(
    help="Look at motion: what a file holds, what is wrong with it, a clip.", no_args_is_help=True
)

Source = Annotated[str, Argument(metavar="FILE", help="A motion file, a reduced CMU .npz, or 'synthetic'.")]


@data.command("list")
def contents(file: Source) -> None:
    """Print what a file holds: clips, actions, subjects and their bones, views. Reads few of its frames."""
    from rich.table import Column, Table

    from posemamba.motion import open_motion, read_about
    from posemamba.motion.inspection import RIGID, typical_bones

    clips, about = open_motion(file), {}
    with suppress(ValueError, OSError):  # only motion files have notes
        about = read_about(file)
    actions, subjects = defaultdict(Counter), defaultdict(Counter)
    sizes, holds = defaultdict(dict), defaultdict(Counter)  # by the view's name
    for clip in clips:
        actions[clip.action][clip.split] += len(clip)
        subjects[clip.subject].update(clips=1, frames=len(clip))
        for view in clip.views:
            sizes[view.name][f"{view.width} x {view.height}"] = None
            there = ["a camera"] * (view.camera is not None) + [name for name, _ in view.arrays()]
            holds[view.name].update(dict.fromkeys(there, len(clip)))
    frames, minutes = sum(map(len, clips)), sum(len(clip) / clip.fps for clip in clips) / 60
    rates = Counter(f"{clip.fps:g}" for clip in clips).items()
    lines = [(Path(file).name, f"{len(clips):,} clips, {frames:,} frames, {minutes:.1f} minutes")]
    lines += [("rates", ", ".join(f"{rate} fps ({count:,} clips)" for rate, count in rates))]
    lines += [("world joints", f"in {sum(clip.joints is not None for clip in clips):,} clips")]
    for name, parts in holds.items():
        told = ", ".join(f"{part} ({count:,})" for part, count in parts.items())
        lines += [(f"view {name}", f"{' and '.join(sizes[name])} pixels; frames with {told}")]
    for name, text in (*lines, *about.items()):
        # A stranger's notes may hold what moves a terminal's cursor.
        say(re.sub(r"[^ -~\xa1-\U0010ffff]+", " ", f"{name}: {text}"))

    splits, lengths = sum(actions.values(), Counter()), typical_bones(clips)
    table = Table("action", *(Column(split, justify="right") for split in splits), title="Frames")
    for name, counts in (*actions.items(), ("all", splits)):
        table.add_row(name, *(f"{counts[split]:,}" for split in splits))
    out.print(table)
    columns = (Column(name, justify="right") for name in ("clips", "frames", *(RIGID if lengths else ())))
    table = Table("subject", *columns, title="Bones, mm (left and right)")
    for name, counts in subjects.items():
        pairs = [lengths[name][[left - 1, right - 1]] for left, right in RIGID.values() if name in lengths]
        sides = (" ".join(dict.fromkeys(f"{side:.0f}" for side in pair)) for pair in pairs)
        table.add_row(name or "not named", f"{counts['clips']:,}", f"{counts['frames']:,}", *sides)
    out.print(table)


@data.command()
def check(
    file: Source,
    every: Annotated[bool, Option("--all", help="Print all findings, not three of each kind.")] = False,
) -> None:
    """Look what is wrong with motion. The exit code is 0 where nothing is found, 1 where something is.

    Each finding is a sentence with clip and frame. One marked ? may also be a rare movement or view.
    """
    from posemamba.motion import open_motion
    from posemamba.motion.inspection import compare, inspect

    clips, found = open_motion(file), []
    with Progress(None) as bar:
        for done, clip in enumerate(clips):
            bar.stage("looking at clips", done, len(clips))
            found += [*inspect(clip), *_keypoints(clip)]
        found = sorted(found + compare(clips), key=lambda one: not one.certain)
    for kind, count in Counter(one.kind for one in found).items():
        told = [f"{' ' if one.certain else '?'} {one.sentence}." for one in found if one.kind == kind]
        if count > 3 and not every:
            told[3:] = [f"  And {count - 3:,} more, which --all prints."]
        say(f"{kind}: {count:,}", *told, sep="\n")
    out.print(f"{len(clips):,} clips, {len(found):,} findings.")
    raise typer.Exit(1 if found else 0)


def _keypoints(clip) -> Iterator:
    """What `keypoints.inspect` says of a clip's views: the order of their joints, where up is."""
    from posemamba import keypoints
    from posemamba.camera import normalise_screen

    for view in clip.views:
        if view.keypoints is not None:
            with suppress(ValueError):  # of NaN and of no valid frames it is told already
                points = view.keypoints if view.valid is None else view.keypoints[view.valid]
                for one in keypoints.inspect(normalise_screen(points, view.width, view.height)):
                    told = f"clip {clip.name!r}: view {view.name!r}: {one.sentence}"
                    yield one._replace(sentence=told, kind="keypoints")


@data.command()
def show(
    file: Source,
    name: Annotated[str | None, Argument(metavar="CLIP", help="A clip's name, by default the first.")] = None,
    save: Annotated[Path | None, Option("--out", help="The page, by default CLIP.html here.")] = None,
    start: Annotated[float, Option(min=0, help="Seconds into the clip to begin at.")] = 0,
    seconds: Annotated[float | None, Option(min=0.1, help="How long; to the clip's end without it.")] = None,
) -> None:
    """Write a clip as a page that plays it in 3D, beside its first view's keypoints. It needs no network."""
    from posemamba.motion import open_motion
    from posemamba.plotting import skeleton_2d, skeleton_animation
    from posemamba.plotting.bodies import MOST_FRAMES
    from posemamba.plotting.export import write_page

    clips = {clip.name: clip for clip in open_motion(file)}
    if (name := name or next(iter(clips))) not in clips:
        near = ", ".join(map(repr, get_close_matches(name, clips, 3, 0.4) or [*clips][:3]))
        raise ValueError(f"{file} has no clip {name!r} among its {len(clips)}, such as {near}")
    clip = clips[name]
    first = int(start * clip.fps)
    shown = range(len(clip))[first : seconds and first + max(1, round(seconds * clip.fps))]
    if not shown:
        raise ValueError(f"clip {name!r} has {len(clip) / clip.fps:.2f} s, --start is {start:g}")
    body, space, points = clip.joints, "world", None
    if clip.views:
        points = clip.views[0].keypoints
        if body is None:
            body, space = clip.views[0].body(), "camera"
    body, points = (None if array is None else array[shown.start : shown.stop] for array in (body, points))
    thinned = f"1 in {n} of " if (n := -(-len(shown) // MOST_FRAMES)) > 1 else ""
    who = f", subject {clip.subject}" if clip.subject else ""
    title = f"{name}: {clip.action}{who}, {thinned}frames {shown[0]} to {shown[-1]} of {len(clip)}"
    title = f"{title}, {clip.fps:g} fps"
    if body is not None:
        far = bool((body[:, 0].max(0) - body[:, 0].min(0)).max() > 2500)  # else it would be drawn tiny
        figure = skeleton_animation(body, clip.fps, title, points, space, follow=far)
    elif points is not None:
        figure = skeleton_2d(points, clip.fps, title)
    else:
        raise ValueError(f"clip {name!r} has neither joints nor keypoints to show")
    save = save or Path(re.sub(r"[^\w.-]+", "-", name).strip("-.") + ".html")
    write_page(figure, save)
    say(f"{title}. Written to {save}.")
