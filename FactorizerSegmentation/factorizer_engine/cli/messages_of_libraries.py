"""What libraries warn of is for the log, not for the user."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_OURS = "factorizer_engine"
_OWN_HANDLERS = ("nibabel.global",)
"""Loggers that print by themselves, whatever handlers there are."""


@contextmanager
def libraries_logged(log: Callable[[str], None]) -> Iterator[None]:
    """Meanwhile `log` gets what libraries warn of; messages of this project are shown as ever."""

    def take(record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] == _OURS:
            return True
        log(f"{record.name}: {record.getMessage()}")
        return False

    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter("factorizer: %(message)s"))
    shown.addFilter(take)
    root = logging.getLogger()
    root.addHandler(shown)
    others = [logging.getLogger(name) for name in _OWN_HANDLERS]
    for logger in others:
        logger.addFilter(take)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, category, *_: log(
                f"{category.__name__}: {message}"
            )
            yield
    finally:
        root.removeHandler(shown)
        for logger in others:
            logger.removeFilter(take)
