"""The sliders under the list of lesions, moved in the panel."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import slicer

from FactorizerSegmentationLib.scene.probabilities import mapsOf, thresholdsOf
from module.panels.user import current_widget, run, segmentations

ENHANCING, CORE = "Label_4", "Label_1"
AROUND = 0.3
"""What the fake engine gives one voxel beyond its lesions along k; inside it is 0.8."""


@pytest.fixture
def adjust(host, widget, panel, volumes, fake_python):
    """The panel after a run, which has looked at the result."""
    run(host, panel, fake_python("answer"))
    adjust = widget.adjustPanel
    assert host.wait_until(lambda: "Now" in adjust.ui.adjustLabel.text)
    host.process_events()
    return adjust


@pytest.fixture
def result(scene, adjust):
    (node,) = segmentations(scene)
    return node


def scan(node):
    return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())


def mask(node, segment: str) -> np.ndarray:
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, scan(node)) != 0


def voxels(node) -> tuple[int, int]:
    return int(mask(node, ENHANCING).sum()), int(mask(node, CORE).sum())


def edit(node, segment: str, voxel: tuple[int, int, int], value: int) -> None:
    array = mask(node, segment).astype(np.uint8)
    array[voxel] = value
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segment, scan(node))


def choose(adjust, title: str) -> None:
    combo = adjust.ui.adjustRegionComboBox
    combo.currentIndex = combo.findText(title)


def settle(host, adjust) -> None:
    assert host.wait_until(lambda: not adjust._rest.active)


def test_the_sliders_start_where_the_result_is(adjust, result):
    assert adjust.ui.adjustBox.visible
    assert adjust.ui.thresholdSlider.value == 50
    assert adjust.ui.smallestSlider.value == 0
    assert adjust.ui.adjustRegionComboBox.count == 2
    assert voxels(result) == (8, 12)


def test_the_segments_follow_a_threshold_at_once(adjust, result):
    choose(adjust, "Core")
    adjust.ui.thresholdSlider.value = 90
    assert voxels(result) == (8, 0)

    adjust.ui.thresholdSlider.value = 20
    assert voxels(result) == (8, 22)
    assert "Core" in adjust.ui.adjustLabel.text

    choose(adjust, "Enhancing")
    assert adjust.ui.thresholdSlider.value == 50
    adjust.ui.thresholdSlider.value = 20
    assert voxels(result) == (12, 18)


def test_going_back_gives_the_same_segments(adjust, result):
    before = mask(result, ENHANCING), mask(result, CORE)
    choose(adjust, "Core")
    for percent in (90, 10, 35, 50):
        adjust.ui.thresholdSlider.value = percent

    np.testing.assert_array_equal(mask(result, ENHANCING), before[0])
    np.testing.assert_array_equal(mask(result, CORE), before[1])


def test_small_lesions_are_left_out(adjust, result):
    voxel = np.prod(scan(result).GetSpacing()) / 1000
    adjust.ui.smallestSlider.value = 10 * voxel + 0.05 if 10 * voxel > 0.05 else 0.3

    fewest = adjust.ui.smallestSlider.value / voxel
    expected = tuple(count if count >= fewest else 0 for count in (8, 12))
    assert voxels(result) == expected
    assert 0 in expected


def test_hand_edits_stay_wherever_the_sliders_go(host, adjust, result):
    choose(adjust, "Core")
    edit(result, CORE, (1, 2, 0), 0)
    edit(result, CORE, (5, 6, 7), 1)

    for percent in (90, 20, 50):
        adjust.ui.thresholdSlider.value = percent
        assert not mask(result, CORE)[1, 2, 0]
        assert mask(result, CORE)[5, 6, 7]
    assert voxels(result) == (8, 12)
    assert "edited or rejected stay" in adjust.ui.adjustLabel.text


def test_a_drag_is_one_step_that_is_undone_and_redone(host, widget, adjust, result):
    undo, redo = widget.reviewPanel.ui.undoButton, widget.reviewPanel.ui.redoButton
    choose(adjust, "Core")
    for percent in (60, 85, 90):
        adjust.ui.thresholdSlider.value = percent
    settle(host, adjust)
    adjust.ui.thresholdSlider.value = 20

    undo.click()
    assert voxels(result) == (8, 0)
    assert adjust.ui.thresholdSlider.value == 90
    undo.click()
    assert voxels(result) == (8, 12)
    assert adjust.ui.thresholdSlider.value == 50
    assert not undo.enabled

    redo.click()
    redo.click()
    assert voxels(result) == (8, 22)


def test_a_segment_of_the_user_keeps_every_voxel(adjust, result):
    own = result.GetSegmentation().AddEmptySegment("Own")
    edit(result, own, (3, 2, 0), 1)
    choose(adjust, "Core")

    adjust.ui.thresholdSlider.value = 20

    assert mask(result, own).sum() == 1
    assert voxels(result)[1] >= 21


def test_a_rejected_lesion_does_not_come_back_by_a_slider(widget, adjust, result):
    review = widget.reviewPanel
    review.ui.lesionsTree.setCurrentItem(review.ui.lesionsTree.topLevelItem(1))
    review.ui.rejectButton.click()

    choose(adjust, "Core")
    adjust.ui.thresholdSlider.value = 60
    assert voxels(result) == (8, 0)

    review.ui.undoButton.click()
    review.ui.undoButton.click()
    assert voxels(result) == (8, 12)


def test_the_volumes_that_are_told_follow_what_others_change(host, widget, adjust, result):
    before = adjust.ui.adjustLabel.text
    review = widget.reviewPanel
    review.ui.lesionsTree.setCurrentItem(review.ui.lesionsTree.topLevelItem(1))
    review.ui.rejectButton.click()
    assert host.wait_until(lambda: "rejected stay" in adjust.ui.adjustLabel.text)
    assert "Core 0.0 mL" in adjust.ui.adjustLabel.text
    review.ui.undoButton.click()
    assert host.wait_until(lambda: adjust.ui.adjustLabel.text == before)


def test_maps_are_saved_only_when_it_is_wanted(adjust, result):
    maps = mapsOf(result)
    assert len(maps) == 2
    assert not any(node.GetSaveWithScene() for node in maps)
    assert "MB" in adjust.ui.keepMapsCheckBox.text

    adjust.ui.keepMapsCheckBox.checked = True
    assert all(node.GetSaveWithScene() for node in maps)
    assert not any(node.GetHideFromEditors() for node in maps)  # or Slicer 5.8 leaves them out

    adjust.ui.keepMapsCheckBox.checked = False
    assert all(node.GetHideFromEditors() for node in maps)


def test_thresholds_and_edits_survive_the_module(host, widget, adjust, result, reloading):
    choose(adjust, "Core")
    edit(result, CORE, (1, 2, 0), 0)
    adjust.ui.thresholdSlider.value = 90
    settle(host, adjust)
    widget.onReload()  # nothing is left but the scene
    host.process_events()
    fresh = current_widget().adjustPanel
    choose(fresh, "Core")
    assert fresh.ui.thresholdSlider.value == 90

    fresh.ui.thresholdSlider.value = 50

    assert voxels(result) == (8, 11)
    assert not mask(result, CORE)[1, 2, 0]


def test_without_its_maps_or_its_scan_a_result_has_no_sliders(
    host, scene, widget, adjust, result, volumes
):
    choose(adjust, "Core")
    adjust.ui.thresholdSlider.value = 60
    scene.RemoveNode(mapsOf(result)[0])
    host.process_events()

    assert not adjust.ui.adjustBox.visible
    assert not widget.reviewPanel.ui.undoButton.enabled


def test_the_maps_go_with_their_segmentation(host, scene, adjust, result):
    maps = mapsOf(result)

    scene.RemoveNode(result)
    host.process_events()

    assert all(node.GetScene() is None for node in maps)
    assert not adjust.ui.adjustBox.visible


def test_maps_of_which_one_was_deleted_go_with_their_segmentation(host, scene, adjust, result):
    first, *others = mapsOf(result)
    assert others
    scene.RemoveNode(first)
    host.process_events()
    scene.RemoveNode(result)
    host.process_events()
    assert [node.GetID() for node in others if scene.GetNodeByID(node.GetID())] == []


def test_the_scene_may_close_while_a_slider_moves(host, scene, adjust):
    adjust.ui.thresholdSlider.value = 60

    scene.Clear(False)
    host.process_events(0.6)

    assert not adjust.ui.adjustBox.visible


def test_surfaces_follow_when_the_slider_rests(host, widget, adjust, result):
    import vtk

    def points() -> int:
        surface = vtk.vtkPolyData()
        result.GetClosedSurfaceRepresentation(CORE, surface)
        return surface.GetNumberOfPoints()

    assert host.wait_until(lambda: points() > 0, 5)
    choose(adjust, "Core")
    adjust.ui.thresholdSlider.value = 90
    settle(host, adjust)

    assert host.wait_until(lambda: points() == 0, 5)


@pytest.mark.parametrize("text", ["", "{", '{"regions": [], "values": []}', "[1]"])
def test_a_scene_file_that_says_nonsense_gives_no_sliders(host, widget, adjust, result, text):
    result.SetAttribute("FactorizerSegmentation.Thresholds", text)
    widget.logic.notify()

    assert thresholdsOf(result) is None
    assert not adjust.ui.adjustBox.visible


@pytest.mark.parametrize("kept", [True, False])
def test_a_saved_scene_brings_sliders_verdicts_and_edits_back(
    host, scene, widget, adjust, result, tmp_path, kept
):
    choose(adjust, "Core")
    edit(result, CORE, (1, 2, 0), 0)
    adjust.ui.thresholdSlider.value = 60
    settle(host, adjust)
    tree = widget.reviewPanel.ui.lesionsTree
    tree.setCurrentItem(tree.topLevelItem(0))
    widget.reviewPanel.ui.rejectButton.click()
    adjust.ui.keepMapsCheckBox.checked = kept
    before = voxels(result)
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"), None)

    scene.Clear(False)
    with zipfile.ZipFile(tmp_path / "scene.mrb") as archive:
        archive.extractall(tmp_path)
    (file,) = tmp_path.rglob("*.mrml")
    scene.SetURL(str(file))
    assert scene.Import()
    host.process_events()

    (node,) = segmentations(scene)
    assert voxels(node) == before
    assert slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode", scene) == []
    assert adjust.ui.adjustBox.visible == kept
    assert not tree.topLevelItem(0).checkState(0) == tree.topLevelItem(1).checkState(0)
    tree.setCurrentItem(tree.topLevelItem(0))
    widget.reviewPanel.ui.acceptButton.click()
    assert voxels(node) == (8, 11)
    if kept:
        choose(adjust, "Core")
        assert adjust.ui.thresholdSlider.value == 60
        adjust.ui.thresholdSlider.value = 90
        assert voxels(node) == (8, 0)
        adjust.ui.thresholdSlider.value = 50
        assert voxels(node) == (8, 11)


def test_a_class_that_is_renamed_is_called_so_beside_its_volume(adjust, result):
    result.GetSegmentation().GetSegment(CORE).SetName("Necrosis")
    assert "Necrosis 0.072 mL" in adjust.ui.adjustLabel.text
