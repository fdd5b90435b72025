"""Turns whatever goes wrong into one plain sentence.

Standard library only, so that a failing import of a heavy package can be reported too.
"""

from __future__ import annotations

import errno
import sys
import traceback

from factorizer_engine.protocol.errors import (
    BadInputError,
    CancelledError,
    EngineError,
    EngineMemoryError,
    InternalError,
)

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NO_ACCESS = {errno.EACCES, errno.EPERM, errno.EROFS}
NO_MEMORY = {errno.ENOMEM}
TOO_MANY_FILES = {errno.EMFILE, errno.ENFILE}
NO_DISK = {
    getattr(errno, name)
    for name in ("EIO", "ENODEV", "ENXIO", "ESTALE", "ENOTCONN", "EHOSTDOWN", "ETIMEDOUT")
    if hasattr(errno, name)  # not all systems have all of them
}

# How torch words it: CUDA and MPS, the host's allocator, and the two CUDA libraries. On a card that
# is full cuBLAS does not begin, and cuDNN finds no way to compute for which there is room.
_MEMORY_PHRASES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "alloc_failed",
    "allocation_failed",
    "cublas_status_not_initialized",
    "unable to find an engine to execute",
)

_FAILED_CARD = "cuda error"

# How pathlib words it.
_NO_HOME = "home directory"

_OPEN_ELSEWHERE = {32, 33}
"""Windows' numbers for a file that another program has open or locked."""

_LONGEST_PATH = 259 if sys.platform == "win32" else 4095
_LONGEST_SHOWN = 60
"""Letters of a name that is too long."""


def as_engine_error(error: BaseException) -> EngineError:
    """The error to show for `error`; an `EngineError` is returned as it is.

    Memory, disk and permission troubles get their own sentence. Everything else is a defect: its
    traceback goes to the details, never into the message.
    """
    if isinstance(error, EngineError):
        return error
    if _was_interrupted(error):
        return CancelledError()
    details = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if _is_out_of_memory(error):
        return EngineMemoryError(
            "Memory ran out; close other programs, choose a smaller overlap or use another device.",
            details,
        )
    if isinstance(error, RuntimeError) and _FAILED_CARD in str(error).lower():
        return InternalError(
            "The graphics card failed while it computed; try again, update its driver, or choose "
            "the device 'cpu'.",
            details,
        )
    if isinstance(error, OSError):
        message = _file_message(error)
        if message:
            return BadInputError(message, details)
    if isinstance(error, RuntimeError) and _NO_HOME in str(error):
        return BadInputError(
            "The home folder that '~' stands for in a path is unknown; write the path out.", details
        )
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return InternalError(
            f"The Python package '{package}' that the engine needs is not installed.", details
        )
    return InternalError(
        f"The engine failed with an unexpected {type(error).__name__}; the log has the details.",
        details,
    )


def _was_interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C is behind the error: code that is interrupted may fail in its own way."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno in NO_MEMORY
    if type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in text for phrase in _MEMORY_PHRASES)


def _file_message(error: OSError) -> str:
    place = f"'{error.filename}'" if error.filename else "the output folder"
    if error.errno in NO_SPACE:
        return f"There is no space left to write {place}; free some space or choose another folder."
    if getattr(error, "winerror", None) in _OPEN_ELSEWHERE:
        return f"{place} is open in another program; close it there, and try again."
    if error.errno in NO_ACCESS:
        return f"There is no permission to use {place}; choose another place."
    if error.errno == errno.ENAMETOOLONG or len(f"{error.filename or ''}") > _LONGEST_PATH:
        shown = f"{error.filename or ''}"[:_LONGEST_SHOWN]
        return f"The name '{shown}...' is too long for this computer; give a shorter one."
    if error.errno == errno.EINVAL and error.filename:
        return f"{place} cannot be a name on this computer; leave out characters such as : ? and *."
    if error.errno in TOO_MANY_FILES:
        return "Too many files are open; raise the limit (ulimit -n), or close other programs."
    if error.errno in NO_DISK:
        return f"The disk or network drive of {place} does not answer; look whether it is there."
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{place} does not exist."
    if isinstance(error, (NotADirectoryError, IsADirectoryError, FileExistsError)):
        return f"{place} cannot be used, because a file or folder of that name is in the way."
    return ""
