"""Studies side by side on this computer."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterator, Sequence
from threading import Thread

from factorizer_engine.cli.studies.listing import StudyFiles
from factorizer_engine.cli.studies.outcomes import Outcome
from factorizer_engine.cli.studies.work import Batch, StudyWorker
from factorizer_engine.images.memory import available_memory
from factorizer_engine.images.processors import usable_processors
from factorizer_engine.protocol.errors import CancelledError

MEMORY_MARGIN = 1.5
"""Memory kept for each engine, as a multiple of what the first one was seen to take."""

_POLL_SECONDS = 0.2


def segment_here(
    batch: Batch, studies: Sequence[StudyFiles], workers: int | None
) -> Iterator[Outcome]:
    """The outcomes of studies, as they come in.

    Args:
        batch: What is done with them.
        studies: At least one.
        workers: How many engines to run; None takes as many as memory and processors allow, which
            the first study shows, and one on a graphics card.
    """
    remaining = deque(studies)
    if workers is None:
        first = StudyWorker(batch)
        yield from _outcomes([first], deque([remaining.popleft()]))
        workers = affordable_workers(first.peak_memory) if first.device == "cpu" else 1
    workers = min(workers, len(remaining))
    if workers:
        threads = max(1, usable_processors() // workers)
        yield from _outcomes([StudyWorker(batch, threads) for _ in range(workers)], remaining)


def affordable_workers(peak_memory: int) -> int:
    """How many engines of so many bytes fit into memory side by side, at most one a processor."""
    fitting = int(available_memory() / max(MEMORY_MARGIN * peak_memory, 1))
    return max(1, min(usable_processors(), fitting))


def _outcomes(workers: Sequence[StudyWorker], remaining: deque[StudyFiles]) -> Iterator[Outcome]:
    """Each worker in a thread takes the next study; all are stopped when the caller leaves."""
    count, done = len(remaining), queue.SimpleQueue[Outcome]()
    threads = [Thread(target=_work, args=(worker, remaining, done)) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        for _ in range(count):
            yield _next(done)
    except BaseException:
        remaining.clear()
        for worker in workers:
            worker.cancel()
        raise
    finally:
        for thread in threads:
            thread.join()


def _work(
    worker: StudyWorker, remaining: deque[StudyFiles], done: queue.SimpleQueue[Outcome]
) -> None:
    try:
        while True:
            done.put(worker.segment(remaining.popleft()))
    except (IndexError, CancelledError):  # nothing is left to do
        pass
    finally:
        worker.close()


def _next(done: queue.SimpleQueue[Outcome]) -> Outcome:
    """The next outcome; waits in short steps, since Windows does not interrupt a long one."""
    while True:
        try:
            return done.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
