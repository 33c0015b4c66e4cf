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

from posemamba.cli.terminal import Progress, out

data = typer.Typer(
    help="Look at motion: what a file holds, what is wrong with it, a clip.", no_args_is_help=True
)

Source = Annotated[str, Argument(metavar="FILE", help="A motion file, a reduced CMU .npz, or 'synthetic'.")]
Json = Annotated[Path | None, Option("--json", metavar="OUT", help="Also write it to this JSON file.")]
# A view's targets that can be drawn as a body, the best first.
BODIES = ("camera", "annot3", "univ_annot3", "joints_2.5d_image", "joint3d_image")


@data.command("list")
def contents(file: Source, save: Json = None) -> None:
    """Print what a file holds: clips, actions, subjects and their bones, views. Reads few of its frames."""
    from rich.table import Table

    from posemamba import storage

    facts = _facts(file)
    if save is not None:
        storage.write_json(save, facts)
    clips, frames = facts["clips"], facts["frames"]
    lines = {Path(file).name: f"{clips:,} clips, {frames:,} frames, {facts['minutes']:.1f} minutes"}
    lines["rates"] = ", ".join(f"{rate} fps ({count:,} clips)" for rate, count in facts["rates"].items())
    lines["world joints"] = f"in {facts['with_joints']:,} clips"
    for name, view in facts["views"].items():
        parts = ", ".join(f"{part} ({count:,})" for part, count in view["holds"].items())
        lines[f"view {name}"] = f"{' and '.join(view['sizes'])} pixels; frames with {parts}"
    for name, text in (lines | facts["about"]).items():
        # A stranger's notes may hold what moves a terminal's cursor.
        out.print(re.sub(r"[^ -~\xa1-\U0010ffff]+", " ", f"{name}: {text}"), soft_wrap=True)
    actions, bones = Table("action", title="Frames"), Table("subject", title="Bones, mm (left and right)")
    for table, names in ((actions, facts["splits"]), (bones, ("clips", "frames", *facts["bones"]))):
        for name in names:
            table.add_column(name, justify="right")
    for name, counts in [*facts["actions"].items(), ("all", facts["splits"])]:
        actions.add_row(name, *(f"{counts.get(split, 0):,}" for split in facts["splits"]))
    for name, subject in facts["subjects"].items():
        sides = (
            " ".join(dict.fromkeys(f"{side:.0f}" for side in pair)) for pair in subject["bones"].values()
        )
        bones.add_row(name or "not named", f"{subject['clips']:,}", f"{subject['frames']:,}", *sides)
    out.print(actions, bones)


