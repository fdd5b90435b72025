"""What can compute."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.messages import Message


@dataclass(frozen=True)
class Device(Message):
    """A device to compute on; memory in bytes, None where it cannot be told."""

    name: str
    title: str
    memory_total: int | None = None
    memory_free: int | None = None
