"""A region that the user paints, to say where something else may change."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.masses import addUnsaved, maskOf, referenceVolumeOf
from FactorizerSegmentationLib.scene.removing import removeWithDisplays
from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE

REGION_ROLE = "BrushRegion"
SEGMENT = "Region"
_COLOR = (1.0, 0.95, 0.6)


class BrushRegion:
    """A segmentation of its own with one segment, so that painting takes nothing from others.

    It is not saved with the scene.
    """

    def __init__(self) -> None:
        self._node: Any = None

    def on(self, volumeNode):
        """The segmentation node on the grid of a scan; an empty one on another scan than before."""
        node = self._node
        if node is not None and node.GetScene() and referenceVolumeOf(node) is volumeNode:
            return node
        self.remove()
        node = slicer.vtkMRMLSegmentationNode()
        node.SetName(_("Brush region"))
        node.SetAttribute(ROLE_ATTRIBUTE, REGION_ROLE)
        addUnsaved(node, volumeNode, fill=0.2)
        node.GetSegmentation().AddEmptySegment(SEGMENT, _("Region"), _COLOR)
        self._node = node
        return node

    def mask(self, volumeNode) -> np.ndarray:
        """Where it is painted, (I, J, K), on the grid of a scan.

        Raises:
            SceneError: If nothing is painted there.
        """
        node = self._node
        known = node is not None and node.GetScene() and referenceVolumeOf(node) is volumeNode
        mask = maskOf(node, SEGMENT, volumeNode) if known and _hasSegment(node) else None
        if mask is None or not mask.any():
            raise SceneError(_("The region is empty; press Brush and paint it in the views."))
        return mask

    def setVisible(self, visible: bool) -> None:
        """Show it in the views, or do not."""
        if self._node is not None and self._node.GetScene():
            self._node.GetDisplayNode().SetVisibility(visible)

    def remove(self) -> None:
        """Take it out of the scene."""
        node, self._node = self._node, None
        if node is not None and node.GetScene():
            removeWithDisplays(node)


def isBrushRegion(node) -> bool:
    """Whether a segmentation is such a region, and nobody's result."""
    return node.GetAttribute(ROLE_ATTRIBUTE) == REGION_ROLE


def _hasSegment(node) -> bool:
    return node.GetSegmentation().GetSegment(SEGMENT) is not None
