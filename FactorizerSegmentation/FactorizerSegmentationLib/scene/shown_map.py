"""The volume of the scene through which a heatmap of an explanation is seen."""

from __future__ import annotations

from typing import Any

import slicer

from FactorizerSegmentationLib.scene.heatmaps import addDisplay, describe, heatmapOf
from FactorizerSegmentationLib.scene.removing import removeWithDisplays

SHOWN_ATTRIBUTE = "FactorizerSegmentation.Shown"


class ShownMap:
    """One volume node, which shows one step of an explanation after the other.

    It shares their voxels, so that to switch copies nothing.
    """

    def __init__(self) -> None:
        self._id: str | None = None

    @property
    def nodeId(self) -> str | None:
        """Id of the volume node, or None."""
        return self._id

    def show(self, scene, step: Any, ownVoxels: bool = False):
        """The volume node, with the voxels and the place of a `Step`.

        Args:
            ownVoxels: Those of its component's block in place of those of the scan.
        """
        kept = step.ownVolumeNode if ownVoxels else step.volumeNode
        node = scene.GetNodeByID(self._id) if self._id else None
        if node is None:
            node = slicer.vtkMRMLScalarVolumeNode()
            node.SetAttribute(SHOWN_ATTRIBUTE, "1")
            _fill(node, step, kept)
            scene.AddNode(node)
            addDisplay(node, step.heatmap)
            self._id = node.GetID()
        else:
            _fill(node, step, kept)
        node.SetAndObserveTransformNodeID(step.transformId)
        return node

    def adopt(self, node) -> None:
        """Take the volume node that a scene file has brought."""
        self._id = node.GetID()

    def remove(self, scene) -> None:
        """Take the volume node away, with all that displays it."""
        node = scene.GetNodeByID(self._id) if self._id else None
        self.forget()
        if node is not None:
            removeWithDisplays(node)

    def forget(self) -> None:
        """Drop what was remembered, as when the scene was closed."""
        self._id = None


def _fill(node, step: Any, kept) -> None:
    with slicer.util.NodeModify(node):
        describe(node, step.heatmap)
        node.SetName(step.name)
        node.CopyOrientation(kept)
        node.SetAndObserveImageData(kept.GetImageData())


def isShownMap(node) -> bool:
    """Whether a volume node is one of a `ShownMap`."""
    return node.GetAttribute(SHOWN_ATTRIBUTE) is not None and heatmapOf(node) is not None
