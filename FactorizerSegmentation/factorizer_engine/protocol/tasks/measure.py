"""Measure the lesions of a segmentation that was changed."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import Label, Region
from factorizer_engine.protocol.tasks.task import Task
from factorizer_engine.protocol.volumes import ScanFile


@dataclass(frozen=True)
class MeasureParams(Message):
    """A segmentation as it is now. All volumes but the scan lie on one grid.

    Attributes:
        labelmap: Values of `labels`, 0 where there is nothing.
        labels: The classes.
        regions: The regions of the probability maps, in their order; none if there are no maps.
        probabilities: Their maps with 8 bits, see `painting.compact`.
        edited: Not 0 where a voxel was changed by hand; None where nothing was.
        scan: Tells where in the head a lesion lies; None leaves that open.
        known: The lesions as they were measured before; those found again keep their numbers.
        gone: Numbers of lesions that were taken out, which no other one gets.
    """

    labelmap: ScanFile
    labels: tuple[Label, ...]
    regions: tuple[Region, ...] = ()
    probabilities: tuple[ScanFile, ...] = ()
    edited: ScanFile | None = None
    scan: ScanFile | None = None
    known: tuple[Lesion, ...] = ()
    gone: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.regions) != len(self.probabilities):
            raise BadInputError("There is not one probability map for each region.")


@dataclass(frozen=True)
class MeasureResult(Message):
    """The lesions, from large to small."""

    lesions: tuple[Lesion, ...]


MEASURE = Task("measure", MeasureParams, MeasureResult)
