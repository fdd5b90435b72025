"""A model that works by clicks alone: the first click makes the segmentation."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from factorizer_engine.protocol.errors import CancelledError
from FactorizerSegmentationLib.scene.tables import lesionsOf
from FactorizerSegmentationLib.scene.volumes import worldAffine
from host import mouse
from host.windows.clicking import (
    LESION,
    add_click,
    choose_scan,
    drawn_by_hand,
    mask,
    outlines,
    place_of,
    result,
    settle,
    wait_for_lesions,
)
from host.windows.test_clicks import over_the_voxel, points
from module.panels.user import saved


def test_the_first_click_makes_a_segmentation_without_a_run(host, module, scan):
    segment, panel = module.segmentPanel.ui, module.clicksPanel
    assert not segment.applyButton.enabled
    assert "add a click under Correct by clicks" in segment.applyButton.toolTip
    assert result(module) is None
    assert panel.ui.clickAddButton.enabled, panel.ui.clickAddButton.toolTip
    panel.ui.clickAddButton.click()
    mouse.click(host, place_of(scan, (10, 9, 11)))
    settle(host, module)
    assert "mL changed" in panel.ui.clicksStatusLabel.text
    assert mask(module, scan)[10, 9, 11]
    assert result(module).GetName() == "Some scan, Tiny click model"
    first = result(module)
    mouse.click(host, place_of(scan, (10, 9, 16)))
    settle(host, module)
    assert result(module) is first and mask(module, scan)[10, 9, 16]
    review = module.reviewPanel.ui
    review.undoButton.click()
    review.undoButton.click()
    assert not mask(module, scan).any()


def test_what_was_clicked_is_listed_and_reviewed_as_after_a_run(host, module, scan, tmp_path):
    panel, review = module.clicksPanel, module.reviewPanel
    panel.ui.clickAddButton.click()
    mouse.click(host, place_of(scan, (10, 9, 11)))
    settle(host, module)
    wait_for_lesions(host, module, 1)
    (lesion,) = lesionsOf(module.logic.getParameterNode().segment.lesionTable)
    outlined = mask(module, scan)
    one = abs(np.linalg.det(worldAffine(scan)[:3, :3])) / 1000
    assert lesion.volume_ml == pytest.approx(outlined.sum() * one)
    assert lesion.edited_ml == 0, "what a model outlines was not drawn by hand"
    review.ui.lesionsTree.setCurrentItem(review.ui.lesionsTree.topLevelItem(0))
    assert "mm across in space" in review.ui.lesionLabel.text
    review.ui.rejectButton.click()
    assert not mask(module, scan).any()
    review.ui.undoButton.click()
    np.testing.assert_array_equal(mask(module, scan), outlined)
    assert not module.reportPanel._problem()
    file = saved(result(module), tmp_path / "segments.npy")
    assert [known.id for known in file.known] == [lesion.id]
    assert file.model == "tiny-clicks" and file.edited, "DICOM calls it semi-automatic"


def test_a_segment_to_start_from_is_measured_before_any_click(host, module, scan):
    drawn_by_hand(scan, np.s_[9:12, 8:11, 8:12])
    host.process_events(0.1)
    assert module.clicksPanel.ui.startComboBox.count == 1, "it is offered when it comes"
    module.clicksPanel.ui.startButton.click()
    wait_for_lesions(host, module, 1)


def test_what_people_began_and_a_model_has_corrected_is_of_both(host, module, scan, tmp_path):
    drawn_by_hand(scan, np.s_[9:12, 8:11, 8:12])
    host.process_events(0.1)
    module.clicksPanel.ui.startButton.click()
    wait_for_lesions(host, module, 1)
    file = saved(result(module), tmp_path / "before.npy")
    assert (file.model, file.edited) == ("", ()), "no model has had a say yet"
    module.clicksPanel.ui.clickAddButton.click()
    mouse.click(host, place_of(scan, (5, 5, 5)))
    settle(host, module)
    file = saved(result(module), tmp_path / "after.npy")
    assert file.model == "tiny-clicks" and file.edited, "DICOM calls it semi-automatic"


def test_a_scribble_begins_as_well(host, module, scan):
    panel = module.clicksPanel
    panel.ui.scribbleButton.click()
    host.process_events()
    brush = module.logic.getParameterNode().segment.scribbles
    painted = np.zeros(slicer.util.arrayFromVolume(scan).shape, np.uint8)
    painted[11, 9, 8:12] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(painted, brush, "Add_lesion", scan)
    host.process_events(0.1)
    settle(host, module)
    assert mask(module, scan).transpose(2, 1, 0)[painted != 0].all()


def test_the_result_of_another_model_stays_as_it_is(
    host, click_bundle, module, tiny_case, choose_model
):
    module.segmentPanel.ui.applyButton.click()
    assert host.wait_until(lambda: not module.logic.busy, 120)
    other, scan = result(module), tiny_case["FLAIR"]
    before = slicer.util.arrayFromSegmentBinaryLabelmap(other, LESION, scan)
    choose_model("Tiny click model")
    choose_scan(module, scan)
    module.clicksPanel.ui.clickAddButton.click()
    mouse.click(host, place_of(scan, (10, 9, 11)))
    settle(host, module)
    assert result(module) is not other and mask(module, scan)[10, 9, 11]
    after = slicer.util.arrayFromSegmentBinaryLabelmap(other, LESION, scan)
    np.testing.assert_array_equal(after, before)


def test_a_first_click_that_is_refused_leaves_nothing(host, module, scan):
    ui = module.clicksPanel.ui
    assert not ui.clickRemoveButton.enabled
    assert "nothing to remove yet" in ui.clickRemoveButton.toolTip
    add_click(host, module, scan, (10, 400, 11))
    assert "outside the scan" in ui.clicksStatusLabel.text
    assert outlines() == 0 and result(module) is None
    for left in ("vtkMRMLTableNode", "vtkMRMLSegmentationDisplayNode"):
        assert slicer.mrmlScene.GetNumberOfNodesByClass(left) == 0


def test_back_on_a_scan_what_was_begun_there_goes_on(host, module, scan, tiny, add_scan):
    add_click(host, module, scan, (10, 9, 11))
    first = result(module)
    other = add_scan(tiny.scans()["FLAIR"], "Another scan")
    choose_scan(module, other)
    add_click(host, module, other, (10, 9, 11))
    assert result(module) is not first
    choose_scan(module, scan)
    add_click(host, module, scan, (10, 9, 11), add=False)
    assert "contradicts" in module.clicksPanel.ui.clicksStatusLabel.text, "an own click"
    assert result(module) is first and outlines() == 2
    add_click(host, module, scan, (10, 9, 16))
    assert mask(module, scan)[10, 9, 16]


def test_a_scribble_is_taken_back_where_it_was_painted(host, module, scan, tiny, add_scan):
    panel, parameters = module.clicksPanel, module.logic.getParameterNode().segment
    painted = []
    for volume in (scan, add_scan(tiny.scans()["FLAIR"], "Another scan")):
        choose_scan(module, volume)
        if not panel.ui.scribbleButton.checked:
            panel.ui.scribbleButton.click()
        host.process_events()
        brush = parameters.scribbles
        line = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
        line[11, 9, 8:12] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(line, brush, "Add_lesion", volume)
        host.process_events(0.1)
        settle(host, module)
        painted.append((brush, volume))
    assert painted[0][0] is not painted[1][0]
    module.reviewPanel.ui.undoButton.click()
    module.reviewPanel.ui.undoButton.click()
    for brush, volume in painted:
        left = slicer.util.arrayFromSegmentBinaryLabelmap(brush, "Add_lesion", volume)
        assert not left.any()


def test_the_many_events_of_one_stroke_are_looked_at_once(host, module, scan, monkeypatch):
    panel, looked = module.clicksPanel, []
    monkeypatch.setattr(panel._scribbles, "takeNew", lambda region: looked.append(1) or [])

    for strokes in (1, 2):
        for _event in range(4):
            panel._onPlaced()
        host.process_events()
        assert len(looked) == strokes


def test_a_click_whose_scene_is_closed_says_nothing_in_the_next_one(
    host, module, scan, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        module.logic, "refine", lambda settings, callbacks, *others: asked.append(callbacks)
    )
    panel = module.clicksPanel
    panel.ui.clickAddButton.click()
    mouse.click(host, place_of(scan, (10, 9, 11)))
    assert host.wait_until(lambda: bool(asked), 60)
    slicer.mrmlScene.Clear(False)
    host.process_events()
    asked[0].failed(CancelledError())
    assert panel.ui.clicksStatusLabel.text == "" and not panel.ui.clicksStatusLabel.visible


def test_a_click_by_key_while_clicks_are_waited_for_keeps_its_own_mark(
    host, module, scan, monkeypatch
):
    """The mark that follows the mouse then is no click."""
    ui, place = module.clicksPanel.ui, place_of(scan, (10, 9, 11))
    ui.clickAddButton.click()
    mouse.move_mouse(host, place)
    over_the_voxel(monkeypatch, place)
    ui.clickAddButton.click()
    settle(host, module)
    mouse.leave_view()
    assert points() == 1
    module.reviewPanel.ui.undoButton.click()
    assert points() == 0 and not mask(module, scan).any()


def test_a_segment_of_the_user_beside_it_does_not_end_what_was_begun(host, module, scan):
    add_click(host, module, scan, (10, 9, 11))
    first = result(module)
    first.GetSegmentation().AddEmptySegment("old", "Old lesion")
    host.process_events(0.1)
    add_click(host, module, scan, (10, 9, 16))
    assert result(module) is first and outlines() == 1
    assert mask(module, scan)[10, 9, 11] and mask(module, scan)[10, 9, 16]


def test_a_segment_that_was_deleted_comes_back_with_the_next_click(host, module, scan):
    add_click(host, module, scan, (10, 9, 11))
    outlined, review = mask(module, scan), module.reviewPanel.ui
    segments = result(module).GetSegmentation()
    segments.RemoveSegment(LESION)
    host.process_events(0.1)
    add_click(host, module, scan, (10, 9, 11))
    np.testing.assert_array_equal(mask(module, scan), outlined)
    assert segments.GetSegment(LESION).GetName() == "Lesion"
    wait_for_lesions(host, module, 1)
    review.undoButton.click()
    assert not mask(module, scan).any()
    segments.RemoveSegment(LESION)
    review.redoButton.click()
    np.testing.assert_array_equal(mask(module, scan), outlined)


def test_what_was_outlined_on_one_scan_can_be_the_start_on_another(
    host, module, scan, tiny, add_scan
):
    add_click(host, module, scan, (10, 9, 11))
    first, outlined = result(module), mask(module, scan)
    offered = module.clicksPanel.ui.startComboBox
    assert offered.count == 0, "it is what is corrected"
    other = add_scan(tiny.scans()["FLAIR"], "Another scan")
    choose_scan(module, other)
    assert offered.itemText(0) == "Some scan, Tiny click model: Lesion"
    module.clicksPanel.ui.startButton.click()
    assert result(module) is not first
    np.testing.assert_array_equal(mask(module, other), outlined)


def test_a_list_that_was_deleted_is_made_anew(host, module, scan):
    add_click(host, module, scan, (10, 9, 11))
    wait_for_lesions(host, module, 1)
    slicer.mrmlScene.RemoveNode(module.logic.getParameterNode().segment.lesionTable)
    assert module.reviewPanel.ui.lesionsBox.visible
    wait_for_lesions(host, module, 1)
    add_click(host, module, scan, (10, 9, 16))
    assert module.reviewPanel.ui.lesionsBox.visible and outlines() == 1
    wait_for_lesions(host, module, 2)
