"""Which strings of a message name files, so that they can travel along with it.

The annotated types below stand in messages in the place of `str`. Standard library only.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Callable, Hashable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from factorizer_engine.protocol.messages import Message

AnyMessage = TypeVar("AnyMessage", bound=Message)


class Place(Enum):
    """What a name stands for."""

    content = "content"
    """A file or folder whose content is meant."""
    model = "model"
    """The same of a model; in a request it may be a name, too, that is no path."""
    results = "results"
    """An existing folder that files are written to."""
    page = "page"
    """A file that is written, and others beside it; "" if none is wanted."""


ContentPath = Annotated[str, Place.content]
ModelName = Annotated[str, Place.model]
ModelPath = Annotated[Path, Place.model]
ResultsFolder = Annotated[str, Place.results]
PagePath = Annotated[str, Place.page]


def moved(message: AnyMessage, move: Callable[[Place, str], str]) -> AnyMessage:
    """The message with other names of its files.

    Args:
        message: Any message.
        move: Gets what a name stands for, and the name; returns the other one.
    """
    changes: dict[str, Any] = {}
    kinds: dict[str, Any] = _kinds(cast(Hashable, type(message)))
    for name, kind in kinds.items():
        value = getattr(message, name)
        place = _place(kind)
        other = type(value)(move(place, str(value))) if place else _moved_inside(value, move)
        if other is not value:
            changes[name] = other
    return dataclasses.replace(cast(Any, message), **changes) if changes else message


def _moved_inside(value: Any, move: Callable[[Place, str], str]) -> Any:
    if isinstance(value, Message):
        return moved(value, move)
    if isinstance(value, tuple):
        items = tuple(_moved_inside(item, move) for item in value)
        return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    if isinstance(value, Mapping):
        return {key: _moved_inside(item, move) for key, item in value.items()}
    return value


def _place(kind: Any) -> Place | None:
    found = (item for item in getattr(kind, "__metadata__", ()) if isinstance(item, Place))
    return next(found, None)


@functools.cache
def _kinds(message: type) -> dict[str, Any]:
    hints = typing.get_type_hints(message, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(message)}
