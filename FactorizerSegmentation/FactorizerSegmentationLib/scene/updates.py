"""Changing an existing segmentation inside a box, so that it can be taken back."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.models import Label, ModelDescription
from FactorizerSegmentationLib.scene.editor import saveForUndo
from FactorizerSegmentationLib.scene.label_images import relabel
from FactorizerSegmentationLib.scene.masses import maskOf, referenceVolumeOf
from FactorizerSegmentationLib.scene.own_changes import ownChange
from FactorizerSegmentationLib.scene.segments import addSegment, orientedImage, segmentIdOf
from FactorizerSegmentationLib.scene.volumes import Place, localAffine


@dataclass(frozen=True)
class Patch:
    """A change of a segmentation.

    Attributes:
        segmentationNode: The segmentation.
        added, removed: By segment id, the voxels that it gains and loses, shape (I, J, K).
        affine: 4x4 matrix from the voxels to the segmentation's own coordinates.
        byHand: Whether it counts as an edit of the user.
    """

    segmentationNode: Any
    added: dict[str, np.ndarray]
    removed: dict[str, np.ndarray]
    affine: np.ndarray
    byHand: bool = False

    def apply(self) -> None:
        """Make the changes."""
        self._change(self.removed, self.added)

    def undo(self) -> None:
        """Take the changes back, and nothing that was edited since elsewhere."""
        self._change(self.added, self.removed)

    def _change(self, removed: dict[str, np.ndarray], added: dict[str, np.ndarray]) -> None:
        node = self.segmentationNode
        with nullcontext() if self.byHand else ownChange(node):
            saveForUndo(node)
            volumeNode = referenceVolumeOf(node)
            if volumeNode is None or not relabel(node, volumeNode, removed, added):
                _modify(node, removed, added, self.affine)


def belongsTo(segmentationNode, volumeNode) -> bool:
    """Whether a segmentation has the voxels and the parent transform of a volume."""
    role = segmentationNode.GetReferenceImageGeometryReferenceRole()
    sameVoxels = segmentationNode.GetNodeReference(role) is volumeNode
    return sameVoxels and segmentationNode.GetTransformNodeID() == volumeNode.GetTransformNodeID()


def holdsOnly(segmentationNode, model: ModelDescription) -> bool:
    """Whether every segment is that of a label of the model."""
    own = {segmentIdOf(label.value) for label in model.labels}
    return {*segmentationNode.GetSegmentation().GetSegmentIDs()} <= own


def holdsOther(segmentationNode, model: ModelDescription, applied: ModelDescription) -> bool:
    """Whether a segment stands for something else than an update would put into it.

    Without some of its scans a model paints, for example, the whole tumour with the value of the
    oedema, see `protocol.subsets.reduced`. Names that the user has given say nothing.

    Args:
        segmentationNode: What would be updated.
        model: The model.
        applied: The same as it would be applied.
    """
    names = {label.value: {label.name} for label in model.labels}
    for region in model.regions:
        names.setdefault(region.label, set()).add(region.title)
    for label in applied.labels:
        segment = segmentationNode.GetSegmentation().GetSegment(segmentIdOf(label.value))
        if segment is not None and segment.GetName() in names[label.value] - {label.name}:
            return True
    return False


def holdsSurplus(segmentationNode, model: ModelDescription, applied: ModelDescription) -> bool:
    """Whether a segment is of a label that the model does not give as it would be applied."""
    surplus = {label.value for label in model.labels} - {label.value for label in applied.labels}
    segmentation = segmentationNode.GetSegmentation()
    return any(segmentation.GetSegment(segmentIdOf(value)) is not None for value in surplus)


def bringBack(segmentationNode, labels: Iterable[Label], values: Iterable[int]) -> None:
    """Give a segmentation empty segments of labels with these values, where they were deleted.

    Args:
        segmentationNode: Its scan is in the scene.
        labels: The labels of the model.
    """
    wanted, scan = set(values), referenceVolumeOf(segmentationNode)
    for label in labels:
        deleted = segmentationNode.GetSegmentation().GetSegment(segmentIdOf(label.value)) is None
        if deleted and label.value in wanted:
            nothing = np.zeros(scan.GetImageData().GetDimensions(), np.uint8)
            addSegment(segmentationNode, label, nothing, localAffine(scan))


def updateInside(
    segmentationNode,
    labelmap: np.ndarray,
    labels: Iterable[Label],
    place: Place,
    box: WorldBox,
    world: np.ndarray,
) -> Patch:
    """Replace the segments of `labels` inside a box by a label map.

    Outside the box nothing changes, and segments of the user keep every voxel, also where a lesion
    was found on top of them.

    Args:
        segmentationNode: Belongs to the volume of `place`, see `belongsTo`.
        labelmap: Label values, shape (I, J, K).
        labels: The labels of the model; a segment that was deleted comes back where it is found.
        place: Where the voxels lie; its volume is in the scene.
        box: The box.
        world: 4x4 matrix from the voxels to the world, as it was when the box was sent.
    """
    part = box.part_of(labelmap.shape, world)
    inside = np.zeros(labelmap.shape, dtype=bool)
    inside[part] = box.mask(part, world)
    added, removed = {}, {}
    for label in labels:
        segmentId = segmentIdOf(label.value)
        found = (labelmap == label.value) & inside
        if found.any():
            bringBack(segmentationNode, (label,), (label.value,))
        elif segmentationNode.GetSegmentation().GetSegment(segmentId) is None:
            continue
        before = maskOf(segmentationNode, segmentId, place.volumeNode)
        added[segmentId] = found & ~before
        removed[segmentId] = before & inside & ~found
    patch = Patch(segmentationNode, added, removed, localAffine(place.volumeNode))
    patch.apply()
    return patch


def _modify(node, removed: dict, added: dict, affine: np.ndarray) -> None:
    """Take voxels from segments, then give them voxels, through the segment editor's logic.

    First all that goes, so that segments which trade voxels do not meet; where they do meet others,
    the logic moves them to a layer of their own.
    """
    scene = node.GetScene()
    editorNode = slicer.vtkMRMLSegmentEditorNode()
    editorNode.SetHideFromEditors(True)
    editorNode.SetSaveWithScene(False)
    editorNode.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
    scene.AddNode(editorNode)
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(scene)
    editorNode.SetAndObserveSegmentationNode(node)
    logic.SetSegmentEditorNode(editorNode)
    try:
        for masks, mode in (
            (removed, logic.ModificationModeRemove),
            (added, logic.ModificationModeAdd),
        ):
            for segmentId, mask in masks.items():
                if mask.any() and node.GetSegmentation().GetSegment(segmentId) is not None:
                    image = orientedImage(mask, affine)
                    logic.ModifySegmentByLabelmap(node, segmentId, image, mode, False, True)
    finally:
        logic.SetSegmentEditorNode(None)
        scene.RemoveNode(editorNode)
