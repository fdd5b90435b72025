"""Which models are installed."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.tasks.task import Task


@dataclass(frozen=True)
class ModelsParams(Message):
    """Folders to search besides the usual ones."""

    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelsResult(Message):
    """The installed models, by name."""

    models: tuple[ModelDescription, ...]


MODELS = Task("models", ModelsParams, ModelsResult)
