"""Checkpoints out of the archives in which they are published, without trusting these."""

from __future__ import annotations

import fnmatch
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from factorizer_engine.bundles.reading.archive import DAMAGED
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.names import is_portable
from factorizer_engine.protocol.progress import Monitor

MAX_BYTES = 20 * 1024**3
"""More than any published ensemble unpacks to."""

_DAMAGED = (*DAMAGED, tarfile.TarError, OSError)


def unpack_matching(archive: Path, pattern: str, folder: Path, monitor: Monitor) -> list[Path]:
    """Unpack the files whose path in a .zip, .tar.* or .7z archive matches `pattern`.

    They lie in `folder` under the paths that they have in the archive. Links are left out.

    Args:
        archive: The archive.
        pattern: As in a shell; "*" also stands for "/".
        folder: An empty folder.
        monitor: Told how far it has come.

    Raises:
        BadModelError: If the archive is damaged, too large, or has no such file.
        BadInputError: If it is a .7z, and py7zr is not installed.
    """
    monitor.report("unpacking", 0.0)
    try:
        if zipfile.is_zipfile(archive):
            files = list(_from_zip(archive, pattern, folder, monitor))
        elif tarfile.is_tarfile(archive):
            files = list(_from_tar(archive, pattern, folder, monitor))
        else:
            files = _from_7z(archive, pattern, folder)
    except (BadInputError, BadModelError):
        raise
    except _DAMAGED as error:
        raise BadModelError(
            f"The archive {archive.name} is damaged or of an unknown kind; download it again.",
            repr(error),
        ) from error
    if not files:
        raise BadModelError(f"The archive {archive.name} holds nothing like {pattern}.")
    return sorted(files)


def _from_zip(archive: Path, pattern: str, folder: Path, monitor: Monitor) -> Iterator[Path]:
    with zipfile.ZipFile(archive) as source:
        entries = [
            entry
            for entry in source.infolist()
            if not entry.is_dir()
            and not stat.S_ISLNK(entry.external_attr >> 16)
            and _matches(entry.filename, pattern)
        ]
        _check_size(archive, sum(entry.file_size for entry in entries))
        for entry, part in zip(entries, monitor.parts(len(entries)), strict=True):
            with source.open(entry) as packed:
                yield _copy(packed, entry.filename, entry.file_size, folder, part)


def _from_tar(archive: Path, pattern: str, folder: Path, monitor: Monitor) -> Iterator[Path]:
    with tarfile.open(archive) as source:
        entries = [entry for entry in source if entry.isfile() and _matches(entry.name, pattern)]
        _check_size(archive, sum(entry.size for entry in entries))
        for entry, part in zip(entries, monitor.parts(len(entries)), strict=True):
            packed = source.extractfile(entry)
            assert packed is not None  # it is a file
            with packed:
                yield _copy(packed, entry.name, entry.size, folder, part)


def _from_7z(archive: Path, pattern: str, folder: Path) -> list[Path]:
    try:
        import py7zr
    except ImportError as error:
        raise BadInputError(
            f"{archive.name} is a 7-Zip archive, for which the Python package py7zr is needed: "
            "pip install py7zr."
        ) from error
    try:
        with py7zr.SevenZipFile(archive) as source:
            entries = [
                entry
                for entry in source.list()
                if not entry.is_directory and _matches(entry.filename, pattern)
            ]
            _check_size(archive, sum(entry.uncompressed for entry in entries))
            if entries:
                source.extract(folder, [entry.filename for entry in entries])
    except (py7zr.exceptions.ArchiveError, py7zr.exceptions.PasswordRequired) as error:
        raise EOFError(str(error)) from error
    paths = [folder / entry.filename for entry in entries]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def _matches(name: str, pattern: str) -> bool:
    """Whether a member is wanted; those that point out of the archive never are."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or not all(map(is_portable, path.parts)):
        return False
    return fnmatch.fnmatchcase(str(path), pattern)


def _check_size(archive: Path, size: int) -> None:
    if size > MAX_BYTES:
        raise BadModelError(f"The archive {archive.name} unpacks to more than a model needs.")


def _copy(packed: IO[Any], name: str, size: int, folder: Path, monitor: Monitor) -> Path:
    """One member, no more of it than its header says."""
    target = folder / PurePosixPath(name.replace("\\", "/"))
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with target.open("xb") as file:
        while chunk := packed.read(1 << 20):
            written += len(chunk)
            if written > size:
                raise ValueError("a member is longer than its header says")
            file.write(chunk)
            monitor.report("unpacking", written / size)
    return target
