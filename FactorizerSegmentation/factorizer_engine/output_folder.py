"""Makes sure, before a long computation, that its results can be written.

Standard library only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factorizer_engine.errors import BadInputError

MEGABYTE = 2**20


def prepare_output_folder(path: str | Path, needed_bytes: int = MEGABYTE) -> Path:
    """Create the folder if need be and try to write there; returns its absolute path.

    Raises:
        BadInputError: If the folder cannot be made, cannot be written to or has too little space.
    """
    folder = Path(path).expanduser().absolute()
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
def written_at_once(folder: Path) -> Iterator[Path]:
    """A new folder inside `folder` whose files move up into it when the block ends well.

    If the block fails, they vanish, and what was in `folder` before stays as it was.
    """
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder) as unfinished:
        yield Path(unfinished)
        for file in sorted(Path(unfinished).iterdir()):
            os.replace(file, folder / file.name)
