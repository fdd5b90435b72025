"""Find the lesions in the scans of a study."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.runs import RunParams
from factorizer_engine.protocol.tasks.task import Task
from factorizer_engine.protocol.volumes import ScanFile


@dataclass(frozen=True)
class SegmentParams(RunParams):
    """A run.

    Attributes:
        probabilities: Whether to write the probability maps too.
        compact: Write them with 8 bits.
        likeness: Whether to tell of the largest lesions how alike what speaks for them is to what
            speaks for true ones (`Lesion.likeness`), where the model is described.
    """

    probabilities: bool = True
    compact: bool = False
    likeness: bool = False


@dataclass(frozen=True)
class SegmentResult(Message):
    """What a run found, on the grid of the reference scan.

    Attributes:
        model: The model as it was applied; its labels are the values of the label map.
        labelmap: uint8, 0 where there is nothing.
        probabilities: float32 map of every region of the model, in its order, or uint8 with
            `painting.FULL_LEVEL` for 1; empty if they were not asked for.
        lesions: The connected pieces, measured.
        timings: Seconds by stage.
        device: Where it was computed.
        note: What it costs that scans were left out, for people, or "".
        threshold: Probability from which a region holds in the label map.
    """

    model: ModelDescription
    labelmap: ScanFile
    probabilities: tuple[ScanFile, ...]
    lesions: tuple[Lesion, ...]
    timings: dict[str, float]
    device: str
    note: str = ""
    threshold: float = 0.5


SEGMENT = Task("segment", SegmentParams, SegmentResult)
