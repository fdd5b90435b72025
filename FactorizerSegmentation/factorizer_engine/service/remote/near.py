"""The near half: to whoever drives it, it is an engine; its work is done on another machine.

What is about this computer alone, such as which models are installed, an engine here does.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from dataclasses import replace
from typing import Any, BinaryIO, cast

from factorizer_engine import __version__
from factorizer_engine.protocol.conversation import CANCEL_SECONDS
from factorizer_engine.protocol.errors import (
    CancelledError,
    EngineError,
    EngineMemoryError,
    InternalError,
    MachineError,
)
from factorizer_engine.protocol.failures import as_engine_error
from factorizer_engine.protocol.machines import Machine
from factorizer_engine.protocol.messages import Message, ProtocolError
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.tasks.cancel import CANCEL, CancelParams, CancelResult
from factorizer_engine.protocol.tasks.registry import ABOUT_THIS_COMPUTER, TASKS
from factorizer_engine.protocol.tasks.shutdown import SHUTDOWN
from factorizer_engine.protocol.tasks.task import Nothing, Task
from factorizer_engine.protocol.wire import (
    PROTOCOL_VERSION,
    Greeting,
    ProgressEvent,
    Reply,
    Request,
    decode_answer,
)
from factorizer_engine.service.client import EngineClient
from factorizer_engine.service.remote.connection import Connection
from factorizer_engine.service.remote.frames import PART, Frame, Kind, frames_of
from factorizer_engine.service.remote.jobs import JobQueue
from factorizer_engine.service.remote.luggage import Atlas, Luggage
from factorizer_engine.service.streams import claim_standard_streams

PATIENCE_SECONDS = 0.75 * CANCEL_SECONDS
"""A cancelled request is answered after so long, whatever the other machine is doing.

