"""DICOM series: which ones a folder holds, whether they are proper volumes, and reading them."""

from factorizer_engine.images.files.dicom.headers import is_dicom_file
from factorizer_engine.images.files.dicom.reading import (
    SERIES_MARK,
    read_dicom_file,
    read_dicom_folder,
    series_in,
)
from factorizer_engine.images.files.dicom.series import list_series

__all__ = [
    "SERIES_MARK",
    "is_dicom_file",
    "list_series",
    "read_dicom_file",
    "read_dicom_folder",
    "series_in",
]
