"""Compiled code on file, for the next process. Importing this module needs Numba."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

from factorizer_engine.protocol.locations import user_cache_dir

_log = logging.getLogger(__name__)


class KernelCache(FunctionCache):
    """Numba's cache, in which a full disk or a damaged file only costs compiling again.

    Numba writes its files under other names and renames them, so that processes that compile at
    the same time do no harm to each other. By itself it compiles a function again when the file
    that defines it was changed; here also when another file of this package was, as functions of
    one are part of the code of others.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = _digest_of_sources()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What was kept for a signature; None if there is nothing that can be used."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling what is damaged can raise anything
            _log.debug("A compiled kernel on file cannot be used.", exc_info=True)
            with suppress(OSError):
                self.flush()  # the list of what there is, so that it is kept anew
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for a signature, if there is room for it."""
        try:
            super().save_overload(sig, data)
        except OSError:
            _log.debug("A compiled kernel cannot be kept.", exc_info=True)


def keep_compiled(kernel: Any, function: Callable[..., Any]) -> None:
    """Keep the code of a kernel that `function` was made, where there is a folder for that."""
    before = numba.config.CACHE_DIR
    try:
        if not before:
            numba.config.CACHE_DIR = str(_folder())
        kernel._cache = KernelCache(function)  # as numba.njit(cache=True) does with its own
    except (OSError, RuntimeError):  # no folder that can be written to
        _log.debug("Compiled kernels are not kept.", exc_info=True)
    finally:
        numba.config.CACHE_DIR = before


@cache
def _digest_of_sources() -> str:
    digest = sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _folder() -> Path:
    """Where the user's compiled code is kept on this system."""
    return user_cache_dir() / "factorizer-engine" / "numba"
