"""The ssh process that leads to the far half, and plain words for why it ended."""

from __future__ import annotations

import os
import queue
import shlex
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, cast

from factorizer_engine.protocol.errors import CancelledError, MachineError
from factorizer_engine.protocol.machines import Machine
from factorizer_engine.protocol.messages import Message, ProtocolError
from factorizer_engine.protocol.wire import PROTOCOL_VERSION
from factorizer_engine.service.remote.frames import (
    LONGEST_HEADER,
    Frame,
    FrameWriter,
    Kind,
    frame_after,
    read_frame,
)
from factorizer_engine.service.remote.sentences import OTHER_VERSION, TOO_SLOW, why_it_ended

SSH_VARIABLE = "FACTORIZER_SSH"
"""Environment variable with a command that takes the place of `ssh`, as in "ssh -F my_config"."""

CONNECT_SECONDS = 10
START_SECONDS = 60
"""How long the far half may take to say that it is there; a busy home folder is slow."""
HEARTBEAT_SECONDS = 15.0
"""How often the far half hears that this one is still there."""
_POLL_SECONDS = 0.1
_LEAVE_SECONDS = 1.0
_LOG_LINES = 50
_CHATTER_LINES = 200
"""So much may the login scripts of the other machine write before the far half does."""


@dataclass(frozen=True)
class Readiness(Message):
    """What the far half says of itself: its protocol, its version, and where it keeps files."""

    protocol: int
    engine: str
    folder: str


