"""Segmentations that are there already, as runs or people made them."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.volumes import ScanFile

MODEL_TAG = "Factorizer.Model"
"""Tag of a segment that says which model, of which version, has drawn it: Slicer, which drops other
remarks of a file, saves it with the segment."""


@dataclass(frozen=True)
class SegmentationFile(Message):
    """A label map and what made it.

    Attributes:
        labelmap: Integer voxels, 0 where there is nothing.
        labels: What the values mean.
        model: Name of the model that made it; "" if people did, or nobody knows.
        version: Version of the model.
        edited: Names of the labels that people have changed since, as far as that is known: by
            hand, by thresholds, or by rejecting lesions.
        added: Names of the labels that people alone have drawn.
        by_hand: Not 0 where a voxel was changed by hand; None where nothing was, or nobody knows.
        upside_down: The head stands on its top, see `RunOptions`, so its sides are unknown.
        known: The lesions as they were measured before; those found again keep their numbers, so
            that they are called alike everywhere.
        gone: Numbers of lesions that were taken out, which no other one gets.
    """

    labelmap: ScanFile
    labels: tuple[Label, ...]
    model: str = ""
    version: str = ""
    edited: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    by_hand: ScanFile | None = None
    upside_down: bool = False
    known: tuple[Lesion, ...] = ()
    gone: tuple[int, ...] = ()
