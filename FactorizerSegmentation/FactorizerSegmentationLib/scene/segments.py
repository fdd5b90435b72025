"""Label maps as segmentation nodes: named, coloured, coded, in place."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from factorizer_engine.protocol.models import Label
from FactorizerSegmentationLib.scene.subjects import putBeside
from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE, Place

_SURFACE_NETS = "1"
_SEGMENT_ID = re.compile(r"Label_([1-9][0-9]{0,2})")


def createSegmentation(
    scene, labelmap: np.ndarray, labels: Iterable[Label], place: Place, name: str
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
    node.GetSegmentation().SetSourceRepresentationName(representation)
    if place.volumeNode is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(place.volumeNode)
    image = orientedImage(labelmap, place.affine)
    for label in labels:
        _addSegment(node, label, image)
    _useSurfaceNets(node.GetSegmentation())
    _showInSlicesOnly(node)
    putBeside(node, place.volumeNode)
    return node


def segmentIdOf(label: int) -> str:
    """The id of the segment of a label value."""
    return f"Label_{label}"


def labelOf(segmentId: str) -> int | None:
    """The label value that `segmentIdOf` made an id of; None for segments of others."""
    match = _SEGMENT_ID.fullmatch(segmentId)
    return int(match[1]) if match else None


def labelsOf(segmentationNode) -> tuple[Label, ...]:
    """The classes of a model that a segmentation has, as they are called and coloured now."""
    segmentation = segmentationNode.GetSegmentation()
    labels = []
    for index in range(segmentation.GetNumberOfSegments()):
        value = labelOf(segmentation.GetNthSegmentID(index))
        if value is not None:
            labels.append(describe(segmentation.GetNthSegment(index), value))
    return tuple(labels)


def describe(segment, value: int) -> Label:
    """What a segment is called, coloured and coded, as the label of a value."""
    red, green, blue = (round(255 * part) for part in segment.GetColor())
    terminology = tagOf(segment, segment.GetTerminologyEntryTagName())
    return Label(value, segment.GetName(), (red, green, blue), terminology)


def tagOf(segment, name: str) -> str:
    """The text of a tag of a segment, or ""."""
    text = vtk.reference("")
    segment.GetTag(name, text)
    return str(text)


def addSegment(node, label: Label, labelmap: np.ndarray, affine: np.ndarray) -> None:
    """Give a segmentation node the segment of a label, with a layer of its own.

    Args:
        labelmap: Shape (I, J, K), the label's value where it holds.
        affine: 4x4 matrix from the voxels to the segmentation's own coordinates.
    """
    _addSegment(node, label, orientedImage(labelmap, affine))


def _addSegment(node, label: Label, image) -> None:
    segment = _segment(label)
    segment.AddRepresentation(
        slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName(), image
    )
    node.GetSegmentation().AddSegment(segment, segmentIdOf(label.value))
    segment.Modified()  # only then does the segmentation watch the label map of a lone segment


def _segment(label: Label):
    segment = slicer.vtkSegment()
    segment.SetName(label.name)
    segment.SetColor(*(part / 255.0 for part in label.color))
    segment.SetLabelValue(label.value)
    if label.terminology:
        segment.SetTag(segment.GetTerminologyEntryTagName(), label.terminology)
    return segment


def orientedImage(labelmap: np.ndarray, affine: np.ndarray):
    """A vtkOrientedImageData of a label map (I, J, K), its affine as spacing, origin and axes."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*labelmap.shape)
    voxels = np.ascontiguousarray(labelmap.transpose(2, 1, 0), dtype=np.uint8).ravel()
    scalars = numpy_support.numpy_to_vtk(voxels, deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    image.GetPointData().SetScalars(scalars)
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(affine))
    return image


def _useSurfaceNets(segmentation) -> None:
    """They look like Slicer's usual surfaces in 3D, and take little more than half the time."""
    rule = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule()
    segmentation.SetConversionParameter(rule.GetConversionMethodParameterName(), _SURFACE_NETS)


def _showInSlicesOnly(node) -> None:
    display = node.GetDisplayNode()
    display.SetVisibility(True)
    display.SetVisibility3D(False)
    display.SetVisibility2DFill(True)
    display.SetVisibility2DOutline(True)
    display.SetOpacity2DFill(0.35)
