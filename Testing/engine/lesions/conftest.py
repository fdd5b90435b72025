"""The scans and DICOM series that the tests of images use, too; series to write results beside."""

from __future__ import annotations

import pytest

from engine.dicom_writing import FRAME, STRAIGHT
from engine.images.conftest import dicom_writer, oblique_scan, refused
from engine.images.files.dicom_samples import multi_frame
from factorizer_engine.images.files.dicom.source import read_source
from factorizer_engine.images.scan import Scan

__all__ = ["dicom_writer", "oblique_scan", "refused", "straight_scan", "write_series"]


@pytest.fixture
def straight_scan(oblique_scan) -> Scan:  # noqa: F811
    return Scan.of(oblique_scan.array, STRAIGHT, "straight")


@pytest.fixture(params=["classic", "enhanced"])
def write_series(request, tmp_path, write_dicom):
    """Writes a scan as a series of either kind that has all that derived objects repeat."""

    def complete(data) -> None:
        data.FrameOfReferenceUID, data.StudyInstanceUID = FRAME, "1.2.3.4"
        data.PatientName, data.PatientID = "Test^Case", "1"

    def write(scan: Scan):
        folder = tmp_path / "series"
        if request.param == "classic":
            write_dicom(folder, scan, change=complete)
        else:
            folder.mkdir()
            data = multi_frame(scan)
            complete(data)
            data.save_as(folder / "series.dcm", enforce_file_format=True)
        return read_source(folder)

    return write
