"""What native libraries print by themselves does not reach the user's terminal."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()


@contextmanager
def native_output_discarded() -> Iterator[None]:
    """Meanwhile nothing that this process writes to its standard output and error is seen.

    For one thread at a time, since both belong to the process as a whole.
    """
    with _lock:
        try:
            kept = {stream: os.dup(stream) for stream in (1, 2)}
        except OSError:  # a program without a terminal, as on Windows
            yield
            return
        nothing = os.open(os.devnull, os.O_WRONLY)
        try:
            for stream in kept:
                os.dup2(nothing, stream)
            yield
        finally:
            for stream, copy in kept.items():
                os.dup2(copy, stream)
                os.close(copy)
            os.close(nothing)
