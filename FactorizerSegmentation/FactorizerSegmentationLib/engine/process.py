"""The engine process as Slicer drives it: started, fed, cancelled, and outlived.

Everything is driven by QProcess signals on the main thread. There are no threads, which hardly run
while Slicer idles, and nothing here waits: a child that hangs or dies costs the window nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine import protocol
from factorizer_engine.protocol.errors import CancelledError, EngineError
from factorizer_engine.protocol.messages import Message, ProtocolError
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.wire import ProgressEvent, Reply, Request, decode_answer

MODULE_FOLDER = Path(__file__).resolve().parents[2]
KILL_AFTER_MS = 2000
REAP_MS = 1000
KEPT_LOG_LINES = 80

CRASHED = "crashed"
NOT_STARTED = "not_started"
CANCELLED = CancelledError.kind


@dataclass(frozen=True)
class Callbacks:
    """Who is told about one request; exactly one of `finished` and `failed` is called, once.

    Attributes:
        finished: Gets the result message.
        failed: Gets the kind of the error (an `EngineError.kind`, `CRASHED` or `NOT_STARTED`) and
            one sentence for the user.
        progress: Gets every `Progress`.
    """

    finished: Callable[[Message], None]
    failed: Callable[[str, str], None]
    progress: Callable[[Progress], None] | None = None


@dataclass
class _Pending:
    method: str
    callbacks: Callbacks
    cancelled: bool = False


class EngineProcess:
    """One engine process, started at the first request and kept warm for the next ones.

    Args:
        python: The Python program that runs the engine; None takes Slicer's own.
        onHello: Gets the `HelloResult` of every freshly started engine.
    """

    def __init__(
        self,
        python: str | None = None,
        onHello: Callable[[protocol.HelloResult], None] | None = None,
    ) -> None:
        self._python = python
        self._onHello = onHello
        self._process = None
        self._retired: list = []
        self._workerPid: int | None = None
        self._pending: dict[int, _Pending] = {}
        self._lastId = 0
        self._unread = b""
        self._log: deque[str] = deque(maxlen=KEPT_LOG_LINES)
        slicer.app.connect("aboutToQuit()", self._onQuit)

    @property
    def python(self) -> str:
        """The Python program that runs the engine."""
        return self._python or sys.executable

    @python.setter
    def python(self, program: str | None) -> None:
        if (program or None) != self._python:
            self._python = program or None
            self.stop()

    @property
    def running(self) -> bool:
        """Whether the process is up (perhaps idle)."""
        return self._process is not None

    @property
    def processId(self) -> int | None:
        """The engine's own process id, as it reported it."""
        return self._workerPid

    @property
    def log(self) -> str:
        """The last lines that the engine wrote to its error output."""
        return "\n".join(self._log)

    def request(self, method: str, params: Message, callbacks: Callbacks) -> int:
        """Send a request, starting the engine if needed; returns the id to cancel it by."""
        if self._process is None:
            self._start()
        return self._send(method, params, callbacks)

    def cancel(self, requestId: int) -> None:
        """Ask to stop a request; an engine that does not obey within 2 s is killed."""
        pending = self._pending.get(requestId)
        if pending is None or pending.cancelled:
            return
        pending.cancelled = True
        ignore = Callbacks(lambda result: None, lambda kind, sentence: None)
        self._send("cancel", protocol.CancelParams(requestId), ignore)
        qt.QTimer.singleShot(KILL_AFTER_MS, partial(self._killIfPending, requestId))

    def stop(self) -> None:
        """End the process with all its children, now; open requests fail as cancelled."""
        self._kill()
        self._failAll(CANCELLED, _("The run was cancelled."))

    def close(self) -> None:
        """End the process for good; call before dropping the object."""
        self._onQuit()
        slicer.app.disconnect("aboutToQuit()", self._onQuit)

    def _onQuit(self) -> None:
        self.stop()
        for process in list(self._retired):
            process.waitForFinished(REAP_MS)  # killed already, so this returns at once

    def _start(self) -> None:
        process = qt.QProcess()
        process.setProcessEnvironment(self._environment())
        process.connect("readyReadStandardOutput()", partial(self._onOutput, process))
        process.connect("readyReadStandardError()", partial(self._onErrorOutput, process))
        process.errorOccurred.connect(partial(self._onProcessError, process))
        process.finished.connect(partial(self._onProcessFinished, process))
        self._process = process
        self._workerPid = None
        self._unread = b""
        self._log.clear()
        process.start(self.python, ["-m", "factorizer_engine.service.worker"])
        if self._process is process:
            hello = Callbacks(self._onHelloResult, lambda kind, sentence: None)
            self._send("hello", protocol.HelloParams(), hello)

    def _environment(self):
        """The environment from before Slicer's launcher, in which PythonSlicer and others start."""
        environment = slicer.app.startupEnvironment()
        folders = [str(MODULE_FOLDER), environment.value("PYTHONPATH", "")]
        environment.insert("PYTHONPATH", os.pathsep.join(filter(None, folders)))
        environment.insert("PYTHONIOENCODING", "utf-8")
        if self._python is None:
            environment.insert("PYTHONNOUSERSITE", "1")
        return environment

    def _send(self, method: str, params: Message, callbacks: Callbacks) -> int:
        self._lastId += 1
        requestId = self._lastId
        self._pending[requestId] = _Pending(method, callbacks)
        if self._process is not None:
            self._process.write(Request(requestId, method, params.to_dict()).encode())
        else:
            qt.QTimer.singleShot(0, partial(self._failNotStarted, requestId))
        return requestId

    def _onOutput(self, process, *ignored) -> None:
        if process is not self._process:
            return
        self._unread += process.readAllStandardOutput().data()
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            if line.strip():
                self._onLine(line)

    def _onLine(self, line: bytes) -> None:
        try:
            answer = decode_answer(line)
        except ProtocolError as error:
            logging.warning("Factorizer engine: %s %s", error, error.details)
            return
        pending = self._pending.get(answer.id)
        if pending is None:
            return
        if isinstance(answer, ProgressEvent):
            if pending.callbacks.progress is not None and not pending.cancelled:
                pending.callbacks.progress(answer.progress)
            return
        del self._pending[answer.id]
        self._onReply(pending, answer)

    def _onReply(self, pending: _Pending, reply: Reply) -> None:
        if pending.cancelled:
            pending.callbacks.failed(CANCELLED, _("The run was cancelled."))
            return
        try:
            if reply.error is not None:
                raise reply.error
            result = protocol.RESULTS[pending.method].from_dict(reply.result)
        except EngineError as error:
            if error.details:
                logging.info("Factorizer engine, %s: %s", pending.method, error.details)
            pending.callbacks.failed(error.kind, str(error))
            return
        pending.callbacks.finished(result)

    def _onHelloResult(self, hello: protocol.HelloResult) -> None:
        self._workerPid = hello.pid
        if self._onHello is not None:
            self._onHello(hello)

    def _onErrorOutput(self, process, *ignored) -> None:
        text = process.readAllStandardError().data().decode("utf-8", "replace")
        for line in text.splitlines():
            if line.strip():
                self._log.append(line.rstrip())
                logging.debug("Factorizer engine: %s", line.rstrip())

    def _onProcessError(self, process, error) -> None:
        if process is self._process and error == qt.QProcess.FailedToStart:
            self._retire(process)
            for requestId in list(self._pending):
                self._failNotStarted(requestId)

    def _onProcessFinished(self, process, *ignored) -> None:
        if process is self._process:
            self._onOutput(process)
            self._onErrorOutput(process)
            self._retire(process)
            if self._pending:
                logging.error("The Factorizer engine stopped unexpectedly.\n%s", self.log)
            self._failAll(CRASHED, self._crashSentence(process))
        if process in self._retired:
            self._retired.remove(process)
            process.deleteLater()

    def _crashSentence(self, process) -> str:
        missing = [line for line in self._log if "ModuleNotFoundError" in line]
        if missing:
            name = missing[-1].split("named")[-1].strip(" '\"")
            return _(
                "The engine could not start because the Python package '{name}' is missing from "
                "{python}; install it there and try again."
            ).format(name=name, python=self.python)
        if process.exitStatus() == qt.QProcess.CrashExit:
            return _(
                "The engine stopped unexpectedly, most often because memory ran out; close other "
                "programs and try again."
            )
        return _("The engine stopped unexpectedly; the application log says more.")

    def _failNotStarted(self, requestId: int) -> None:
        pending = self._pending.pop(requestId, None)
        if pending is not None:
            sentence = _("The engine could not be started with {python}; choose another Python.")
            pending.callbacks.failed(NOT_STARTED, sentence.format(python=self.python))

    def _failAll(self, kind: str, sentence: str) -> None:
        pending, self._pending = list(self._pending.values()), {}
        for request in pending:
            if request.cancelled:
                request.callbacks.failed(CANCELLED, _("The run was cancelled."))
            else:
                request.callbacks.failed(kind, sentence)

    def _killIfPending(self, requestId: int) -> None:
        if requestId in self._pending:
            logging.info("The Factorizer engine did not stop by itself and was killed.")
            self.stop()

    def _kill(self) -> None:
        process = self._process
        if process is None:
            return
        pids = {process.processId(), self._workerPid}
        self._retire(process)
        killProcesses(pid for pid in pids if pid)
        process.kill()

    def _retire(self, process) -> None:
        """Forget the process; it is kept alive until Qt says that it has ended."""
        self._process = None
        self._workerPid = None
        self._retired.append(process)


def killProcesses(pids: Iterable[int]) -> None:
    """Kill processes, on Windows with their children.

    PythonSlicer is a launcher whose child does the work, so both have to be named.
    """
    for pid in pids:
        if os.name == "nt":
            qt.QProcess.startDetached("taskkill", ["/PID", str(pid), "/T", "/F"])
            continue
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            logging.debug("The process %d had ended already.", pid)
