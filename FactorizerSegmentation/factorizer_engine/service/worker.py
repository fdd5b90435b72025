"""The engine process: `python -m factorizer_engine.service.worker`.

Reads requests from standard input and writes progress and replies to standard output, one JSON
object per line (`protocol.wire`, `protocol.tasks`). A reader thread takes the lines, so that
`cancel` and `shutdown` arrive during a run; jobs run one at a time in the main thread.

The process ends when its standard input closes: the job is asked to stop, and if it is still inside
a long computation `GRACE_SECONDS` later, the process ends all the same. So it never outlives its
parent.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from traceback import clear_frames
from typing import BinaryIO

from factorizer_engine import __version__
from factorizer_engine.images.processors import limit_threads
from factorizer_engine.inference.allocator import (
    keep_freed_memory,
    release_freed_memory,
    release_if_large,
)
from factorizer_engine.protocol.errors import CancelledError
from factorizer_engine.protocol.failures import as_engine_error
from factorizer_engine.protocol.messages import Message, ProtocolError
from factorizer_engine.protocol.progress import Monitor, Progress
from factorizer_engine.protocol.tasks.cancel import CancelParams, CancelResult
from factorizer_engine.protocol.tasks.registry import TASKS
from factorizer_engine.protocol.tasks.shutdown import SHUTDOWN
from factorizer_engine.protocol.tasks.task import Nothing
from factorizer_engine.protocol.wire import (
    PROTOCOL_VERSION,
    Greeting,
    ProgressEvent,
    Reply,
    Request,
)
from factorizer_engine.service.streams import claim_standard_streams

GRACE_SECONDS = 1.5
IDLE_SECONDS = 20.0
"""Freed memory is kept so long for the next job, which would have to be given it again."""
PROGRESS_INTERVAL = 0.05
"""Progress within one stage is sent at most this often, in seconds."""

Handler = Callable[[Message, Monitor], Message]


class Job:
    """A request in the queue or at work."""

    def __init__(self, request: Request, params: Message) -> None:
        self.request = request
        self.params = params
        self.cancelled = threading.Event()


class Worker:
    """Serves requests until its input ends.

    Args:
        handlers: Does the work, by name of the task; called in the thread that calls `serve`.
        source: Where requests come from.
        sink: Where progress and replies go.
        after_job: Called when a job has ended, however it ended.
        when_idle: Called when nothing has been asked for `IDLE_SECONDS` after a job.
        exit_process: Called when a job does not stop in time after the input ended.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        source: BinaryIO,
        sink: BinaryIO,
        after_job: Callable[[], object] = lambda: None,
        when_idle: Callable[[], object] = lambda: None,
        exit_process: Callable[[int], object] = os._exit,
    ) -> None:
        self._handlers = handlers
        self._source = source
        self._sink = sink
        self._after_job = after_job
        self._when_idle = when_idle
        self._exit_process = exit_process
        self._write_lock = threading.Lock()
        self._jobs_lock = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stopping = False

    def serve(self) -> None:
        """Say who is here, and run jobs until the input closes or `shutdown` is asked for."""
        self._send(Greeting(PROTOCOL_VERSION, __version__, os.getpid()).encode())
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        job = self._queue.get()
        while job is not None:
            self._run(job)
            job = self._next()

    def _next(self) -> Job | None:
        try:
            return self._queue.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            self._when_idle()
            return self._queue.get()

    # The reader thread.

    def _read(self) -> None:
        try:
            for line in self._source:
                if line.strip():
                    self._receive(line)
        except OSError as error:
            print(f"The request stream failed: {error}", file=sys.stderr)
        self.stop()

    def _receive(self, line: bytes) -> None:
        request_id = None
        try:
            request = Request.decode(line)
            request_id = request.id
            self._dispatch(request)
        except Exception as error:  # whatever a line contains, the process lives on
            if isinstance(error, ProtocolError) and request_id is None:
                request_id = error.request_id
            self._send(Reply(request_id, error=as_engine_error(error)).encode())

    def _dispatch(self, request: Request) -> None:
        if request.method not in TASKS:
            raise ProtocolError(f"The engine does not know the method '{request.method}'.")
        task = TASKS[request.method]
        params = task.params.from_dict(request.params)
        if isinstance(params, CancelParams):
            self._reply(request.id, CancelResult(self._cancel(params.id)))
        elif task is SHUTDOWN:
            self._reply(request.id, Nothing())
            self.stop()
        else:
            self._enqueue(Job(request, params))

    def _enqueue(self, job: Job) -> None:
        with self._jobs_lock:
            if job.request.id in self._jobs:
                raise ProtocolError(f"The engine already works on a request {job.request.id}.")
            self._jobs[job.request.id] = job
        self._queue.put(job)

    def _cancel(self, request_id: int) -> bool:
        with self._jobs_lock:
            job = self._jobs.get(request_id)
        if job is None:
            return False
        job.cancelled.set()
        return True

    def stop(self) -> None:
        """Cancel everything and make sure that the process ends soon; from any thread."""
        with self._jobs_lock:
            if self._stopping:
                return
            self._stopping = True
            for job in self._jobs.values():
                job.cancelled.set()
        self._queue.put(None)
        watchdog = threading.Timer(GRACE_SECONDS, self._exit_process, args=(1,))
        watchdog.daemon = True
        watchdog.start()

    # The thread that works.

    def _run(self, job: Job) -> None:
        request = job.request
        progress = _ProgressSender(request.id, self._send)
        monitor = Monitor(progress, job.cancelled.is_set)
        failed = False
        try:
            monitor.check()
            result = self._handlers[request.method](job.params, monitor)
            progress.finish()
            answer = Reply(request.id, result.to_dict()).encode()
        except BaseException as error:
            failure = as_engine_error(error)
            if not isinstance(failure, CancelledError):
                print(failure.details or str(failure), file=sys.stderr, flush=True)
            answer = Reply(request.id, error=failure).encode()
            _let_go(error)
            failed = True
        with self._jobs_lock:
            del self._jobs[request.id]
        self._send(answer)
        if failed:
            gc.collect()  # what is left of the work holds itself, and perhaps a scan
        self._after_job()

    # Both threads.

    def _reply(self, request_id: int, result: Message) -> None:
        self._send(Reply(request_id, result.to_dict()).encode())

    def _send(self, line: bytes) -> None:
        try:
            with self._write_lock:
                self._sink.write(line)
                self._sink.flush()
        except (OSError, ValueError):  # nobody listens any more
            self.stop()


