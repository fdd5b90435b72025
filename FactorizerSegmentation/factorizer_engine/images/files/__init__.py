"""Scans and results in files: NIfTI, NRRD, MetaImage, DICOM and Slicer segmentations."""

from factorizer_engine.images.files.dicom import SERIES_MARK, series_in
from factorizer_engine.images.files.nifti import write_nifti
from factorizer_engine.images.files.reading import (
    absolute_location,
    read_labels,
    read_scan,
    read_scans,
    read_size,
    read_volumes,
    split_series,
)
from factorizer_engine.images.files.recognition import is_scan_name
from factorizer_engine.images.files.seg import write_seg_nrrd

__all__ = [
    "SERIES_MARK",
    "absolute_location",
    "is_scan_name",
    "read_labels",
    "read_scan",
    "read_scans",
    "read_size",
    "read_volumes",
    "series_in",
    "split_series",
    "write_nifti",
    "write_seg_nrrd",
]
