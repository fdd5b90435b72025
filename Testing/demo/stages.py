"""What the terminal shows of a run: one line per stage, with progress and seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as ProgressBars

from factorizer_engine.protocol.progress import Progress

Report = Callable[[Progress], None]


class Stages:
    """Shows stages as they come and remembers how long each took.

    Args:
        console: Where to write.
    """

    def __init__(self, console: Console) -> None:
        self.seconds: dict[str, float] = {}
        self._bars = ProgressBars(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[detail]}"),
            console=console,
        )

    def __enter__(self) -> Stages:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    @contextmanager
    def stage(self, title: str) -> Iterator[Report]:
        """A stage of the run; yields a function that takes its progress."""
        task = self._bars.add_task(title, total=1.0, detail="")
        began = time.monotonic()

        def report(progress: Progress) -> None:
            left = "" if progress.remaining is None else f", about {progress.remaining:.0f} s left"
            detail = f"{progress.stage}{left}"
            self._bars.update(task, completed=min(progress.fraction, 0.999), detail=detail)

        yield report
        self.seconds[title] = time.monotonic() - began
        self._bars.update(task, completed=1.0, detail="")
