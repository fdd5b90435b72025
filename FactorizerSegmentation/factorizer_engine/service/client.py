"""Drives the engine process from Python programs such as the command line.

Standard library only. Slicer has a driver of its own, because there processes belong to Qt.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from factorizer_engine.protocol.conversation import (
    CANCEL_SECONDS,
    Callbacks,
    Conversation,
    Result,
)
from factorizer_engine.protocol.errors import CancelledError, EngineError, EngineStartError
from factorizer_engine.protocol.files import TEMPORARY_VARIABLES
from factorizer_engine.protocol.machines import Machine, engine_arguments
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.tasks.task import Params, Task
from factorizer_engine.protocol.wire import Greeting

_POLL_SECONDS = 0.2


class EngineClient:
    """An engine process and the conversation with it.

    The process starts with the first request, stays warm between requests, and is started anew
    after it stopped. Its temporary files are in a folder of its own, which goes with it, however it
    ends. Requests are made by one thread at a time; `cancel` may come from any thread.

    Args:
        command: Program and arguments of the engine; None runs this package's worker with the
            current interpreter.
        environment: Variables added to those of this process.
        on_log: Called, in another thread, with every line that the engine writes to its log.
        machine: Where the engine of this package runs, if `command` is None; None means here.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        on_log: Callable[[str], None] = lambda text: None,
        machine: Machine | None = None,
    ) -> None:
        self._command = list(command or (sys.executable, *engine_arguments(machine)))
        self._environment = dict(environment or {})
        self._on_log = on_log
        self._conversation = Conversation(self._write, self._kill)
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._readers: list[threading.Thread] = []
        self._write_lock = threading.Lock()
        self._current: int | None = None
        self._kill_at: float | None = None

    def __enter__(self) -> EngineClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the running engine, or None.

        Its own, which a launcher may have started, as in virtual environments on Windows.
        """
        process, greeting = self._process, self.greeting
        if process is None or process.poll() is not None:
            return None
        return process.pid if greeting is None else greeting.pid

    @property
    def greeting(self) -> Greeting | None:
        """What the engine said of itself when it started."""
        return self._conversation.greeting

    @property
    def log(self) -> str:
        """The last lines that the engine wrote to its log."""
        return self._conversation.log

    def request(
        self,
        task: Task[Params, Result],
        params: Params,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Result:
        """Have the engine do something and wait for the result.

        Ctrl-C while waiting cancels the job.

        Raises:
            EngineError: Of the type that the engine reports; `CancelledError` after `cancel`,
                whatever the engine answered meanwhile; `EngineStartError` if it cannot be started,
                `EngineCrashError` if it stops unexpectedly.
        """
        self._start()
        results: list[Result] = []
        failures: list[EngineError] = []
        self._kill_at = None
        callbacks = Callbacks(results.append, failures.append, on_progress)
        self._current = self._conversation.ask(task, params, callbacks)
        try:
            while self._conversation.is_open(self._current):
                self._listen()
        finally:
            self._current = None
        if results:
            return results[0]
        raise failures[0] if failures else CancelledError()  # by Ctrl-C while the answer was read

    def cancel(self) -> None:
        """Stop the running request, within `CANCEL_SECONDS`; nothing happens if there is none."""
        current = self._current
        if current is not None and self._conversation.cancel(current):
            self._kill_at = time.monotonic() + CANCEL_SECONDS

    def close(self) -> None:
        """End the engine process; it gets `CANCEL_SECONDS` to do so by itself."""
        process = self._process
        if process is None:
            return
        with self._write_lock:
            try:
                _pipe(process.stdin).close()
            except OSError:
                pass
        try:
            process.wait(CANCEL_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
        self._join_readers()
        _pipe(process.stdout).close()
        _pipe(process.stderr).close()
        self._process = None
        self._remove_temporary()

    def _start(self) -> None:
        if self.pid is not None:
            return
        self.close()
        self._conversation.begin()
        self._lines = queue.SimpleQueue()
        package_parent = str(Path(__file__).resolve().parents[2])
        environment = {**os.environ, **self._environment}
        paths = [package_parent, environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        environment["PYTHONIOENCODING"] = "utf-8"
        self._temporary = tempfile.TemporaryDirectory(
            prefix="factorizer-engine-", ignore_cleanup_errors=True
        )
        environment.update(dict.fromkeys(TEMPORARY_VARIABLES, self._temporary.name))
        try:
            process = self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # without effect on Windows, and the other one elsewhere
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            self._remove_temporary()
            message = f"The engine process could not be started with {self._command[0]}."
            raise EngineStartError(message, str(error)) from error
        self._readers = [
            threading.Thread(target=target, args=arguments, daemon=True)
            for target, arguments in (
                (_read_answers, (process.stdout, self._lines)),
                (self._read_log, (process.stderr,)),
            )
        ]
        for reader in self._readers:
            reader.start()

    def _listen(self) -> None:
        """Take the next line of the engine, if it comes soon; notice if it hangs or has ended."""
        try:
            line = self._lines.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            if self._kill_at is not None and time.monotonic() > self._kill_at:
                self._kill()
                self._conversation.end(CancelledError())
            return
        except KeyboardInterrupt:
            self.cancel()
            return
        try:
            if line is not None:
                self._conversation.hear(line)
            else:
                code = self._wait_for_end()
                self._conversation.end(self._conversation.crash(self._command[0], code))
        except KeyboardInterrupt:
            self.cancel()

    def _wait_for_end(self) -> int:
        """The exit code of an engine whose output has ended."""
        try:
            self._started.wait(CANCEL_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
        self._join_readers()
        return self._started.returncode

    def _remove_temporary(self) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _kill(self) -> None:
        self._started.kill()
        self._started.wait()

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def _join_readers(self) -> None:
        for reader in self._readers:
            if reader.ident is not None:  # Ctrl-C may come before it was started
                reader.join(CANCEL_SECONDS)

    def _write(self, line: bytes) -> None:
        with self._write_lock:
            try:
                stream = _pipe(self._started.stdin)
                stream.write(line)
                stream.flush()
            except (OSError, ValueError):
                pass  # it has stopped, which whoever waits for the answer finds out

    def _read_log(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._on_log(self._conversation.hear_log(line))


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """One of the three streams of the process, which are all pipes."""
    assert stream is not None
    return stream


def _read_answers(stream: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)
