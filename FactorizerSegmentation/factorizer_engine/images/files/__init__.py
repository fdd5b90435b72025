"""Scans and results in files: NIfTI, NRRD, MetaImage, DICOM and Slicer segmentations."""

from factorizer_engine.images.files.nifti import write_nifti
from factorizer_engine.images.files.reading import (
    SERIES_MARK,
    read_scan,
    read_scans,
    read_volumes,
    split_series,
)
from factorizer_engine.images.files.seg import write_seg_nrrd

__all__ = [
    "SERIES_MARK",
    "read_scan",
    "read_scans",
    "read_volumes",
    "split_series",
    "write_nifti",
    "write_seg_nrrd",
]
