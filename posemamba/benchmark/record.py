"""What a measured figure must carry: command, date, commit, hardware, versions, seed, threads."""

import datetime
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import torch

import posemamba
from posemamba.benchmark.cases import Settings, cores
from posemamba.training import describe_machine

_LIBRARIES = ("torch", "numba", "llvmlite", "triton", "numpy", "mambapy", "mamba-ssm", "timm")


def head(settings: Settings, command: list[str]) -> dict:
    """The beginning of the record, before anything is measured."""
    from posemamba.benchmark import peers

    return {
        "what": "posemamba benchmark",
        "command": command,
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "hardware": hardware(settings.device),
        "versions": versions(),
        "peers": [peers.describe(checkout) for checkout in settings.peers],
        "device": settings.device,
        "threads": settings.threads,
        "rounds": settings.rounds,
        "budget": settings.budget,
        "seed": settings.seed,
        "quick": settings.quick,
        "float32_matmul": torch.get_float32_matmul_precision(),
        "sections": {},
    }


def commit() -> str | None:
    """The commit of the checkout that this package lies in, marked where files differ from it; None where it
    is installed."""
    return described(Path(posemamba.__file__).resolve().parents[1])


def described(folder: Path) -> str | None:
    """The commit of a folder that is itself the top of a git repository, else None."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() or None

    top = git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != folder.resolve():
        return None
    return git("describe", "--always", "--dirty", "--abbrev=12")


def versions() -> dict[str, str | None]:
    """Of the libraries that decide speed; None where one is not installed."""
    found: dict[str, str | None] = {"posemamba": posemamba.__version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def hardware(device: str) -> dict:
    """`describe_machine`, with the processor's name, its vector instructions and the memory."""
    found = describe_machine() | {"cores": cores()}
    found["processor"] = _processor() or found["processor"]
    try:
        import llvmlite.binding as llvm

        features = llvm.get_host_cpu_features()
        wide = ("avx2", "avx512f", "neon", "sve")
        found["vectors"] = [name for name in wide if features.get(name)]
    except (ImportError, RuntimeError):
        found["vectors"] = None
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            found["memory_bytes"] = int(next(lines).split()[1]) * 1024
    except (OSError, ValueError):
        found["memory_bytes"] = None
    if device == "cuda":
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        found["cuda_memory_bytes"] = properties.total_memory
        found["cuda_multiprocessors"] = properties.multi_processor_count
        found["cuda_runtime"] = torch.version.cuda
    return found


def _processor() -> str | None:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
            return next(names, None)
    except OSError:
        return None
