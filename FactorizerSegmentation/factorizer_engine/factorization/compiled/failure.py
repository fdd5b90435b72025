"""When the kernels are not to be used any more in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)
_failed = False


class KernelError(RuntimeError):
    """A kernel raised something; what it was to write is not to be used."""


def have_failed() -> bool:
    """Whether torch's form is to be taken."""
    return _failed


def give_up(reason: str | Exception) -> None:
    """Take torch's form from now on, and say so once."""
    global _failed
    if isinstance(reason, Exception):
        first_line = next(iter(str(reason).splitlines()), "")
        reason = f"{type(reason).__name__}: {first_line}"
    if not _failed:
        _log.warning("The compiled kernels cannot be used here (%s); using PyTorch's form.", reason)
    _failed = True


@contextmanager
def guarded() -> Iterator[None]:
    """Give up where a kernel that is run in here fails.

    Raises:
        KernelError: Instead of whatever the kernel raised, but for a lack of memory.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        give_up(error)
        raise KernelError(str(error)) from error
