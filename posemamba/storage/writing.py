"""Writes that happen all or not at all; JSON; the files that ship with the package."""

import errno
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from posemamba.storage.kinds import existing_file

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_ASSETS = Path(__file__).parents[1] / "assets"


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Writes a file all or not at all.

    Yields a path in the target's folder, with its suffix, to write to and close. When the block ends, that
    file is flushed to the disk and takes the target's place in one step. When the block raises (a Ctrl-C
    too), it is removed and the old file stays as it was.

    Args:
        path: the file to write; its folder must exist. A link is followed.

    Raises:
        FileNotFoundError: the folder is missing, or the block wrote nothing.
        OSError: naming the file, when the disk is full; and whatever the block raises.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {target.parent} does not exist")
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder")
    temporary = target.with_name(f".{target.stem[:60]}-{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        if not temporary.exists():
            raise FileNotFoundError(f"cannot write {path}: nothing was written to {temporary.name}")
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
        # So that the new name lasts too. Windows cannot open folders, some network disks cannot flush them.
        with suppress(OSError):
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except Exception as error:
        # safetensors and torch raise no OSError for a full disk, and torch does not name the cause.
        full = getattr(error, "errno", None) in _FULL or "No space left" in str(error)
        if full or (isinstance(error, RuntimeError) and shutil.disk_usage(target.parent).free < 65536):
            kept = "; the file that was there is unchanged" if target.exists() else ""
            raise OSError(errno.ENOSPC, f"cannot write {path}, the disk is full{kept}") from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_json(path: str | os.PathLike, content) -> None:
    """Writes JSON in UTF-8, atomically; numpy's numbers and arrays become plain ones.

    Raises:
        ValueError: NaN and infinity, which JSON does not have.
        TypeError: what is not data. And as `atomic_path` does.
    """

    def plain(item):
        if isinstance(item, np.generic | np.ndarray):
            return item.tolist()
        raise TypeError(f"cannot write {path}: JSON cannot hold a {type(item).__name__}")

    try:
        text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False, default=plain)
    except ValueError as error:
        raise ValueError(f"cannot write {path}: {error}; expected finite numbers and no cycles") from error
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def read_json(path: str | os.PathLike):
    """Reads JSON in UTF-8 without NaN or infinity; FileNotFoundError or ValueError says what is wrong."""

    def finite(number: str) -> float:
        if not math.isfinite(float(number)):
            raise ValueError(f"{number[:20]} is not a JSON number")
        return float(number)

    path = existing_file(path)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=finite, parse_float=finite)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON in UTF-8: {error}") from error


def asset(name: str) -> Path:
    """The path of a file or folder that ships with the package; FileNotFoundError names what there is."""
    path = (_ASSETS / name).resolve()
    if path.exists() and path.is_relative_to(_ASSETS.resolve()):
        return path
    folder = path.parent if path.parent.is_dir() and path.is_relative_to(_ASSETS.resolve()) else _ASSETS
    there = ", ".join(sorted(file.name for file in folder.iterdir())) or "none"
    raise FileNotFoundError(f"the package has no asset {name!r}, only: {there}")
