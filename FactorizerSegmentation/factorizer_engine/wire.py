"""How messages travel: one JSON object per line, checked on arrival.

A request carries an id, the name of a method and its parameters:

    {"id": 1, "method": "segment", "params": {...}}

It is answered by any number of progress events and exactly one reply:

    {"id": 1, "event": "progress", "stage": "segmenting", "fraction": 0.4, "remaining": 12.5}
    {"id": 1, "result": {...}}
    {"id": 1, "error": {"kind": "bad_input", "message": "One sentence.", "details": ""}}

A line without a readable id is answered with an error whose id is null.

The Slicer process imports this file: standard library and numpy only.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from factorizer_engine.errors import (
    BadInputError,
    BadModelError,
    CancelledError,
    EngineError,
    EngineMemoryError,
    InternalError,
)
from factorizer_engine.monitor import Progress

ERROR_TYPES: dict[str, type[EngineError]] = {
    error.kind: error
    for error in (BadInputError, BadModelError, EngineMemoryError, CancelledError, InternalError)
}

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


class Message:
    """Base of the dataclasses that travel as JSON objects."""

    def to_dict(self) -> dict[str, Any]:
        """The message as dicts, lists, strings and numbers."""
        return _plain(self)

    @classmethod
    def from_dict(cls: type[MessageType], data: Any) -> MessageType:
        """Build the message from decoded JSON, checking every field.

        Raises:
            ProtocolError: If a field is missing, unknown or of another type.
            BadInputError: If a value is of the right type but out of range.
        """
        return _parse(cls, data, cls.__name__)


@dataclass(frozen=True)
class Request:
    """Asks the engine to do something."""

    id: int
    method: str
    params: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        return encode_line({"id": self.id, "method": self.method, "params": self.params})

    @classmethod
    def decode(cls, line: bytes | str) -> Request:
        """Read one line.

        Raises:
            ProtocolError: If it is not a request.
        """
        data = decode_line(line)
        request_id = data.get("id")
        if not _is_integer(request_id):
            raise ProtocolError("The engine was sent a request without an id.")
        method, params = data.get("method"), data.get("params", {})
        if not isinstance(method, str) or not isinstance(params, dict):
            raise ProtocolError(
                "The engine was sent a request without a method or parameters.",
                request_id=request_id,
            )
        return cls(request_id, method, params)


@dataclass(frozen=True)
class ProgressEvent:
    """How far the request `id` has come."""

    id: int
    progress: Progress

    def encode(self) -> bytes:
        progress = dataclasses.asdict(self.progress)
        return encode_line({"id": self.id, "event": "progress", **progress})


@dataclass(frozen=True)
class Reply:
    """Ends the request `id`, with a result or with an error."""

    id: int | None
    result: dict[str, Any] | None = None
    error: EngineError | None = None

    def encode(self) -> bytes:
        if self.error is None:
            return encode_line({"id": self.id, "result": self.result or {}})
        error = {
            "kind": self.error.kind,
            "message": str(self.error),
            "details": self.error.details,
        }
        return encode_line({"id": self.id, "error": error})


def decode_answer(line: bytes | str) -> ProgressEvent | Reply:
    """Read one line that an engine wrote.

    Raises:
        ProtocolError: If it is neither progress nor a reply.
    """
    data = decode_line(line)
    request_id = data.get("id")
    if request_id is not None and not _is_integer(request_id):
        raise ProtocolError("The engine answered without an id.")
    if data.get("event") == "progress" and request_id is not None:
        known = {name: data.get(name) for name in ("stage", "fraction", "remaining")}
        return ProgressEvent(request_id, _parse(Progress, known, "progress"))
    if isinstance(data.get("error"), dict):
        return Reply(request_id, error=_parse_error(data["error"]))
    if isinstance(data.get("result"), dict):
        return Reply(request_id, result=data["result"])
    raise ProtocolError("The engine answered with neither a result nor an error.")


def encode_line(data: Mapping[str, Any]) -> bytes:
    """One JSON object as a line of UTF-8, newline included."""
    return json.dumps(_plain(data), separators=(",", ":")).encode("utf-8") + b"\n"


def decode_line(line: bytes | str) -> dict[str, Any]:
    """The JSON object on a line.

    Raises:
        ProtocolError: If there is none.
    """
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("A line of the engine protocol is not JSON.", repr(error)) from error
    if not isinstance(data, dict):
        raise ProtocolError("A line of the engine protocol is not a JSON object.")
    return data


def _parse_error(data: dict[str, Any]) -> EngineError:
    error_type = ERROR_TYPES.get(data.get("kind"), InternalError)
    message = data.get("message") or "The engine failed without saying why."
    return error_type(str(message), str(data.get("details") or ""))


def _plain(value: Any) -> Any:
    """`value` in types that json knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    return value


def _parse(kind: Any, data: Any, where: str) -> Any:
    """`data`, decoded from JSON, as the annotated type `kind`; `where` names it in errors."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _parse_dataclass(kind, data, where)
    if origin in (typing.Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _parse(inner, data, where)
    if origin is tuple and isinstance(data, (list, tuple)):
        return _parse_tuple(arguments, data, where)
    if origin is dict and isinstance(data, dict):
        return {key: _parse(arguments[1], item, f"{where}.{key}") for key, item in data.items()}
    if kind is float and _is_number(data):
        return float(data)
    if kind is int and _is_integer(data):
        return data
    if kind in (str, bool) and isinstance(data, kind):
        return data
    raise ProtocolError(f"The engine protocol has an unexpected value at '{where}'.", repr(data))


def _parse_dataclass(kind: type, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise ProtocolError(f"The engine protocol has no object at '{where}'.", repr(data))
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name in data:
        if name not in fields:
            raise ProtocolError(f"The engine protocol does not know '{where}.{name}'.")
    values = {}
    for name, f in fields.items():
        if name in data:
            values[name] = _parse(hints[name], data[name], f"{where}.{name}")
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise ProtocolError(f"The engine protocol lacks '{where}.{name}'.")
    return kind(**values)


def _parse_tuple(arguments: tuple, data: typing.Sequence[Any], where: str) -> tuple:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(data)
    if len(arguments) != len(data):
        raise ProtocolError(f"The engine protocol has a list of the wrong length at '{where}'.")
    pairs = enumerate(zip(arguments, data, strict=True))
    return tuple(_parse(kind, item, f"{where}[{i}]") for i, (kind, item) in pairs)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
