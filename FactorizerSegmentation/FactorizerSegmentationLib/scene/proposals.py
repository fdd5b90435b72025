"""Lesions that would be added or removed around a place that was clicked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.painting import FULL_LEVEL
from FactorizerSegmentationLib.scene.adjustment import canAdjust
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.masses import addUnsaved, connected, masksOf, referenceVolumeOf
from FactorizerSegmentationLib.scene.probabilities import (
    LOWEST,
    ProbabilityMaps,
    mapsOf,
    thresholdsOf,
)
from FactorizerSegmentationLib.scene.removing import removeWithDisplays
from FactorizerSegmentationLib.scene.segments import addSegment, labelsOf, segmentIdOf
from FactorizerSegmentationLib.scene.volumes import localAffine, worldAffine

Masks = dict[str, np.ndarray]
"""By segment id, boolean, (I, J, K) on the grid of the segmentation's scan."""


class Growth:
    """The connected region around a place in which the model sees a lesion at a lower threshold.

    The thresholds of all regions are lowered there in the same proportion, so that a new lesion has
    its parts. What any segment holds already stays as it is.

    Args:
        segmentationNode: A segmentation with its probability maps.
        place: RAS in mm in the world.

    Attributes:
        highest: The probability of any lesion at the place, the highest among its neighbours.

    Raises:
        SceneError: If there is a lesion already, or the model sees nothing there.
    """

    def __init__(self, segmentationNode, place: Sequence[float]) -> None:
        thresholds = thresholdsOf(segmentationNode) if canAdjust(segmentationNode) else None
        if thresholds is None:
            raise SceneError(_("This result has no probability maps; paint the lesion by hand."))
        self._thresholds = thresholds
        self._maps = ProbabilityMaps(mapsOf(segmentationNode), thresholds.regions)
        scan = referenceVolumeOf(segmentationNode)
        self._shape = scan.GetImageData().GetDimensions()
        taken = np.zeros(self._shape, bool)
        for mask in masksOf(segmentationNode).values():
            taken |= mask
        self._free = ~taken.transpose(2, 1, 0)[self._maps.box]
        voxel = voxelAt(scan, place)
        if taken[voxel]:
            raise SceneError(_("There is a segment already; click beside it."))
        levels = self._maps.outermost() * self._free
        around = _around(np.subtract(voxel[::-1], [part.start for part in self._maps.box]))
        best = int(levels[around].argmax()) if levels[around].size else 0
        self.highest = float(levels[around].max(initial=0)) / FULL_LEVEL
        if self.highest < LOWEST:
            sentence = _("The model sees nothing here (below {percent} %); paint it by hand.")
            raise SceneError(sentence.format(percent=round(100 * LOWEST)))
        offset = np.unravel_index(best, levels[around].shape)
        self._seed = np.add(offset, [part.start for part in around])

    @property
    def proposedLevel(self) -> float:
        """Half of the highest probability, which is where a blurred edge lies."""
        return max(LOWEST, self.highest / 2)

    def masks(self, level: float) -> Masks:
        """What the segments would gain if a lesion were where its probability is above a level."""
        regions = self._thresholds.regions
        first = min(region.order for region in regions)
        usual = min(
            value
            for region, value in zip(regions, self._thresholds.values, strict=True)
            if region.order == first
        )
        values = tuple(value * level / usual for value in self._thresholds.values)
        lowered = dataclasses.replace(self._thresholds, values=values, smallest_ml=0.0)
        labels = self._maps.labelmap(lowered, 1.0) * self._free
        region = connected(labels != 0, self._seed[None])
        masks = {}
        for value in np.unique(labels[region]).tolist():
            whole = np.zeros(self._shape, bool)
            whole.transpose(2, 1, 0)[self._maps.box] = region & (labels == value)
            masks[segmentIdOf(value)] = whole
        return masks


def massAround(segmentationNode, place: Sequence[float]) -> Masks:
    """What is connected to a place, in the segments of the model's classes.

    Args:
        place: RAS in mm in the world; a voxel beside a lesion will do.

    Raises:
        SceneError: If there is nothing.
    """
    scan = referenceVolumeOf(segmentationNode)
    names = {segmentIdOf(label.value) for label in labelsOf(segmentationNode)}
    masks = {name: mask for name, mask in masksOf(segmentationNode).items() if name in names}
    union = np.any(list(masks.values()), axis=0) if masks else np.zeros(1, bool)
    around = _around(np.array(voxelAt(scan, place)))
    if union.ndim < 3 or not union[around].any():
        raise SceneError(_("There is no lesion here; click on one."))
    seeds = np.argwhere(union[around]) + [part.start for part in around]
    mass = connected(union, seeds[:1])
    return {name: mask & mass for name, mask in masks.items() if (mask & mass).any()}


def voxelAt(volumeNode, place: Sequence[float]) -> tuple[int, int, int]:
    """The voxel (i, j, k) of a volume at a place, RAS in mm in the world.

    Raises:
        SceneError: If it lies outside.
    """
    inverse = np.linalg.inv(worldAffine(volumeNode))
    voxel = np.rint(inverse[:3, :3] @ np.asarray(place) + inverse[:3, 3]).astype(int)
    if (voxel < 0).any() or (voxel >= volumeNode.GetImageData().GetDimensions()).any():
        raise SceneError(_("This is outside the scan; click into it."))
    i, j, k = voxel.tolist()
    return i, j, k


class ProposalPreview:
    """Shows a mask over the scan, as long as the user has not decided; it is no one's data."""

    def __init__(self) -> None:
        self._node: Any = None

    def show(self, mask: np.ndarray, volumeNode, color: tuple[int, int, int]) -> None:
        """Show a mask (I, J, K) on the grid of a volume, in place of what was shown before."""
        node = self._nodeOn(volumeNode)
        node.GetSegmentation().RemoveAllSegments()
        label = Label(1, _("Proposal"), color)
        addSegment(node, label, mask.astype(np.uint8), localAffine(volumeNode))

    def _nodeOn(self, volumeNode):
        """The node of the preview; another one only on another volume, as sliders move."""
        node = self._node
        if node is not None and referenceVolumeOf(node) is volumeNode and node.GetScene():
            return node
        self.hide()
        node = slicer.vtkMRMLSegmentationNode()
        node.SetName(_("Proposal"))
        node.SetHideFromEditors(True)
        addUnsaved(node, volumeNode, fill=0.3)
        self._node = node
        return node

    def hide(self) -> None:
        """Take it away."""
        node, self._node = self._node, None
        if node is not None and node.GetScene() is not None:
            removeWithDisplays(node)


def _around(voxel: np.ndarray) -> tuple[slice, ...]:
    """A voxel and its neighbours, as far as indices go."""
    return tuple(slice(max(int(index) - 1, 0), max(int(index) + 2, 0)) for index in voxel)
