"""What the engine is made of, and what it can compute on."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.devices import Device
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.tasks.task import Nothing, Task


@dataclass(frozen=True)
class HelloResult(Message):
    """The engine; the first of the devices is the one that "auto" chooses.

    Attributes:
        engine: Version of the engine.
        versions: Of Python and of the packages that matter, by name.
        devices: What it can compute on.
    """

    engine: str
    versions: dict[str, str]
    devices: tuple[Device, ...]


HELLO = Task("hello", Nothing, HelloResult)
