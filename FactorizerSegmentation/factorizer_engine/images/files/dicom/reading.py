"""Reading a DICOM series as one volume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from factorizer_engine.images.files.dicom.headers import is_dicom_file
from factorizer_engine.images.files.dicom.pixels import read_voxels
from factorizer_engine.images.files.dicom.series import (
    Series,
    check_is_scan,
    enumerate_series,
    list_series,
    named_series,
    own_name,
    series_of,
)
from factorizer_engine.images.files.dicom.stack import stack
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.volumes import Origin, mark_of

SERIES_MARK = "::"
"""Between a DICOM folder and one of its series; no path of Windows holds it."""


def read_dicom_folder(folder: Path, wanted: str | None = None) -> Scan:
    """Read the one volume in a folder, or the series `wanted` (UID, number or description).

    Raises:
        BadInputError: If there is none or a choice of several, or if it is no proper volume.
    """
    return _read_series(chosen_series(folder, wanted))


def chosen_series(folder: Path, wanted: str | None = None) -> Series:
    """The one volume in a folder, or the series `wanted`; see `read_dicom_folder`."""
    found, name = list_series(folder), folder.name or str(folder.absolute())
    if not found:
        raise BadInputError(
            f"{name} holds no DICOM images; give a folder with a DICOM series, or an image file."
        )
    if wanted is not None:
        return named_series(name, found, wanted)
    if any(s.is_segmentation for s in found) and all(s.is_made_of_others for s in found):
        raise BadInputError(
            f"{name} holds no scan but what was made of one (DICOM SEG); give the folder of the "
            "series that was segmented."
        )
    chosen = [s for s in found if s.count > 1 and not s.is_made_of_others]
    chosen = chosen or [s for s in found if s.count > 1] or found
    if len(chosen) > 1:
        largest = max(chosen, key=lambda s: s.count)
        example = f"{name}{SERIES_MARK}{own_name(largest, found)}"
        raise BadInputError(
            f"{name} holds {len(chosen)} series to choose from "
            f"({enumerate_series(found)}); name one, such as '{example}', "
            "or give a folder with one."
        )
    return chosen[0]


def read_dicom_file(path: Path) -> Scan:
    """Read a multi-frame DICOM file.

    Raises:
        BadInputError: If it is a single image or no proper volume.
    """
    series = series_of([path])
    if not series:
        raise BadInputError(f"{path.name} is a DICOM file without an image; give the scan itself.")
    check_is_scan(series[0])
    if series[0].count == 1 and not series[0].problems:
        raise BadInputError(
            f"{path.name} is a single DICOM image; give the folder that holds the whole series."
        )
    return _read_series(series[0])


def series_in(folder: Path) -> list[str]:
    """The series of more than one image that lie in a folder itself, as "FOLDER::SERIES".

    Raises:
        BadInputError: If the folder holds damaged DICOM files only.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if not any(map(is_dicom_file, files)):
        return []
    found = series_of(files)
    volumes = [s for s in found if s.count > 1 and not s.is_segmentation]
    return [f"{folder}{SERIES_MARK}{own_name(s, found)}" for s in volumes]


def _read_series(series: Series) -> Scan:
    if series.problems:
        raise series.problems[0]
    slices, affine = stack(series)
    voxels = read_voxels(series.title, series.modality, slices)
    origin = Origin(mark_of(series.patient), series.date, series.frame_of_reference)
    return replace(Scan.of(voxels, affine, series.title), origin=origin)
