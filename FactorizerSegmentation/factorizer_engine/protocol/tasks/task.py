"""What a task is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from factorizer_engine.protocol.messages import Message

Params = TypeVar("Params", bound=Message)
Result = TypeVar("Result", bound=Message)


@dataclass(frozen=True)
class Task(Generic[Params, Result]):
    """Something that the engine can be asked to do.

    Attributes:
        name: As it stands on the wire, and what the files about it are called.
        params: What it is given.
        result: What it gives.
    """

    name: str
    params: type[Params]
    result: type[Result]


@dataclass(frozen=True)
class Nothing(Message):
    """The parameters or the result of a task that has none."""
