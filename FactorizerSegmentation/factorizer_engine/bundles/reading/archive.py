"""Takes over a bundle from an archive or a folder without trusting it."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from factorizer_engine.protocol.errors import BadModelError
from factorizer_engine.protocol.names import is_portable

DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What zipfile and its decompressors raise of a damaged archive, or one of an unknown kind."""

MAX_FILES = 2_000
MAX_BYTES = 8 * 1024**3
_CHUNK = 1 << 20
_ENCRYPTED = 1
"""Bit of an entry's flags."""
_SHOWN_LETTERS = 40


def extract_bundle(archive: Path, folder: Path, max_bytes: int = MAX_BYTES) -> Path:
    """Unpack `archive` into the empty `folder` and return the bundle's root in it.

    The root is the folder that holds `configs`, which may lie one level down.

    Raises:
        BadModelError: If the archive is damaged, too large, reaches outside `folder`, or holds no
            bundle.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            entries = [entry for entry in source.infolist() if not entry.is_dir()]
            _check_count(len(entries), f"The archive {archive.name}")
            if sum(entry.file_size for entry in entries) > max_bytes:
                raise _too_large(archive.name)
            if any(entry.flag_bits & _ENCRYPTED for entry in entries):
                raise BadModelError(
                    f"The archive {archive.name} is protected by a password; unpack it, and "
                    "install the folder."
                )
            budget = max_bytes
            for entry in entries:
                target = folder / _safe_path(entry, archive.name)
                if target.exists():
                    raise BadModelError(
                        f"The archive {archive.name} holds {entry.filename[:_SHOWN_LETTERS]} "
                        "twice; have it packed again."
                    )
                target.parent.mkdir(parents=True, exist_ok=True)
                budget -= _extract_file(source, entry, target, budget, archive.name)
    except DAMAGED as error:
        raise BadModelError(
            f"The archive {archive.name} is damaged; download it again.", details=repr(error)
        ) from error
    except OSError as error:
        raise BadModelError(
            f"The archive {archive.name} cannot be unpacked: {error.strerror or error}."
        ) from error
    return bundle_root(folder, archive.name)


def copy_bundle(root: Path, target: Path) -> None:
    """Copy the files of a bundle's folder into the folder `target`, which is made.

    A link to a file within the folder becomes a copy of that file.

    Raises:
        BadModelError: If a link leads elsewhere, or there is more in the folder than a model has.
        OSError: If something cannot be read or written.
    """
    files = list(_files_within(root.resolve()))
    if sum(file.stat().st_size for file in files) > MAX_BYTES:
        raise BadModelError(f"The folder {root.name} holds more than a model needs.")
    for file in files:
        copy = target / file.relative_to(root.resolve())
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)  # without marks such as "read-only", which hinder later


def _files_within(root: Path) -> Iterator[Path]:
    """The files of a folder and its subfolders."""
    count = 0
    for folder, subfolders, names in os.walk(root):
        paths = [Path(folder, name) for name in (*subfolders, *names)]
        count += len(paths)
        _check_count(count, f"The folder {root.name}")
        for path in paths:
            if path.is_symlink() and not (path.is_file() and path.resolve().is_relative_to(root)):
                raise BadModelError(
                    f"The model was refused: {path.relative_to(root)} is a link that leads out of "
                    "its folder or to no file; put the file itself there."
                )
            if not (path.is_file() or path.is_dir()):
                raise BadModelError(
                    f"The model was refused: {path.relative_to(root)} is no regular file."
                )
            if path.is_file():
                yield path


def _check_count(count: int, shown_name: str) -> None:
    if count > MAX_FILES:
        raise BadModelError(f"{shown_name} holds too many files for a model.")


def bundle_root(folder: Path, shown_name: str) -> Path:
    """`folder`, or its only subfolder that holds `configs`.

    Raises:
        BadModelError: If there is none, or several.
    """
    if (folder / "configs").is_dir():
        return folder
    found = sorted(path for path in folder.iterdir() if (path / "configs").is_dir())
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise BadModelError(f"{shown_name} holds several models, {names}; install one at a time.")
    if found:
        return found[0]
    raise BadModelError(f"{shown_name} is not a model bundle: it has no configs folder.")


def _safe_path(entry: zipfile.ZipInfo, archive_name: str) -> Path:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or ":" in entry.filename or is_link:
        raise BadModelError(
            f"The archive {archive_name} was refused: it tries to write outside its own folder."
        )
    if not all(map(is_portable, path.parts)):
        raise BadModelError(
            f"The archive {archive_name} was refused: some systems cannot keep a file of the name "
            f"{entry.filename[:_SHOWN_LETTERS]!r}."
        )
    return Path(*path.parts)


def _too_large(archive_name: str) -> BadModelError:
    return BadModelError(f"The archive {archive_name} unpacks to more than a model needs.")


def _extract_file(
    source: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, budget: int, archive_name: str
) -> int:
    """Unpack one file and return its real size, which headers may hide."""
    size = 0
    with source.open(entry) as packed, target.open("xb") as unpacked:
        while size <= budget and (chunk := packed.read(_CHUNK)):
            size += len(chunk)
            unpacked.write(chunk)
    if size > budget:
        shutil.rmtree(target.parent, ignore_errors=True)
        raise _too_large(archive_name)
    return size
