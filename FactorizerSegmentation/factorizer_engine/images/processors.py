"""How many processors there are for this process."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from factorizer_engine.images.memory import control_groups

_ROOTS = {2: Path("/sys/fs/cgroup"), 1: Path("/sys/fs/cgroup/cpu")}
"""Folders of a Linux container's limits, by the version of control groups."""


def usable_processors() -> int:
    """Processors that this process may use at once, at least 1.

    Those that it is bound to, or fewer where its container or job is given less of their time than
    it is shown.
    """
    return max(1, min([_bound(), *_quotas()]))


def limit_threads() -> None:
    """Make libraries start no more threads than there is processor time for.

    They know what the process is bound to, but not what its container is given. It counts for those
    that are loaded afterwards, and a number that the user has set stays.
    """
    usable = usable_processors()
    if usable < _bound():
        os.environ.setdefault("OMP_NUM_THREADS", str(usable))


def _bound() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # Windows, macOS


def _quotas() -> Iterator[int]:
    """What each limit allows, in whole processors, rounded up."""
    folders = [*_ROOTS.items()]
    folders += [(version, _ROOTS[version] / group) for version, group in control_groups("cpu")]
    for version, folder in folders:
        try:
            if version == 2:
                quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
            else:
                names = "cpu.cfs_quota_us", "cpu.cfs_period_us"
                quota, period = ((folder / n).read_text(encoding="utf-8") for n in names)
            share = int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
            continue
        if share > 0:  # -1 is no limit
            yield math.ceil(share)
