"""What happens, and who wants to know."""

from __future__ import annotations

from collections.abc import Callable


class Event:
    """Something that happens again and again; listeners are called in the order of arrival."""

    def __init__(self) -> None:
        self._listeners: list[Callable[..., None]] = []

    def connect(self, listener: Callable[..., None]) -> None:
        """Call `listener` from now on."""
        self._listeners.append(listener)

    def disconnect(self, listener: Callable[..., None]) -> None:
        """Do not call it any more."""
        self._listeners.remove(listener)

    def emit(self, *arguments: object) -> None:
        """It has happened."""
        for listener in list(self._listeners):
            listener(*arguments)
