"""The engine process as Slicer drives it: started, fed, cancelled, and outlived.

Everything is driven by QProcess signals on the main thread. There are no threads, which hardly run
while Slicer idles, and nothing here waits: a child that hangs or dies costs the window nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.conversation import (
    CANCEL_SECONDS,
    Callbacks,
    Conversation,
    Result,
)
from factorizer_engine.protocol.errors import CancelledError, EngineStartError
from factorizer_engine.protocol.files import TEMPORARY_VARIABLES
from factorizer_engine.protocol.machines import Machine, engine_arguments
from factorizer_engine.protocol.tasks.hello import HELLO, HelloResult
from factorizer_engine.protocol.tasks.task import Nothing, Params, Task
from FactorizerSegmentationLib.engine import packages
from FactorizerSegmentationLib.engine.settings import idleMinutes
from FactorizerSegmentationLib.engine.temporary import removeFolder, removeLeft

MODULE_FOLDER = Path(__file__).resolve().parents[2]
KILL_AFTER_MS = round(1000 * CANCEL_SECONDS)
REAP_MS = 1000


class EngineProcess:
    """One engine process, started at the first request and kept warm for the next ones.

    Its temporary files are in a folder of its own, which goes with it, however it ends.

    Args:
        python: The Python program that runs the engine; None takes Slicer's own.
        onHello: Gets the `HelloResult` of every freshly started engine, and see `hello`.
        onLog: Gets every line that the engine writes to its error output.
    """

    def __init__(
        self,
        python: str | None = None,
        onHello: Callable[[HelloResult], None] = lambda hello: None,
        onLog: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._python = python
        self._machine: Machine | None = None
        self._onHello = onHello
        self._onLog = onLog
        self._idle = qt.QTimer()
        self._idle.setSingleShot(True)
        self._idle.connect("timeout()", self._onIdle)
        self.setIdleMinutes(idleMinutes())
        self._conversation = Conversation(self._write, self._kill)
        self._process: Any = None
        self._retired: list = []
        self._unread = b""
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
    def installed(self) -> bool:
        """Whether it could start without anything being installed for it."""
        return bool(self._python or self._machine) or not packages.missingPackages()

    @property
    def machine(self) -> Machine | None:
        """The other machine on which the engine computes, or None."""
        return self._machine

    @machine.setter
    def machine(self, machine: Machine | None) -> None:
        if machine != self._machine:
            self._machine = machine
            self.stop()

    @property
    def running(self) -> bool:
        """Whether the process is up (perhaps idle)."""
        return self._process is not None

    @property
    def processId(self) -> int | None:
        """The engine's own process id, as it reported it."""
        greeting = self._conversation.greeting
        return greeting.pid if self.running and greeting is not None else None

    @property
    def log(self) -> str:
        """The last lines that the engine wrote to its error output."""
        return self._conversation.log

    def setIdleMinutes(self, minutes: float) -> None:
        """End the process when it has had nothing to do for so long; 0 never does."""
        self._idle.setInterval(round(60000 * minutes))
        self._watchIdleness()

    def hello(self) -> None:
        """Ask a running engine what it can compute on now."""
        if self.running:
            callbacks = Callbacks(self._onHello, lambda error: None)
            self._conversation.ask(HELLO, Nothing(), callbacks)

    def request(
        self, task: Task[Params, Result], params: Params, callbacks: Callbacks[Result]
    ) -> int:
        """Send a request, starting the engine if needed; returns the id to cancel it by."""
        if self._process is None:
            self._start()
        else:
            self._wake()
        requestId = self._conversation.ask(task, params, callbacks)
        if self._process is None:
            fail = partial(self._conversation.fail, requestId, self._startError())
            qt.QTimer.singleShot(0, fail)
        return requestId

    def cancel(self, requestId: int) -> None:
        """Ask to stop a request; an engine that does not obey within 2 s is killed."""
        if self._conversation.cancel(requestId):
            qt.QTimer.singleShot(KILL_AFTER_MS, partial(self._killIfOpen, requestId))

    def stop(self) -> None:
        """End the process with all its children, now; open requests fail as cancelled."""
        self._kill()
        self._conversation.end(CancelledError())

    def close(self) -> None:
        """End the process for good; call before dropping the object."""
        self._idle.stop()
        self._onQuit()
        slicer.app.disconnect("aboutToQuit()", self._onQuit)

    def _onQuit(self) -> None:
        self.stop()
        for process in list(self._retired):
            process.waitForFinished(REAP_MS)  # killed already, so this returns at once
        removeLeft()

    def _start(self) -> None:
        process, folder = qt.QProcess(), _temporaryFolder()
        process.setProcessEnvironment(self._environment(folder))
        process.connect("readyReadStandardOutput()", partial(self._onOutput, process))
        process.connect("readyReadStandardError()", partial(self._onErrorOutput, process))
        process.errorOccurred.connect(partial(self._onProcessError, process, folder))
        process.finished.connect(partial(self._onProcessFinished, process, folder))
        self._process = process
        self._unread = b""
        self._conversation.begin()
        process.start(self.python, engine_arguments(self._machine))
        if self._process is process:
            self.hello()

    def _environment(self, folder: str):
        """The environment from before Slicer's launcher, in which PythonSlicer and others start."""
        environment = slicer.app.startupEnvironment()
        folders = [str(MODULE_FOLDER), environment.value("PYTHONPATH", "")]
        environment.insert("PYTHONPATH", os.pathsep.join(filter(None, folders)))
        environment.insert("PYTHONIOENCODING", "utf-8")
        for name in TEMPORARY_VARIABLES if folder else ():
            environment.insert(name, folder)
        if self._python is None:
            environment.insert("PYTHONNOUSERSITE", "1")
        return environment

    def _write(self, line: bytes) -> None:
        if self._process is not None:
            self._process.write(line)

    def _onOutput(self, process, *ignored) -> None:
        if process is not self._process:
            return
        self._unread += process.readAllStandardOutput().data()
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            self._conversation.hear(line)
        self._watchIdleness()

    def _onErrorOutput(self, process, *ignored) -> None:
        for line in process.readAllStandardError().data().splitlines():
            text = self._conversation.hear_log(line) if process is self._process else ""
            if text:
                logging.debug("Factorizer engine: %s", text)
                self._onLog(text)

    def _onProcessError(self, process, folder: str, error) -> None:
        if error != qt.QProcess.FailedToStart:
            return
        _removeFolder(folder)
        if process is self._process:
            self._retire(process)
            self._conversation.end(self._startError())
        self._letGo(process)

    def _onProcessFinished(self, process, folder: str, *ignored) -> None:
        if process is self._process:
            self._onOutput(process)
            self._onErrorOutput(process)
            self._retire(process)
            killed = process.exitStatus() == qt.QProcess.CrashExit
            error = self._conversation.crash(self.python, None if killed else process.exitCode())
            if self._conversation.waits:
                logging.error("The Factorizer engine stopped unexpectedly.\n%s", error.details)
            self._conversation.end(error)
        _removeFolder(folder)
        self._letGo(process)

    def _startError(self) -> EngineStartError:
        sentence = _("The engine could not be started with {python}; choose another Python.")
        return EngineStartError(sentence.format(python=self.python))

    def _watchIdleness(self) -> None:
        if self._idle.interval > 0:
            self._idle.start()
        else:
            self._idle.stop()

    def _onIdle(self) -> None:
        """Give the memory back; the next request starts a new process."""
        process = self._process
        if process is None:
            return
        if self._conversation.waits:
            self._watchIdleness()
            return
        self._retire(process)
        process.closeWriteChannel()  # it ends in order, and takes its temporary files along
        self._onLog(_("The engine had nothing to do and gave its memory back."))

    def _killIfOpen(self, requestId: int) -> None:
        if self._conversation.is_open(requestId):
            logging.info("The Factorizer engine did not stop by itself and was killed.")
            self.stop()

    def _kill(self) -> None:
        process = self._process
        if process is None:
            return
        pids = self._processIds()
        self._retire(process)
        killProcesses(pids)
        process.kill()

    def _wake(self) -> None:
        """Let an engine go on that was stopped meanwhile, as by Ctrl+Z; others do not notice."""
        if hasattr(signal, "SIGCONT"):
            for pid in self._processIds():
                _signal(pid, signal.SIGCONT)

    def _processIds(self) -> set[int]:
        """Of the process that was started, and of the engine itself if that is another one."""
        return {pid for pid in (self._process.processId(), self.processId) if pid}

    def _retire(self, process) -> None:
        """Forget the process; it is kept alive until Qt says that it has ended."""
        self._process = None
        self._retired.append(process)

    def _letGo(self, process) -> None:
        """It has ended, or could not begin."""
        if process in self._retired:
            self._retired.remove(process)
            process.deleteLater()


def _temporaryFolder() -> str:
    """A new folder for the engine's temporary files; "" where there can be none."""
    base = Path(slicer.app.temporaryPath)
    try:
        base.mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(prefix="engine-", dir=base)
    except OSError:
        return ""


def _removeFolder(folder: str) -> None:
    if folder:
        removeFolder(folder)


def killProcesses(pids: Iterable[int]) -> None:
    """Kill processes, on Windows with their children.

    PythonSlicer is a launcher whose child does the work, so both have to be named.
    """
    for pid in pids:
        if os.name == "nt":
            qt.QProcess.startDetached("taskkill", ["/PID", str(pid), "/T", "/F"])
            continue
        _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        logging.debug("The process %d had ended already.", pid)
