"""One large file from a web server: resumed after a stop, whole or not there, and told by its checksum."""

import hashlib
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from posemamba.storage import atomic_path
from posemamba.storage.kinds import ZIP, kind_of

CHUNK = 2**18


class _Interrupted(OSError):
    """The connection ended or was refused for now; what came is kept, and the same request goes on."""


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https alone."""

    def redirect_request(self, request, stream, code, message, headers, url):
        _web(url)
        return super().redirect_request(request, stream, code, message, headers, url)


def fetch(
    url: str, target: Path, expected: str, timeout: float = 60.0, tries: int = 5, pause: float = 2.0
) -> Path:
    """Downloads a zip archive to `target`, or takes up where a stopped download was.

    What has come is in `target.part`, with what the server said of it in `target.part.json`. The server is
    asked to go on from there, provided that its file is still the same (If-Range); else it starts again. When
    all is there it takes `target`'s name, and its SHA-256 is noted in `target.sha256`; a file that is there
    is not fetched again but checked against that note. (Of CMU's archive no checksum is published to compare
    with; its members have their own.)

    Args:
        url: http or https.
        target: where it goes; its folder must exist.
        expected: says in messages what it should be.
        timeout: seconds without a byte after which a connection counts as lost.
        tries: how many times in a row nothing may come before it gives up (0: it gives up at the first stop);
            between them are pauses that double from `pause` seconds.

    Raises:
        ValueError: another protocol, an answer that is no such file (a web page, 404), a file that is there
            and has changed.
        OSError: no connection, the disk is full; the part stays, and the next call goes on with it.
    """
    _web(url)
    note = target.with_name(f"{target.name}.sha256")
    if target.exists():
        digest = _digest(target)
        if note.exists() and note.read_text(encoding="utf-8").split()[:1] != [digest]:
            now = "delete both to fetch it again"
            raise ValueError(
                f"{target} has SHA-256 {digest}, expected that of {note.name}: it has changed since; {now}"
            )
        _write(note, f"{digest}  {target.name}\n")
        return target
    part = target.with_name(f"{target.name}.part")
    with _bar(target.name) as progress:
        failures = 0
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                _go_on(url, part, expected, timeout, progress)
                break
            except _Interrupted as error:
                came = part.stat().st_size if part.exists() else 0
                failures = 0 if came > before else failures + 1
                if failures >= tries:
                    message = f"{url} stopped after {came:,} bytes, expected {expected}: {error}"
                    raise OSError(f"{message}; the same command goes on from there") from error
                time.sleep(pause * 2 ** max(0, failures - 1))
    with part.open("rb") as file:
        head = file.read(512)
    if not head.startswith(ZIP):
        part.unlink()
        raise ValueError(f"{url} is {kind_of(head)}, expected {expected}")
    _write(note, f"{_digest(part)}  {target.name}\n")
    part.replace(target)
    part.with_name(f"{part.name}.json").unlink(missing_ok=True)
    return target


def _go_on(url: str, part: Path, expected: str, timeout: float, progress: Callable[[int, int], None]) -> None:
    """One request, for what is not there yet; returns when all is there."""
    noted = part.with_name(f"{part.name}.json")
    known = {}
    with suppress(OSError, ValueError):
        known = json.loads(noted.read_text(encoding="utf-8"))
    have = part.stat().st_size if part.exists() and known.get("url") == url and known.get("same") else 0
    request = urllib.request.Request(url, headers={"User-Agent": "posemamba", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", known["same"])
    try:
        answer = urllib.request.build_opener(_WebOnly).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        answered = f"{error.code} {str(error.reason).splitlines()[0]}"
        if error.code == 416:
            # All of it had come, or it is shorter now.
            if have == known.get("size"):
                return
            part.unlink(missing_ok=True)
            raise _Interrupted("the file there is shorter than what had come of it") from error
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _Interrupted(f"the server answered {answered}") from error
        raise ValueError(f"{url} answered {answered}, expected {expected}") from error
    except (OSError, HTTPException) as error:
        raise _Interrupted(str(getattr(error, "reason", error)) or type(error).__name__) from error
    with answer:
        kind = answer.headers.get_content_type()
        if kind.startswith("text/"):
            raise ValueError(f"{url} is {kind}, expected {expected}")
        size, start = _extent(answer, have)
        if start == 0:
            etag = answer.headers.get("ETag", "")
            same = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")
            _write(noted, json.dumps({"url": url, "same": same, "size": size}))
        elif size != known.get("size"):
            part.unlink()
            raise _Interrupted("the file there has another size than when the download began")
        if size and size - start > shutil.disk_usage(part.parent).free:
            raise OSError(
                f"cannot write {part}: {size - start:,} bytes are to come, expected as much free disk"
            )
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            while True:
                progress(file.tell(), size)
                try:
                    chunk = answer.read(CHUNK)
                except (OSError, HTTPException) as error:
                    raise _Interrupted(str(error) or "the connection was lost") from error
                if not chunk:
                    break
                file.write(chunk)
            came = file.tell()
    if size and came != size:
        raise _Interrupted(f"it should have {size:,} bytes")


def _extent(answer, have: int) -> tuple[int, int]:
    """The file's size (0: unknown) and the place of the answer's first byte in it."""
    if answer.status == 206:
        place = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if place and int(place[1]) == have:
            return int(place[2]), have
        raise ValueError(
            f"{answer.url} answers a request for a part with another part, expected from byte {have:,}"
        )
    return int(answer.headers.get("Content-Length") or 0), 0


def _web(url: str) -> None:
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise ValueError(f"{url} is no address of the web, expected http:// or https://")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


class _bar:
    """A bar on standard error where that is a terminal, and nothing elsewhere."""

    def __init__(self, title: str):
        from rich import progress
        from rich.console import Console

        terminal = Console(stderr=True, markup=False)
        numbers = (progress.DownloadColumn(), progress.TransferSpeedColumn(), progress.TimeRemainingColumn())
        columns = (progress.TextColumn("{task.description}", markup=False), progress.BarColumn(), *numbers)
        self.bar = progress.Progress(
            *columns, console=terminal, transient=True, disable=not terminal.is_terminal
        )
        self.task = self.bar.add_task(title, total=None)

    def __enter__(self) -> Callable[[int, int], None]:
        self.bar.start()
        return lambda came, size: self.bar.update(self.task, completed=came, total=size or None)

    def __exit__(self, *_) -> None:
        self.bar.stop()
