"""A DICOM series as that which something is derived from: its headers and its grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from highdicom.enum import PatientSexValues
from pydicom.valuerep import DA, TM, PersonName

from factorizer_engine.images.files.dicom.headers import is_dicom_file, read_elements
from factorizer_engine.images.files.dicom.pixels import read_voxels
from factorizer_engine.images.files.dicom.reading import chosen_series
from factorizer_engine.images.files.dicom.series import (
    Series,
    enumerate_series,
    list_series,
    series_of,
)
from factorizer_engine.images.files.dicom.stack import stack
from factorizer_engine.images.files.dicom.texts import as_utf8, without_escapes
from factorizer_engine.images.geometry import Grid, same_grid
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError

_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex",
    "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
)  # fmt: skip
"""Attributes that DICOM wants in every object, if only without a value."""
_LAST_REPEATED = 0x0040
"""Group up to which derived objects repeat elements: of patient, study and scanner."""
_UNICODE = "ISO_IR 192"
_ROUNDED, _PART_OF_RANGE = 0.5, 0.005
"""How far values may be off: by rounding, and much less in maps whose values are small."""
_FORMS: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("PatientSex", PatientSexValues),
    ("PatientBirthDate", DA),
    ("StudyDate", DA),
    ("StudyTime", TM),
)


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """A series that results are derived from.

    Attributes:
        title: What to call it in messages.
        headers: Of its files without pixels, in the order of their place; one if multi-frame.
        grid: Where its voxels lie.
    """

    title: str
    headers: tuple[pydicom.Dataset, ...]
    grid: Grid

    @property
    def frame_of_reference(self) -> str:
        """The UID of the coordinate system in which it lies."""
        return str(self.headers[0].FrameOfReferenceUID)


def read_source(folder_or_file: Path, series: str | None = None) -> SourceSeries:
    """Read the headers of a series, see `read_scan` for how one is named.

    Raises:
        BadInputError: If there is no such series, it is no even stack, or lacks what objects that
            are derived from it have to repeat.
    """
    if folder_or_file.is_dir():
        return _source(chosen_series(folder_or_file, series))
    if not folder_or_file.exists():
        raise BadInputError(f"{folder_or_file} does not exist; check the path.")
    if not is_dicom_file(folder_or_file):
        raise BadInputError(
            f"{folder_or_file.name} is no DICOM file; give the folder of the series."
        )
    return _source(series_of([folder_or_file])[0])


def source_with(folder: Path, scan: Scan) -> SourceSeries:
    """The one series in a folder whose voxels are those of a scan.

    Raises:
        BadInputError: If there is none, or several; and as `read_source`.
    """
    found = [series for series in list_series(folder) if series.count > 1]
    alike = [series for series in found if _holds(series, scan)]
    if len(alike) == 1:
        return _source(alike[0])
    if not alike:
        shown = f"; it holds {enumerate_series(found)}" if found else ""
        raise BadInputError(
            f"No DICOM series in {folder.name} has the voxels of {scan.name or 'the scan'}{shown}."
        )
    raise BadInputError(
        f"The folder {folder.name} holds the series of {scan.name or 'the scan'} "
        f"{len(alike)} times ({enumerate_series(alike)}); give a folder with one of them."
    )


def _holds(series: Series, scan: Scan) -> bool:
    """Whether a series has the voxels of a scan, where they are in it."""
    try:
        slices, affine = stack(series)
        grid = Grid((*slices[0].shape, len(slices)), affine)
        own = scan.grid.oriented(grid.orientation)
        if not same_grid(own, grid):
            return False
        voxels = read_voxels(series.title, series.modality, slices)
    except BadInputError:  # it is no volume
        return False
    tolerance = min(_ROUNDED, _PART_OF_RANGE * float(np.ptp(voxels)))
    return bool(np.allclose(resample(scan, own, "nearest").array, voxels, 1e-5, tolerance))


def _source(series: Series) -> SourceSeries:
    if series.problems:
        raise series.problems[0]
    slices, affine = stack(series)
    files = dict.fromkeys(item.file for item in slices)
    distance = float(np.linalg.norm(affine[:3, 2]))
    headers = tuple(_header(path, series.title, distance) for path in files)
    if len(headers) > 1 and len(headers) != len(slices):
        raise BadInputError(
            f"The DICOM series {series.title} is split over several multi-frame files, from which "
            "nothing can be derived; export it as one file, or as single images."
        )
    shape = (*slices[0].shape, len(slices))
    return SourceSeries(series.title, headers, Grid(shape, np.asarray(affine)))


def _header(path: Path, title: str, distance: float) -> pydicom.Dataset:
    """The elements of a file; some old ones do not say that slices are as thick as `distance`."""
    with path.open("rb") as file:
        data = read_elements(file, stop_before_pixels=True)
    for keyword in _NEEDED:
        if not data.get(keyword):
            raise BadInputError(
                f"The DICOM series {title} has no {keyword}, which whatever is derived from it "
                "must repeat; export it anew from the archive that it comes from."
            )
    _check_forms(data, title)
    for keyword in _MAY_BE_EMPTY:
        if keyword not in data:
            setattr(data, keyword, None)
    if "ImagePositionPatient" in data and not data.get("SliceThickness"):
        data.SliceThickness = distance
    _as_unicode(data)
    return data


def _check_forms(data: pydicom.Dataset, title: str) -> None:
    """Make sure that what is repeated has the form that DICOM wants; says of which it has not."""
    for keyword, form in _FORMS:
        value = data.get(keyword)
        try:
            if value:
                form(str(value))
        except ValueError:
            raise BadInputError(
                f"The {keyword} of the DICOM series {title} is not in the form that DICOM wants, "
                "so that nothing can repeat it; correct it in the archive, and export the series "
                "anew."
            ) from None


def _as_unicode(data: pydicom.Dataset) -> None:
    """Have names written in UTF-8: what is derived adds texts of ours, in any alphabet.

    Where a file does not say how its letters are to be read, they often are UTF-8 already.
    """
    declared = bool(data.get("SpecificCharacterSet"))
    for tag in [t for t in data.keys() if t.group <= _LAST_REPEATED and not t.is_private]:
        try:
            element = data[tag]
        except Exception:  # pydicom fails in many ways on broken values; perhaps nobody needs it
            continue
        if element.VR == "SQ":
            for item in element.value:
                item.decode()
        elif isinstance(element.value, (str, PersonName)):
            text = str(element.value)
            plain = without_escapes(text) if declared else as_utf8(text)
            if plain != text:
                element.value = plain
    data.SpecificCharacterSet = _UNICODE
