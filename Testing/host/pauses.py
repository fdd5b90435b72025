"""How long the window does not answer."""

from __future__ import annotations

import time

import qt

TICK_MS = 20


class Pauses:
    """How long a timer of 20 ms was kept waiting since this was made.

    Attributes:
        busy: Seconds of the interface thread's own processor time between two ticks, at most; other
            programs that keep the computer busy count only in `longest`.
    """

    def __init__(self) -> None:
        self._last, self._worked = time.perf_counter(), time.thread_time()
        self._longest = self.busy = 0.0
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._onTimeout)
        self._timer.start(TICK_MS)

    def longest(self) -> float:
        """Seconds between two ticks, at most; nothing is counted afterwards."""
        self._timer.stop()
        return self._longest

    def _onTimeout(self) -> None:
        now, worked = time.perf_counter(), time.thread_time()
        self._longest = max(self._longest, now - self._last)
        self.busy = max(self.busy, worked - self._worked)
        self._last, self._worked = now, worked
