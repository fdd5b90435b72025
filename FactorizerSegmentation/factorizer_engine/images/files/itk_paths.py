"""Paths by which ITK finds files, whatever letters they hold.

Python hands ITK a path in UTF-8, which Windows reads in the code page of the computer, so that
nothing below a folder such as C:\\Users\\Jürgen is found (ITK's issue 4388). There ITK is given the
short names that Windows keeps beside long ones, or a copy in the folder for temporary files.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import check_letters, temporary_folder

_UTF_8 = 65001
_HEADERS = (".nhdr", ".mhd")
"""Of files whose voxels are in another one beside them."""


@contextmanager
def readable_by_itk(path: Path) -> Iterator[str]:
    """The path by which ITK finds a file, as long as the block lasts.

    Raises:
        BadInputError: If there is none.
    """
    check_letters(path)
    plain = _plain(path)
    if plain is not None:
        yield plain
        return
    if path.suffix.lower() in _HEADERS:
        raise _unreadable(path)
    with plain_folder() as folder:
        yield shutil.copyfile(path, str(Path(folder) / f"copy{path.suffix}"))


@contextmanager
def writable_by_itk(path: Path) -> Iterator[str]:
    """The path of a file that ITK may write, and which is at `path` when the block ends well.

    Raises:
        BadInputError: If there is none.
        OSError: If it cannot be moved to `path`.
    """
    check_letters(path)
    folder = _plain(path.parent)
    if folder is not None and path.name.isascii():
        yield str(Path(folder) / path.name)
    elif takes_utf_8():
        yield str(path)
    else:
        with plain_folder() as other:
            written = str(Path(other) / f"new{''.join(path.suffixes[-2:])}")
            yield written
            shutil.move(written, path)


@contextmanager
def plain_folder() -> Iterator[str]:
    """A folder for temporary files of ITK's, as ITK finds it.

    Raises:
        BadInputError: If none can be made.
    """
    with temporary_folder() as folder:
        plain = _plain(folder)
        if plain is None:
            raise _unreadable(folder)
        yield plain


def takes_utf_8() -> bool:
    """Whether this system reads the paths of all programs in UTF-8."""
    if sys.platform != "win32":
        return True
    import ctypes

    return ctypes.windll.kernel32.GetACP() == _UTF_8


def short_path(path: Path) -> str:
    """The path in the short names that Windows keeps; itself where it keeps none."""
    if sys.platform != "win32":
        return str(path)
    import ctypes

    buffer = ctypes.create_unicode_buffer(2**15)
    found = ctypes.windll.kernel32.GetShortPathNameW(str(path.absolute()), buffer, len(buffer))
    return buffer.value if found else str(path)


def _plain(path: Path) -> str | None:
    """What ITK understands of a path; None if nothing."""
    text = str(path)
    if text.isascii() or takes_utf_8():
        return text
    short = short_path(path)
    return short if short.isascii() else None


def _unreadable(path: Path) -> BadInputError:
    return BadInputError(
        f"The path {path} holds letters such as ü, with which files of this kind are not found on "
        "Windows; use a folder with plain letters, such as C:\\scans."
    )
