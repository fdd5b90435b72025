"""Requests of the operating system to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_signals(request: Callable[[], None]) -> Iterator[None]:
    """Meanwhile SIGTERM and SIGINT call `request`; a second one of a kind acts as usual."""
    previous: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
        request()
        signal.signal(number, previous[number])

    # Python lets only the main thread handle signals; elsewhere that thread's owner does.
    if threading.current_thread() is threading.main_thread():
        for kind in (signal.SIGTERM, signal.SIGINT):
            previous[kind] = signal.signal(kind, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
