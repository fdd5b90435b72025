"""What the model and its components say at one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from factorizer_engine.protocol.painting import FULL_LEVEL
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.heatmaps import ACTIVITY, heatmapOf, mapOf
from FactorizerSegmentationLib.scene.probabilities import mapsOf, thresholdsOf
from FactorizerSegmentationLib.scene.segments import segmentIdOf
from FactorizerSegmentationLib.scene.volumes import worldAffine

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Reading:
    """One value at a place.

    Attributes:
        title: Of what, for people.
        part: 0 to 1: a probability, or the part of its display range that a component reaches.
        color: Of the class; None for components.
    """

    title: str
    part: float
    color: Color | None = None


class PlaceReader:
    """Reads probability maps and heatmaps at places, fast enough to follow the mouse.

    Args:
        segmentationNode: A result, of whose probability maps is told; or None.
        heatmapNodes: The leading heatmaps of the components of which is told.
    """

    def __init__(self, segmentationNode, heatmapNodes: Sequence) -> None:
        self._regions: list[tuple[Any, str, Color | None]] = []
        thresholds = thresholdsOf(segmentationNode) if segmentationNode is not None else None
        if thresholds is not None:
            maps = mapsOf(segmentationNode)
            for node, region in zip(maps, thresholds.regions if maps else (), strict=True):
                color = _colorOf(segmentationNode, region.label)
                self._regions.append((node, region.title or region.name, color))
        self._components: list[tuple[Any, str, float]] = []
        for leading in heatmapNodes:
            node = mapOf(leading.GetScene(), leading, ACTIVITY)
            heatmap = heatmapOf(node)
            if heatmap is not None and heatmap.kind == ACTIVITY:
                high = heatmap.window[1]
                self._components.append((node, heatmap.component.name, high))

    @property
    def isEmpty(self) -> bool:
        """Whether there is nothing to tell, anywhere."""
        return not self._regions and not self._components

    def read(self, place: Sequence[float] | None) -> tuple[list[Reading], list[Reading]]:
        """Of each class and each component, in their orders.

        Args:
            place: RAS in mm in the world; outside of the maps, as without a place, all is 0.
        """
        classes = [
            Reading(title, _valueAt(node, place) / FULL_LEVEL, color)
            for node, title, color in self._regions
        ]
        components = [
            Reading(name, min(1.0, _valueAt(node, place) / high if high > 0 else 0.0))
            for node, name, high in self._components
        ]
        return classes, components


def _valueAt(volumeNode, place: Sequence[float] | None) -> float:
    image = volumeNode.GetImageData()
    if place is None or image is None or volumeNode.GetScene() is None:
        return 0.0
    try:
        inverse = np.linalg.inv(worldAffine(volumeNode))
    except SceneError:  # warped
        return 0.0
    i, j, k = np.rint(inverse[:3, :3] @ np.asarray(place) + inverse[:3, 3]).astype(int).tolist()
    sizes = image.GetDimensions()
    inside = all(0 <= index < size for index, size in zip((i, j, k), sizes, strict=True))
    return image.GetScalarComponentAsDouble(i, j, k, 0) if inside else 0.0


def _colorOf(segmentationNode, label: int) -> Color | None:
    segment = segmentationNode.GetSegmentation().GetSegment(segmentIdOf(label))
    return segment.GetColor() if segment is not None else None
