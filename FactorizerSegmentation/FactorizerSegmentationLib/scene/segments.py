"""Label maps as segmentation nodes: named, coloured, coded, in place."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from factorizer_engine.protocol import LabelInfo
from FactorizerSegmentationLib.scene.subjects import putBeside
from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE, Place


def createSegmentation(
    scene, labelmap: np.ndarray, labels: Iterable[LabelInfo], place: Place, name: str
):
    """A new segmentation node with one segment per label.

    Nothing that exists is touched: every run makes a node of its own. Labels that do not occur
    become empty segments, ready to be painted. All segments share one binary label map.

    Args:
        labelmap: Label values, shape (I, J, K), unsigned 8-bit.
        labels: Value, name, colour and terminology of each label.
        place: Where the voxels lie.

    Returns:
        The vtkMRMLSegmentationNode, visible in slices, not in 3D.
    """
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    node.SetAttribute(ROLE_ATTRIBUTE, "Segmentation")
    node.CreateDefaultDisplayNodes()
    place.applyTo(node)
    representation = (
        slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    )
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(representation)
    if place.volumeNode is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(place.volumeNode)
    image = _orientedImage(labelmap, place.affine)
    for label in labels:
        segment = _segment(label)
        segment.AddRepresentation(representation, image)
        segmentation.AddSegment(segment, segmentIdOf(label.value))
    _showInSlicesOnly(node)
    putBeside(node, place.volumeNode)
    return node


def segmentIdOf(label: int) -> str:
    """The id of the segment of a label value."""
    return f"Label_{label}"


def _segment(label: LabelInfo):
    segment = slicer.vtkSegment()
    segment.SetName(label.name)
    segment.SetColor(*(part / 255.0 for part in label.color))
    segment.SetLabelValue(label.value)
    if label.terminology:
        segment.SetTag(segment.GetTerminologyEntryTagName(), label.terminology)
    return segment


def _orientedImage(labelmap: np.ndarray, affine: np.ndarray):
    """The label map with its affine as spacing, origin and axis directions."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*labelmap.shape)
    voxels = np.ascontiguousarray(labelmap.transpose(2, 1, 0), dtype=np.uint8).ravel()
    scalars = numpy_support.numpy_to_vtk(voxels, deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    image.GetPointData().SetScalars(scalars)
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(affine))
    return image


def _showInSlicesOnly(node) -> None:
    display = node.GetDisplayNode()
    display.SetVisibility(True)
    display.SetVisibility3D(False)
    display.SetVisibility2DFill(True)
    display.SetVisibility2DOutline(True)
    display.SetOpacity2DFill(0.35)
