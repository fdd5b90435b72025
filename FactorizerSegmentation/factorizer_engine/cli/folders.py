"""What a folder holds that is neither one result nor DICOM: scans, a dataset, a batch."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from factorizer_engine.cli.studies.listing import NAME_COLUMN, SUMMARY
from factorizer_engine.cli.terminal import make_facts, make_table
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import FOR_SPREADSHEETS
from factorizer_engine.protocol.wording import capitalised

_TOLD_LAST = "reason"
"""The column of a batch's table that holds sentences."""
_NUMERIC = {"lesions": "#"}
_LEFT_OUT = (NAME_COLUMN, "seconds", "note", _TOLD_LAST)


def batch_in(folder: Path) -> Table | None:
    """The studies of `segment --studies`, by its table; None if there is none."""
    try:
        text = (folder / SUMMARY).read_text(encoding=FOR_SPREADSHEETS)
    except (OSError, ValueError):
        return None
    rows = csv.DictReader(text.splitlines())
    if not {NAME_COLUMN, "state", _TOLD_LAST} <= {*(rows.fieldnames or ())}:
        return None
    columns = [name for name in rows.fieldnames or () if name not in _LEFT_OUT]
    names = (NAME_COLUMN, *columns, _TOLD_LAST)
    titles = [f"{capitalised(name)}{_NUMERIC.get(name, '')}" for name in names]
    table = make_table(f"Studies in {folder}", *titles)
    for row in rows:
        table.add_row(*(Text(row[name] or "") for name in names))
    return table


def dataset_in(folder: Path) -> Table | None:
    """Cases, channels and labels as a training reads them; None if it is no dataset.

    Raises:
        BadInputError: If it is one that no training takes.
    """
    if not ((folder / "imagesTr").is_dir() or (folder / "dataset.json").is_file()):
        return None
    from factorizer_engine.training.config import DataSection
    from factorizer_engine.training.data.dataset import open_dataset

    data = open_dataset(DataSection(root=str(folder)))
    labels = {name: (value,) for name, value in data.labels.items()}
    facts = {
        "Cases": str(len(data.cases)),
        "Channels": ", ".join(data.channels),
        "Labels": _with_values(labels),
        "Regions": _with_values(data.regions) if data.regions != labels else "",
        "Ignored value": "" if data.ignore is None else str(data.ignore),
        "Without a label": ", ".join(path.name for path in data.unlabelled),
    }
    return make_facts(f"Training dataset in {folder}", facts)


def _with_values(names: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} ({', '.join(map(str, v))})" for name, v in names.items())


def scans_in(folder: Path) -> Table | None:
    """The scans in files in a folder (below it, where it holds none itself); None without any.

    Only headers are read. Why one cannot be is said of its file, when that is asked about.
    """
    from factorizer_engine.images.files import is_scan_name, read_size

    for paths in (folder.iterdir(), folder.rglob("*")):
        found = sorted(path for path in paths if is_scan_name(path) and path.is_file())
        if found:
            break
    else:
        return None
    table = make_table(f"Scans in {folder}", "File", "Size", "Voxels (mm)")
    for path in found:
        name = Text(str(path.relative_to(folder)))
        try:
            shape, spacing = read_size(path)
        except BadInputError:
            table.add_row(name, "cannot be read")
            continue
        table.add_row(name, *told_size(shape, spacing))
    return table


def told_size(shape: Sequence[int], spacing: Sequence[float]) -> tuple[str, str]:
    """Voxels along every axis, and their size in mm, for people."""
    return " x ".join(map(str, shape)), " x ".join(f"{size:.4g}" for size in spacing)
