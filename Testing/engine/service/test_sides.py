"""Of a head that stands on its top nobody can tell which side is left: no job claims to."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from engine.dicom_writing import write_dicom
from engine.preparation.heads import T1, head, tissues
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.lesions import LEFT, RIGHT
from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.segmentations import SegmentationFile
from factorizer_engine.protocol.tasks.export_dicom import EXPORT_DICOM, ExportDicomParams
from factorizer_engine.protocol.tasks.follow_up import FOLLOW_UP, FollowUpParams, SegmentedStudy
from factorizer_engine.protocol.tasks.report import REPORT, ReportParams
from factorizer_engine.protocol.volumes import ScanFile

IN_THE_BRAIN = (
    "Segmentation category and type - DICOM master list"
    "~SCT^49755003^Morphologically Altered Structure~SCT^108369006^Neoplasm~^^"
    "~Anatomic codes - DICOM master list~SCT^12738006^Brain~^^"
)
LABELS = (Label(1, "Enhancing tumour", (240, 200, 60), IN_THE_BRAIN),)


@pytest.fixture(scope="module")
def scan() -> Scan:
    found = head(T1)
    return found.with_array(np.rint(found.array))  # as DICOM keeps it


@pytest.fixture(params=[False, True], ids=["upright", "upside down"])
def given(request, scan, tmp_path) -> tuple[ScanFile, SegmentationFile]:
    """A scan and its segmentation."""
    tumour = tissues()["tumour"].astype(np.uint8)
    labelmap = ScanFile.save(tumour, scan.affine, tmp_path / "labels.npy")
    file = ScanFile.save(scan.array, scan.affine, tmp_path / "scan.npy", "T1")
    return file, SegmentationFile(labelmap, LABELS, upside_down=request.param)


def set_frame(data: pydicom.Dataset) -> None:
    data.FrameOfReferenceUID = "1.2.3"


def has_side(place: tuple[str, ...]) -> bool:
    return bool({LEFT, RIGHT} & set(place))


def test_in_reports(engine, given, tmp_path):
    file, segmentation = given
    page = tmp_path / "page.html"
    found = engine.request(REPORT, ReportParams(segmentation, {"T1": file}, str(page), "Case"))
    assert [has_side(lesion.place) for lesion in found.lesions] == [not segmentation.upside_down]


def test_in_comparisons(engine, given, scan, tmp_path):
    file, segmentation = given
    earlier = ScanFile.save(scan.array + 1, scan.affine, tmp_path / "earlier.npy", "T1")
    files = (("first", earlier), ("second", file))
    studies = tuple(SegmentedStudy(name, file, segmentation) for name, file in files)
    found = engine.request(FOLLOW_UP, FollowUpParams(studies, registered=False))
    assert [has_side(change.place) for change in found.changes] == [not segmentation.upside_down]


def test_in_structured_reports(engine, given, scan, tmp_path):
    file, segmentation = given
    write_dicom(tmp_path / "series", scan, change=set_frame)
    params = ExportDicomParams(segmentation, file, str(tmp_path / "series"), str(tmp_path / "out"))
    report = pydicom.dcmread(engine.request(EXPORT_DICOM, params).report)
    assert ("Laterality" in str(report)) is (not segmentation.upside_down)
