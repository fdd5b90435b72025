"""How the C library hands memory to torch on the CPU."""

from __future__ import annotations

import ctypes
import sys

import psutil

from factorizer_engine.images.memory import available_memory

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
# A threshold in bytes would end at 2 GiB, the largest int, and one large window frees more at once.
_NEVER = -1
_SMALL_SHARE = 0.25
"""What a process holds may be this part of the free memory and counts for little."""


def keep_freed_memory() -> None:
    """Make glibc keep freed blocks for reuse instead of returning them to the operating system.

    By default glibc maps every large tensor anew and unmaps it when it is freed, so each layer pays
    for having its output zeroed page by page; in a network of large maps that costs more than the
    arithmetic. The price is that the process keeps its peak memory until it ends or calls
    `release_freed_memory`. Call once, at the start of a process. Does nothing where the C library
    is not glibc (Windows and macOS have other allocators).
    """
    mallopt = _glibc_function("mallopt")
    if mallopt is None:
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _NEVER)
    mallopt(_M_TOP_PAD, 256 * 2**20)


def release_if_large() -> None:
    """`release_freed_memory` where what this process holds would be missed elsewhere."""
    held = psutil.Process().memory_info().rss
    if held > _SMALL_SHARE * available_memory():
        release_freed_memory()


def release_freed_memory() -> None:
    """Return freed memory to the operating system now."""
    malloc_trim = _glibc_function("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(ctypes.c_size_t(0))


def _glibc_function(name: str):
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), name, None)
