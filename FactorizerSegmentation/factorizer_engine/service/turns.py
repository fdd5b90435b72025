"""Engines on one computer take turns at a graphics card, so that none runs another out of memory.

A turn is a lock on a file that the operating system lets go of with its holder, however that ends.
A second file says who it is.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from factorizer_engine.protocol.locations import turns_dir
from factorizer_engine.protocol.progress import Monitor

if TYPE_CHECKING:
    import torch

_POLL_SECONDS = 0.1
_EVERYBODY = 0o666
"""Engines of all users take turns with each other."""

_log = logging.getLogger(__name__)


class Turn:
    """The turn at one device at a time, of this process."""

    def __init__(self) -> None:
        self._lock: FileLock | None = None
        self._name = ""

    def take(self, name: str, monitor: Monitor, patience: float | None) -> bool:
        """Wait for the turn, and say so.

        Args:
            name: Of the device, see `name_of`; "" needs no turn.
            monitor: Is told what is waited for.
            patience: Seconds to wait at most; None waits as long as it takes.

        Returns:
            Whether it is this process's turn. Where there is no place for the files nobody waits.

        Raises:
            CancelledError: If the user does not want to wait.
        """
        if name == self._name:
            return True
        self.give_back()
        if not name:
            return True
        try:
            lock = _lock_of(name)
            began = time.monotonic()
            while not _taken(lock):
                if patience is not None and time.monotonic() - began > patience:
                    return False
                monitor.report(f"waiting for the graphics card, {_holder(name)}", 0.0)
                time.sleep(_POLL_SECONDS)
            _sign(name)
        except OSError as error:
            _log.warning("Without a turn at %s: %s", name, error)
            return True
        self._lock, self._name = lock, name
        return True

    def give_back(self) -> None:
        """Let the next one have it, with the memory that torch keeps for later."""
        lock, self._lock, self._name = self._lock, None, ""
        if lock is None:
            return
        _release_memory()
        lock.release()


def name_of(device: torch.device) -> str:
    """What a device is called among all processes of this computer; "" if it needs no turns.

    The number of a CUDA device is not the same for all, since a process may be shown some only.
    """
    if device.type == "cpu":
        return ""
    if device.type != "cuda":
        return device.type
    import torch

    properties = torch.cuda.get_device_properties(device)
    return f"cuda-{getattr(properties, 'uuid', device.index or 0)}"


def _release_memory() -> None:
    if "torch" in sys.modules:  # nothing was computed without
        import torch

        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _lock_of(name: str) -> FileLock:
    folder = turns_dir()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        folder.chmod(0o777)
    except OSError:
        pass  # another user has made it
    return FileLock(folder / f"{name}.lock", mode=_EVERYBODY)


def _taken(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _holder_file(name: str) -> Path:
    """Not the locked file itself, which others cannot read on Windows."""
    return turns_dir() / f"{name}.holder"


def _sign(name: str) -> None:
    """Say who holds the turn; in a folder where everybody writes, links are not followed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(_holder_file(name), flags, _EVERYBODY), "wb") as file:
        file.write(b"%d" % os.getpid())


def _holder(name: str) -> str:
    try:
        return f"which process {int(_holder_file(name).read_text(encoding='utf-8'))} uses"
    except (OSError, ValueError):
        return "which another process uses"
