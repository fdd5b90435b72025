"""Progress and cooperative cancelling, threaded through every long computation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from factorizer_engine.protocol.errors import CancelledError
from factorizer_engine.protocol.messages import Message


@dataclass(frozen=True)
class Progress(Message):
    """How far a run has come.

    Attributes:
        stage: What is being done now, in a word or two.
        fraction: Done part of the whole run, 0 to 1.
        remaining: Estimated seconds to the end, or None while too little is known.
    """

    stage: str
    fraction: float
    remaining: float | None


class Monitor:
    """Receives progress of one run and tells it when to stop.

    Args:
        on_progress: Called with every `Progress`.
        is_cancelled: Asked at every report; returning True ends the run with `CancelledError`.
    """

    def __init__(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self._on_progress = on_progress
        self._is_cancelled = is_cancelled
        self._started = time.monotonic()

    def check(self) -> None:
        """Raise `CancelledError` if the run was cancelled."""
        if self._is_cancelled is not None and self._is_cancelled():
            raise CancelledError()

    def report(self, stage: str, fraction: float) -> None:
        """Send progress; `fraction` (0 to 1) is of the whole run, not of the stage.

        Raises:
            CancelledError: If the run was cancelled.
        """
        self.check()
        if self._on_progress is not None:
            fraction = min(max(float(fraction), 0.0), 1.0)
            self._on_progress(Progress(stage, fraction, self._remaining(fraction)))

    def span(self, start: float, end: float) -> Monitor:
        """A monitor for a part of this run: its 0 to 1 is `start` to `end` here."""

        def forward(progress: Progress) -> None:
            self.report(progress.stage, start + (end - start) * progress.fraction)

        return Monitor(forward, self._is_cancelled)

    def parts(self, count: int) -> list[Monitor]:
        """Monitors for `count` equal parts of this run, one after the other."""
        return [self.span(number / count, (number + 1) / count) for number in range(count)]

    def _remaining(self, fraction: float) -> float | None:
        elapsed = time.monotonic() - self._started
        if fraction < 0.02 or elapsed < 0.5:
            return None
        return elapsed * (1.0 - fraction) / fraction
