"""Which voxels of a result were changed by hand."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from FactorizerSegmentationLib.scene.live_labels import LiveLabels
from FactorizerSegmentationLib.scene.masses import packed, unpacked
from FactorizerSegmentationLib.scene.own_changes import Box, unwatch, watch, watchersOf

EDITED_ATTRIBUTE = "FactorizerSegmentation.EditedByHand"
_NONE = 255
"""No label value."""


class HandEdits:
    """Keeps the labels as the module left them, from which those edited by hand differ.

    When the module takes edited voxels away and brings them back, such as those of a rejected
    lesion, they count as edited again.

    Args:
        segmentationNode: A segmentation whose scan is in the scene.
        labels: Label values of its classes.
    """

    def __init__(self, segmentationNode, labels: Iterable[int]) -> None:
        self.segmentationNode = segmentationNode
        self._live = LiveLabels(segmentationNode, sorted(set(labels)))
        self.labels = self._live.read()
        self._left = self.labels.copy()
        self._byHand = np.full_like(self.labels, _NONE)
        before = unpacked(segmentationNode.GetAttribute(EDITED_ATTRIBUTE))
        if before is not None and before.shape == self.labels.shape:
            self._left[before] = _NONE  # what it was is not known any more
            self._byHand[before] = self.labels[before]
        self._seen = self._live.state()
        watch(self)

    @property
    def mask(self) -> np.ndarray:
        """Boolean, (k, j, i)."""
        return self.labels != self._left

    def look(self) -> bool:
        """Find out what was edited since; returns whether anything has changed."""
        state, before = self._live.state(), self.labels
        isCropped = self._live.shape != before.shape  # the scan, in place
        if state == self._seen and not isCropped:
            return False
        self._seen, self.labels = state, self._live.read()
        if isCropped:
            self._left, self._byHand = self.labels.copy(), np.full_like(self.labels, _NONE)
            return True
        changed = before != self.labels
        self._byHand[changed] = self.labels[changed]
        self._byHand[self.labels == self._left] = _NONE
        return bool(changed.any())

    def remember(self) -> None:
        """Write down in the scene what was edited."""
        mask = self.mask
        text = packed(mask) if mask.any() else None
        if text != self.segmentationNode.GetAttribute(EDITED_ATTRIBUTE):
            self.segmentationNode.SetAttribute(EDITED_ATTRIBUTE, text)

    def beforeOwnChange(self) -> None:
        """What was edited so far was done by hand."""
        self.look()

    def afterOwnChange(self, box: Box | None) -> None:
        """Voxels that were edited by hand stay so, unless they are back to what they were."""
        part = box or (slice(None),) * 3
        before, after = self.labels[part], self._live.read(box)
        own = (before != after) & (self._left[part] == before) & (self._byHand[part] != after)
        self._left[part][own] = after[own]
        self.labels[part] = after
        self._seen = self._live.state()

    def release(self) -> None:
        """Watch no more."""
        unwatch(self)


def editedVoxels(segmentationNode) -> np.ndarray | None:
    """Which voxels, (k, j, i), were changed by hand, as far as somebody has watched; or None."""
    for watcher in watchersOf(segmentationNode):
        if isinstance(watcher, HandEdits):
            watcher.look()
            return watcher.mask if watcher.mask.any() else None
    return unpacked(segmentationNode.GetAttribute(EDITED_ATTRIBUTE))
