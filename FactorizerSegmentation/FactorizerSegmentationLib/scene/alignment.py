"""Earlier studies laid onto a later one, by a transform node of their own, and taken back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE

ALIGNMENT_ROLE = "Alignment"
_EARLIER, _LAST = "FactorizerSegmentation.Earlier", "FactorizerSegmentation.Last"
"""Roles of the segmentations of the studies that an alignment brings together."""


def createAlignment(earlier, last, matrix: np.ndarray):
    """A linear transform node from the world of an earlier study to that of the last, mm RAS.

    Args:
        earlier, last: The segmentations of the studies.
    """
    scene = last.GetScene()
    name = _("{earlier} onto {last}").format(earlier=earlier.GetName(), last=last.GetName())
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", scene.GenerateUniqueName(name))
    node.SetAttribute(ROLE_ATTRIBUTE, ALIGNMENT_ROLE)
    node.SetNodeReferenceID(_EARLIER, earlier.GetID())
    node.SetNodeReferenceID(_LAST, last.GetID())
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def newestAlignment(earlier, last):
    """The newest alignment of the studies of two segmentations that is still there, or None."""
    every = slicer.util.getNodesByClass("vtkMRMLLinearTransformNode", last.GetScene())
    for node in reversed(every):
        if (node.GetNodeReference(_EARLIER), node.GetNodeReference(_LAST)) == (earlier, last):
            return node
    return None


def layOnto(nodes: Iterable[Any], transformNode, others: Iterable[Any]) -> bool:
    """Put nodes, with the transforms they have, under an alignment.

    Args:
        others: Those that stay where they are.

    Returns:
        Whether it was possible: not where nodes of both share a transform.
    """
    roots = {_root(node) for node in nodes}
    if roots & {_root(node) for node in others}:
        return False
    for root in roots - {transformNode}:
        root.SetAndObserveTransformNodeID(transformNode.GetID())
    return True


def takeBack(nodes: Iterable[Any]) -> None:
    """Put nodes where they were before they were laid onto another study."""
    for node in nodes:
        while node is not None:
            parent = node.GetParentTransformNode()
            if parent is not None and parent.GetAttribute(ROLE_ATTRIBUTE) == ALIGNMENT_ROLE:
                node.SetAndObserveTransformNodeID(None)
                break
            node = parent


def _root(node):
    """The node itself, or the outermost transform above it."""
    while node.GetParentTransformNode() is not None:
        node = node.GetParentTransformNode()
    return node
