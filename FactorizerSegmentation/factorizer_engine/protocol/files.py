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
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.failures import NO_SPACE

MEGABYTE = 2**20

TEMPORARY_VARIABLES = ("TMPDIR", "TEMP", "TMP")
"""What tells programs where temporary files go, on all systems."""

FOR_SPREADSHEETS = "utf-8-sig"
"""The encoding of tables that people open: spreadsheets take UTF-8 without this mark for another
one. Commas and decimal points stay, since a table must not depend on whose computer wrote it."""

_IN_USE = (5, 32)
"""Windows' numbers for a file that another program has open: access denied, sharing violation."""
_UNFINISHED = ".unfinished-"
"""How folders are called beside results that are being written or replaced."""
_PAUSES = (0.05, 0.1, 0.2, 0.4)
"""Seconds between attempts to move a file that is in use."""


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
def written_at_once(folder: Path, outdated: Callable[[], Iterable[str]] = tuple) -> Iterator[Path]:
    """A new folder inside `folder` whose files move up into it when the block ends well.

    If the block fails, or one of those that they replace is open on Windows, they vanish, and what
    was in `folder` before stays as it was.

    Args:
        outdated: Asked at the end for the names of other files in `folder`, which go then, too.
    """
    with temporary_folder(folder, _UNFINISHED) as unfinished:
        yield unfinished
        files = sorted(unfinished.iterdir())
        earlier = {*outdated(), *(file.name for file in files)}
        with _set_aside(folder / name for name in sorted(earlier)):
            for file in files:
                replace(file, folder / file.name)


@contextmanager
def written_folder(path: Path) -> Iterator[Path]:
    """A folder yet to be made, which takes the place of `path` when the block ends well.

    Missing folders around it are made. If the block fails, what was at `path` stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(path.parent, _UNFINISHED) as unfinished:
        written = unfinished / path.name
        yield written
        with _set_aside([path]):
            replace(written, path)


def remove_folder(path: Path) -> None:
    """Delete a folder with all that is in it, or nothing if one of its files is open on Windows.

    Raises:
        OSError: If it cannot be deleted.
    """
    with _set_aside([path]):
        pass


@contextmanager
def _set_aside(paths: Iterable[Path]) -> Iterator[None]:
    """Move those of the paths that exist out of the way; they come back if the block fails.

    Removing a folder would end in the middle where Windows does not let go of a file, and leave the
    rest of it behind. Moving it away either succeeds or changes nothing.
    """
    present = [path for path in paths if path.exists()]
    if not present:
        yield
        return
    with temporary_folder(present[0].parent, _UNFINISHED) as aside:
        moved: list[Path] = []
        try:
            for path in present:
                replace(path, aside / path.name)
                moved.append(path)
            yield
        except BaseException:
            for path in moved:
                replace(aside / path.name, path)
            raise


@contextmanager
def temporary_folder(parent: Path | None = None, prefix: str = "factorizer-") -> Iterator[Path]:
    """A folder that vanishes with all that is in it; what Windows does not let go of then stays.

    That must not make a failure of what has succeeded.

    Args:
        parent: Where it is made; by default among the temporary files of the system.
        prefix: How its name begins.
    """
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as name:
        yield Path(name)


def replace(source: Path, target: Path) -> None:
    """Move a file in place of another, or a folder.

    On Windows that fails while another program has it open, as those that search new files for
    viruses do for a moment, which is waited for.

    Raises:
        OSError: If it cannot be moved.
    """
    for pause in _PAUSES:
        try:
            os.replace(source, target)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _IN_USE:
                raise
        time.sleep(pause)
    os.replace(source, target)


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
        replace(temporary, path)
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


def write_csv(
    path: str | Path,
    rows: Iterable[Iterable[Any]],
    line_end: str = "\r\n",
    encoding: str = "utf-8",
) -> None:
    """Write a table, titles first, as comma-separated values, atomically.

    Args:
        encoding: `FOR_SPREADSHEETS` for tables that people open.

    Raises:
        BadInputError: If it cannot be written.
    """
    with (
        written_atomically(path) as temporary,
        temporary.open("w", newline="", encoding=encoding) as file,
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
    elif isinstance(error, PermissionError) and path.exists():
        message = (
            f"{path} cannot be replaced; close it where it is open, such as in a spreadsheet, or "
            "choose another folder."
        )
    else:
        message = f"{path.name} cannot be written to {path.parent}; choose another folder."
    return BadInputError(message, repr(error))
