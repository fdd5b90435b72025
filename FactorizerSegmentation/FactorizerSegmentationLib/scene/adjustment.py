"""Other thresholds for a result, without a new run; what was edited by hand stays."""

from __future__ import annotations

import numpy as np

from factorizer_engine.protocol.triples import triple
from FactorizerSegmentationLib.scene.live_labels import LiveLabels
from FactorizerSegmentationLib.scene.masses import packed, referenceVolumeOf, unpacked
from FactorizerSegmentationLib.scene.probabilities import (
    Box,
    ProbabilityMaps,
    Thresholds,
    mapsOf,
    setThresholds,
    thresholdsOf,
)
from FactorizerSegmentationLib.scene.volumes import voxelMl

KEPT_ATTRIBUTE = "FactorizerSegmentation.Kept"


class Adjustment:
    """Brings the segments of a result to other thresholds.

    Voxels that differ from what the maps say at the thresholds so far are not touched: the clean
    contours of the model's own post-processing, and all that was edited by hand since.

    Args:
        segmentationNode: A segmentation with maps and its scan, see `problem`.

    Attributes:
        thresholds: Those of the segments as they are now.
    """

    def __init__(self, segmentationNode) -> None:
        thresholds = thresholdsOf(segmentationNode)
        if thresholds is None:
            raise ValueError("a segmentation without probability maps")
        self._node = segmentationNode
        self.thresholds: Thresholds = thresholds
        self._maps = ProbabilityMaps(mapsOf(segmentationNode), self.thresholds.regions)
        self._labelValues = [region.label for region in self.thresholds.regions]
        self._live = LiveLabels(segmentationNode, sorted(set(self._labelValues)))
        self._voxelMl = voxelMl(referenceVolumeOf(segmentationNode))
        self._labels = self._maps.labelmap(self.thresholds, self._voxelMl)
        self._kept = _keptOf(segmentationNode, self._labels.shape)
        self._edited = np.zeros(self._labels.shape, bool)
        self._counts: dict[int, int] = {}
        self._seen: object = None
        self.look(atFirst=True)

    @property
    def isOutdated(self) -> bool:
        """Whether the segments were changed by others since we looked last."""
        return self._live.state() != self._seen

    def look(self, atFirst: bool = False) -> None:
        """Find out what was edited since we looked last."""
        if not self.isOutdated:
            return
        everything = self._live.read()
        current = everything[self._maps.box]
        edited = current != self._labels
        if atFirst:
            self._kept |= edited
        else:  # what is back to what the maps say, as after an undo, is no longer kept
            stated = self._maps.labelmap(self.thresholds, self._voxelMl)
            self._kept[edited] = self._edited[edited] = (current != stated)[edited]
        self._labels = current.copy()
        self._counts = {
            label: int(np.count_nonzero(everything == label)) for label in set(self._labelValues)
        }
        self._seen = self._live.state()

    def apply(self, thresholds: Thresholds) -> None:
        """Change the segments."""
        self.look()
        part = self._maps.boxOf(self.thresholds, thresholds)
        before = self._labels[part]
        wanted = self._maps.labelmap(thresholds, self._voxelMl, part)
        np.copyto(wanted, before, where=self._kept[part])
        self._live.write(_within(self._maps.box, part), before, wanted)
        for label, count in self._counts.items():
            gained = np.count_nonzero(wanted == label) - np.count_nonzero(before == label)
            self._counts[label] = count + gained
        self._labels[part] = wanted
        self.thresholds = thresholds
        setThresholds(self._node, thresholds)
        self._seen = self._live.state()

    def remember(self) -> None:
        """Write down in the scene which voxels are kept."""
        kept = packed(self._kept) if self._kept.any() else None
        self._node.SetAttribute(KEPT_ATTRIBUTE, kept)

    def volumes(self) -> dict[int, float]:
        """Volume in mL by label value."""
        return {label: count * self._voxelMl for label, count in self._counts.items()}

    @property
    def editedMl(self) -> float:
        """Volume in mL of the voxels that were edited or rejected since the result was opened."""
        return float(np.count_nonzero(self._edited)) * self._voxelMl


def _within(box: Box, part: Box) -> Box:
    """A part of a box, in the array that the box is of."""
    return triple(
        slice(whole.start + inner.start, whole.start + inner.stop)
        for whole, inner in zip(box, part, strict=True)
    )


def canAdjust(segmentationNode) -> bool:
    """Whether a segmentation has its maps, and its scan, on whose grid they lie."""
    if segmentationNode is None:
        return False
    maps, scan = mapsOf(segmentationNode), referenceVolumeOf(segmentationNode)
    if not maps or scan is None or scan.GetImageData() is None:
        return False
    return maps[0].GetImageData().GetDimensions() == scan.GetImageData().GetDimensions()


def _keptOf(segmentationNode, shape: tuple[int, ...]) -> np.ndarray:
    kept = unpacked(segmentationNode.GetAttribute(KEPT_ATTRIBUTE))
    return kept if kept is not None and kept.shape == shape else np.zeros(shape, bool)
