"""What preparations have found and keep on disk: how much it is, and deleting it.

Standard library only, so that Slicer's side may show and clear it without asking the engine.
"""

from __future__ import annotations

from pathlib import Path

from factorizer_engine.protocol.errors import BadInputError

ENDING = ".npz"
"""Of the files that are kept; others in the folder are not ours."""


def kept_files(folder: Path) -> list[Path]:
    """The files that are kept in a folder, which need not exist."""
    return list(folder.glob(f"*{ENDING}"))


def kept_bytes(folder: Path) -> int:
    """What they take on disk; files that another process deletes meanwhile take nothing."""
    return sum(_size(path) for path in kept_files(folder))


def clear_kept(folder: Path) -> None:
    """Delete them.

    Raises:
        BadInputError: If one cannot be deleted.
    """
    try:
        for path in kept_files(folder):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise BadInputError(
            f"A file in {folder} could not be deleted; close other programs that use it.",
            repr(error),
        ) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
