"""Names and numbers in sentences. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence


def enumerated(names: Sequence[str], conjunction: str = "and") -> str:
    """Such as "A, B and C"."""
    *first, last = names
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def counted(count: int, noun: str) -> str:
    """Such as "1 case" and "2 cases"; of a noun that takes an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
