"""The images that hold segments, read and changed in place where that is the same.

Slicer's own ways through a copy of every segment take a tenth of a second or more for a whole head,
in which the window stands still.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import slicer
import vtk

from FactorizerSegmentationLib.scene.pieces import blockOf
from FactorizerSegmentationLib.scene.volumes import arrayOf, localAffine

_BYTES = "unsigned char"


def imageOf(segmentationNode, segmentId: str):
    """The label map that holds a segment, perhaps with others; None if there is none."""
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    return segment.GetRepresentation(name) if segment is not None else None


def sharedImageOf(segmentationNode, segmentIds: Collection[str], volumeNode):
    """The one image of bytes with a label for every voxel that holds all these segments, or None.

    Segments that this module makes share one, until one is painted over another.
    """
    images = [imageOf(segmentationNode, name) for name in segmentIds]
    if not images or images[0] is None or any(image is not images[0] for image in images):
        return None
    isWhole = coincide(images[0], segmentationNode, volumeNode)
    return images[0] if isWhole and images[0].GetScalarTypeAsString() == _BYTES else None


def relabel(
    segmentationNode,
    volumeNode,
    removed: Mapping[str, np.ndarray],
    added: Mapping[str, np.ndarray],
) -> bool:
    """Take voxels from segments and give them voxels, in the image that they share.

    Args:
        removed, added: By segment id, (I, J, K).

    Returns:
        Whether it could be done. If not, nothing has changed: the segments share no image, or
        would gain voxels that another segment in it has.
    """
    image = sharedImageOf(segmentationNode, {*removed, *added}, volumeNode)
    if image is None:
        return False
    voxels, segmentation = arrayOf(image).T, segmentationNode.GetSegmentation()
    after = voxels.copy(order="F")
    for masks, adds in ((removed, False), (added, True)):
        for segmentId, mask in masks.items():
            if mask.shape != voxels.shape:
                return False
            block = blockOf(mask)
            part, asked = after[block], mask[block]
            label = segmentation.GetSegment(segmentId).GetLabelValue()
            if adds and (asked & (part != 0) & (part != label)).any():
                return False
            part[asked & (part == (0 if adds else label))] = label if adds else 0
    voxels[...] = after
    changed(image)
    return True


def changed(image) -> None:
    """Tell all who watch an image that its voxels are others."""
    image.GetPointData().GetScalars().Modified()
    image.Modified()


def coincide(image, segmentationNode, volumeNode) -> bool:
    """Whether an image of a segmentation has a label for every voxel of a volume and no others."""
    if segmentationNode.GetTransformNodeID() != volumeNode.GetTransformNodeID():
        return False
    size = volumeNode.GetImageData().GetDimensions()
    if image.GetExtent() != tuple(edge for count in size for edge in (0, count - 1)):
        return False
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    ours, theirs = slicer.util.arrayFromVTKMatrix(matrix), localAffine(volumeNode)
    return np.allclose(ours, theirs, rtol=0, atol=1e-4)
