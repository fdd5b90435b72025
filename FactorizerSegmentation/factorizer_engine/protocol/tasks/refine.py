"""Correct a segmentation by clicks."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.runs import RunParams
from factorizer_engine.protocol.tasks.task import Task
from factorizer_engine.protocol.volumes import ScanFile


@dataclass(frozen=True)
class RefineParams(RunParams):
    """A run, and what is corrected about it.

    Where the run, the start and the first clicks are those of the last such task, only the clicks
    that follow are computed; clicks that are left out are taken back.

    Attributes:
        clicks: All clicks, oldest first.
        start: Label map on the grid of the reference scan, of the model's values, to begin with;
            None begins with what the run finds.
        measure: Whether to measure the lesions of the corrected segmentation.
    """

    clicks: tuple[Click, ...] = ()
    start: ScanFile | None = None
    measure: bool = False


@dataclass(frozen=True)
class RefineResult(Message):
    """The corrected segmentation, on the grid of the reference scan.

    Attributes:
        model: The model as it was applied; its labels are the values of the label map.
        labelmap: uint8, 0 where there is nothing.
        lesions: The connected pieces, measured, if that was asked for.
        device: Where it was computed.
        seconds: That the clicks took.
        note: How the clicks were answered, and what it costs that scans were left out, for people,
            or "".
    """

    model: ModelDescription
    labelmap: ScanFile
    lesions: tuple[Lesion, ...]
    device: str
    seconds: float
    note: str = ""


REFINE = Task("refine", RefineParams, RefineResult)
