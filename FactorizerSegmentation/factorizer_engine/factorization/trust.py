"""Whether kernels are used in this process: none that differs from torch, none that has failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import RLock

from factorizer_engine.protocol.errors import EngineMemoryError
from factorizer_engine.protocol.failures import as_engine_error

_log = logging.getLogger(__name__)


class KernelError(RuntimeError):
    """A kernel raised something; what it was to write is not to be used."""


class Trust:
    """What is known of one family of kernels in this process.

    Args:
        family: What they are called in the log, such as "compiled kernels".

    Attributes:
        failed: Whether torch's form is to be taken from now on.
        verdicts: By kind, whether kernels that were compared compute what torch does.
    """

    def __init__(self, family: str) -> None:
        self.failed = False
        self.verdicts: dict[Hashable, bool] = {}
        self._family = family
        self._lock = RLock()

    def covers(self, kind: Hashable, agrees: Callable[[], bool]) -> bool:
        """Whether kernels of a kind are used; the first question compares them with torch."""
        with self._lock:
            if kind not in self.verdicts and not self.failed:
                try:
                    self.verdicts[kind] = agrees()
                except Exception as error:  # whatever importing or compiling raises
                    if _is_lack_of_memory(error):
                        raise
                    self.give_up(error)
                else:
                    if not self.verdicts[kind]:
                        self.give_up("they do not compute what PyTorch does")
            return not self.failed and self.verdicts[kind]

    def give_up(self, reason: str | Exception) -> None:
        """Take torch's form from now on, and say so once."""
        if isinstance(reason, Exception):
            first_line = next(iter(str(reason).splitlines()), "")
            reason = f"{type(reason).__name__}: {first_line}"
        if not self.failed:
            _log.warning(
                "The %s cannot be used here (%s); using PyTorch's form.", self._family, reason
            )
        self.failed = True

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Give up where a kernel that is run in here fails.

        Raises:
            KernelError: Instead of whatever the kernel raised, but for a lack of memory.
        """
        try:
            yield
        except Exception as error:
            if _is_lack_of_memory(error):
                raise
            self.give_up(error)
            raise KernelError(str(error)) from error


def _is_lack_of_memory(error: Exception) -> bool:
    """Whether there would be nothing wrong with a kernel if there were more memory.

    Triton has no error of its own for that, and torch one only for what it allocates itself.
    """
    return isinstance(as_engine_error(error), EngineMemoryError)