def _facts(source: str) -> dict:
    from posemamba.motion import open_motion, read_about
    from posemamba.motion.inspection import RIGID, typical_bones

    clips, about = open_motion(source), {}
    with suppress(ValueError, OSError):  # only motion files have notes
        about = read_about(source)
    actions, subjects, views = defaultdict(Counter), defaultdict(Counter), {}
    for clip in clips:
        actions[clip.action][clip.split] += len(clip)
        subjects[clip.subject].update(clips=1, frames=len(clip))
        for view in clip.views:
            seen = views.setdefault(view.name, dict(sizes={}, holds=Counter()))
            seen["sizes"][f"{view.width} x {view.height}"] = None
            there = ["a camera"] * (view.camera is not None) + [name for name, _ in view.arrays()]
            seen["holds"].update(dict.fromkeys(there, len(clip)))
    sizes = {
        subject: {name: lengths[[i - 1, j - 1]].round(1).tolist() for name, (i, j) in RIGID.items()}
        for subject, lengths in typical_bones(clips).items()
    }
    return dict(
        **dict(
            clips=len(clips), frames=sum(map(len, clips)), about=about, bones=list(RIGID) if sizes else []
        ),
        minutes=sum(len(clip) / clip.fps for clip in clips) / 60,
        rates=Counter(f"{clip.fps:g}" for clip in clips),
        splits=sum(actions.values(), Counter()),
        with_joints=sum(clip.joints is not None for clip in clips),
        actions=actions,
        subjects={name: {**counts, "bones": sizes.get(name, {})} for name, counts in subjects.items()},
        views={name: {**view, "sizes": list(view["sizes"])} for name, view in views.items()},
    )


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
    with Progress(None) as bar:
        for done, clip in enumerate(clips):
            bar.stage("looking at clips", done, len(clips))
            found += [*inspect(clip), *_keypoints(clip)]
        found = sorted(found + compare(clips), key=lambda one: not one.certain)
    if save is not None:
        storage.write_json(save, [one._asdict() for one in found])
    for kind, count in Counter(one.kind for one in found).items():
        told = [f"{' ' if one.certain else '?'} {one.sentence}." for one in found if one.kind == kind]
        rest = [] if every or count <= 3 else [f"  And {count - 3:,} more, which --all prints."]
        out.print(f"{kind}: {count:,}", *(told[:3] if rest else told), *rest, sep="\n", soft_wrap=True)
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
    save: Annotated[
        Path | None, Option("--out", help="The page, by default CLIP.html in this folder.")
    ] = None,
    view: Annotated[
        str | None, Option(help="The view whose keypoints to draw, by default the first.")
    ] = None,
    start: Annotated[float, Option(min=0, help="Seconds into the clip to begin at.")] = 0,
    seconds: Annotated[float, Option(min=0.1, help="How long, at most to the clip's end.")] = 1e9,
) -> None:
    """Write a clip as a page that plays it in 3D, with a view's keypoints beside it. It needs no network."""
    from posemamba import storage
    from posemamba.motion import open_motion
    from posemamba.plotting import skeleton_2d, skeleton_animation
    from posemamba.plotting.bodies import MOST_FRAMES

    clip = _chosen({clip.name: clip for clip in open_motion(file)}, name, f"{file} has no clip")
    seen = _chosen({view.name: view for view in clip.views}, view, f"clip {clip.name!r} has no view")
    first = int(start * clip.fps)
    end = min(len(clip), first + max(1, round(seconds * clip.fps)))
    if first >= end:
        raise ValueError(f"clip {clip.name!r} has {len(clip) / clip.fps:.2f} s, --start is {start:g}")
    thinned = f"1 in {n} of " if (n := -(-(end - first) // MOST_FRAMES)) > 1 else ""
    told = ", ".join([clip.action, *([f"subject {clip.subject}"] if clip.subject else [])])
    title = f"{clip.name}: {told}, {thinned}frames {first} to {end - 1} of {len(clip)}, {clip.fps:g} fps"
    space, poses, points = "world", clip.joints, None if seen is None else seen.keypoints
    if poses is None:
        space, poses = "camera", next((seen.targets[key] for key in BODIES if key in seen.targets), None)
    poses, points = (array if array is None else array[first:end] for array in (poses, points))
    if poses is not None:
        root = poses[:, 0]
        far = bool((root.max(0) - root.min(0)).max() > 2500)  # else it would be drawn tiny
        figure = skeleton_animation(poses, clip.fps, title, points, space, follow=far)
    elif points is not None:
        figure = skeleton_2d(points, clip.fps, title)
    else:
        raise ValueError(f"clip {clip.name!r} has neither joints nor keypoints to show")
    save = save or Path(re.sub(r"[^\w.-]+", "-", clip.name).strip("-.") + ".html")
    with storage.atomic_path(save) as path:
        look = dict(
            config=dict(responsive=True, displaylogo=False, modeBarButtonsToRemove=["sendChartToCloud"]),
            default_height=f"{figure.layout.height}px",
        )
        path.write_text(figure.to_html(include_plotlyjs=True, auto_play=False, **look), encoding="utf-8")
    out.print(f"{title}. Written to {save}.", soft_wrap=True)


def _chosen(there: dict, name: str | None, missing: str):
    """What has this name, or the first; ValueError suggests what is nearest to it."""
    if name is None:
        return next(iter(there.values()), None)
    if name not in there:
        near = get_close_matches(name, there, 3, 0.4) or [*there][:3]
        raise ValueError(
            f"{missing} {name!r} among its {len(there)}, such as {', '.join(map(repr, near)) or 'none'}"
        )
    return there[name]
