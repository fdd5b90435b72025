"""Unpacks a zipped bundle without trusting it."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from factorizer_engine.protocol.errors import BadModelError

MAX_FILES = 2_000
MAX_BYTES = 8 * 1024**3
_CHUNK = 1 << 20


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
            if len(entries) > MAX_FILES:
                raise BadModelError(f"The archive {archive.name} holds too many files for a model.")
            budget = max_bytes
            for entry in entries:
                target = folder / _safe_path(entry, archive.name)
                target.parent.mkdir(parents=True, exist_ok=True)
                budget -= _extract_file(source, entry, target, budget, archive.name)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BadModelError(
            f"The archive {archive.name} is damaged; download it again.", details=repr(error)
        ) from error
    except OSError as error:
        raise BadModelError(
            f"The archive {archive.name} cannot be unpacked: {error.strerror or error}."
        ) from error
    return bundle_root(folder, archive.name)


def bundle_root(folder: Path, shown_name: str) -> Path:
    """`folder`, or its only subfolder that holds `configs`.

    Raises:
        BadModelError: If there is none.
    """
    candidates = [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]
    for candidate in candidates:
        if (candidate / "configs").is_dir():
            return candidate
    raise BadModelError(f"{shown_name} is not a model bundle: it has no configs folder.")


def _safe_path(entry: zipfile.ZipInfo, archive_name: str) -> Path:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or ":" in entry.filename or is_link:
        raise BadModelError(
            f"The archive {archive_name} was refused: it tries to write outside its own folder."
        )
    return Path(*path.parts)


def _extract_file(
    source: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, budget: int, archive_name: str
) -> int:
    """Unpack one file and return its real size, which headers may hide."""
    size = 0
    with source.open(entry) as packed, target.open("xb") as unpacked:
        while chunk := packed.read(_CHUNK):
            size += len(chunk)
            if size > budget:
                shutil.rmtree(target.parent, ignore_errors=True)
                raise BadModelError(
                    f"The archive {archive_name} unpacks to more than a model needs."
                )
            unpacked.write(chunk)
    return size
