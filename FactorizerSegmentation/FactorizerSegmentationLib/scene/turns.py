"""Work in pieces, between which the window has its turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import qt

Value = TypeVar("Value")

_PAUSE_MS = 1


class Turns:
    """Does work that is a generator; the window has its turn at every `yield`."""

    def __init__(self) -> None:
        self._work: Generator[None, None, Any] | None = None

    @property
    def working(self) -> bool:
        """Whether there is work that is not done."""
        return self._work is not None

    def start(
        self,
        work: Generator[None, None, Value],
        done: Callable[[Value], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Begin work in place of any other.

        Args:
            done: Called with what the work returns.
            failed: Called with what it raises.
        """
        self.cancel()
        self._work = work

        def goOn() -> None:
            if self._work is not work:  # cancelled
                return
            try:
                next(work)
            except StopIteration as ended:
                self._work = None
                done(ended.value)
            except Exception as error:
                self._work = None
                failed(error)
            else:
                _inRoundOfItsOwn(goOn)

        _inRoundOfItsOwn(goOn)

    def startAlone(self, work: Generator[None, None, None], problem: str) -> None:
        """`start` work for whose end nobody waits.

        Args:
            problem: A sentence for the log if it fails.
        """

        def failed(error: Exception) -> None:
            logging.error(problem, exc_info=error)

        self.start(work, lambda nothing: None, failed)

    def cancel(self) -> None:
        """Do no more; the generator is closed where it is."""
        work, self._work = self._work, None
        if work is not None:
            work.close()


def _inRoundOfItsOwn(piece: Callable[[], None]) -> None:
    """Call soon, but not in a round of the event loop in which views may be drawn.

    All timers that are due are served in one round. Those of the views, which the piece before has
    changed, are due with our first one: the window would stand still for both.
    """
    qt.QTimer.singleShot(_PAUSE_MS, lambda: qt.QTimer.singleShot(_PAUSE_MS, piece))
