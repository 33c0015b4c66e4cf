"""What the converters share: source after source into one motion file, so that a stop loses at most one.

Each source becomes a small motion file in `TARGET.parts/`, named by a digest of its files' contents and of
the settings. When all are there they are joined, in order, into TARGET, and the folder goes. TARGET notes the
digest of everything it was made from; where that is still so, a rerun writes nothing.

A converter starts with these lines, so that it runs as a script and can be imported by its test:

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from data_prep.parts import Source, convert, run  # noqa: E402
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from posemamba.motion import Clip, load_motion, read_about, save_motion
from posemamba.motion.files import VERSION
from posemamba.storage import atomic_path
from posemamba.storage.kinds import existing_file

# A mapped file is an open one, and systems allow 256 of them to a thousand.
AT_ONCE = 100


@dataclass(frozen=True)
class Source:
    """One thing to convert, of which a stop loses at most one.

    Attributes:
        key: its name, different for each; it is shown while it is converted.
        files: what it is read from. A change of one, by content and not by date, makes it anew.
        data: whatever else the converter wants at hand; it does not count as a setting.
    """

    key: str
    files: tuple[Path, ...]
    data: object = None


@dataclass(frozen=True)
class Outcome:
    """What a conversion came to; as text it is the line that a command prints.

    Attributes:
        target: the motion file.
        clips, frames: how many it holds; a frame that several cameras saw counts once.
        converted, kept: sources that were read now, and those that an earlier, stopped run had done.
    """

    target: Path
    clips: int
    frames: int
    converted: int
    kept: int

    def __str__(self) -> str:
        size = f"{self.clips:,} clip{'s' * (self.clips != 1)}, {self.frames:,} frames"
        if not self.converted + self.kept:
            return f"{self.target} is up to date: {size}"
        of = f"{self.kept} of {self.kept + self.converted} sources"
        went_on = f"; {of} were there from an earlier run" if self.kept else ""
        return f"{size} written to {self.target}{went_on}"


def convert(
    target: str | Path,
    sources: Iterable[Source],
    read: Callable[[Source], Sequence[Clip]],
    about: dict[str, str],
    settings: dict,
) -> Outcome:
    """Converts all sources into one motion file; see the module's text.

    Args:
        target: the motion file, `.safetensors`.
        sources: in the order that their clips shall have.
        read: gives a source's clips; none is an answer too.
        about: what the file shall say of itself (credit, where from, which command), the same wherever it
            lies; a changed text makes the file anew. "fingerprint" is added.
        settings: what the clips depend on beside the files, as JSON can hold it; a "version" that goes up
            when the converter itself changes is one.

    Raises:
        ValueError: a target that is no `.safetensors` or is one of the sources' files, a key that comes
            twice, no clips in all sources; and what `read` raises.
        OSError: files that cannot be read or written.
    """
    target, sources = Path(target), list(sources)
    if target.suffix != ".safetensors":
        raise ValueError(f"{target} does not end in .safetensors, expected a motion file's name to write to")
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {target}: it is a folder")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {target}: the folder {target.parent} does not exist")
    keys = [source.key for source in sources]
    twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
    if twice is not None:
        raise ValueError(f"the source {twice!r} comes twice, expected each once")
    digest = cache(_file_digest)
    with _Bar("checking", len(sources)) as step:
        names = []
        for source in sources:
            step(source.key)
            files = [[Path(path).name, digest(Path(path).resolve())] for path in source.files]
            if target.exists() and any(target.samefile(path) for path in source.files):
                raise ValueError(f"{target} is both read and written, expected another name to write to")
            names.append(_digest([VERSION, settings, source.key, files]))
    about = about | {"fingerprint": _digest(names)}
    with suppress(ValueError, OSError):
        if read_about(target) == about:
            clips = load_motion(target)
            return Outcome(target, len(clips), sum(map(len, clips)), 0, 0)
    folder = target.with_name(f"{target.name}.parts")
    folder.mkdir(exist_ok=True)
    parts, kept = [folder / f"{name}.safetensors" for name in names], 0
    with _Bar("converting", len(sources)) as step:
        for source, part in zip(sources, parts, strict=True):
            step(source.key)
            if part.exists():
                kept += 1
                continue
            try:
                clips = read(source)
            except BaseException:
                with suppress(OSError):
                    folder.rmdir()  # where nothing is done, nothing stays behind
                raise
            if clips:
                save_motion(part, clips)
            else:
                with atomic_path(part) as empty:
                    empty.touch()
    clips, frames = _join([part for part in parts if part.stat().st_size], target, about)
    for path in folder.iterdir():
        # Only what was written here: a part, or what a killed run left of one.
        if path.suffix == ".safetensors":
            path.unlink()
    with suppress(OSError):
        folder.rmdir()
    return Outcome(target, clips, frames, len(sources) - kept, kept)


def run(name: str, command: Callable[[], object]) -> int:
    """Runs a command and prints what it returns.

    Returns:
        The exit code: 0; 2 with one line on standard error where the input or the disk is at fault; 130
        where the user stopped it.
    """
    try:
        print(command())
    except (ValueError, OSError) as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _join(parts: list[Path], target: Path, about: dict[str, str]) -> tuple[int, int]:
    """Writes the clips of all parts to `target`, and returns how many clips and frames there are."""
    if not parts:
        raise ValueError(f"there are no clips in the sources of {target}, expected at least one")
    while len(parts) > AT_ONCE:
        groups = [parts[at : at + AT_ONCE] for at in range(0, len(parts), AT_ONCE)]
        parts = [parts[0].with_name(f"{_digest([p.name for p in group])}.safetensors") for group in groups]
        for group, path in zip(groups, parts, strict=True):
            if not path.exists():
                save_motion(path, [clip for part in group for clip in load_motion(part)])
    clips = [clip for part in parts for clip in load_motion(part)]
    save_motion(target, clips, about=about)
    return len(clips), sum(map(len, clips))


def _file_digest(path: Path) -> str:
    with existing_file(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(content) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


class _Bar:
    """A bar on standard error where that is a terminal, and nothing elsewhere."""

    def __init__(self, title: str, total: int):
        from rich import progress
        from rich.console import Console

        terminal = Console(stderr=True, markup=False)
        times = (progress.MofNCompleteColumn(), progress.TimeElapsedColumn(), progress.TimeRemainingColumn())
        columns = (progress.TextColumn("{task.description}", markup=False), progress.BarColumn(), *times)
        off = not terminal.is_terminal
        self.bar = progress.Progress(*columns, console=terminal, transient=True, disable=off)
        self.title, self.task, self.done = title, self.bar.add_task(title, total=total), -1

    def __enter__(self) -> Callable[[str], None]:
        self.bar.start()
        return self.step

    def __exit__(self, *_) -> None:
        self.bar.stop()

    def step(self, key: str) -> None:
        """Says which source is next; the one before is done."""
        self.done += 1
        self.bar.update(self.task, description=f"{self.title} {key}", completed=self.done)
