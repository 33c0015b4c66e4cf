"""What a file is, told from its content and never from its name."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

ZIP = b"PK\x03\x04"

_STARTS = {
    b"PK\x05\x06": "an empty zip archive",
    ZIP: "a zip archive",
    b"\x93NUMPY": "a single numpy array (.npy)",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a compressed archive",
    b"7z\xbc\xaf": "a compressed archive",
    b"Rar!": "a compressed archive",
}


def existing_file(path: str | os.PathLike) -> Path:
    """The path of a file with something in it; FileNotFoundError or ValueError says what is there instead."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected a file")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    return path


def open_archive(path: Path, expected: str) -> zipfile.ZipFile:
    """Opens a zip archive that does not unpack to absurd sizes; the caller closes it.

    Args:
        path: an existing file.
        expected: what the file should have been, for the message.

    Raises:
        ValueError: a file of another kind, a cut one, and one that would unpack to over 1 GiB and 200 times
            its size, as only a file made to fill the memory does.
    """
    with open(path, "rb") as file:
        head = file.read(512)
    if not head.startswith(ZIP):
        raise ValueError(f"{path} is {kind_of(head)}, expected {expected}")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ValueError(f"{path} is damaged or cut short, expected {expected}") from error
    size = sum(info.file_size for info in archive.infolist())
    if size > max(2**30, 200 * path.stat().st_size):
        archive.close()
        raise ValueError(f"{path} would unpack to {size:,} bytes, far too many for {expected} of its size")
    return archive


def kind_of(head: bytes) -> str:
    """What a file is, in words, from its first 512 bytes."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page, not the file that was to be downloaded"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file that it stands for (git lfs pull fetches it)"
    for signature, kind in _STARTS.items():
        if head.startswith(signature):
            return kind
    if head[257:262] == b"ustar":
        return "a tar archive"
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return "a plain pickle"
    # Control characters below the tab do not occur in text.
    return "a file of an unknown kind" if min(head, default=0) < 9 else "a text file"
