"""Where an engine runs: on this computer, or on another one that ssh reaches.

The Slicer process imports this file: standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from factorizer_engine.protocol.errors import BadInputError

_ADDRESS = re.compile(r"(?:[\w.+-]+@)?\w[\w.-]*")
_LINE_BREAKS = re.compile(r"[\r\n\0]")


@dataclass(frozen=True)
class Machine:
    """Another machine.

    Attributes:
        address: USER@HOST, or a host of ssh's own configuration.
        program: The `factorizer` command there.
    """

    address: str
    program: str = "factorizer"

    @classmethod
    def named(cls, text: str) -> Machine:
        """The machine that a user calls "USER@HOST" or "USER@HOST:PROGRAM".

        Raises:
            BadInputError: If that is no address.
        """
        address, mark, program = text.strip().partition(":")
        if not _ADDRESS.fullmatch(address) or (mark and not program.strip()):
            raise BadInputError(
                f"'{text}' is no address of a machine; write user@host, or user@host:PROGRAM if "
                "the command 'factorizer' is not on the path there."
            )
        if _LINE_BREAKS.search(program):
            raise BadInputError("The program on another machine has to be named on one line.")
        return cls(address, program.strip() or cls.program)

    def __str__(self) -> str:
        return self.address if self.program == "factorizer" else f"{self.address}:{self.program}"


def engine_arguments(machine: Machine | None = None) -> list[str]:
    """What Python has to be started with to be an engine, here or on another machine."""
    if machine is None:
        return ["-m", "factorizer_engine.service.worker"]
    return ["-m", "factorizer_engine.service.remote", str(machine)]
