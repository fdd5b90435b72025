"""Three values, one for each spatial axis.

The Slicer process imports this file: standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

Value = TypeVar("Value")


def triple(values: Iterable[Value]) -> tuple[Value, Value, Value]:
    """The three values as a tuple.

    Raises:
        ValueError: If there are more or fewer.
    """
    first, second, third = values
    return first, second, third
