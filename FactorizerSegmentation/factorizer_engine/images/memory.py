"""How much memory is left, without further packages."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available_memory() -> int | None:
    """Bytes that this process can still take, or None where the system does not tell.

    On Linux the limit of the container counts too.
    """
    if sys.platform == "linux":
        amounts = [_linux_available(), *(_container_available(*files) for files in _CGROUPS)]
        known = [amount for amount in amounts if amount is not None]
        return min(known) if known else None
    if sys.platform == "win32":
        return _windows_available()
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _linux_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _container_available(limit_file: str, usage_file: str) -> int | None:
    try:
        limit = int(Path(limit_file).read_text())
        usage = int(Path(usage_file).read_text())
    except (OSError, ValueError):
        return None
    return max(limit - usage, 0)


def _windows_available() -> int | None:
    if sys.platform != "win32":  # elsewhere ctypes has no windll
        return None

    class MemoryStatus(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            ("total_physical", ctypes.c_ulonglong),
            ("available_physical", ctypes.c_ulonglong),
            ("rest", ctypes.c_ulonglong * 5),
        ]

    status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.available_physical)