Before whoever drives this process loses patience and kills it, which would cost the connection and
all that was sent.
"""

SENT, FETCHED = 0.1, 0.95
"""How far a run has come when its files are sent, and when only those of its result are missing."""


class Order:
    """A request for the other machine that has no answer yet."""

    def __init__(self, request: Request, task: Task, params: Message) -> None:
        self.request = request
        self.task = task
        self.params = params
        self.connection: Connection | None = None
        self.luggage: Luggage | None = None
        self.start = 0.0
        self.shown = False
        self.is_asked = False
        self.is_cancelled = False


class Relay:
    """Serves requests until its input ends.

    Args:
        machine: Where the work is done.
        source: Where requests come from.
        sink: Where progress and replies go.
    """

    def __init__(self, machine: Machine, source: BinaryIO, sink: BinaryIO) -> None:
        self._machine = machine
        self._source = source
        self._sink = sink
        self._write_lock = threading.Lock()
        self._lock = threading.Lock()
        self._orders: dict[int, Order] = {}
        self._waiting: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._connection: Connection | None = None
        self._atlas = Atlas("")
        self._here = JobQueue(EngineClient(on_log=_log), self._send)

    def serve(self) -> None:
        """Say who is here, and do what is asked for until the input ends."""
        self._send(Greeting(PROTOCOL_VERSION, __version__, os.getpid()))
        threading.Thread(target=self._work, name="orders", daemon=True).start()
        for line in self._source:
            if line.strip() and not self._receive(line):
                break
        connection = self._connection
        if connection is not None:
            connection.leave(CANCEL_SECONDS)
        self._here.close()

    # The thread that reads requests.

    def _receive(self, line: bytes) -> bool:
        """Take a request; returns whether to go on."""
        request_id = None
        try:
            request = Request.decode(line)
            request_id = request.id
            task = TASKS.get(request.method)
            if task is None:
                raise ProtocolError(f"The engine does not know the method '{request.method}'.")
            params = task.params.from_dict(request.params)
            if isinstance(params, CancelParams):
                self._reply(request.id, CancelResult(self._cancel(params.id)))
            elif task is SHUTDOWN:
                self._reply(request.id, Nothing())
                return False
            elif task in ABOUT_THIS_COMPUTER:
                self._here.put(request)
            else:
                order = Order(request, task, params)
                with self._lock:
                    self._orders[request.id] = order
                self._waiting.put(order)
        except Exception as error:  # whatever a line contains, the process lives on
            self._send(Reply(request_id, error=as_engine_error(error)))
        return True

    def _cancel(self, request_id: int) -> bool:
        with self._lock:
            order = self._orders.get(request_id)
        if order is None:
            return self._here.cancel(request_id)
        order.is_cancelled = True
        timer = threading.Timer(PATIENCE_SECONDS, self._lose_patience, args=(order,))
        timer.daemon = True
        timer.start()
        if order.is_asked and order.connection is not None:
            params = CancelParams(request_id).to_dict()
            order.connection.write(_line(Request(0, CANCEL.name, params)))
        return True

    def _lose_patience(self, order: Order) -> None:
        """A cancelled order is over for the user, whether the other machine has stopped or not."""
        over = self._finish(order, CancelledError())
        if over and order.connection is not None and not order.is_asked:
            order.connection.close()  # it does not even take what is sent

    # The thread that sends orders.

    def _work(self) -> None:
        while True:
            order = self._waiting.get()
            try:
                self._carry_out(order)
            except Exception as error:
                self._finish(order, as_engine_error(error))

    def _carry_out(self, order: Order) -> None:
        self._check(order)
        connection = self._connected(order)
        luggage = order.luggage = Luggage(order.request.id, order.params, self._atlas)
        self._send_files(connection, luggage, order)
        self._check(order)
        order.is_asked = True
        request = replace(order.request, params=luggage.params.to_dict())
        connection.write(_line(request))

    def _connected(self, order: Order) -> Connection:
        connection = self._connection
        if connection is None or not connection.alive:
            self._show(order, f"connecting to {self._machine.address}", 0.0)
            connection = Connection(self._machine, self._hear, self._lost, _log)
            self._connection = connection
            readiness = connection.wait_until_ready(lambda: order.is_cancelled)
            self._atlas = Atlas(readiness.folder)
        order.connection = connection
        if connection.lost is not None:  # before `_lost` could know of this order
            raise connection.lost
        return connection

    def _send_files(self, connection: Connection, luggage: Luggage, order: Order) -> None:
        """Send what the other machine does not have."""
        sizes = luggage.sizes
        missing = connection.missing(sizes) if sizes else []
        stage = f"sending to {self._machine.address}"
        total, sent = sum(sizes[name] for name in missing), 0
        for name in missing:
            for frame in frames_of(luggage.files[name], name):
                self._check(order)
                connection.write(frame)
                sent += PART if frame.kind is Kind.part else 0
                self._show(order, stage, SENT * min(1.0, sent / max(total, 1)))
        order.start = SENT if missing else 0.0
        for name, content in luggage.folders.items():
            connection.write(Frame.of(Kind.folder, content, name))

    def _check(self, order: Order) -> None:
        if order.is_cancelled or order.request.id not in self._orders:
            raise CancelledError()

    # The threads of connections.

    def _hear(self, frame: Frame) -> None:
        if frame.kind is Kind.line:
            self._hear_line(frame.content)
        elif frame.kind in (Kind.part, Kind.whole):
            self._fetch(frame)

    def _hear_line(self, line: bytes) -> None:
        answer = decode_answer(line)
        order = self._orders.get(answer.id or 0) if not isinstance(answer, Greeting) else None
        if order is None:
            return
        if isinstance(answer, ProgressEvent):
            done = answer.progress.fraction
            fraction = order.start + (FETCHED - order.start) * done
            if done < 1.0:
                self._show(order, answer.progress.stage, fraction, answer.progress.remaining)
        elif isinstance(answer, Reply):
            self._conclude(order, answer)

    def _fetch(self, frame: Frame) -> None:
        run, _, relative = frame.name.partition("/")
        order = self._orders.get(int(run)) if run.isdigit() else None
        if order is None or order.luggage is None:
            return  # of an order that was called off
        self._show(order, f"fetching from {self._machine.address}", FETCHED)
        try:
            part = frame.bytes_of_file if frame.kind is Kind.part else b""  # a file may be empty
            order.luggage.arrive(relative, part)
        except (OSError, EngineError) as error:
            self._finish(order, as_engine_error(error))

    def _conclude(self, order: Order, reply: Reply) -> None:
        if order.is_cancelled or reply.error is not None:
            self._finish(order, self._with_place(reply.error or CancelledError()))
            return
        try:
            assert order.luggage is not None
            result = order.luggage.unpack(order.task.result.from_dict(reply.result))
        except EngineError as error:
            self._finish(order, error)
            return
        if order.shown:
            self._show(order, "done", 1.0, 0.0)
        self._finish(order, self._located(result))

    def _located(self, result: Message) -> Message:
        """A result that says on which device it was computed also says of which machine."""
        device = getattr(result, "device", "")
        if not device:
            return result
        return replace(cast(Any, result), device=f"{self._machine.address}:{device}")

    def _with_place(self, error: EngineError) -> EngineError:
        """What speaks of "the engine" or of memory has to say whose."""
        if not isinstance(error, (InternalError, EngineMemoryError)):
            return error
        return type(error)(f"On {self._machine.address}: {error}", error.details)

    def _lost(self, error: MachineError) -> None:
        for order in list(self._orders.values()):
            if order.connection is not None and not order.connection.alive:
                self._finish(order, error)

    # All threads.

    def _finish(self, order: Order, outcome: Message | EngineError) -> bool:
        """Answer an order, once; returns whether it had no answer yet."""
        with self._lock:
            if self._orders.pop(order.request.id, None) is None:
                return False
        if order.luggage is not None:
            order.luggage.drop()
        if isinstance(outcome, EngineError):
            self._send(Reply(order.request.id, error=outcome))
        else:
            self._reply(order.request.id, outcome)
        return True

    def _show(
        self, order: Order, stage: str, fraction: float, remaining: float | None = None
    ) -> None:
        order.shown = True
        self._send(ProgressEvent(order.request.id, Progress(stage, fraction, remaining)))

    def _reply(self, request_id: int, result: Message) -> None:
        self._send(Reply(request_id, result.to_dict()))

    def _send(self, answer: Greeting | ProgressEvent | Reply) -> None:
        try:
            with self._write_lock:
                self._sink.write(answer.encode())
                self._sink.flush()
        except (OSError, ValueError):
            pass  # nobody listens any more, which ends the input, too


def _line(request: Request) -> Frame:
    return Frame(Kind.line, content=request.encode())


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Serve the engine's methods on the standard streams of this process."""
    source, sink = claim_standard_streams()
    Relay(Machine.named(sys.argv[1]), source, sink).serve()
