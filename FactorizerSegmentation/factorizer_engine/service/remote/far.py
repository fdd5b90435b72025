"""The far half: on the machine that computes, it serves whoever started it by ssh."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from factorizer_engine import __version__
from factorizer_engine.protocol.errors import EngineError
from factorizer_engine.protocol.failures import as_engine_error
from factorizer_engine.protocol.files import temporary_folder
from factorizer_engine.protocol.messages import ProtocolError
from factorizer_engine.protocol.tasks.cancel import CANCEL, CancelParams
from factorizer_engine.protocol.wire import PROTOCOL_VERSION, ProgressEvent, Reply, Request
from factorizer_engine.service.client import EngineClient
from factorizer_engine.service.remote.frames import (
    Frame,
    FrameWriter,
    Kind,
    frames_of,
    read_frame,
)
from factorizer_engine.service.remote.jobs import JobQueue
from factorizer_engine.service.remote.store import FileStore
from factorizer_engine.service.streams import claim_standard_streams

PREFIX = "factorizer-served-"
SILENCE_SECONDS = 90.0
"""After so long without a sign of the near half it is gone, though ssh may not know for hours."""
_ALIVE_EVERY = 60
_ABANDONED_SECONDS = 1800
"""Folders of sessions whose process was killed are deleted when nothing has changed so long."""


class Server:
    """Takes frames until there are no more.

    Args:
        folder: For everything that the session keeps; its owner deletes it.
        source: Where frames come from.
        sink: Where frames go.
        engine: Command of the engine; None takes that of this package.
    """

    def __init__(
        self,
        folder: Path,
        source: BinaryIO,
        sink: BinaryIO,
        engine: Sequence[str] | None = None,
    ) -> None:
        self._folder = folder
        self._source = source
        self._writer = FrameWriter(sink)
        self._store = FileStore(folder)
        self._store_lock = threading.Lock()
        self._trouble: EngineError | None = None
        self._heard = time.monotonic()
        self._jobs = JobQueue(EngineClient(engine, on_log=_log), self._answer)

    def serve(self) -> None:
        """Say who is here, and do what is asked for; returns when the other half is gone."""
        who = {"protocol": PROTOCOL_VERSION, "engine": __version__, "folder": str(self._folder)}
        self._send(Frame.of(Kind.ready, who))
        threading.Thread(target=self._watch, name="silence", daemon=True).start()
        try:
            while (frame := read_frame(self._source)) is not None:
                self._heard = time.monotonic()
                self._take(frame)
        finally:
            self._jobs.close()

    def _watch(self) -> None:
        """Leave nothing behind when the near half is gone without a word."""
        while (left := self._heard + SILENCE_SECONDS - time.monotonic()) > 0:
            time.sleep(left)
        self._jobs.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(1)  # the main thread waits for what will not come

    def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.alive:
            return
        if frame.kind is Kind.line:
            self._take_request(Request.decode(frame.content))
            return
        try:
            with self._store_lock:
                self._take_file(frame)
        except (OSError, EngineError) as error:  # told in answer to the request that needs it
            self._trouble = self._trouble or as_engine_error(error)

    def _take_file(self, frame: Frame) -> None:
        if frame.kind is Kind.query:
            self._send(Frame.of(Kind.missing, self._store.missing(frame.data)))
        elif frame.kind is Kind.part:
            self._store.add(frame.name, frame.bytes_of_file)
        elif frame.kind is Kind.whole:
            self._store.finish(frame.name)
        elif frame.kind is Kind.folder:
            self._store.make_folder(frame.name, frame.data)
        else:
            raise ProtocolError(f"A frame of the kind '{frame.kind.value}' is for the other half.")

    def _take_request(self, request: Request) -> None:
        if request.method == CANCEL.name:
            self._jobs.cancel(CancelParams.from_dict(request.params).id)
            return
        trouble, self._trouble = self._trouble, None
        try:
            if trouble is not None:
                raise trouble
            self._run_folder(request.id).mkdir(parents=True, exist_ok=True)
        except (OSError, EngineError) as error:
            self._send_line(Reply(request.id, error=as_engine_error(error)))
        else:
            self._jobs.put(request)

    def _answer(self, answer: ProgressEvent | Reply) -> None:
        """Pass on what the engine says of a request, the files of a result ahead of it."""
        if isinstance(answer, Reply) and answer.id is not None:
            folder = self._run_folder(answer.id)
            if answer.error is None:
                try:
                    self._send_results(folder, str(answer.id))
                except OSError as error:
                    answer = Reply(answer.id, error=as_engine_error(error))
            shutil.rmtree(folder, ignore_errors=True)
        self._send_line(answer)

    def _send_results(self, folder: Path, run: str) -> None:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            for frame in frames_of(path, f"{run}/{path.relative_to(folder).as_posix()}"):
                self._send(frame)
            if path.suffix == ".npy":
                with self._store_lock:
                    self._store.keep(path)
        with self._store_lock:
            self._store.forget_oldest()

    def _run_folder(self, request_id: int) -> Path:
        return self._folder / "runs" / str(request_id)

    def _send_line(self, answer: ProgressEvent | Reply) -> None:
        self._send(Frame(Kind.line, content=answer.encode()))

    def _send(self, frame: Frame) -> None:
        try:
            self._writer.write(frame)
        except OSError:
            pass  # nobody listens any more, which ends the input, too


def serve(engine: Sequence[str] | None = None) -> None:
    """Serve on the standard streams of this process, until they close.

    Args:
        engine: Command of the engine; None takes that of this package.
    """
    source, sink = claim_standard_streams()
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    delete_abandoned(Path(tempfile.gettempdir()))
    with _session_folder() as folder:
        Server(folder, source, sink, engine).serve()


def delete_abandoned(parent: Path) -> None:
    """Delete the folders of sessions whose process did not live to do it.

    Those of other users may not be looked into, and stay.
    """
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            idle = time.time() - (folder / "alive").stat().st_mtime
        except OSError:
            continue
        if idle > _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _session_folder() -> Iterator[Path]:
    """The session's folder, in which the engine's temporary files lie, too."""
    with temporary_folder(prefix=PREFIX) as made:
        folder = made.resolve()
        alive, ended = folder / "alive", threading.Event()

        def stay_alive() -> None:
            alive.touch()
            while not ended.wait(_ALIVE_EVERY):
                alive.touch()

        threading.Thread(target=stay_alive, name="alive", daemon=True).start()
        tempfile.tempdir = str(folder)
        try:
            yield folder
        finally:
            ended.set()


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
