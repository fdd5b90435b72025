from __future__ import annotations

from collections import deque

import numpy as np
import pytest
import slicer
import vtk

from factorizer_engine.protocol.models import Label, ModelDescription
from factorizer_engine.protocol.segmentations import MODEL_TAG
from FactorizerSegmentationLib.scene.segmentation_files import (
    perhapsEdited,
    rememberDrawn,
    rememberModel,
)
from FactorizerSegmentationLib.scene.segments import createSegmentation, segmentIdOf
from FactorizerSegmentationLib.scene.volumes import Place, worldAffine
from module.geometry import apply, orientation_affines, tilted
from module.panels.user import saved

NECROSIS = (
    "Segmentation category and type - DICOM master list"
    "~SCT^49755003^Morphologically Altered Structure~SCT^6574001^Necrosis~^^"
    "~Anatomic codes - DICOM master list~SCT^12738006^Brain~^^"
)
LABELS = (
    Label(1, "Core", (200, 60, 50), NECROSIS),
    Label(2, "Oedema", (80, 170, 90)),
    Label(4, "Enhancing", (240, 200, 60)),
)
MODEL = ModelDescription("tiny", "1.0", "glioma", "Tiny", "", (), (), LABELS)
SHAPE = (5, 6, 7)
MARKED = {1: (1, 4, 2), 4: (3, 0, 6)}


@pytest.fixture
def labelmap() -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    for value, index in MARKED.items():
        array[index] = value
    return array


@pytest.fixture
def make(scene, labelmap):
    def make(reference, name="FLAIR segmentation"):
        place = Place.of(reference, SHAPE, worldAffine(reference))
        return createSegmentation(scene, labelmap, LABELS, place, name)

    return make


def marked_positions(node, segment_id) -> np.ndarray:
    """World positions of the voxels of a segment, as Slicer sees them."""
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    shape = image.GetDimensions()
    scalars = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    start = np.array(image.GetExtent()[::2])
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    local = slicer.util.arrayFromVTKMatrix(matrix)
    positions = []
    for index in np.argwhere(scalars.reshape(shape, order="F")):
        world = [0.0, 0.0, 0.0]
        node.TransformPointToWorld(apply(local, index + start), world)
        positions.append(world)
    return np.array(positions)


@pytest.mark.parametrize("orientation", sorted(orientation_affines()))
def test_segments_lie_on_their_voxels_in_every_orientation(
    add_volume, add_transform, make, orientation
):
    reference = add_volume(
        affine=orientation_affines()[orientation], parent=add_transform(tilted())
    )

    node = make(reference)

    for value, index in MARKED.items():
        found = marked_positions(node, segmentIdOf(value))
        assert found == pytest.approx(np.array([apply(worldAffine(reference), index)]))


def test_segments_follow_the_transform_of_their_scan(add_volume, add_transform, make):
    parent = add_transform(np.eye(4))
    reference = add_volume(parent=parent)
    node = make(reference)

    parent.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(tilted()))

    expected = apply(worldAffine(reference), MARKED[4])
    assert marked_positions(node, segmentIdOf(4)) == pytest.approx(np.array([expected]))


def test_every_label_becomes_a_named_coloured_segment(add_volume, make):
    segmentation = make(add_volume()).GetSegmentation()

    segments = [segmentation.GetNthSegment(index) for index in range(3)]
    assert [segment.GetName() for segment in segments] == ["Core", "Oedema", "Enhancing"]
    assert segments[0].GetColor() == pytest.approx((200 / 255, 60 / 255, 50 / 255))
    assert [segment.GetLabelValue() for segment in segments] == [1, 2, 4]
    assert segmentation.GetNumberOfLayers() == 1


