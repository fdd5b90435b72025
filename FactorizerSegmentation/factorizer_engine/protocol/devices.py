"""What can compute."""

from __future__ import annotations

import re
from dataclasses import dataclass

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.messages import Message

_NAMES = re.compile(r"auto|(cpu|mps)(:0)?|cuda(:[0-9]{1,3})?")


@dataclass(frozen=True)
class Device(Message):
    """A device to compute on; memory in bytes, None where it cannot be told."""

    name: str
    title: str
    memory_total: int | None = None
    memory_free: int | None = None


def check_device_name(name: str) -> None:
    """Make sure that a device has a name which devices can have, whether it is here or not.

    Raises:
        BadInputError: If it has not.
    """
    if not _NAMES.fullmatch(name):
        raise BadInputError(
            f"'{name}' is not a known device; choose 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'."
        )
