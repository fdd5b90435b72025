"""An engine process that goes wrong on demand: `python -m stress.sabotage`.

The file named by STRESS_ORDER says, when a job begins, what goes wrong in it:

    {"kind": "half", "after": 3}

The kind is one of `KINDS`; those that concern what is written happen at the `after`th line of the
job. With STRESS_FAKE the jobs are made up, as in `fake_engine`, and quick.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.segment import SegmentResult
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.service import worker
from factorizer_engine.service.streams import claim_standard_streams

NEVER = 10**6
"""Seconds."""

Handler = Callable[[Message, Monitor], Message]


class Saboteur:
    """Stands between the worker and its pipe, and spoils what is told to be spoilt."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._order: dict = {"kind": ""}
        self._lines = 0

    def begin(self) -> None:
        """A job begins: read what shall go wrong in it."""
        self._order = json.loads(Path(os.environ["STRESS_ORDER"]).read_text(encoding="utf-8"))
        self._lines = 0
        _limit_files(None)

    def write(self, line: bytes) -> None:
        self._lines += 1
        spoil = WRITING.get(self._order["kind"])
        if spoil is not None and self._lines == self._order["after"]:
            spoil(self._sink, line)
        self._sink.write(line)

    def flush(self) -> None:
        self._sink.flush()

    def wrapped(self, handlers: Mapping[str, Handler]) -> dict[str, Handler]:
        """The handlers, which begin by reading the order and end by spoiling the result."""

        def wrap(name: str, handle: Handler) -> Handler:
            def job(params: Message, monitor: Monitor) -> Message:
                self.begin()
                if self._order["kind"] == "full disk":
                    _limit_files(1024)
                if self._order["kind"] == "no memory":
                    raise MemoryError
                result = handle(params, monitor)
                spoil = RESULTS.get(self._order["kind"])
                if spoil is not None and isinstance(result, SegmentResult):
                    return spoil(result)
                return result

            return job

        return {name: wrap(name, handle) for name, handle in handlers.items()}


def _kill(sink: BinaryIO, line: bytes) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop(sink: BinaryIO, line: bytes) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _leave(sink: BinaryIO, line: bytes) -> None:
    os._exit(0)


def _half(sink: BinaryIO, line: bytes) -> None:
    sink.write(line[: len(line) // 2])
    os._exit(1)


def _close(sink: BinaryIO, line: bytes) -> None:
    sink.close()
    time.sleep(NEVER)


def _garbage(sink: BinaryIO, line: bytes) -> None:
    """Lines that are no protocol, and some that nearly are."""
    sink.write(b"\x00\xff\n" + random.randbytes(5000).replace(b"\n", b"") + b"\n\n")
    sink.write(b'{"id": 1, "result": 5}\n{"id": "x"}\n[[[[\n{"event": "progress"}\n')
    sink.write(b'{"id": 999999, "result": {}}\n' + b"[" * 20000 + b"\n")


def _swallow(sink: BinaryIO, line: bytes) -> None:
    """What the next line is glued to makes it unreadable."""
    sink.write(b"no end of line")


def _limit_files(size: int | None) -> None:
    """No file of more bytes can be written, as on a full disk."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most if size is None else size, most))


def _cut(file: ScanFile) -> None:
    with open(file.path, "r+b") as stream:
        stream.truncate(os.path.getsize(file.path) // 2)


def _cut_labelmap(result: SegmentResult) -> SegmentResult:
    _cut(result.labelmap)
    return result


def _cut_last_map(result: SegmentResult) -> SegmentResult:
    _cut((result.labelmap, *result.probabilities)[-1])
    return result


def _remove_files(result: SegmentResult) -> SegmentResult:
    for file in (result.labelmap, *result.probabilities):
        os.unlink(file.path)
    return result


def _other_shape(result: SegmentResult) -> SegmentResult:
    np.save(result.labelmap.path, np.ones((3, 4), np.uint8))
    return result


def _flat(result: SegmentResult) -> SegmentResult:
    affine = tuple((0.0,) * 4 for _ in range(4))
    return replace(result, labelmap=replace(result.labelmap, affine=affine))


def _objects(result: SegmentResult) -> SegmentResult:
    np.save(result.labelmap.path, np.array([{}], dtype=object), allow_pickle=True)
    return result


WRITING: dict[str, Callable[[BinaryIO, bytes], None]] = {
    "kill": _kill,
    "stop": _stop,
    "leave": _leave,
    "half": _half,
    "close": _close,
    "garbage": _garbage,
    "swallow": _swallow,
}
RESULTS: dict[str, Callable[[SegmentResult], SegmentResult]] = {
    "cut labels": _cut_labelmap,
    "cut map": _cut_last_map,
    "no files": _remove_files,
    "other shape": _other_shape,
    "flat": _flat,
    "objects": _objects,
}
KINDS = (*WRITING, "full disk", "no memory", *RESULTS)


def main() -> None:
    source, sink = claim_standard_streams()
    if "STRESS_FAKE" in os.environ:
        import fake_engine

        handlers = fake_engine.HANDLERS
    else:
        from factorizer_engine.service.engine import Engine

        handlers = Engine().handlers
    saboteur = Saboteur(sink)
    worker.Worker(saboteur.wrapped(handlers), source, saboteur).serve()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
