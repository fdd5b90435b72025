"""Drives the engine process from Python programs such as the command line.

Standard library only. Slicer has a driver of its own, because there processes belong to Qt.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from factorizer_engine.protocol.errors import CancelledError, InternalError
from factorizer_engine.protocol.messages import Message, ProtocolError
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.tasks import TASKS
from factorizer_engine.protocol.tasks.cancel import CancelParams
from factorizer_engine.protocol.wire import ProgressEvent, Reply, Request, decode_answer

CANCEL_SECONDS = 2.0
"""A job that does not stop this long after it was cancelled is killed with its process."""

_LOG_LINES = 200
_POLL_SECONDS = 0.2


class EngineClient:
    """An engine process and the conversation with it.

    The process starts with the first request, stays warm between requests, and is started anew
    after it stopped. Requests are made by one thread at a time; `cancel` may come from any thread.

    Args:
        command: Program and arguments of the engine; None runs this package's worker with the
            current interpreter.
        environment: Variables added to those of this process.
        on_log: Called, in another thread, with every line that the engine writes to its log.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        on_log: Callable[[str], None] | None = None,
    ) -> None:
        self._command = list(command or (sys.executable, "-m", "factorizer_engine.service.worker"))
        self._environment = dict(environment or {})
        self._on_log = on_log
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[ProgressEvent | Reply | None] = queue.SimpleQueue()
        self._readers: list[threading.Thread] = []
        self._write_lock = threading.Lock()
        self._last_id = 0
        self._current: int | None = None
        self._kill_at: float | None = None

    def __enter__(self) -> EngineClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the running engine, or None."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running else None

    @property
    def log(self) -> str:
        """The last lines that the engine wrote to its log."""
        return "\n".join(self._log)

    def request(
        self,
        method: str,
        params: Message,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Message:
        """Have the engine do something and wait for the result, a message of `TASKS[method]`.

        Ctrl-C while waiting cancels the job.

        Raises:
            EngineError: Of the type that the engine reports; `CancelledError` after `cancel`,
                whatever the engine answered meanwhile;
                `InternalError` if the engine cannot be started or stops unexpectedly.
        """
        self._start()
        self._current, self._kill_at = self._next_id(), None
        try:
            self._write(Request(self._current, method, params.to_dict()))
            reply = self._wait(on_progress)
        finally:
            self._current = None
        if self._kill_at is not None:
            raise CancelledError()
        if reply.error is not None:
            raise reply.error
        return TASKS[method].from_dict(reply.result)

    def cancel(self) -> None:
        """Stop the running request, within `CANCEL_SECONDS`; nothing happens if there is none."""
        current = self._current
        if current is None:
            return
        if self._kill_at is None:
            self._kill_at = time.monotonic() + CANCEL_SECONDS
        self._write(Request(self._next_id(), "cancel", CancelParams(current).to_dict()))

    def close(self) -> None:
        """End the engine process; it gets `CANCEL_SECONDS` to do so by itself."""
        process = self._process
        if process is None:
            return
        with self._write_lock:
            try:
                process.stdin.close()
            except OSError:
                pass
        try:
            process.wait(CANCEL_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._join_readers()
        process.stdout.close()
        process.stderr.close()
        self._process = None

    def _start(self) -> None:
        if self.pid is not None:
            return
        self.close()
        self._log.clear()
        self._answers = queue.SimpleQueue()
        package_parent = str(Path(__file__).resolve().parents[2])
        environment = {**os.environ, **self._environment}
        paths = [package_parent, environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise InternalError("The engine process could not be started.", str(error)) from error
        self._readers = [
            threading.Thread(target=target, args=(self._process, self._answers), daemon=True)
            for target in (self._read_answers, self._read_log)
        ]
        for reader in self._readers:
            reader.start()

    def _wait(self, on_progress: Callable[[Progress], None] | None) -> Reply:
        while True:
            try:
                answer = self._next_answer()
                if answer is None or answer.id != self._current:
                    continue
                if isinstance(answer, Reply):
                    return answer
                if on_progress is not None:
                    on_progress(answer.progress)
            except KeyboardInterrupt:
                self.cancel()

    def _next_answer(self) -> ProgressEvent | Reply | None:
        """The next line of the engine, or None if there is none yet."""
        try:
            answer = self._answers.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            if self._kill_at is not None and time.monotonic() > self._kill_at:
                self._process.kill()
                self._process.wait()
                raise CancelledError() from None
            return None
        if answer is None:
            raise self._stopped()
        return answer

    def _stopped(self) -> InternalError | CancelledError:
        """What to say about an engine whose output ended during a request."""
        try:
            code = self._process.wait(CANCEL_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if self._kill_at is not None:
            return CancelledError()
        self._join_readers()
        if code < 0:
            message = (
                f"The engine stopped unexpectedly (signal {-code}), perhaps for lack of memory; "
                "close other programs and try again."
            )
        else:
            message = f"The engine stopped unexpectedly (exit code {code}); its log says why."
        return InternalError(message, self.log)

    def _join_readers(self) -> None:
        for reader in self._readers:
            if reader.ident is not None:  # Ctrl-C may come before it was started
                reader.join(CANCEL_SECONDS)

    def _next_id(self) -> int:
        with self._write_lock:
            self._last_id += 1
            return self._last_id

    def _write(self, request: Request) -> None:
        with self._write_lock:
            try:
                self._process.stdin.write(request.encode())
                self._process.stdin.flush()
            except (OSError, ValueError):
                pass  # it has stopped, which whoever waits for the answer finds out

    def _read_answers(self, process: subprocess.Popen[bytes], answers: queue.SimpleQueue) -> None:
        for line in process.stdout:
            try:
                answers.put(decode_answer(line))
            except ProtocolError:
                self._keep(line)
        answers.put(None)

    def _read_log(self, process: subprocess.Popen[bytes], _answers: queue.SimpleQueue) -> None:
        for line in process.stderr:
            self._keep(line)

    def _keep(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        self._log.append(text)
        if self._on_log is not None:
            self._on_log(text)
