"""Errors that a user is meant to read.

Every error carries one plain sentence (`str(error)`) and, separately, details for the log. `kind`
is the name that travels through the engine protocol.
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of all errors that the engine reports.

    Args:
        message: One sentence that says what is wrong and what to do about it.
        details: Technical background for the log, such as an original traceback.
    """

    kind = "internal"

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class BadInputError(EngineError):
    """The scans, options or output folder given by the user cannot be used."""

    kind = "bad_input"


class BadModelError(EngineError):
    """A model bundle or checkpoint is incomplete, damaged or refused."""

    kind = "bad_model"


class EngineMemoryError(EngineError):
    """Host or device memory does not suffice."""

    kind = "out_of_memory"


class CancelledError(EngineError):
    """The user asked to stop."""

    kind = "cancelled"

    def __init__(self, message: str = "The run was cancelled.", details: str = "") -> None:
        super().__init__(message, details)


class MachineError(EngineError):
    """Another machine cannot be reached, was lost, or has no engine that can be used."""

    kind = "machine"


class InternalError(EngineError):
    """A defect of the engine itself."""

    kind = "internal"


class EngineStartError(InternalError):
    """The engine process cannot be started."""

    kind = "not_started"


class EngineCrashError(InternalError):
    """The engine process ended without being asked to."""

    kind = "crashed"


class OtherVersionError(InternalError):
    """The engine speaks another version of the protocol."""

    kind = "other_version"
