"""Folders for results: of one run each, nothing of the user's replaced without being asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import output_folder, written_at_once

RECORD = "run.json"
_OURS = re.compile(
    r"segmentation\.nii\.gz|segmentation\.seg\.nrrd|lesions\.csv|probabilities\.nii\.gz|"
    r"components\.json|(component|evidence)_\d+\.nii\.gz|preparation\.(json|html)|"
    r"brain_mask\.nii\.gz|prepared_.+\.nii\.gz|" + re.escape(RECORD)
)
"""What `segment`, `components` and `prepare` write; nothing else is ever replaced or removed."""

_SHOWN = 3


@contextmanager
def folder_of_one_run(path: Path, overwrite: bool) -> Iterator[Path]:
    """The absolute path of a folder for the results of a run that is about to begin.

    Raises:
        BadInputError: If it cannot be written to, or holds earlier results that may not go.
    """
    check_earlier_results(path, overwrite)
    with output_folder(path) as folder:
        yield folder


def check_earlier_results(folder: Path, overwrite: bool) -> None:
    """Make sure that results in `folder` may go, if there are any.

    Raises:
        BadInputError: If not.
    """
    earlier = sorted(_earlier_results(folder))
    for name in earlier:
        if (folder.expanduser() / name).is_dir():
            raise BadInputError(
                f"The folder '{folder}' holds a folder called {name}, as a result is to be called; "
                "choose another folder."
            )
    if earlier and not overwrite:
        shown = ", ".join(earlier[:_SHOWN]) + (", ..." if len(earlier) > _SHOWN else "")
        raise BadInputError(
            f"The folder '{folder}' holds results of an earlier run ({shown}), which may have been "
            "corrected since; choose another folder, or replace them with --overwrite."
        )


def check_scans_stay(folder: Path, sources: Iterable[Path | str]) -> None:
    """Make sure that no scan of a run lies where its results will be.

    Args:
        folder: Of the results.
        sources: File, DICOM folder or "FOLDER::SERIES" of each scan.

    Raises:
        BadInputError: If one does.
    """
    for source in map(Path, sources):
        if _OURS.fullmatch(source.name) and source.parent.resolve() == folder.resolve():
            raise BadInputError(
                f"The scan {source.name} would be replaced by what is made of it; choose another "
                "output folder."
            )


@contextmanager
def results_written_at_once(folder: Path, overwrite: bool) -> Iterator[Path]:
    """An empty folder whose files take the place of earlier results when the block ends well.

    Raises:
        BadInputError: If results came into `folder` since the run began, and may not go.
    """

    def outdated() -> set[str]:
        check_earlier_results(folder, overwrite)
        return _earlier_results(folder)

    with written_at_once(folder, outdated) as unfinished:
        yield unfinished


def _earlier_results(folder: Path) -> set[str]:
    """Names of files that an earlier run wrote.

    As its record says; without a record, which older versions did not write, by their names.
    """
    try:
        present = {p.name for p in folder.expanduser().iterdir() if _OURS.fullmatch(p.name)}
    except OSError:
        return set()
    if RECORD not in present:
        return present
    try:
        record = json.loads((folder.expanduser() / RECORD).read_text(encoding="utf-8"))
        return present & {RECORD, *record["files"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"The folder '{folder}' holds a {RECORD} that is damaged or of something else, such as "
            "a training; choose another folder.",
            repr(error),
        ) from error
