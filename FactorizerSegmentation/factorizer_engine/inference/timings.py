"""How long the stages of a run take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    """Keep the seconds of a stage, by the clock."""
    start = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - start
