"""What a preparation leaves in the scene: registrations, the brain as a segment, the quality sheet.

A registration is a transform node between a volume and what was above it, so the volume's own
voxels and header stay as they are. It can be corrected in the Transforms module and switched off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.volumes import ScanFile
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.masses import maskOf, referenceVolumeOf
from FactorizerSegmentationLib.scene.segments import createSegmentation
from FactorizerSegmentationLib.scene.subjects import putBeside
from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE, Place, voxelsOf, worldAffine

MOVED, FIXED = "FactorizerSegmentation.Moved", "FactorizerSegmentation.Fixed"
"""Roles of the node references from a registration to its two volumes."""

SHEET_OF = "FactorizerSegmentation.SheetOf"
"""Role of the node reference from a quality sheet to the reference volume."""

BRAIN = Label(
    1,
    "Brain",
    (250, 220, 90),
    "Segmentation category and type - DICOM master list"
    "~SCT^123037004^Anatomical Structure~SCT^12738006^Brain~^^"
    "~Anatomic codes - DICOM master list~^^~^^",
)


def registrationOf(volumeNode, referenceNode):
    """The transform that a preparation has made from one volume to another, or None."""
    nodes = slicer.util.getNodesByClass("vtkMRMLLinearTransformNode", volumeNode.GetScene())
    for node in nodes:
        moved, fixed = node.GetNodeReference(MOVED), node.GetNodeReference(FIXED)
        if moved is volumeNode and fixed is referenceNode:
            return node
    return None


def registrations(volumes: Mapping[str, Any], referenceNode) -> dict[str, Any]:
    """Those of some volumes, by the same names; volumes without one are left out."""
    found = {name: registrationOf(node, referenceNode) for name, node in volumes.items()}
    return {name: node for name, node in found.items() if node is not None}


def createRegistration(volumeNode, referenceNode, matrix: np.ndarray):
    """Move a volume in the world, under a new transform node, which is returned.

    Args:
        volumeNode: The volume.
        referenceNode: The volume that it lies on then.
        matrix: 4x4, world to world in mm RAS, from where the volume is to where it belongs.
    """
    scene = volumeNode.GetScene()
    name = _("{moved} to {fixed}").format(moved=volumeNode.GetName(), fixed=referenceNode.GetName())
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", scene.GenerateUniqueName(name))
    node.SetAttribute(ROLE_ATTRIBUTE, "Registration")
    node.SetNodeReferenceID(MOVED, volumeNode.GetID())
    node.SetNodeReferenceID(FIXED, referenceNode.GetID())
    above = worldMatrix(volumeNode.GetParentTransformNode())
    own = np.linalg.inv(above) @ matrix @ above
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(own))
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    volumeNode.SetAndObserveTransformNodeID(node.GetID())
    return node


def isUsed(registration) -> bool:
    """Whether the volume of a registration is where that has put it."""
    moved = registration.GetNodeReference(MOVED)
    return moved is not None and moved.GetTransformNodeID() == registration.GetID()


def use(nodes: Iterable, used: bool) -> None:
    """Put volumes where their registrations say, or back to where they were before."""
    for node in nodes:
        moved = node.GetNodeReference(MOVED)
        if moved is not None and isUsed(node) != used:
            parent = node.GetID() if used else node.GetTransformNodeID()
            moved.SetAndObserveTransformNodeID(parent)


def worldMatrix(transformNode) -> np.ndarray:
    """4x4 from below a linear transform node (or None) to the world."""
    matrix = vtk.vtkMatrix4x4()
    if transformNode is not None:
        transformNode.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def createBrain(scene, mask: np.ndarray, place: Place, name: str):
    """A new segmentation with the segment "Brain", drawn as a mere outline, ready to be edited.

    Args:
        mask: uint8, 1 in the brain, shape (I, J, K).
        place: Where it lies.
    """
    node = createSegmentation(scene, mask, [BRAIN], place, name)
    node.SetAttribute(ROLE_ATTRIBUTE, "Brain")
    node.GetDisplayNode().SetVisibility2DFill(False)
    return node


def saveBrain(segmentationNode, volumeNode, path: Path) -> ScanFile:
    """Write all segments of a brain mask for the engine, on the grid of a volume.

    Raises:
        SceneError: If the file cannot be written.
    """
    mask = np.zeros(voxelsOf(volumeNode).shape, bool)
    for segmentId in segmentationNode.GetSegmentation().GetSegmentIDs():
        mask |= maskOf(segmentationNode, segmentId, volumeNode)
    name = segmentationNode.GetName()
    try:
        return ScanFile.save(mask.astype(np.uint8), worldAffine(volumeNode), path, name)
    except OSError as error:
        sentence = _("The brain mask '{name}' could not be handed to the engine ({reason}).")
        raise SceneError(sentence.format(name=name, reason=error.strerror or error)) from error


def brainBelongsTo(segmentationNode, volumeNodes: Iterable) -> bool:
    """Whether a brain mask was drawn on one of some volumes, or says nothing of any."""
    drawnOn = referenceVolumeOf(segmentationNode)
    return drawnOn is None or any(node is drawnOn for node in volumeNodes)


def sheetOf(volumeNode):
    """The text node with the quality sheet of the last preparation around a volume, or None."""
    for node in slicer.util.getNodesByClass("vtkMRMLTextNode", volumeNode.GetScene()):
        if node.GetNodeReference(SHEET_OF) is volumeNode:
            return node
    return None


def keepSheet(volumeNode, html: str):
    """Keep a quality sheet in the scene, instead of an older one around the same volume."""
    scene, node = volumeNode.GetScene(), sheetOf(volumeNode)
    if node is None:
        name = _("{name}: prepared inputs").format(name=volumeNode.GetName())
        node = scene.AddNewNodeByClass("vtkMRMLTextNode", scene.GenerateUniqueName(name))
        node.SetAttribute(ROLE_ATTRIBUTE, "Preparation")
        node.SetNodeReferenceID(SHEET_OF, volumeNode.GetID())
        putBeside(node, volumeNode)
    node.SetText(html)
    return node
