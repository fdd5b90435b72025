"""What the model and its components say at one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from factorizer_engine.protocol.painting import FULL_LEVEL
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.explanations import Step, stepOf
from FactorizerSegmentationLib.scene.heatmaps import ACTIVITY
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
        leading: The leading heatmaps of the components of which is told.
    """

    def __init__(self, segmentationNode, leading: Sequence[Step]) -> None:
        self._regions: list[tuple[Any, str, Color | None]] = []
        thresholds = thresholdsOf(segmentationNode) if segmentationNode is not None else None
        if thresholds is not None:
            maps = mapsOf(segmentationNode)
            for node, region in zip(maps, thresholds.regions if maps else (), strict=True):
                color = _colorOf(segmentationNode, region.label)
                self._regions.append((node, region.title or region.name, color))
        steps = [stepOf(step, ACTIVITY) for step in leading]
        self._steps = [step for step in steps if step.heatmap.kind == ACTIVITY]

    @property
    def isEmpty(self) -> bool:
        """Whether there is nothing to tell, anywhere."""
        return not self._regions and not self._steps

    def read(self, place: Sequence[float] | None) -> tuple[list[Reading], list[Reading]]:
        """Of each class and each component, in their orders.

        Args:
            place: RAS in mm in the world; outside of the maps, as without a place, all is 0.
        """
        classes = [
            Reading(title, _regionAt(node, place) / FULL_LEVEL, color)
            for node, title, color in self._regions
        ]
        return classes, [_readStep(step, place) for step in self._steps]


def _regionAt(mapNode, place: Sequence[float] | None) -> float:
    if mapNode.GetScene() is None:  # deleted
        return 0.0
    return _valueAt(mapNode.GetImageData(), partial(worldAffine, mapNode), place)


def _readStep(step: Step, place: Sequence[float] | None) -> Reading:
    heatmap, part = step.heatmap, 0.0
    if step.exists:
        value = _valueAt(step.volumeNode.GetImageData(), step.worldAffine, place)
        part = heatmap.partAt(value)
    return Reading(heatmap.component.name, part)


def _valueAt(
    image, worldAffineOf: Callable[[], np.ndarray], place: Sequence[float] | None
) -> float:
    """The voxel at a place; 0 outside of the image."""
    if place is None or image is None:
        return 0.0
    try:
        inverse = np.linalg.inv(worldAffineOf())
    except SceneError:  # warped
        return 0.0
    i, j, k = np.rint(inverse[:3, :3] @ np.asarray(place) + inverse[:3, 3]).astype(int).tolist()
    sizes = image.GetDimensions()
    inside = all(0 <= index < size for index, size in zip((i, j, k), sizes, strict=True))
    return image.GetScalarComponentAsDouble(i, j, k, 0) if inside else 0.0


def _colorOf(segmentationNode, label: int) -> Color | None:
    segment = segmentationNode.GetSegmentation().GetSegment(segmentIdOf(label))
    return segment.GetColor() if segment is not None else None
