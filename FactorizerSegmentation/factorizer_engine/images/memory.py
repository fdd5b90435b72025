"""How much memory is left on the host."""

from __future__ import annotations

from pathlib import Path

import psutil

_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)
"""Files with the limit and the use of a Linux container, in the two ways that there are."""

_FILE_LISTS = ("inactive_file", "active_file")
"""Pages of the page cache, which the kernel gives back before a process goes short of memory."""


def available_memory() -> int:
    """Bytes that this process can still take; the limit of its container counts too."""
    amounts = [psutil.virtual_memory().available]
    amounts += [_left_in_container(*files) for files in _CGROUPS]
    return min(amount for amount in amounts if amount is not None)


def _left_in_container(limit_file: str, usage_file: str) -> int | None:
    try:
        limit = int(Path(limit_file).read_text(encoding="utf-8"))
        usage = int(Path(usage_file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    cache = min(_page_cache(Path(usage_file).with_name("memory.stat")), usage)
    return max(limit - (usage - cache), 0)


def _page_cache(file: Path) -> int:
    """Bytes of the container's use that only keep files at hand.

    The first version of control groups counts those of the groups inside apart, under `total_`.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        counts = dict(line.split(maxsplit=1) for line in lines)
        return sum(int(counts.get(f"total_{name}", counts.get(name, 0))) for name in _FILE_LISTS)
    except (OSError, ValueError):
        return 0
