"""Write a page about the lesions of a study, and all of them as a table."""

from __future__ import annotations

from dataclasses import dataclass, field

from factorizer_engine.protocol.components import Component
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import Region
from factorizer_engine.protocol.places import ContentPath, PagePath
from factorizer_engine.protocol.segmentations import SegmentationFile
from factorizer_engine.protocol.tasks.task import Task
from factorizer_engine.protocol.volumes import ScanFile

JINJA = "jinja2>=3.1"
"""What the engine needs for it beside what every run needs."""


@dataclass(frozen=True)
class ReportParams(Message):
    """What to tell.

    Attributes:
        segmentation: The segments; of the lesions known of them, those that are as they were are
            told with what only a run can tell, too.
        scans: By channel; the first is the one on whose grid the segments lie.
        page: The HTML file to write; the table is beside it, with the ending .csv.
        title: What to call the study.
        made: When and by what, in one line.
        words: The radiologist's own.
        warnings: What was noticed about the scans, sentences.
        components: What drove the result, most influential first; empty if nobody asked.
        evidence: Of every component, what it contributes where, on the grid of the segments.
        regions: Those that the components' contributions speak of.
        sheet: The quality sheet of the scans' preparation, an HTML page as text; "" without one.
        facts: By heading, what else is to be told, by name.
    """

    segmentation: SegmentationFile
    scans: dict[str, ScanFile]
    page: PagePath
    title: str
    made: str = ""
    words: str = ""
    warnings: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()
    evidence: tuple[ScanFile, ...] = ()
    regions: tuple[Region, ...] = ()
    sheet: str = ""
    facts: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.components) != len(self.evidence):
            raise BadInputError("There is not one map for each component.")


@dataclass(frozen=True)
class ReportResult(Message):
    """What was written.

    Attributes:
        page: The HTML file.
        table: The CSV file with all lesions.
        lesions: What was measured in the segments as they are.
    """

    page: ContentPath
    table: ContentPath
    lesions: tuple[Lesion, ...]


REPORT = Task("report", ReportParams, ReportResult)
