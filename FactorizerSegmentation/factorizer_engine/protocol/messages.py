"""Dataclasses that travel as JSON objects, checked field by field on arrival."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import numpy as np

from factorizer_engine.protocol.errors import InternalError

MessageType = TypeVar("MessageType", bound="Message")


class ProtocolError(InternalError):
    """A message breaks the protocol, which is a defect of a program and not of the user's input.

    Args:
        message: One sentence.
        details: Technical background.
        request_id: The request that is wrong, if that much could be read.
    """

    def __init__(self, message: str, details: str = "", request_id: int | None = None) -> None:
        super().__init__(message, details)
        self.request_id = request_id


class UnfitValueError(ValueError):
    """Data that are not what a type wants.

    Args:
        place: Where, such as "channels[0].name".
        reason: What is wrong there, to follow the place in a sentence.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place} {reason}")


class Message:
    """Base of the dataclasses that travel as JSON objects."""

    def to_dict(self) -> dict[str, Any]:
        """The message as dicts, lists, strings and numbers."""
        return plain(self)

    @classmethod
    def from_dict(cls: type[MessageType], data: Any) -> MessageType:
        """Build the message from decoded JSON, checking every field.

        Raises:
            ProtocolError: If a field is missing, unknown or of another type.
            BadInputError: If a value is of the right type but out of range.
        """
        try:
            return parse(cls, data, cls.__name__)
        except UnfitValueError as error:
            raise ProtocolError(f"In the engine protocol {error}.", repr(data)) from error


def plain(value: Any) -> Any:
    """`value` in types that json knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    return value


def parse(kind: Any, data: Any, place: str) -> Any:
    """`data`, decoded from JSON, as the annotated type `kind`; `place` names it in errors.

    Raises:
        UnfitValueError: If a field is missing, unknown or of another type.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _parse_dataclass(kind, data, place)
    if origin in (typing.Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return parse(inner, data, place)
    if origin is tuple and isinstance(data, (list, tuple)):
        return _parse_tuple(arguments, data, place)
    if origin is dict and isinstance(data, dict):
        return {key: parse(arguments[1], item, f"{place}.{key}") for key, item in data.items()}
    if kind is float and _is_number(data):
        return float(data)
    if kind is int and is_integer(data):
        return data
    if kind in (str, bool) and isinstance(data, kind):
        return data
    if kind is Path and isinstance(data, (str, Path)):
        return Path(data)
    raise UnfitValueError(place, "has an unexpected value")


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether decoded JSON is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _parse_dataclass(kind: type, data: Any, place: str) -> Any:
    if not isinstance(data, dict):
        raise UnfitValueError(place, "is no object")
    hints = _hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name in data:
        if name not in fields:
            raise UnfitValueError(f"{place}.{name}", "is unknown")
    values = {}
    for name, f in fields.items():
        if name in data:
            values[name] = parse(hints[name], data[name], f"{place}.{name}")
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise UnfitValueError(f"{place}.{name}", "is missing")
    return kind(**values)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields; working them out takes longer than parsing."""
    return typing.get_type_hints(kind)


def _parse_tuple(arguments: tuple, data: typing.Sequence[Any], place: str) -> tuple:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(data)
    if len(arguments) != len(data):
        raise UnfitValueError(place, "is a list of the wrong length")
    pairs = enumerate(zip(arguments, data, strict=True))
    return tuple(parse(kind, item, f"{place}[{i}]") for i, (kind, item) in pairs)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
