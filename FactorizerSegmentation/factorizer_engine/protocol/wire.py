"""How messages travel: one JSON object per line, checked on arrival.

The engine begins by saying who it is:

    {"event": "ready", "protocol": 4, "engine": "0.1.0", "pid": 4711}

A request carries an id, the name of a task and its parameters:

    {"id": 1, "method": "segment", "params": {...}}

It is answered by any number of progress events and exactly one reply:

    {"id": 1, "event": "progress", "stage": "segmenting", "fraction": 0.4, "remaining": 12.5}
    {"id": 1, "result": {...}}
    {"id": 1, "error": {"kind": "bad_input", "message": "One sentence.", "details": ""}}

A line without a readable id is answered with an error whose id is null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from factorizer_engine.protocol.errors import (
    BadInputError,
    BadModelError,
    CancelledError,
    EngineError,
    EngineMemoryError,
    InternalError,
    MachineError,
)
from factorizer_engine.protocol.messages import Message, ProtocolError, is_integer, plain
from factorizer_engine.protocol.progress import Progress

PROTOCOL_VERSION = 5
"""Raised with every change of a message: fields that one side does not know are refused."""

ERROR_TYPES: dict[str, type[EngineError]] = {
    error.kind: error
    for error in (
        BadInputError,
        BadModelError,
        EngineMemoryError,
        CancelledError,
        MachineError,
        InternalError,
    )
}


@dataclass(frozen=True)
class Greeting(Message):
    """What an engine says first: the version of its protocol, its own version, its process id."""

    protocol: int
    engine: str
    pid: int

    def encode(self) -> bytes:
        return encode_line({"event": "ready", **self.to_dict()})


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
        if not is_integer(request_id):
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
        return encode_line({"id": self.id, "event": "progress", **self.progress.to_dict()})


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


def decode_answer(line: bytes | str) -> Greeting | ProgressEvent | Reply:
    """Read one line that an engine wrote.

    Raises:
        ProtocolError: If it is no greeting, no progress and no reply.
    """
    data = decode_line(line)
    if data.get("event") == "ready":
        return Greeting.from_dict({name: data.get(name) for name in ("protocol", "engine", "pid")})
    request_id = data.get("id")
    if request_id is not None and not is_integer(request_id):
        raise ProtocolError("The engine answered without an id.")
    if data.get("event") == "progress" and request_id is not None:
        known = {name: data.get(name) for name in ("stage", "fraction", "remaining")}
        return ProgressEvent(request_id, Progress.from_dict(known))
    if isinstance(data.get("error"), dict):
        return Reply(request_id, error=_parse_error(data["error"]))
    if isinstance(data.get("result"), dict):
        return Reply(request_id, result=data["result"])
    raise ProtocolError("The engine answered with neither a result nor an error.")


def encode_line(data: Mapping[str, Any]) -> bytes:
    """One JSON object as a line of UTF-8, newline included."""
    return json.dumps(plain(data), separators=(",", ":")).encode("utf-8") + b"\n"


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
    error_type = ERROR_TYPES.get(str(data.get("kind")), InternalError)
    message, details = data.get("message"), data.get("details")
    if not isinstance(message, str) or not message:
        message = "The engine failed without saying why."
    return error_type(message, details if isinstance(details, str) else "")
