"""Where volumes are kept while a case is computed: in memory, or on the disk."""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import DTypeLike

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.failures import NO_SPACE

_PIECE = 2**24
"""Bytes that are written at once."""


@dataclass(frozen=True)
class Store:
    """Gives arrays for whole volumes.

    On the disk they are files without names, mapped into memory: the operating system writes their
    pages out where memory is short, and the files vanish with the arrays.

    Attributes:
        on_disk: Whether volumes are kept on the disk.
    """

    on_disk: bool = False

    def zeros(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> np.ndarray:
        """An array of zeros, C order.

        Raises:
            BadInputError: If the disk has no space.
        """
        if not self.on_disk or 0 in shape:
            return np.zeros(shape, dtype)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        try:
            with tempfile.TemporaryFile(prefix="factorizer-") as file:
                _allocate(file, size)
                return np.memmap(file, dtype, "r+", shape=tuple(shape)).view(np.ndarray)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            raise BadInputError(
                f"The disk for temporary files, '{tempfile.gettempdir()}', has no room for the "
                f"{size / 1e6:.0f} MB that are needed now; free some space there.",
                str(error),
            ) from error

    def kept(self, array: np.ndarray) -> np.ndarray:
        """The array itself, or a copy of it on the disk with the same order in memory."""
        if not self.on_disk:
            return array
        order = np.argsort([-abs(stride) for stride in array.strides], kind="stable")
        copy = self.zeros(tuple(array.shape[axis] for axis in order), array.dtype)
        kept: np.ndarray = copy.transpose(np.argsort(order))
        kept[...] = array
        return kept


IN_MEMORY = Store()


def _allocate(file: IO[bytes], size: int) -> None:
    """Fill an empty file with zeros that have their place on the disk.

    One that only says how large it is fails where its pages are written: late, and by a signal.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # not of every file system
                raise
    for start in range(0, size, _PIECE):
        file.write(bytes(min(_PIECE, size - start)))
    file.flush()


def free_on_disk() -> int:
    """Bytes that are free where a store keeps its files."""
    return shutil.disk_usage(tempfile.gettempdir()).free
