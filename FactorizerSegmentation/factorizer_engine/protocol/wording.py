"""Names and numbers in sentences. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence

_NOTHING = 1e-9
"""Differences of volumes and lengths below this are those of rounding."""


def enumerated(names: Sequence[str], conjunction: str = "and") -> str:
    """Such as "A, B and C"."""
    *first, last = names
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def capitalised(text: str) -> str:
    """With a capital; the rest stays, so that abbreviations such as ET do."""
    return text[:1].upper() + text[1:]


def counted(count: int, noun: str) -> str:
    """Such as "1 case" and "2 cases"; of a noun that takes an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def rounded(value: float, decimals: int, signed: bool = False) -> str:
    """A number with so many decimals, or as many more as two digits of it take.

    So nothing that is there is told as 0, such as a lesion of one voxel in mL.

    Args:
        value: Finite.
        signed: With a plus before what is positive.
    """
    size = abs(value)
    if size < _NOTHING:
        return f"{0.0:{'+' if signed else ''}.{decimals}f}"
    told = float(f"{size:.1e}")  # 0.998 is told as 1.0
    needed = max(decimals, 1 - math.floor(math.log10(told)))
    return f"{value:{'+' if signed else ''}.{needed}f}"
