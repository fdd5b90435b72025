"""Say what became of the lesions of a patient from study to study."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.follow_up import LesionChange, Response, TimePoint
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.places import PagePath
from factorizer_engine.protocol.segmentations import SegmentationFile
from factorizer_engine.protocol.tasks.task import Task
from factorizer_engine.protocol.volumes import ScanFile


@dataclass(frozen=True)
class SegmentedStudy(Message):
    """One study of a patient.

    Attributes:
        name: What to call it, such as its date.
        scan: The scan that was segmented.
        segmentation: The segments.
        thresholds: From which probabilities and volumes on the model's segments were drawn, in
            words; "" if nobody knows.
    """

    name: str
    scan: ScanFile
    segmentation: SegmentationFile
    thresholds: str = ""


@dataclass(frozen=True)
class FollowUpParams(Message):
    """What to compare.

    Attributes:
        studies: The oldest first.
        page: HTML file to write, with the tables beside it; "" writes nothing.
        registered: Bring the studies together by their scans; otherwise by their headers.
    """

    studies: tuple[SegmentedStudy, ...]
    page: PagePath = ""
    registered: bool = True

    def __post_init__(self) -> None:
        if len(self.studies) < 2:
            raise BadInputError("A comparison needs two studies at least; give another one.")


@dataclass(frozen=True)
class FollowUpResult(Message):
    """What has changed.

    Attributes:
        points: What the lesions of every study add up to, the oldest first.
        changes: What became of every lesion between the last two, the largest first.
        response: What RANO's sums allow to say of the last one.
        to_last: Of every study but the last, a 4x4 matrix row by row from its world to that of the
            last one, mm RAS.
        doubts: What to know before believing it, sentences.
    """

    points: tuple[TimePoint, ...]
    changes: tuple[LesionChange, ...]
    response: Response
    to_last: tuple[tuple[tuple[float, ...], ...], ...]
    doubts: tuple[str, ...] = ()


FOLLOW_UP = Task("follow_up", FollowUpParams, FollowUpResult)
