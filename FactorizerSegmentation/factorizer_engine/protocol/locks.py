"""Places that one process at a time may work in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factorizer_engine.protocol.errors import BadInputError


@contextmanager
def held(lock_file: Path, busy: str) -> Iterator[None]:
    """Keep other processes out; the operating system lets them in again, however this one ends.

    Where a file system cannot lock, nobody is kept out.

    Args:
        lock_file: Is made if need be, and stays.
        busy: What to tell where another one is in.

    Raises:
        BadInputError: If another one is in.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise BadInputError(busy) from error
    except OSError:
        pass  # not every file system can lock
    try:
        yield
    finally:
        lock.release()