def _let_go(error: BaseException | None) -> None:
    """Forget what the work had in hand when it failed.

    Scans that are mapped among it: whoever asked removes their files now, which Windows refuses.
    """
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        clear_frames(error.__traceback__)
        seen.append(error)
        error = error.__cause__ or error.__context__


class _ProgressSender:
    """Sends progress that never goes back, and not too often."""

    def __init__(self, request_id: int, send: Callable[[bytes], None]) -> None:
        self._request_id = request_id
        self._send = send
        self._stage = ""
        self._fraction = 0.0
        self._sent_at = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage == self._stage and now - self._sent_at < PROGRESS_INTERVAL:
            return
        self._stage, self._sent_at = progress.stage, now
        self._fraction = max(self._fraction, progress.fraction)
        sent = Progress(progress.stage, self._fraction, progress.remaining)
        self._send(ProgressEvent(self._request_id, sent).encode())

    def finish(self) -> None:
        """Say that all is done, if anything was said at all."""
        if self._stage:
            done = Progress("done", 1.0, 0.0)
            self._send(ProgressEvent(self._request_id, done).encode())


def _has_lost_a_device() -> bool:
    """See `inference.device.has_lost_one`; nothing is imported where nothing was computed."""
    devices = sys.modules.get("factorizer_engine.inference.device")
    return devices is not None and devices.has_lost_one()


def main() -> None:
    """Serve the engine's methods on the standard streams of this process."""
    source, sink = claim_standard_streams()
    faulthandler.enable()
    # Ctrl-C in a terminal reaches the whole group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    keep_freed_memory()
    # Idle threads sleep instead of spinning, which on a busy computer costs several times the work.
    # Read when torch is imported, so it is set before.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    limit_threads()

    from factorizer_engine.service.engine import Engine

    engine = Engine()

    def leave(code: int) -> None:
        engine.close()
        sys.stderr.flush()
        os._exit(code)  # skips the slow and at times stuck clean-up of native libraries

    def after_job() -> None:
        release_if_large()
        if _has_lost_a_device():
            print("A device is lost to this process, which ends.", file=sys.stderr)
            worker.stop()

    worker = Worker(engine.handlers, source, sink, after_job, release_freed_memory, leave)
    # Not in the handler itself, which may have interrupted whoever holds a lock.
    stopping = partial(threading.Thread, target=worker.stop, daemon=True)
    signal.signal(signal.SIGTERM, lambda *_: stopping().start())
    worker.serve()
    leave(0)


if __name__ == "__main__":
    main()
