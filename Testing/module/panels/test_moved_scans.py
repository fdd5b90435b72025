"""The list of lesions follows its scan under transforms."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from FactorizerSegmentationLib.scene.noted_places import WORLD_ATTRIBUTE
from FactorizerSegmentationLib.scene.tables import follow, lesionsOf
from module.panels.user import segmentations

SHIFT = np.array([15.0, -8.0, 4.0])
VOXEL_MM3 = 6


@pytest.fixture
def lesions(host, widget, review):
    """Waits until the list is settled; gives the lesions by number."""

    def settled():
        measuring = review._remeasuring
        host.process_events(0.1)
        assert host.wait_until(lambda: not (measuring.measuring or measuring._timer.active), 20)
        table = widget.logic.getParameterNode().segment.lesionTable
        return {lesion.id: lesion for lesion in lesionsOf(table)}

    return settled


def put_under(scene, matrix: np.ndarray):
    """Scans and segments below a new transform, as in the Data module."""
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    nodes = [*slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"), *segmentations(scene)]
    for node in nodes:
        node.SetAndObserveTransformNodeID(transform.GetID())
    return nodes


def shifted() -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = SHIFT
    return matrix


def test_lesions_are_where_their_scan_is_and_keep_their_numbers(scene, review, lesions):
    before = lesions()
    nodes = put_under(scene, shifted())

    after = lesions()
    assert set(after) == set(before) == {1, 2}
    for number, lesion in after.items():
        np.testing.assert_allclose(lesion.centroid_ras, before[number].centroid_ras + SHIFT)
        middle = np.array(before[number].long_axis.middle)
        np.testing.assert_allclose(lesion.long_axis.middle, middle + SHIFT, atol=3)

    for node in nodes:
        node.HardenTransform()
    for number, lesion in lesions().items():
        np.testing.assert_allclose(lesion.centroid_ras, before[number].centroid_ras + SHIFT)


def test_a_lesion_of_a_moved_scan_can_be_rejected(scene, review, lesions, result_voxels):
    put_under(scene, shifted())
    lesions()
    before = result_voxels()
    review.lesions.select(1)
    review.ui.rejectButton.click()
    assert before - result_voxels() == 8


@pytest.mark.parametrize(
    "noted", ["", "no place", "[1, 2]", str([0.0] * 16), str([float("nan")] * 16)]
)
def test_places_that_make_no_sense_are_noted_anew(scene, host, widget, review, lesions, noted):
    """A scene file can hold anything, and an engine say anything."""
    before = lesions()
    table = widget.logic.getParameterNode().segment.lesionTable
    table.SetAttribute(WORLD_ATTRIBUTE, noted)
    assert not follow(table, np.eye(4))
    assert follow(table, shifted())
    for number, lesion in ((lesion.id, lesion) for lesion in lesionsOf(table)):
        np.testing.assert_allclose(lesion.centroid_ras, before[number].centroid_ras + SHIFT)


def test_without_an_engine_lesions_move_all_the_same(
    scene, host, widget, review, lesions, monkeypatch
):
    before = lesions()
    monkeypatch.setattr(type(widget.logic.engine), "installed", False)
    put_under(scene, shifted())
    for number, lesion in lesions().items():
        np.testing.assert_allclose(lesion.centroid_ras, before[number].centroid_ras + SHIFT)
        assert lesion.volume_ml == before[number].volume_ml


def test_volumes_are_those_in_the_world_in_the_list_and_beside_the_sliders(
    scene, host, widget, review, lesions
):
    put_under(scene, np.diag([2.0, 2.0, 2.0, 1.0]))
    assert {n: round(1000 * it.volume_ml / VOXEL_MM3 / 8) for n, it in lesions().items()} == {
        1: 8,
        2: 12,
    }
    adjust = widget.adjustPanel
    adjust.ui.adjustRegionComboBox.currentIndex = 1
    adjust.ui.thresholdSlider.value = 60
    core = 12 * 8 * VOXEL_MM3 / 1000
    assert f"Core {core:.2f} mL" in adjust.ui.adjustLabel.text


@pytest.fixture
def result_voxels(scene):
    """Counts the voxels of all segments."""

    def count() -> int:
        (node,) = segmentations(scene)
        scan = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
        masks = (
            slicer.util.arrayFromSegmentBinaryLabelmap(node, name, scan)
            for name in node.GetSegmentation().GetSegmentIDs()
        )
        return sum(int(np.count_nonzero(mask)) for mask in masks)

    return count
