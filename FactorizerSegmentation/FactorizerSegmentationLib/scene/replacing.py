"""An explanation in place of an earlier one of the same, which could not be chosen any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from FactorizerSegmentationLib.scene.explanations import (
    OWN_VOXELS_REFERENCE,
    Step,
    isOfResult,
    removeExplanation,
)
from FactorizerSegmentationLib.scene.subjects import putBeside


class Replacement:
    """Takes explanations out of the scene, and can bring them back.

    Args:
        newest: A step of what explains a lesion, or all of them, now.
        leading: The leading steps of the scene.
        tableNode: The lesions of the result.
    """

    def __init__(self, newest: Step, leading: Iterable[Step], tableNode) -> None:
        self._scene, self._tableNode = tableNode.GetScene(), tableNode
        self._new = newest.sequenceNode
        lesion = newest.heatmap.explanation.lesion
        self._old = {
            step.sequenceNode
            for step in leading
            if isOfResult(step, tableNode, surely=True)
            and step.heatmap.explanation.lesion == lesion
            and step.sequenceNode is not self._new
        }
        self._ownVoxels: dict[Any, Any] = {}

    @property
    def isNone(self) -> bool:
        """Whether there is nothing to replace."""
        return not self._old

    def apply(self) -> None:
        """Take the earlier ones out."""
        self._exchange(self._old, {self._new})

    def undo(self) -> None:
        """Bring them back, and take the new one out."""
        self._exchange({self._new}, self._old)

    def _exchange(self, leaving: set, coming: set) -> None:
        for node in coming:
            if node.GetScene() is None:
                for part in (self._ownVoxels.get(node), node):
                    if part is not None:
                        self._scene.AddNode(part)
                        putBeside(part, self._tableNode)
        for node in leaving:
            if node.GetScene() is not None:
                self._ownVoxels[node] = node.GetNodeReference(OWN_VOXELS_REFERENCE)
                removeExplanation(node)
