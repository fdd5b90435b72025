"""Scans and results in files: NIfTI, NRRD, MetaImage, DICOM and Slicer segmentations."""

from factorizer_engine.images.files.nifti import write_nifti
from factorizer_engine.images.files.reading import SERIES_MARK, read_scan, read_scans, read_volumes
from factorizer_engine.images.files.recognition import is_scan_name
from factorizer_engine.images.files.seg import write_seg_nrrd

__all__ = [
    "SERIES_MARK",
    "is_scan_name",
    "read_scan",
    "read_scans",
    "read_volumes",
    "write_nifti",
    "write_seg_nrrd",
]
