"""Has the engine of this computer work on requests, one after the other, for somebody else."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from factorizer_engine.protocol.errors import CancelledError
from factorizer_engine.protocol.failures import as_engine_error
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.tasks.registry import TASKS
from factorizer_engine.protocol.wire import ProgressEvent, Reply, Request
from factorizer_engine.service.client import EngineClient


class JobQueue:
    """Requests that wait for an engine, and the thread that hands them to it.

    Args:
        engine: Does the work, and is closed with the queue.
        send: Called in that thread with every progress event and reply.
    """

    def __init__(self, engine: EngineClient, send: Callable[[ProgressEvent | Reply], None]) -> None:
        self._engine = engine
        self._send = send
        self._lock = threading.Lock()
        self._open: set[int] = set()
        self._current: int | None = None
        self._waiting: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self._thread.start()

    def put(self, request: Request) -> None:
        """Have the engine work on it when all before it are done."""
        with self._lock:
            self._open.add(request.id)
        self._waiting.put(request)

    def cancel(self, request_id: int) -> bool:
        """Stop a request, which then fails as cancelled; returns whether there was such a one."""
        with self._lock:
            known = request_id in self._open
            self._open.discard(request_id)
            if known and request_id == self._current:
                self._engine.cancel()
            return known

    def close(self) -> None:
        """Stop everything and end the engine."""
        with self._lock:
            self._open.clear()
            if self._current is not None:
                self._engine.cancel()
        self._waiting.put(None)
        self._thread.join()
        self._engine.close()

    def _work(self) -> None:
        while (request := self._waiting.get()) is not None:
            self._send(self._answer(request))

    def _answer(self, request: Request) -> Reply:
        def progressed(progress: Progress) -> None:
            self._send(ProgressEvent(request.id, progress))
            if request.id not in self._open:  # called off before the engine had it
                self._engine.cancel()

        task = TASKS[request.method]
        try:
            with self._lock:
                if request.id not in self._open:
                    raise CancelledError()
                self._current = request.id
            result = self._engine.request(task, task.params.from_dict(request.params), progressed)
            return Reply(request.id, result.to_dict())
        except Exception as error:
            return Reply(request.id, error=as_engine_error(error))
        finally:
            with self._lock:
                self._open.discard(request.id)
                self._current = None
