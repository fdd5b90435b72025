"""Write a segmentation, its measures and heatmaps as DICOM objects of the study of its scan."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.segmentations import SegmentationFile
from factorizer_engine.protocol.tasks.task import Task
from factorizer_engine.protocol.volumes import ScanFile

SEGMENTATION_FILE, REPORT_FILE = "segmentation.dcm", "report.dcm"
EVIDENCE, ACTIVITY = "evidence", "activity"
"""What a map of a component shows."""
HIGHDICOM = "highdicom>=0.28"
"""What the engine needs for it beside what every run needs."""


@dataclass(frozen=True)
class MapFile(Message):
    """A map of a component.

    Attributes:
        scan: Its values, on the grid of the scan.
        name: What the component is called.
        kind: EVIDENCE or ACTIVITY.
        number: Its place among the components, from 1.
        window: The range of values that is displayed.
    """

    scan: ScanFile
    name: str
    kind: str
    number: int
    window: tuple[float, float]

    def __post_init__(self) -> None:
        if self.kind not in (EVIDENCE, ACTIVITY):
            raise BadInputError(f"A map shows {EVIDENCE} or {ACTIVITY}, not {self.kind}.")


@dataclass(frozen=True)
class ExportDicomParams(Message):
    """What to write, and beside which series.

    Attributes:
        segmentation: The segments.
        scan: The scan on which they were made; the series is known by its voxels.
        series_dir: Folder with the DICOM series of the scan, among others perhaps.
        output_dir: Folder for the files.
        maps: Maps of components, which become parametric maps.
    """

    segmentation: SegmentationFile
    scan: ScanFile
    series_dir: str
    output_dir: str
    maps: tuple[MapFile, ...] = ()


@dataclass(frozen=True)
class ExportDicomResult(Message):
    """What was written.

    Attributes:
        segmentation: The file of the DICOM segmentation (SEG).
        report: The file of the structured report (SR).
        maps: The files of the parametric maps.
    """

    segmentation: str
    report: str
    maps: tuple[str, ...] = ()


EXPORT_DICOM = Task("export_dicom", ExportDicomParams, ExportDicomResult)
