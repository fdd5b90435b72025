"""What steps of a preparation have found, kept on disk by the content of the scans.

Kept are places of scans, outlines of brains and smooth fields of brightness, under the digest of
what they were found in. No voxel of a scan, no name and no path is: a folder of such files tells
nothing of anybody.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from factorizer_engine.images.scan import Scan
from factorizer_engine.preparation.versions import versions
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import written_atomically
from factorizer_engine.protocol.kept import ENDING, kept_files

LARGEST_BYTES = 256 * 2**20
"""Hundreds of studies at least; beyond this, what was not used for longest goes."""

_UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What numpy and the programs below it raise of files that are not there or damaged."""


class StepCache:
    """Arrays by key, in files of one folder; without a folder it keeps nothing.

    A cache never stands in the way of a run: what cannot be read or written counts as not there.

    Args:
        folder: Made when it is needed.
        largest: Bytes that it may take on disk.
    """

    def __init__(self, folder: Path | None = None, largest: int = LARGEST_BYTES) -> None:
        self._folder = folder
        self._largest = largest

    def find(self, key: str) -> dict[str, np.ndarray] | None:
        """What is kept under a key, see `key_of`; None if nothing is."""
        if self._folder is None:
            return None
        path = self._folder / f"{key}{ENDING}"
        try:
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
            os.utime(path)
        except _UNREADABLE:
            return None
        return found or None

    def keep(self, key: str, found: Mapping[str, np.ndarray]) -> None:
        """Keep arrays under a key; those that were not used for longest make room."""
        if self._folder is None:
            return
        try:
            with written_atomically(self._folder / f"{key}{ENDING}") as path:
                np.savez_compressed(path, **found)  # type: ignore[arg-type]  # of numpy
            self._make_room()
        except (BadInputError, OSError) as error:
            logging.debug("The result of a step could not be kept: %r", error)

    def _make_room(self) -> None:
        files = sorted(self._files(), key=lambda path: path.stat().st_mtime, reverse=True)
        taken = 0
        for path in files:
            taken += path.stat().st_size
            if taken > self._largest:
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return kept_files(self._folder) if self._folder is not None else []


def key_of(step: str, *sources: Scan | str) -> str:
    """A digest of what a step is given, and of the versions of the programs that do it.

    Args:
        step: Its name.
        sources: Scans, by their voxels and places, whatever they are called; and settings.
    """
    digest = hashlib.sha256(repr((step, sorted(versions().items()))).encode())
    for source in sources:
        if isinstance(source, str):
            digest.update(repr(source).encode())
            continue
        array = np.ascontiguousarray(source.array)
        place = np.asarray(source.affine, dtype=np.float64).round(6) + 0.0  # no negative zeros
        digest.update(repr((array.dtype.str, array.shape, place.tolist())).encode())
        digest.update(array.data)
    return digest.hexdigest()
