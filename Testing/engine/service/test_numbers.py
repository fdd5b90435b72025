"""Lesions are called by the numbers of the list, whatever is written about them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest

from engine.dicom_writing import write_dicom
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.measuring import find_lesions
from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.segmentations import SegmentationFile
from factorizer_engine.protocol.tasks.export_dicom import EXPORT_DICOM, ExportDicomParams
from factorizer_engine.protocol.tasks.follow_up import FOLLOW_UP, FollowUpParams, SegmentedStudy
from factorizer_engine.protocol.tasks.report import REPORT, ReportParams
from factorizer_engine.protocol.volumes import ScanFile

LABELS = (Label(1, "Enhancing tumour", (240, 200, 60)),)


@pytest.fixture
def scan() -> Scan:
    voxels = np.random.default_rng(0).integers(50, 150, (24, 24, 24)).astype(np.float32)
    return Scan.of(voxels, np.diag([-1.0, -1.0, 1.0, 1.0]), "T1")


@pytest.fixture
def given(scan, tmp_path) -> tuple[ScanFile, SegmentationFile]:
    """Lesions 5 and 2 of a list, of which 6 was rejected, and one that was drawn since."""
    labelmap = np.zeros(scan.shape, np.uint8)
    labelmap[2:8, 2:8, 2:8] = labelmap[12:16, 12:16, 12:16] = 1
    measured = find_lesions(scan.with_array(labelmap), (), LABELS, None)
    known = tuple(replace(item, id=number) for item, number in zip(measured, (5, 2), strict=True))
    labelmap[20, 20, 20] = 1
    drawn = ScanFile.save(labelmap, scan.affine, tmp_path / "labels.npy")
    file = ScanFile.save(scan.array, scan.affine, tmp_path / "scan.npy", "T1")
    return file, SegmentationFile(drawn, LABELS, known=known, gone=(6,))


def set_frame(data: pydicom.Dataset) -> None:
    data.FrameOfReferenceUID = "1.2.3"


def test_in_reports(engine, given, tmp_path):
    file, segmentation = given
    page = tmp_path / "page.html"
    found = engine.request(REPORT, ReportParams(segmentation, {"T1": file}, str(page), "Case"))
    assert [lesion.id for lesion in found.lesions] == [5, 2, 7]


def test_in_comparisons(engine, given, scan, tmp_path):
    file, segmentation = given
    plain = replace(segmentation, known=(), gone=())
    earlier = ScanFile.save(scan.array + 1, scan.affine, tmp_path / "earlier.npy", "T1")
    studies = (SegmentedStudy("a", earlier, plain), SegmentedStudy("b", file, segmentation))
    found = engine.request(FOLLOW_UP, FollowUpParams(studies, registered=False))
    assert [change.before for change in found.changes] == [(1,), (2,), (3,)]
    assert [change.after for change in found.changes] == [(5,), (2,), (7,)]


def test_in_structured_reports(engine, given, scan, tmp_path):
    file, segmentation = given
    write_dicom(tmp_path / "series", scan, change=set_frame)
    params = ExportDicomParams(segmentation, file, str(tmp_path / "series"), str(tmp_path / "out"))
    report = str(pydicom.dcmread(engine.request(EXPORT_DICOM, params).report))
    assert [number for number in range(1, 9) if f"Lesion {number}" in report] == [2, 5, 7]
