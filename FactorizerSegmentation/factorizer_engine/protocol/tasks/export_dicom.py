"""Write a segmentation and its measures as DICOM objects of the study of its scan."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.segmentations import SegmentationFile
from factorizer_engine.protocol.tasks.task import Task
from factorizer_engine.protocol.volumes import ScanFile

SEGMENTATION_FILE, REPORT_FILE = "segmentation.dcm", "report.dcm"
HIGHDICOM = "highdicom>=0.27"
"""What the engine needs for it beside what every run needs."""


@dataclass(frozen=True)
class ExportDicomParams(Message):
    """What to write, and beside which series.

    Attributes:
        segmentation: The segments.
        scan: The scan on which they were made; the series is known by its voxels.
        series_dir: Folder with the DICOM series of the scan, among others perhaps.
        output_dir: Folder for the two files.
    """

    segmentation: SegmentationFile
    scan: ScanFile
    series_dir: str
    output_dir: str


@dataclass(frozen=True)
class ExportDicomResult(Message):
    """What was written.

    Attributes:
        segmentation: The file of the DICOM segmentation (SEG).
        report: The file of the structured report (SR).
    """

    segmentation: str
    report: str


EXPORT_DICOM = Task("export_dicom", ExportDicomParams, ExportDicomResult)
