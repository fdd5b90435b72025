"""DICOM series: which ones a folder holds, whether they are proper volumes, and reading them."""

from factorizer_engine.images.files.dicom.headers import is_dicom_file
from factorizer_engine.images.files.dicom.reading import read_dicom_file, read_dicom_folder
from factorizer_engine.images.files.dicom.series import list_series

__all__ = ["is_dicom_file", "list_series", "read_dicom_file", "read_dicom_folder"]
