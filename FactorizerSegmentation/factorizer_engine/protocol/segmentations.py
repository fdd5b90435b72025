"""Segmentations that are there already, as runs or people made them."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.volumes import ScanFile


@dataclass(frozen=True)
class SegmentationFile(Message):
    """A label map and what made it.

    Attributes:
        labelmap: Integer voxels, 0 where there is nothing.
        labels: What the values mean.
        model: Name of the model that made it; "" if people did, or nobody knows.
        version: Version of the model.
        edited: Names of the labels that people have changed since, as far as that is known.
    """

    labelmap: ScanFile
    labels: tuple[Label, ...]
    model: str = ""
    version: str = ""
    edited: tuple[str, ...] = ()
