"""Messages of the engine protocol, damaged: every one is answered, and nothing gives way."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine import tiny
from factorizer_engine.protocol.conversation import Callbacks, Conversation
from factorizer_engine.protocol.errors import CancelledError
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.runs import ModelChoice, RunOptions, Study
from factorizer_engine.protocol.tasks.cancel import CANCEL, CancelParams
from factorizer_engine.protocol.tasks.check import CHECK, CheckParams
from factorizer_engine.protocol.tasks.components import COMPONENTS, ComponentsParams
from factorizer_engine.protocol.tasks.hello import HELLO
from factorizer_engine.protocol.tasks.load_model import LOAD_MODEL
from factorizer_engine.protocol.tasks.models import MODELS, ModelsParams
from factorizer_engine.protocol.tasks.segment import SEGMENT, SegmentParams
from factorizer_engine.protocol.tasks.task import Nothing
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.protocol.wire import Greeting, ProgressEvent, Reply, Request
from factorizer_engine.service.engine import Engine
from factorizer_engine.service.worker import Worker
from stress.mutations import damaged_bytes, damaged_values
from stress.trial import Trial, is_plain

SENTINEL = 10**9
"""Ids from here on are those of undamaged requests, which tell when a damaged one is dealt with."""


DEFECT = "failed with an unexpected"
"""What the engine says of errors that it does not know."""


def message_trials(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """Damaged requests to a worker with a real engine, and damaged answers, in turn, without end.

    Whatever parameters can be read are worked on, with a tiny model and small scans.
    """
    requests, answers = _requests(folder), _answers()
    with_worker = _Worker()
    while True:
        yield with_worker.trial(_damaged(chance.choice(requests), chance))
        yield _hear(_damaged(chance.choice(answers), chance))


class _Worker:
    """A worker in a thread, asked through pipes."""

    def __init__(self) -> None:
        (source, self._to), (self._from, sink) = os.pipe(), os.pipe()
        streams = os.fdopen(source, "rb"), os.fdopen(sink, "wb", buffering=0)
        worker = Worker(Engine().handlers, *streams, exit_process=lambda code: None)
        threading.Thread(target=worker.serve, daemon=True).start()
        self._answers = os.fdopen(self._from, "rb")
        self._answers.readline()  # the greeting
        self._sentinel = SENTINEL

    def trial(self, line: bytes) -> Trial:
        """Say a line, and listen until what follows it is answered."""
        self._sentinel += 1
        models = Request(self._sentinel, MODELS.name, ModelsParams().to_dict()).encode()
        threading.Thread(target=os.write, args=(self._to, line + b"\n" + models)).start()
        faults, refused = [], False
        while (answer := json.loads(self._answers.readline())).get("id") != self._sentinel:
            error = answer.get("error")
            if error is None:
                continue
            refused = True
            if not is_plain(error["message"]) or DEFECT in error["message"]:
                faults.append(f"{line!r}\n{error['message']}\n{error['details']}")
        return Trial("request", refused, "\n".join(faults))


def _hear(line: bytes) -> Trial:
    """Let a conversation with open requests hear a line."""
    told: list[str] = []
    conversation = Conversation(lambda sent: None, lambda: None)
    conversation.hear(Greeting(3, "1", 1).encode())

    def callbacks(name: str) -> Callbacks[Any]:
        return Callbacks(lambda result: told.append(name), lambda error: told.append(name))

    for task, params in ((HELLO, Nothing()), (MODELS, ModelsParams())):
        conversation.ask(task, params, callbacks(task.name))
    try:
        for part in line.split(b"\n"):
            conversation.hear(part)
        conversation.end(CancelledError())
    except Exception as error:
        return Trial("answer", False, f"{line!r}\n{error!r}")
    each_once = sorted(told) == [HELLO.name, MODELS.name]
    return Trial("answer", True, "" if each_once else f"{line!r}\ntold {told}")


def _damaged(message: dict[str, Any], chance: random.Random) -> bytes:
    if chance.random() < 0.7:
        return json.dumps(damaged_values(message, chance)).encode()
    return damaged_bytes(json.dumps(message).encode(), chance)


def _requests(folder: Path) -> list[dict[str, Any]]:
    model = tiny.bundle(folder).description.path
    files = {
        name: ScanFile.save(scan.array, scan.affine, folder / f"{name}.npy", name)
        for name, scan in tiny.scans().items()
    }
    choice, study, output = ModelChoice(str(model), "cpu"), Study(files, "T1"), str(folder / "out")
    options = RunOptions(mirroring=True, overlap=0.25)
    params = {
        SEGMENT: SegmentParams(choice, study, output, options),
        COMPONENTS: ComponentsParams(choice, study, output, options, count=1),
        CHECK: CheckParams(choice, study, output, options),
        LOAD_MODEL: choice,
        HELLO: Nothing(),
        MODELS: ModelsParams(),
        CANCEL: CancelParams(1),
    }
    return [
        {"id": number, "method": task.name, "params": own.to_dict()}
        for number, (task, own) in enumerate(params.items(), start=1)
    ]


def _answers() -> list[dict[str, Any]]:
    hello = {"engine": "1", "versions": {"torch": "2"}, "devices": []}
    lines = [
        Greeting(3, "1", 5).encode(),
        ProgressEvent(1, Progress("segmenting", 0.5, 2.0)).encode(),
        Reply(1, hello).encode(),
        Reply(2, {"models": []}).encode(),
        Reply(2, error=CancelledError()).encode(),
    ]
    return [json.loads(line) for line in lines]