class Connection:
    """One ssh process, from its start to its end; it is never started again.

    Args:
        machine: Where it leads.
        on_frame: Called in a thread of its own with every frame that comes in.
        on_lost: Called in that thread when there are no more, with what to tell the user.
        on_log: Called in another thread with what ssh and the far half write to their logs.

    Attributes:
        alive: Whether something may still come.
        lost: What to tell the user when nothing does; None before that is known.
    """

    def __init__(
        self,
        machine: Machine,
        on_frame: Callable[[Frame], None],
        on_lost: Callable[[MachineError], None],
        on_log: Callable[[str], None],
    ) -> None:
        self._machine = machine
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._on_log = on_log
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._answers: queue.SimpleQueue[Readiness | MachineError] = queue.SimpleQueue()
        self._missing: queue.SimpleQueue[list[str] | MachineError] = queue.SimpleQueue()
        self._readiness: Readiness | None = None
        self.alive = True
        self.lost: MachineError | None = None
        command = ssh_command(machine)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise MachineError(
                f"The program '{command[0]}' was not found on this computer; install OpenSSH's "
                "client to compute on other machines.",
                str(error),
            ) from error
        self._stdin, self._stdout, self._stderr = _streams(self._process)
        self._writer = FrameWriter(self._stdin)
        self._logger = threading.Thread(target=self._read_log, name="ssh log", daemon=True)
        self._logger.start()
        self._ended = threading.Event()
        for target in (self._read, self._beat):
            threading.Thread(target=target, name="ssh", daemon=True).start()

    def wait_until_ready(self, is_cancelled: Callable[[], bool]) -> Readiness:
        """What the far half says of itself, when it has.

        Raises:
            MachineError: If it cannot be reached, or is of another version.
            CancelledError: If the user does not want to wait.
        """
        for _ in range(round(START_SECONDS / _POLL_SECONDS)):
            try:
                answer = self._answers.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if is_cancelled():
                    self.close()
                    raise CancelledError() from None
                continue
            if isinstance(answer, MachineError):
                raise answer
            return answer
        self.close()
        raise MachineError(TOO_SLOW.format(machine=self._machine.address, seconds=START_SECONDS))

    def missing(self, sizes: Mapping[str, int]) -> list[str]:
        """Those of some files, given by their sizes, that the far half does not have.

        Raises:
            MachineError: If the connection is lost.
        """
        self.write(Frame.of(Kind.query, dict(sizes)))
        answer = self._missing.get()
        if isinstance(answer, MachineError):
            raise answer
        return answer

    def write(self, frame: Frame) -> None:
        """Send a frame; if the connection is lost, `on_lost` tells."""
        try:
            self._writer.write(frame)
        except OSError:
            self._process.kill()

    def close(self) -> None:
        """End it; the far half ends when it notices."""
        self.alive = False
        self._process.kill()

    def leave(self, seconds: float) -> None:
        """End it in order: the far half takes leave first, if that takes no longer than this."""
        self.alive = False
        try:
            self._stdin.close()
            self._process.wait(seconds)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            self._process.kill()

    def _read(self) -> None:
        try:
            if self._find_beginning():
                while (frame := read_frame(self._stdout)) is not None:
                    self._take(frame)
        except Exception as error:  # whatever comes, the user is told that nothing comes any more
            self._log.append(repr(error))
        self.alive = False
        self._ended.set()
        code = self._exit_code()
        reason = why_it_ended(
            self._machine, code, "\n".join(self._log), self._readiness is not None
        )
        self.lost = reason
        self._answers.put(reason)
        self._missing.put(reason)
        self._on_lost(reason)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            if self._readiness is not None:
                self.write(Frame(Kind.alive))

    def _exit_code(self) -> int:
        try:
            return self._process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._logger.join(_LEAVE_SECONDS)

    def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.missing:
            self._missing.put([str(name) for name in frame.data])
        else:
            self._on_frame(frame)

    def _find_beginning(self) -> bool:
        """Read until the far half says that it is ready; returns whether it did."""
        for _ in range(_CHATTER_LINES):
            line = self._stdout.readline(LONGEST_HEADER)
            if not line:
                return False
            try:
                frame = frame_after(line, self._stdout)
            except ProtocolError:
                self._log.append(line.decode("utf-8", "replace").rstrip())
                continue
            return frame is not None and self._is_right(Readiness.from_dict(frame.data))
        return False

    def _is_right(self, readiness: Readiness) -> bool:
        if readiness.protocol == PROTOCOL_VERSION:
            self._readiness = readiness
            self._answers.put(readiness)
            return True
        sentence = OTHER_VERSION.format(machine=self._machine.address, theirs=readiness.engine)
        self._answers.put(MachineError(sentence))
        return False

    def _read_log(self) -> None:
        for line in self._stderr:
            text = line.decode("utf-8", "replace").rstrip()
            self._log.append(text)
            self._on_log(text)


def ssh_command(machine: Machine) -> list[str]:
    """The command that starts the far half; it never asks anything."""
    named = os.environ.get(SSH_VARIABLE, "").strip()
    program = _words(named) or ["ssh"]
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": CONNECT_SECONDS,
        "ServerAliveInterval": 5,  # a machine that is gone is noticed within 20 s
        "ServerAliveCountMax": 3,
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "ForwardX11": "no",
    }
    given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    return [*program, "-T", *given, "--", machine.address, f"{_quoted(machine.program)} serve"]


def _words(command: str) -> list[str]:
    """The words of a command; on Windows backslashes belong to paths, and quotes hold blanks."""
    if sys.platform == "win32":
        return [word.strip('"') for word in shlex.split(command, posix=False)]
    return shlex.split(command)


def _quoted(program: str) -> str:
    """The program for the shell of the other machine, which is not known: quoted if need be."""
    if program.startswith("~/"):
        return "~/" + _quoted(program[2:])
    if all(letter.isalnum() or letter in "_-./\\:" for letter in program):
        return program
    return shlex.quote(program)


def _streams(process: subprocess.Popen[bytes]) -> tuple[BinaryIO, BinaryIO, BinaryIO]:
    """The three streams of the process, which are all pipes."""
    return cast(
        "tuple[BinaryIO, BinaryIO, BinaryIO]", (process.stdin, process.stdout, process.stderr)
    )
