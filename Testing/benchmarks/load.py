"""A window beside processes that keep every core busy, and on its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.contestants import OURS, Window, build
from benchmarks.measure import Row, Setting, ratio, stopwatch, take_turns

SECTION = "A window on an overloaded machine"
QUIET, BUSY = "on its own", "beside a busy process on every core"


def measure_load(window: Window, setting: Setting) -> list[Row]:
    """Time of a window on its own, and while every core has another process to serve."""
    network, x = build(OURS, window, setting.device), window.input(setting.device)

    def run(_: object = None) -> None:
        with setting.computing():
            network(x)

    alone = stopwatch(run, setting.device)

    def beside() -> float:
        with _busy(setting.threads):
            return alone()

    times = take_turns(
        {QUIET: alone, BUSY: beside},
        setting.rounds,
        say=lambda text: setting.say(f"{SECTION}: {text}"),
    )
    over = {QUIET: ratio(times[BUSY], times[QUIET])}
    return [
        Row(SECTION, QUIET, times[QUIET]),
        Row(SECTION, BUSY, times[BUSY], ratios=over),
    ]


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """As many processes that compute without end; entered when all of them do."""
    context = multiprocessing.get_context("spawn")
    started = [context.Event() for _ in range(count)]
    processes = [context.Process(target=_compute, args=(event,), daemon=True) for event in started]
    for process in processes:
        process.start()
    try:
        for event in started:
            event.wait()
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _compute(started) -> None:
    started.set()
    while True:
        sum(range(10_000))
