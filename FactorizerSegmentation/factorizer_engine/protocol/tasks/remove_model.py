"""Delete a model from the user's models folder."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.tasks.task import Nothing, Task


@dataclass(frozen=True)
class RemoveModelParams(Message):
    """Which model."""

    name: str


REMOVE_MODEL = Task("remove_model", RemoveModelParams, Nothing)
