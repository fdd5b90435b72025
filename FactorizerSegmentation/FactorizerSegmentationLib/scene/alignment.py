"""Earlier studies laid onto a later one, by a transform node of their own, and taken back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import slicer

from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE

ALIGNMENT_ROLE = "Alignment"


def createAlignment(scene, matrix: np.ndarray, name: str):
    """A linear transform node from the world of an earlier study to that of the last, mm RAS."""
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", scene.GenerateUniqueName(name))
    node.SetAttribute(ROLE_ATTRIBUTE, ALIGNMENT_ROLE)
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


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
