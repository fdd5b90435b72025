"""Make a model ready, so that the next run starts at once."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.protocol.tasks.task import Task


@dataclass(frozen=True)
class LoadModelResult(Message):
    """The model that was meant, and the device on which it is ready."""

    model: ModelDescription
    device: str


LOAD_MODEL = Task("load_model", ModelChoice, LoadModelResult)
