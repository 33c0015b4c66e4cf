"""The head that every measured JSON file shares: how, when, on what and with what it was measured.

    what        what the figures are, in a few words
    command     the words of the command that measures them again
    date        of the measurement, as 2026-11-30
    commit      of the checkout, with "-dirty" where files differed from it; None outside of one
    hardware    processor, system, cores, threads, and where known memory_bytes, vectors and the GPU
    versions    of Python, this package and the libraries that decide speed
    seeds       all that were used

`head` makes it, `write` and `read` refuse a file without it. No path of a machine belongs into a record.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path

import psutil

from posemamba import __version__, storage

HEAD = ("what", "command", "date", "commit", "hardware", "versions", "seeds")
LIBRARIES = ("torch", "numba", "llvmlite", "triton", "numpy", "mambapy", "mamba-ssm", "timm")


def head(what: str, command: Sequence[str], seeds: Sequence[int], device: str = "cpu") -> dict:
    """The head of a record, to be made before the measurement: files may change while it runs.

    `command` holds no path of this machine. For "cuda" its memory and processors are told too.
    """
    command, today = [*map(str, command)], datetime.date.today().isoformat()
    found = (what, command, today, commit(), hardware(device), versions(), [*seeds])
    return dict(zip(HEAD, found, strict=True))


def write(path: str | PathLike, report: dict) -> None:
    """Write a record, all or nothing. ValueError where its head is not whole."""
    storage.write_json(path, _checked(path, report))


def read(path: str | PathLike) -> dict:
    """Read a record. FileNotFoundError or ValueError says what is wrong with the file."""
    return _checked(path, storage.read_json(path))


def _checked(path: str | PathLike, report: dict) -> dict:
    missing = [key for key in HEAD if key not in report] if isinstance(report, dict) else HEAD
    if missing:
        raise ValueError(f"{path}: not a measured record, its head lacks {', '.join(missing)}")
    return report


def commit(folder: str | PathLike = Path(__file__).parents[1]) -> str | None:
    """The commit of a folder, by default that which holds the package, marked where files differ from it.

    Returns None for a folder that is not itself the top of a git repository.
    """

    def git(*arguments: str) -> str:
        options = dict(cwd=folder, capture_output=True, text=True, timeout=60, check=True)
        return subprocess.run(["git", *arguments], **options).stdout.strip()

    with suppress(OSError, subprocess.SubprocessError):
        if Path(git("rev-parse", "--show-toplevel")).resolve() == Path(folder).resolve():
            return git("describe", "--always", "--dirty", "--abbrev=12") or None
    return None


def versions() -> dict[str, str | None]:
    """Of the libraries that decide speed; None where one is not installed."""
    found = {"posemamba": __version__, "python": platform.python_version(), **dict.fromkeys(LIBRARIES)}
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def hardware(device: str = "cpu") -> dict:
    """The machine: processor, vector instructions, cores, threads, memory, and the GPU where there is one."""
    import torch

    processor, vectors = platform.processor() or platform.machine(), None
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        processor = next(names, "") or processor
    with suppress(ImportError, RuntimeError):
        from llvmlite.binding import get_host_cpu_features

        features = get_host_cpu_features()
        vectors = [name for name in ("avx2", "avx512f", "neon", "sve") if features.get(name)]
    found = {"processor": processor, "system": platform.system(), "threads": torch.get_num_threads()}
    found["cuda"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    found |= {"cores": cores(), "vectors": vectors, "memory_bytes": psutil.virtual_memory().total}
    if device == "cuda":
        gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
        found |= {"cuda_memory_bytes": gpu.total_memory, "cuda_runtime": torch.version.cuda}
        found["cuda_multiprocessors"] = gpu.multi_processor_count
    return found


def cores() -> int:
    """Cores that this process may use."""
    process = psutil.Process()  # macOS does not tell an affinity
    return len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1
