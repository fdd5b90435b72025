"""Parts of a map in threads, one a core, where each part is computed by one thread alone.

Operations that share one part among the cores wait for all of them every time; parts of the size
that stays in a core's cache are too small for that. Threads that have nothing to do sleep.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier, Lock
from typing import TypeVar

import torch

DEVICE_PART = 2**26
"""Values of a part of a map on another device: enough to keep it busy."""
LARGEST_PART = 2**18
"""Values of a part of a map that stays in a core's cache."""
_SMALLEST_PART = 2**13  # less is not worth a call

Part = TypeVar("Part")
Found = TypeVar("Found")
_starting = Lock()


def part_values(values: int) -> int:
    """How many of a map's values to put into a part, so that no thread is left without one."""
    share = -(-values // (2 * torch.get_num_threads()))
    return min(max(share, _SMALLEST_PART), LARGEST_PART)


def run_in_threads(
    function: Callable[[Part], object], parts: Iterable[Part], at_once: int | None = None
) -> None:
    """`function` of every part, without gradients, in `torch.get_num_threads()` threads.

    No more than `at_once` parts are at work at a time, if that is given. Where something observes
    or changes the operations of the calling thread (autocast, a profiler, a mode), all parts are
    computed in that one.

    Raises:
        Exception: The first that `function` raised; parts that were not begun are left out.
    """
    remaining = deque(parts)
    is_inference = torch.is_inference_mode_enabled()

    def work() -> None:
        with torch.inference_mode(is_inference), torch.no_grad():
            while remaining:
                try:
                    part = remaining.popleft()
                except IndexError:  # another thread took the last one
                    return
                try:
                    function(part)
                except BaseException:
                    remaining.clear()
                    raise

    threads = torch.get_num_threads()
    workers = min(threads, len(remaining), at_once or threads)
    if workers < 2 or _is_observed():
        work()
        return
    for future in [_pool(threads).submit(work) for _ in range(workers)]:
        future.result()


def map_in_threads(function: Callable[[Part], Found], parts: Sequence[Part]) -> list[Found]:
    """What `function` gives for every part, in their order, computed as `run_in_threads` does."""
    found: dict[int, Found] = {}

    def keep(number: int) -> None:
        found[number] = function(parts[number])

    run_in_threads(keep, range(len(parts)))
    return [found[number] for number in range(len(parts))]


def _is_observed() -> bool:
    return (
        torch.is_autocast_enabled("cpu")
        or torch.compiler.is_compiling()
        or torch.autograd._profiler_enabled()
        or torch._C._len_torch_dispatch_stack() > 0
    )


def _pool(threads: int) -> ThreadPoolExecutor:
    with _starting:
        return _started_pool(threads)


@lru_cache(maxsize=1)
def _started_pool(threads: int) -> ThreadPoolExecutor:
    """So many threads, in each of which torch computes with one."""
    pool = ThreadPoolExecutor(threads, "map-part", initializer=_compute_alone)
    everyone = Barrier(threads + 1)
    for _ in range(threads):
        pool.submit(everyone.wait)
    everyone.wait()
    torch.set_num_threads(threads)  # the number for threads yet to come, which they have changed
    return pool


def _compute_alone() -> None:
    torch.get_num_threads()  # the first call in a thread sets the number that others have
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # threads do not live on in a forked process
    os.register_at_fork(after_in_child=_started_pool.cache_clear)
