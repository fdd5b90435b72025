"""Temporary folders of runs and engines, which hold scans and have to go.

Windows removes no file that another process has open, such as an engine that is being killed. What
is left over is tried again, without the window waiting for it.
"""

from __future__ import annotations

import shutil
import time
from functools import partial
from pathlib import Path

import qt

_PAUSE_MS = 500
_ATTEMPTS = 20
_LAST_SECONDS = 1.0
_ABANDONED_SECONDS = 24 * 3600
"""No run takes so long; what is older is of an application that did not live to remove it."""

_left: set[Path] = set()


def removeFolder(folder: str | Path, attempts: int = _ATTEMPTS) -> None:
    """Remove a folder with all that is in it, at once or as soon as that goes."""
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        _left.discard(folder)
        return
    _left.add(folder)
    if attempts > 0:
        qt.QTimer.singleShot(_PAUSE_MS, partial(removeFolder, folder, attempts - 1))


def removeAbandoned(base: Path, beginning: str) -> None:
    """Remove old folders of runs whose application crashed, or could not remove them at its end."""
    for folder in base.glob(f"{beginning}*"):
        try:
            idle = time.time() - folder.stat().st_mtime
        except OSError:  # another application has just removed it
            continue
        if idle > _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def removeLeft() -> None:
    """Remove what was left over, before the application ends and no timer fires any more."""
    until = time.monotonic() + _LAST_SECONDS
    while _left and time.monotonic() < until:
        for folder in list(_left):
            removeFolder(folder, attempts=0)
        if _left:
            time.sleep(0.05)
