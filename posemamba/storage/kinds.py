"""What a file is, told from its content and never from its name."""

import re
import zipfile
from pathlib import Path

ZIP = b"PK\x03\x04"

# How files begin.
_KINDS = {
    rb"(?i)[\xef\xbb\xbf\s]*<(!doctype|html|\?xml|head)": "a web page, not the file that was asked for",
    rb"version https://git-lfs": "a Git LFS pointer, not the file itself (git lfs pull fetches it)",
    rb"PK\x05\x06": "an empty zip archive",
    rb"PK\x03\x04": "a zip archive",
    rb"\x93NUMPY": "a single numpy array (.npy)",
    rb"\x89HDF": "an HDF5 file",
    rb"\x1f\x8b|7z\xbc\xaf|Rar!": "a compressed archive",
    rb"(?s).{257}ustar": "a tar archive",
    rb"\x80[\x00-\x05]": "a plain pickle",
    # Control characters below the tab do not occur in text.
    rb"[^\x00-\x08]+\Z": "a text file",
}


def existing_file(path: str | Path) -> Path:
    """The path of a file that is not empty; FileNotFoundError or ValueError says what is there instead."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected a file")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    return path


def open_archive(path: Path, expected: str) -> zipfile.ZipFile:
    """Opens a zip archive, which the caller closes; `expected` says in messages what it should have been.

    Raises:
        ValueError: another kind of file, a cut one, one that unpacks to over 1 GiB and 200 times its size.
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
    kinds = (kind for start, kind in _KINDS.items() if re.match(start, head))
    return next(kinds, "a file of an unknown kind")
