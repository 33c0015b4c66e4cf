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
from os import PathLike
from pathlib import Path

import psutil

from posemamba import __version__, storage

HEAD = ("what", "command", "date", "commit", "hardware", "versions", "seeds")
LIBRARIES = ("torch", "numba", "llvmlite", "triton", "numpy", "mambapy", "mamba-ssm", "timm")


def head(what: str, command: Sequence[str], seeds: Sequence[int], device: str = "cpu") -> dict:
    """The head of a record. To be made before the measurement: files may change while it runs.

    Args:
        what: what the figures are, in a few words.
        command: the words of the command that measures them again, without paths of this machine.
        seeds: all that are used.
        device: "cpu" or "cuda", whose memory and processors are then told too.
    """
    return {
        "what": what,
        "command": [*map(str, command)],
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "hardware": hardware(device),
        "versions": versions(),
        "seeds": [*seeds],
    }


def write(path: str | PathLike, report: dict) -> None:
    """Write a record, all or nothing. ValueError where its head is not whole."""
    _check(path, report)
    storage.write_json(path, report)


def read(path: str | PathLike) -> dict:
    """Read a record. FileNotFoundError or ValueError says what is wrong with the file."""
    report = storage.read_json(path)
    _check(path, report)
    return report


def _check(path: str | PathLike, report: dict) -> None:
    missing = [key for key in HEAD if key not in report] if isinstance(report, dict) else HEAD
    if missing:
        raise ValueError(f"{path}: not a measured record, its head lacks {', '.join(missing)}")


def commit(folder: str | PathLike = Path(__file__).parents[1]) -> str | None:
    """The commit of a folder, by default that which holds the package, marked where files differ from it.

    Returns None for a folder that is not itself the top of a git repository.
    """

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() or None

    top = git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != Path(folder).resolve():
        return None
    return git("describe", "--always", "--dirty", "--abbrev=12")


def versions() -> dict[str, str | None]:
    """Of the libraries that decide speed; None where one is not installed."""
    found: dict[str, str | None] = {"posemamba": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def hardware(device: str = "cpu") -> dict:
    """The machine: processor, vector instructions, cores, threads, memory, and the GPU where there is one."""
    import torch

    found = {
        "processor": _processor() or platform.processor() or platform.machine(),
        "system": platform.system(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": cores(),
        "vectors": _vectors(),
        "memory_bytes": psutil.virtual_memory().total,
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        found["cuda_memory_bytes"] = properties.total_memory
        found["cuda_multiprocessors"] = properties.multi_processor_count
        found["cuda_runtime"] = torch.version.cuda
    return found


def describe_machine() -> dict:
    """What a measured figure depends on, in one: `hardware` and `versions`."""
    return hardware() | versions()


def cores() -> int:
    """Cores that this process may use."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # macOS does not tell
        return len(process.cpu_affinity())
    return psutil.cpu_count() or 1


def _processor() -> str | None:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
            return next(names, None)
    except OSError:
        return None


def _vectors() -> list[str] | None:
    try:
        import llvmlite.binding as llvm

        features = llvm.get_host_cpu_features()
    except (ImportError, RuntimeError):
        return None
    return [name for name in ("avx2", "avx512f", "neon", "sve") if features.get(name)]
