"""Reading scans from files and folders into `Scan`s in RAS mm.

Sizes are checked from the header, before any voxel is loaded, so that a huge file cannot exhaust
memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from factorizer_engine.images.checks import check_finite
from factorizer_engine.images.files.dicom import (
    SERIES_MARK,
    is_dicom_file,
    read_dicom_file,
    read_dicom_folder,
)
from factorizer_engine.images.files.nifti import nifti_size, read_nifti, read_nifti_volumes
from factorizer_engine.images.files.recognition import ITK_SUFFIXES, NIFTI_SUFFIXES, content
from factorizer_engine.images.nan_background import without_nan_background
from factorizer_engine.images.parallel import in_parallel
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError

_WHOLE_WITHIN = 1e-3
"""Of a whole number, by which a label may miss it in a file of another type."""

FORMATS = "NIfTI, NRRD, MetaImage or DICOM"


def read_scan(path: str | Path, series: str | None = None) -> Scan:
    """Read a scan.

    Args:
        path: A NIfTI (.nii, .nii.gz, .hdr/.img), NRRD (.nrrd, .nhdr) or MetaImage (.mha, .mhd)
            file, a folder with a DICOM series, a multi-frame DICOM file, or "FOLDER::SERIES".
        series: Which series of a DICOM folder: its description, number or UID, here or in `path`.
            Needed only where the folder holds several.

    Returns:
        The scan in RAS mm, named after the file or series; voxels in the type that the file stores.
        NaN that surrounds the image, as FSL and SPM write it, is zero.

    Raises:
        BadInputError: If there is nothing to read, it is damaged, no single volume of grey values,
            its voxels have no proper place, some are not finite, or it does not fit into memory.
    """
    if series is None:
        path, series = split_series(path)
    path = _existing(path)
    if series is not None and not path.is_dir():
        raise BadInputError(
            f"{path.name} is a file; give it without '{SERIES_MARK}', which names a series of a "
            "DICOM folder."
        )
    with _permitted(path):
        scan = read_dicom_folder(path, series) if path.is_dir() else _read_file(path)
    scan = without_nan_background(scan)
    check_finite(path.name, scan.array)
    return scan


def read_labels(path: str | Path) -> Scan:
    """Read a label map; values next to whole numbers, as conversions leave them, become whole.

    Raises:
        BadInputError: As `read_scan`.
    """
    scan = read_scan(path)
    if scan.array.dtype.kind != "f":
        return scan
    whole = np.rint(scan.array)
    return scan.with_array(whole) if np.allclose(whole, scan.array, 0, _WHOLE_WITHIN) else scan


def read_volumes(path: str | Path) -> list[Scan]:
    """Read the volumes of a four-dimensional NIfTI file, or the one scan of any other.

    Raises:
        BadInputError: As `read_scan`.
    """
    path = _existing(path)
    if path.is_dir() or not path.name.lower().endswith(NIFTI_SUFFIXES):
        return [read_scan(path)]
    with _permitted(path):
        _check_content(path)
        volumes = [without_nan_background(volume) for volume in read_nifti_volumes(path)]
    for volume in volumes:
        check_finite(path.name, volume.array)
    return volumes


def read_scans(paths: Mapping[str, str | Path]) -> dict[str, Scan]:
    """Read the scans of a study side by side, under the names of `paths`; see `read_scan`.

    One after the other where memory does not suffice for that.
    """
    try:
        return dict(zip(paths, in_parallel(read_scan, paths.values()), strict=True))
    except (BadInputError, MemoryError):
        return {name: read_scan(path) for name, path in paths.items()}


def read_size(path: str | Path) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Voxels along every axis, and their size in mm, by the header of a file that is no DICOM.

    Raises:
        BadInputError: If it has none that can be read.
    """
    path = _existing(path)
    with _permitted(path):
        _check_content(path)
        if path.name.lower().endswith(NIFTI_SUFFIXES):
            return nifti_size(path)
        from factorizer_engine.images.files.itk import itk_size  # see `_read_file`

        return itk_size(path)


def _read_file(path: Path) -> Scan:
    _check_content(path)
    name = path.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        return read_nifti(path)
    if name.endswith(ITK_SUFFIXES):
        # Whoever reads other formats neither needs ITK nor waits for it.
        from factorizer_engine.images.files.itk import read_itk

        return read_itk(path)
    if is_dicom_file(path):
        return read_dicom_file(path)
    raise BadInputError(
        f"{path.name} holds {content(path)} and is no scan; "
        f"give a {FORMATS} file, or a DICOM folder."
    )


def split_series(path: str | Path) -> tuple[str | Path, str | None]:
    """Folder and series of "FOLDER::SERIES"; the path itself and None if it names no series."""
    parts = str(path).split(SERIES_MARK)
    if len(parts) == 1 or Path(path).expanduser().exists():
        return path, None
    for count in range(len(parts) - 1, 1, -1):  # a folder may have the mark in its name, too
        folder = SERIES_MARK.join(parts[:count])
        if Path(folder).expanduser().exists():
            return folder, SERIES_MARK.join(parts[count:])
    return parts[0], SERIES_MARK.join(parts[1:])


def absolute_location(location: str | Path) -> str:
    """A file, a folder or "FOLDER::SERIES", with an absolute path."""
    place, series = split_series(location)
    absolute = str(Path(place).expanduser().absolute())
    return absolute if series is None else f"{absolute}{SERIES_MARK}{series}"


def _existing(path: str | Path) -> Path:
    path = Path(path).expanduser()
    if not path.exists():
        raise BadInputError(f"{path} does not exist; check the path.")
    return path


@contextmanager
def _permitted(path: Path) -> Iterator[None]:
    """Refuse in a sentence what may not be read."""
    try:
        yield
    except PermissionError as error:
        raise BadInputError(f"{path} may not be read; check its permissions.") from error


def _check_content(path: Path) -> None:
    if path.stat().st_size == 0:
        raise BadInputError(f"{path.name} is empty; export or copy it again.")
