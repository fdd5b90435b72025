"""How much memory is left on the host."""

from __future__ import annotations

from collections.abc import Iterator
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


_MEMBERSHIP = Path("/proc/self/cgroup")
"""Says in which control groups this process is, such as that of a job on a cluster."""


def available_memory() -> int:
    """Bytes that this process can still take; limits of its container or job count too."""
    amounts = [psutil.virtual_memory().available, *_left_of_limits()]
    amounts += [_left_in_container(*files) for files in (*_CGROUPS, *_own_groups())]
    return min(amount for amount in amounts if amount is not None)


def control_groups(controller: str) -> Iterator[tuple[int, Path]]:
    """The groups of this process for a controller, and those around them.

    Yields:
        The version of control groups (1 or 2), and the path below the controller's folder.
    """
    try:
        lines = _MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for number, controllers, path in (line.split(":", 2) for line in lines if line.count(":") > 1):
        if number != "0" and controller not in controllers.split(","):
            continue
        group = Path(path.lstrip("/"))
        for inner in (group, *group.parents):
            if inner.name:
                yield 2 if number == "0" else 1, inner


def _own_groups() -> Iterator[tuple[str, str]]:
    """Files as in `_CGROUPS` of the groups of this process and of those around them."""
    for version, group in control_groups("memory"):
        files = _CGROUPS[0] if version == 2 else _CGROUPS[-1]
        limit, usage = (str(Path(file).parent / group / Path(file).name) for file in files)
        yield limit, usage


def _left_of_limits() -> Iterator[int]:
    """Bytes under the limits of the process itself (`ulimit -v` and `-d`), where it has any."""
    try:
        import resource
    except ImportError:  # Windows
        return
    used = psutil.Process().memory_info()
    limits = ((resource.RLIMIT_AS, used.vms), (resource.RLIMIT_DATA, getattr(used, "data", 0)))
    for kind, taken in limits:
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            yield max(limit - taken, 0)


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
