"""Lesions, as everybody speaks of them: engine, wire, table, CSV and report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from factorizer_engine.protocol.messages import Message


@dataclass(frozen=True)
class Lesion(Message):
    """One connected piece of one class.

    Attributes:
        id: 1, 2, ... in order of class and, within it, of falling volume.
        label: Value of its class in the label map.
        name: Name of its class.
        volume_ml: Volume in mL.
        max_diameter_mm: Largest distance in mm between any two points of its surface, taken at the
            centres of voxel faces.
        centroid_ras: Centre of mass in mm, RAS.
        mean_probability: Mean probability, over its voxels, of the region that painted its class.
    """

    id: int
    label: int
    name: str
    volume_ml: float
    max_diameter_mm: float
    centroid_ras: tuple[float, float, float]
    mean_probability: float


def volume_by_class(lesions: Iterable[Lesion]) -> dict[str, float]:
    """Total volume in mL of every class that was found, in the order of `lesions`."""
    totals: dict[str, float] = {}
    for lesion in lesions:
        totals[lesion.name] = totals.get(lesion.name, 0.0) + lesion.volume_ml
    return totals
