"""The scans and DICOM series that the tests of images use, too."""

from engine.images.conftest import oblique_scan, refused, write_dicom

__all__ = ["oblique_scan", "refused", "write_dicom"]
