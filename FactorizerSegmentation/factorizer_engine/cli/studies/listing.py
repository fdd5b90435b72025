"""Which studies a folder or a table holds."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Channel

NAME_COLUMN = "study"


@dataclass(frozen=True)
class StudyFiles:
    """The scans of one study.

    Attributes:
        name: What its results are called; the name of a folder.
        inputs: "CHANNEL=FILE" or "FILE" each, as `--input` takes them.
    """

    name: str
    inputs: tuple[str, ...]


def list_studies(source: Path) -> list[StudyFiles]:
    """The studies of a folder, one a subfolder, or of a table, one a row, in their order.

    Raises:
        BadInputError: If there are none, the table cannot be read, or two have one name.
    """
    source = source.expanduser()
    if source.is_dir():
        studies = _in_folder(source)
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
    for study in sorted(folder.iterdir()):
        if study.is_dir() and not study.name.startswith("."):
            files = sorted(path for path in study.iterdir() if not path.name.startswith("."))
            studies.append(StudyFiles(study.name, tuple(map(str, files))))
    return studies


def _in_table(path: Path) -> list[StudyFiles]:
    columns = _columns(path)
    studies = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            cells = {column: (row[column] or "").strip() for column in columns}
            inputs = [
                f"{column}={path.parent / cell}" for column, cell in cells.items() if cell
            ]  # an absolute cell replaces the folder
            studies.append(StudyFiles((row[NAME_COLUMN] or "").strip(), tuple(inputs)))
    return studies


def _columns(path: Path) -> list[str]:
    """The titles of a table, but for that of the studies' names."""
    try:
        with path.expanduser().open(newline="", encoding="utf-8-sig") as file:
            titles = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(
            f"{path.name} cannot be read as a table; save it as CSV in UTF-8.", repr(error)
        ) from error
    if NAME_COLUMN not in titles or len(titles) < 2 or len(set(titles)) < len(titles):
        raise BadInputError(
            f"{path.name} must have the column '{NAME_COLUMN}' and one column a channel, each "
            f"once, separated by commas; it has {', '.join(titles) or 'none'}."
        )
    return [title for title in titles if title != NAME_COLUMN]


def _check_names(source: Path, studies: Sequence[StudyFiles]) -> None:
    seen = set()
    for study in studies:
        name = study.name
        if not name or name in (".", "..") or name != Path(name).name or "\\" in name:
            raise BadInputError(
                f"{source.name} has a study called '{name}', which cannot be the name of a folder."
            )
        if name.casefold() in seen:  # which is one folder on Windows and macOS
            raise BadInputError(f"{source.name} has two studies called {name}; rename one.")
        seen.add(name.casefold())
