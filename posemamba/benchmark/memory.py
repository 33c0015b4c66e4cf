"""How much more memory something takes at its peak."""

import ctypes
import gc
import os
import sys

import torch


class Peak:
    """Within it, the largest memory in use, over what was in use when it began.

    On a CUDA device this is what torch's allocator handed out. On a CPU it is the process's resident memory,
    so only a process that does nothing else gives a figure that means something: see `isolated`.

    Attributes:
        bytes: the peak over the beginning; set at the end.
        method: how it was found. "resident" is exact; "highest" misses what stays below an earlier peak.
    """

    def __init__(self, device: str = "cpu"):
        self.cuda = torch.device(device).type == "cuda"
        self.bytes: int = 0

    def __enter__(self) -> "Peak":
        gc.collect()
        if self.cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.method, self._before = "allocated", torch.cuda.memory_allocated()
        else:
            self.method = "resident" if _reset() else "highest"
            self._before = _resident() if self.method == "resident" else _highest()
        return self

    def __exit__(self, *_) -> None:
        if self.cuda:
            torch.cuda.synchronize()
            after = torch.cuda.max_memory_allocated()
        else:
            after = _highest()
        self.bytes = max(0, after - self._before)


def _status(name: str) -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def _reset() -> bool:
    """Make the kernel forget the highest resident memory so far; only Linux can."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        _status("VmHWM")
    except OSError:
        return False
    return True


def _resident() -> int:
    return _status("VmRSS")


def _highest() -> int:
    """The highest resident memory since the start, or the reset."""
    if sys.platform == "win32":
        return _highest_on_windows()
    try:
        return _status("VmHWM")
    except OSError:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _highest_on_windows() -> int:
    class Counters(ctypes.Structure):
        _fields_ = (
            ("cb", ctypes.c_uint32),
            ("PageFaultCount", ctypes.c_uint32),
            ("PeakWorkingSetSize", ctypes.c_size_t),
            *((f"other{i}", ctypes.c_size_t) for i in range(7)),
        )

    counters = Counters(cb=ctypes.sizeof(Counters))
    kernel = ctypes.WinDLL("kernel32")
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    kernel.K32GetProcessMemoryInfo.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32)
    kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb)
    return counters.PeakWorkingSetSize


def available(device: str = "cpu") -> int | None:
    """Bytes that can still be taken; None where the system does not say."""
    if torch.device(device).type == "cuda":
        kept_by_torch = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return torch.cuda.mem_get_info()[0] + kept_by_torch
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            found = dict(line.split(":") for line in lines)
        return int(found["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
