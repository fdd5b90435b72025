"""Changing widgets without telling anybody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def signalsBlocked(*widgets) -> Iterator[None]:
    """Widgets that are changed inside the block send no signals."""
    before = [(widget, widget.blockSignals(True)) for widget in widgets]
    try:
        yield
    finally:
        for widget, blocked in before:
            widget.blockSignals(blocked)
