"""The conversation with an engine, whatever carries it: what was asked, answered and called off.

Nothing here knows how bytes travel, or that both ends share a computer. A transport starts the
engine, passes on what it writes line by line, and tells when it has ended.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from factorizer_engine.protocol.errors import (
    CancelledError,
    EngineCrashError,
    EngineError,
    OtherVersionError,
)
from factorizer_engine.protocol.messages import Message, ProtocolError
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.tasks.cancel import CANCEL, CancelParams
from factorizer_engine.protocol.tasks.task import Params, Task
from factorizer_engine.protocol.wire import (
    PROTOCOL_VERSION,
    Greeting,
    ProgressEvent,
    Reply,
    Request,
    decode_answer,
)

CANCEL_SECONDS = 2.0
"""A job that does not stop this long after it was cancelled is killed with its process."""

_LOG_LINES = 200
_MISSING_PACKAGE = re.compile(r"ModuleNotFoundError: No module named '([^'.]+)")
_log = logging.getLogger(__name__)

Result = TypeVar("Result", bound=Message)
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Callbacks(Generic[Outcome]):
    """Who is told about one request; exactly one of `finished` and `failed` is called, once.

    Attributes:
        finished: Gets the result.
        failed: Gets what to tell the user.
        progress: Gets every `Progress`.
    """

    finished: Callable[[Outcome], None]
    failed: Callable[[EngineError], None]
    progress: Callable[[Progress], None] = lambda progress: None


@dataclass
class _Open:
    """A request without an answer."""

    task: Task[Any, Any]
    callbacks: Callbacks[Any]
    cancelled: bool = False


class Conversation:
    """Keeps account of requests to one engine at a time, which may be replaced by another.

    Args:
        send: Carries a line to the engine; may fail silently, since `end` is called then.
        hang_up: Ends the engine, which is of another version.

    Attributes:
        greeting: What the engine said of itself, or None so far.
    """

    def __init__(self, send: Callable[[bytes], None], hang_up: Callable[[], None]) -> None:
        self.greeting: Greeting | None = None
        self._send = send
        self._hang_up = hang_up
        self._ids = itertools.count(1)
        self._open: dict[int, _Open] = {}
        self._log: deque[str] = deque(maxlen=_LOG_LINES)

    @property
    def log(self) -> str:
        """The last lines that the engine wrote which are no answers."""
        return "\n".join(self._log)

    @property
    def waits(self) -> bool:
        """Whether any request has no answer yet."""
        return bool(self._open)

    def begin(self) -> None:
        """A new engine has been started."""
        self.greeting = None
        self._log.clear()

    def ask(self, task: Task[Params, Result], params: Params, callbacks: Callbacks[Result]) -> int:
        """Send a request; returns the id to cancel it by."""
        request_id = next(self._ids)
        self._open[request_id] = _Open(task, callbacks)
        self._send(Request(request_id, task.name, params.to_dict()).encode())
        return request_id

    def is_open(self, request_id: int) -> bool:
        """Whether a request has no answer yet."""
        return request_id in self._open

    def cancel(self, request_id: int) -> bool:
        """Call off a request, which then fails as cancelled, whatever the engine answers.

        Returns:
            Whether it was open and not called off before.
        """
        request = self._open.get(request_id)
        if request is None or request.cancelled:
            return False
        request.cancelled = True
        self._send(
            Request(next(self._ids), CANCEL.name, CancelParams(request_id).to_dict()).encode()
        )
        return True

    def hear(self, line: bytes) -> None:
        """Take a line that the engine wrote to its standard output."""
        if not line.strip():
            return
        try:
            answer = decode_answer(line)
        except ProtocolError:
            self.hear_log(line)
            return
        if isinstance(answer, Greeting):
            self.greeting = answer
        if self.greeting is None or self.greeting.protocol != PROTOCOL_VERSION:
            self.end(_other_version(self.greeting))
            self._hang_up()
        elif isinstance(answer, ProgressEvent):
            self._progressed(answer)
        elif isinstance(answer, Reply):
            self._answered(answer)

    def hear_log(self, line: bytes) -> str:
        """Take a line of the engine's log; returns its text."""
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            self._log.append(text)
        return text

    def end(self, error: EngineError) -> None:
        """All that is open fails: what was called off as cancelled, the rest with `error`."""
        requests, self._open = list(self._open.values()), {}
        for request in requests:
            request.callbacks.failed(CancelledError() if request.cancelled else error)

    def fail(self, request_id: int, error: EngineError) -> None:
        """One request fails, if it is open."""
        request = self._open.pop(request_id, None)
        if request is not None:
            request.callbacks.failed(error)

    def crash(self, program: str, code: int | None) -> EngineCrashError:
        """What to say about an engine that ended without being asked to.

        Args:
            program: What ran it.
            code: Its exit code, below 0 for a signal; None after an unknown signal.
        """
        missing = _MISSING_PACKAGE.findall(self.log)
        if missing:
            sentence = (
                f"The engine could not start because the Python package '{missing[-1]}' is missing "
                f"from {program}; install it there and try again."
            )
        elif code is None or code < 0:
            signal = f" (signal {-code})" if code else ""
            sentence = (
                f"The engine stopped unexpectedly{signal}, perhaps for lack of memory; close other "
                "programs and try again."
            )
        else:
            sentence = f"The engine stopped unexpectedly (exit code {code}); its log says why."
        return EngineCrashError(sentence, self.log)

    def _progressed(self, event: ProgressEvent) -> None:
        request = self._open.get(event.id)
        if request is not None and not request.cancelled:
            request.callbacks.progress(event.progress)

    def _answered(self, reply: Reply) -> None:
        request = self._open.pop(reply.id, None) if reply.id is not None else None
        if request is None:
            return
        try:
            if request.cancelled:
                raise CancelledError()
            if reply.error is not None:
                raise reply.error
            result = request.task.result.from_dict(reply.result)
        except EngineError as error:
            if error.details:
                _log.info("Engine, %s: %s", request.task.name, error.details)
            request.callbacks.failed(error)
            return
        request.callbacks.finished(result)


def _other_version(greeting: Greeting | None) -> OtherVersionError:
    theirs = "an older one" if greeting is None else f"{greeting.engine}"
    return OtherVersionError(
        f"The engine is of another version ({theirs}) than this program; install both from the "
        "same release."
    )
