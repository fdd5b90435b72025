"""The scans and DICOM series that the tests of images use, too."""

from engine.images.conftest import dicom_writer, oblique_scan, refused

__all__ = ["dicom_writer", "oblique_scan", "refused"]
