"""The segments of a model's labels as one label map that can be changed while a slider moves."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np

from FactorizerSegmentationLib.scene.label_images import changed, imageOf, sharedImageOf
from FactorizerSegmentationLib.scene.masses import maskOf, referenceVolumeOf
from FactorizerSegmentationLib.scene.own_changes import ownChange
from FactorizerSegmentationLib.scene.segments import segmentIdOf
from FactorizerSegmentationLib.scene.updates import Patch
from FactorizerSegmentationLib.scene.volumes import arrayOf, localAffine, voxelsOf


class LiveLabels:
    """Reads and writes label values, (k, j, i), on the grid of the segmentation's scan.

    As long as the segments share one label map, as those do that this module makes, it is changed
    in place; otherwise through the Segment Editor's logic, which takes longer.

    Args:
        segmentationNode: Its scan is in the scene.
        labels: Label values.
    """

    def __init__(self, segmentationNode, labels: Sequence[int]) -> None:
        self._node = segmentationNode
        self._labels = tuple(labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the grid, (k, j, i)."""
        return voxelsOf(referenceVolumeOf(self._node)).shape[::-1]

    def read(self, box: tuple[slice, ...] | None = None) -> np.ndarray:
        """All label values, or those inside a box, a copy; segments of others are not seen."""
        part = box or (slice(None),) * 3
        shared = self._shared()
        if shared is not None:
            own = np.zeros(256, np.uint8)
            own[list(self._labels)] = self._labels
            return own[arrayOf(shared)[part]]
        labels = np.zeros(self.shape, np.uint8)
        for label, segmentId in self._segments():
            mask = maskOf(self._node, segmentId, referenceVolumeOf(self._node))
            labels[mask.transpose(2, 1, 0)] = label
        return labels[part].copy()

    def write(
        self,
        box: tuple[slice, ...],
        before: np.ndarray,
        after: np.ndarray,
        byHand: bool = False,
    ) -> None:
        """Change the labels inside a box; voxels that segments of others have stay theirs.

        Nothing is touched where the box is empty.

        Args:
            before: What `read` gave there.
            after: The values wanted.
            byHand: Whether it counts as edited by hand, as when the user has clicked.
        """
        if before.size == 0:
            return
        shared = self._shared()
        if shared is not None:
            with nullcontext() if byHand else ownChange(self._node, box):
                part = arrayOf(shared)[box]
                asked = (before != after) & (part == before)
                part[asked] = after[asked]
                changed(shared)
            return
        added, removed = {}, {}
        for label, segmentId in self._segments():
            added[segmentId] = self._whole(box, (after == label) & (before != label))
            removed[segmentId] = self._whole(box, (after != label) & (before == label))
        affine = localAffine(referenceVolumeOf(self._node))
        Patch(self._node, added, removed, affine, byHand=byHand).apply()

    def state(self) -> object:
        """Is another when a segment was changed, has come or has gone."""
        images = [(name, imageOf(self._node, name)) for _, name in self._segments()]
        return [(name, image.GetMTime() if image is not None else 0) for name, image in images]

    def _segments(self) -> list[tuple[int, str]]:
        segmentation = self._node.GetSegmentation()
        pairs = [(label, segmentIdOf(label)) for label in self._labels]
        return [pair for pair in pairs if segmentation.GetSegment(pair[1]) is not None]

    def _shared(self):
        """The label map that all segments of the labels share, or None."""
        segments, segmentation = self._segments(), self._node.GetSegmentation()
        if len(segments) != len(self._labels):
            return None
        values = [segmentation.GetSegment(name).GetLabelValue() for _, name in segments]
        if values != [label for label, _ in segments]:
            return None
        names = [name for _, name in segments]
        return sharedImageOf(self._node, names, referenceVolumeOf(self._node))

    def _whole(self, box: tuple[slice, ...], part: np.ndarray) -> np.ndarray:
        """A mask (I, J, K) of the whole scan from that of a box (k, j, i)."""
        mask = np.zeros(voxelsOf(referenceVolumeOf(self._node)).shape[::-1], bool)
        mask[box] = part
        return mask.transpose(2, 1, 0)
