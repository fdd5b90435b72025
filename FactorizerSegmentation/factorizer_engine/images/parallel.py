"""Scans of one case handled side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from factorizer_engine.images.processors import usable_processors

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`function` of every item, in their order, computed in threads.

    Worth it where numpy or zlib do the work, which leave other threads free to run. There are as
    many threads as `OMP_NUM_THREADS` says, else as many as `usable_processors`.

    Raises:
        Whatever the function raises for the first item for which it fails.
    """
    items = list(items)
    threads = min(len(items), _usable_threads())
    if threads < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


def _usable_threads() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() else usable_processors()