def test_the_terminology_is_one_that_slicer_reads(scene, add_volume, make):
    segment = make(add_volume()).GetSegmentation().GetSegment(segmentIdOf(1))
    text = vtk.reference("")
    segment.GetTag(segment.GetTerminologyEntryTagName(), text)

    entry = slicer.vtkSlicerTerminologyEntry()
    logic = slicer.modules.terminologies.logic()

    assert logic.DeserializeTerminologyEntry(str(text), entry)
    assert entry.GetTypeObject().GetCodeMeaning() == "Necrosis"
    assert entry.GetRegionObject().GetCodeMeaning() == "Brain"


def test_a_label_that_does_not_occur_becomes_an_empty_segment(add_volume, make):
    node = make(add_volume())

    assert len(marked_positions(node, segmentIdOf(2))) == 0


def test_each_run_makes_a_segmentation_of_its_own(scene, add_volume, make):
    reference = add_volume()
    first = make(reference)
    first.GetSegmentation().GetSegment(segmentIdOf(1)).SetName("Corrected by hand")

    second = make(reference)

    assert second is not first
    assert second.GetName() != first.GetName()
    assert first.GetSegmentation().GetSegment(segmentIdOf(1)).GetName() == "Corrected by hand"
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 2


def test_changing_one_result_leaves_an_older_one_alone(add_volume, make):
    reference = add_volume()
    first, second = make(reference), make(reference)

    second.GetSegmentation().RemoveSegment(segmentIdOf(4))

    assert len(marked_positions(first, segmentIdOf(4))) == 1


def test_the_result_stands_beside_its_scan_in_the_subject_hierarchy(
    add_volume, make, hierarchy, put_under
):
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    study = hierarchy.CreateStudyItem(patient, "Study")
    reference = add_volume()
    put_under(reference, study)

    node = make(reference)

    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study


def test_the_scan_gives_the_geometry_for_later_edits(add_volume, make):
    reference = add_volume()

    node = make(reference)

    role = node.GetReferenceImageGeometryReferenceRole()
    assert node.GetNodeReference(role) is reference


def test_segments_are_shown_in_slices_but_not_in_3d(add_volume, make):
    display = make(add_volume()).GetDisplayNode()

    assert display.GetVisibility()
    assert display.GetVisibility2DFill()
    assert not display.GetVisibility3D()


def test_surfaces_are_made_by_the_quick_method_that_slicer_has(add_volume, make):
    rule, name = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule(), "Conversion method"
    segmentation = make(add_volume("FLAIR", SHAPE)).GetSegmentation()
    assert segmentation.GetConversionParameter(name) == "1"
    description = rule.GetConversionParameterDescription(name)
    assert "1 = vtkSurfaceNets3D" in description


def test_segments_that_a_model_has_drawn_say_so(make, add_volume):
    node = make(add_volume())
    node.GetSegmentation().AddEmptySegment("Mine")
    rememberModel(node, MODEL)
    made = {}
    for name in node.GetSegmentation().GetSegmentIDs():
        text = vtk.reference("")
        node.GetSegmentation().GetSegment(name).GetTag(MODEL_TAG, text)
        made[name] = str(text)
    assert made == {"Label_1": "tiny 1.0", "Label_2": "tiny 1.0", "Label_4": "tiny 1.0", "Mine": ""}


def test_what_comes_from_a_file_is_of_the_model_that_its_segments_name(
    make, add_volume, labelmap, tmp_path
):
    """But nobody knows whether it was edited before it was saved."""
    node = make(add_volume())
    deque(rememberDrawn(node, labelmap, LABELS), maxlen=0)
    rememberModel(node, MODEL)
    known = saved(node, tmp_path / "known.npy")
    assert perhapsEdited(node, known) == known and known.edited == ()

    for name in node.GetAttributeNames():
        node.RemoveAttribute(name)  # files keep none
    file = saved(node, tmp_path / "file.npy")
    assert (file.model, file.version, file.edited) == ("tiny", "1.0", ())
    assert perhapsEdited(node, file).edited == ("Core", "Oedema", "Enhancing")
