"""Files that appear complete or not at all, in folders that were tried beforehand; their sums.

Standard library only.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.failures import NO_SPACE

MEGABYTE = 2**20

TEMPORARY_VARIABLES = ("TMPDIR", "TEMP", "TMP")
"""What tells programs where temporary files go, on all systems."""


def check_letters(path: str | Path) -> None:
    """Make sure that libraries in C++ can be given a path; some end the process otherwise.

    Raises:
        BadInputError: If its name is in no known letters, as on disks of old systems.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        shown = str(path).encode("utf-8", "replace").decode()
        raise BadInputError(
            f"The path {shown} holds letters that are not in UTF-8; rename what they are in.",
            repr(error),
        ) from error


def prepare_output_folder(path: str | Path, needed_bytes: int = MEGABYTE) -> Path:
    """Create the folder if need be and try to write there; returns its absolute path.

    Raises:
        BadInputError: If the folder cannot be made, cannot be written to or has too little space.
    """
    folder = Path(path).expanduser().absolute()
    check_letters(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, probe = tempfile.mkstemp(prefix=".probe-", dir=folder)
        os.close(handle)
        os.unlink(probe)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise BadInputError(
            f"The output folder '{folder}' cannot be written to; choose another folder.",
            repr(error),
        ) from error
    if free < needed_bytes:
        raise BadInputError(
            f"The output folder '{folder}' has {free / MEGABYTE:.0f} MB of free space but about "
            f"{needed_bytes / MEGABYTE:.0f} MB are needed; free some or choose another folder."
        )
    return folder


@contextmanager
def output_folder(path: str | Path) -> Iterator[Path]:
    """As `prepare_output_folder`, but folders made for it vanish if the block fails.

    Those that hold something by then stay.
    """
    folder = Path(path).expanduser().absolute()
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield prepare_output_folder(folder)
    except BaseException:
        for place in missing:
            try:
                place.rmdir()
            except OSError:
                break
        raise


@contextmanager
def written_at_once(folder: Path) -> Iterator[Path]:
    """A new folder inside `folder` whose files move up into it when the block ends well.

    If the block fails, they vanish, and what was in `folder` before stays as it was.
    """
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder) as unfinished:
        yield Path(unfinished)
        for file in sorted(Path(unfinished).iterdir()):
            os.replace(file, folder / file.name)


@contextmanager
def written_folder(path: Path) -> Iterator[Path]:
    """A folder yet to be made, which takes the place of `path` when the block ends well.

    Missing folders around it are made. If the block fails, what was at `path` stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=path.parent) as unfinished:
        written = Path(unfinished) / path.name
        yield written
        if path.exists():
            shutil.rmtree(path)
        written.rename(path)


@contextmanager
def written_atomically(path: str | Path, durable: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`, with the same ending, moved there when the block ends well.

    Missing folders are made. If the block fails, nothing is left behind and an older file stays.

    Args:
        path: The file to write.
        durable: Force the content to disk first, so that it survives a computer that goes down.

    Raises:
        BadInputError: If the folder cannot be written to or has no space left.
    """
    path = Path(path).expanduser()
    temporary = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        raise _write_error(path, error) from error
    finally:
        try:
            temporary.unlink(missing_ok=True)
        except OSError:
            pass


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, atomically.

    Raises:
        BadInputError: If it cannot be written.
    """
    with written_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write indented JSON, atomically.

    Raises:
        BadInputError: If it cannot be written.
    """
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_csv(path: str | Path, rows: Iterable[Iterable[Any]], line_end: str = "\r\n") -> None:
    """Write a table, titles first, as comma-separated values in UTF-8, atomically.

    Raises:
        BadInputError: If it cannot be written.
    """
    with (
        written_atomically(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file, lineterminator=line_end).writerows(rows)


def file_digest(path: str | Path, algorithm: str = "sha256") -> bytes:
    """A sum over the content of a file, which is read in parts.

    Raises:
        OSError: If it cannot be read.
    """
    digest = hashlib.new(algorithm)  # hashlib.file_digest came with Python 3.11
    with open(path, "rb") as file:
        while chunk := file.read(MEGABYTE):
            digest.update(chunk)
    return digest.digest()


def _write_error(path: Path, error: OSError | RuntimeError) -> BadInputError:
    """The error as one sentence; ITK raises RuntimeError whatever the reason."""
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        message = f"There is no space left to write {path.name} to {path.parent}; free some space."
    elif path.is_dir():
        message = f"{path} is a folder; choose another name for the result."
    else:
        message = f"{path.name} cannot be written to {path.parent}; choose another folder."
    return BadInputError(message, repr(error))
