"""Which studies a folder or a table holds."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Channel
from factorizer_engine.protocol.names import is_portable

NAME_COLUMN = "study"

SUMMARY = "studies.csv"
"""The table of all results, beside the folders of the studies."""

_HINT = re.compile(r'"?sep=[,;\t]"?[\r\n]+', re.IGNORECASE)


@dataclass(frozen=True)
class StudyFiles:
    """The scans of one study.

    Attributes:
        name: What its results are called; the name of a folder.
        inputs: "CHANNEL=FILE" or "FILE" each, as `--input` takes them; absolute, since engines on
            other computers start in folders of their own.
    """

    name: str
    inputs: tuple[str, ...]


def list_studies(source: Path, output: Path | None = None) -> list[StudyFiles]:
    """The studies of a folder, one a subfolder, or of a table, one a row, in their order.

    Args:
        source: The folder or table.
        output: Where results go, which may be a subfolder that is no study.

    Raises:
        BadInputError: If there are none, the table cannot be read, two have one name, or results
            would lie among the scans.
    """
    source = source.expanduser()
    if source.is_dir():
        results = None if output is None else output.expanduser().resolve()
        if results == source.resolve():
            raise BadInputError(
                f"The results would lie among the scans in {source}; choose another output folder."
            )
        studies = [s for s in _in_folder(source) if (source / s.name).resolve() != results]
    elif source.suffix.lower() == ".csv" and source.is_file():
        studies = _in_table(source)
    else:
        raise BadInputError(
            f"'{source}' is neither a folder of studies nor a .csv table; check the path."
        )
    if not studies:
        raise BadInputError(
            f"{source.name} holds no studies; give a folder with one subfolder a study, or a table "
            f"with the column '{NAME_COLUMN}' and one column a channel."
        )
    _check_names(source, studies)
    return studies


def check_columns(source: Path, channels: Sequence[Channel]) -> None:
    """Make sure that every column of a table is a channel of the model.

    Raises:
        BadInputError: If one is none.
    """
    from factorizer_engine.images.checks import channel_named

    if source.expanduser().is_file():
        for column in _columns(source):
            channel_named(column, channels)


def _in_folder(folder: Path) -> list[StudyFiles]:
    studies = []
    for study in sorted(folder.absolute().iterdir()):
        if study.is_dir() and not study.name.startswith("."):
            files = sorted(path for path in study.iterdir() if not path.name.startswith("."))
            studies.append(StudyFiles(study.name, tuple(map(str, files))))
    return studies


def _in_table(path: Path) -> list[StudyFiles]:
    titles, *rows = _rows(path)
    name_at = titles.index(NAME_COLUMN)
    studies = []
    for number, row in enumerate(rows, start=2):
        if not any(row):
            continue
        if len(row) > len(titles):
            raise BadInputError(
                f"Row {number} of {path.name} has more cells than there are columns; put a cell "
                "that holds a separator into quotation marks."
            )
        cells = zip(titles, row, strict=False)  # a short row leaves out the last channels
        inputs = [
            f"{title}={path.absolute().parent / cell}"
            for title, cell in cells
            if cell and title != NAME_COLUMN
        ]  # an absolute cell replaces the folder
        studies.append(StudyFiles(row[name_at] if name_at < len(row) else "", tuple(inputs)))
    return studies


def _columns(path: Path) -> list[str]:
    """The titles of a table, but for that of the studies' names."""
    return [title for title in _rows(path)[0] if title != NAME_COLUMN]


def _rows(path: Path) -> list[list[str]]:
    """The cells of a table without blanks around them; the first row are its titles.

    Cells are separated as in the first line: by commas, or by the semicolons or tabs that
    spreadsheets of other countries write. Empty lines and columns, and the line "sep=;" that tells
    spreadsheets of the separator, are left out.
    """
    try:
        text = _HINT.sub("", path.expanduser().read_text(encoding="utf-8-sig").lstrip("\r\n"))
        first = text.partition("\n")[0]
        separator = max(",;\t", key=first.count)
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        rows = [_without_empty_end([cell.strip() for cell in row]) for row in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(
            f"{path.name} cannot be read as a table; save it as CSV in UTF-8.", repr(error)
        ) from error
    titles = [_title(cell) for cell in rows[0]] if rows else []
    if NAME_COLUMN not in titles or len(titles) < 2 or len(set(titles)) < len(titles):
        raise BadInputError(
            f"{path.name} must have the column '{NAME_COLUMN}' and one column a channel, each "
            f"once, separated by commas; it has {', '.join(titles) or 'none'}."
        )
    return [titles, *rows[1:]]


def _without_empty_end(row: list[str]) -> list[str]:
    while row and not row[-1]:
        row = row[:-1]
    return row


def _title(cell: str) -> str:
    return NAME_COLUMN if cell.casefold() == NAME_COLUMN else cell


def _check_names(source: Path, studies: Sequence[StudyFiles]) -> None:
    seen = set()
    for study in studies:
        name = study.name
        if not source.is_dir() and not is_portable(name):  # those of folders are names of folders
            raise BadInputError(
                f"{source.name} has a study called {name[:60]!r}, which cannot be the name of a "
                "folder on every system; use letters, digits, hyphens and underscores."
            )
        if name.casefold() == SUMMARY:
            raise BadInputError(
                f"{source.name} has a study called '{name}', as the table of results is; rename it."
            )
        folder = unicodedata.normalize("NFC", name).casefold()
        if folder in seen:  # which is one folder on Windows and macOS
            raise BadInputError(f"{source.name} has two studies called {name}; rename one.")
        seen.add(folder)


def shared_scans(studies: Sequence[StudyFiles]) -> Iterator[str]:
    """A sentence for every two studies that have the same file."""
    owners: dict[str, str] = {}
    for study in studies:
        for text in study.inputs:
            file = text.partition("=")[2] or text
            owner = owners.setdefault(file, study.name)
            if owner != study.name:
                yield f"{Path(file).name} is a scan of both {owner} and {study.name}."
                break
