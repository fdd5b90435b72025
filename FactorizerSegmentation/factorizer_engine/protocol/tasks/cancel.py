"""Stop another request."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.tasks.task import Task


@dataclass(frozen=True)
class CancelParams(Message):
    """The id of the request to stop."""

    id: int


@dataclass(frozen=True)
class CancelResult(Message):
    """Whether there was such a request to stop."""

    cancelled: bool


CANCEL = Task("cancel", CancelParams, CancelResult)
