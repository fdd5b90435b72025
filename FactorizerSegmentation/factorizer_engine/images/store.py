"""Where volumes are kept while a case is computed: in memory, or on the disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike


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
            OSError: If the disk has no space.
        """
        if not self.on_disk or 0 in shape:
            return np.zeros(shape, dtype)
        with tempfile.TemporaryFile(prefix="factorizer-") as file:
            return np.memmap(file, dtype, "w+", shape=tuple(shape)).view(np.ndarray)

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


def free_on_disk() -> int:
    """Bytes that are free where a store keeps its files."""
    return shutil.disk_usage(tempfile.gettempdir()).free
