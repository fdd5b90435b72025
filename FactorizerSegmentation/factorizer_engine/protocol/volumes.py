"""Volumes that two processes hand to each other."""

from __future__ import annotations

import errno
import os
import secrets
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.messages import Message, ProtocolError
from factorizer_engine.protocol.places import ContentPath

_SALT = secrets.token_bytes(16)
_NPY_HEADER = 128
"""Bytes before the voxels, at least."""


def mark_of(patient: str) -> str:
    """What tells a patient from others in this process, and names nobody; "" for nobody known.

    Checks only compare it, so names and numbers of patients need not go to an engine, perhaps on
    another machine, nor into its log.
    """
    return blake2b(patient.encode(), digest_size=8, key=_SALT).hexdigest() if patient else ""


@dataclass(frozen=True)
class Origin(Message):
    """Where a scan comes from, as far as its file tells; "" where it does not.

    Attributes:
        patient: Whose it is, as `mark_of` tells.
        date: The day of its study.
        frame: The frame of reference that it was acquired in, by its UID.
        transform: What moves it from where it was acquired.
    """

    patient: str = ""
    date: str = ""
    frame: str = ""
    transform: str = ""


@dataclass(frozen=True)
class ScanFile(Message):
    """A volume in a .npy file.

    Attributes:
        path: The .npy file; voxels of shape (I, J, K), any real dtype, C or Fortran order.
        affine: 4x4 matrix, row by row, from voxel indices (i, j, k, 1) to world coordinates in
            mm, RAS+.
        name: What to call the volume in messages.
        origin: Where it comes from.
    """

    path: ContentPath
    affine: tuple[tuple[float, ...], ...]
    name: str = ""
    origin: Origin = field(default_factory=Origin)

    def __post_init__(self) -> None:
        if len(self.affine) != 4 or any(len(row) != 4 for row in self.affine):
            raise ProtocolError(f"The affine of '{self.name or self.path}' is not a 4x4 matrix.")

    @classmethod
    def save(
        cls,
        array: np.ndarray,
        affine: np.ndarray,
        path: str | Path,
        name: str = "",
        origin: Origin | None = None,
    ) -> ScanFile:
        """Write `array` (I, J, K) to `path` (.npy); transposed views are written without a copy.

        Raises:
            OSError: If the file cannot be written.
        """
        try:
            np.save(path, array, allow_pickle=False)
        except OSError as error:
            if error.errno is None:  # numpy's own: fewer bytes than asked for were written
                raise OSError(errno.ENOSPC, str(error), str(path)) from error
            raise
        if os.path.getsize(path) < array.nbytes + _NPY_HEADER:  # of which numpy says nothing
            raise OSError(errno.ENOSPC, "the last bytes could not be written", str(path))
        rows = np.asarray(affine, dtype=np.float64).tolist()
        return cls(str(path), tuple(tuple(row) for row in rows), name, origin or Origin())

    def load(self, mapped: bool = False) -> np.ndarray:
        """The voxels, shape (I, J, K); `mapped` reads them lazily from the file.

        Raises:
            BadInputError: If the file is missing or not a .npy file of numbers.
        """
        title = self.name or Path(self.path).name
        try:
            array = np.load(self.path, mmap_mode="r" if mapped else None, allow_pickle=False)
        except FileNotFoundError as error:
            raise BadInputError(f"The volume '{title}' was not found.", str(error)) from error
        except (OSError, ValueError, EOFError) as error:
            raise BadInputError(
                f"The file of the volume '{title}' is damaged.", str(error)
            ) from error
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            raise BadInputError(f"The volume '{title}' does not hold plain numbers.")
        return array

    @property
    def matrix(self) -> np.ndarray:
        """The affine as a (4, 4) float64 array."""
        return np.array(self.affine, dtype=np.float64)
