"""Clicks that are made while others are answered, or on what goes away meanwhile."""

from __future__ import annotations

import pytest
import slicer
import vtk

from host import mouse
from host.windows.clicking import add_click, mask, outlines, place_of, result, settle
from host.windows.test_clicks import choose_region, points


def test_each_click_keeps_the_region_on_which_it_was_made(host, module, tiny_case, asked):
    module.segmentPanel.ui.applyButton.click()
    assert host.wait_until(lambda: not module.logic.busy, 120)
    module.clicksPanel.ui.clickAddButton.click()
    for region, voxel in (("ET", (10, 9, 11)), ("WT", (10, 9, 16)), ("TC", (10, 9, 5))):
        choose_region(module.clicksPanel, region)
        mouse.click(host, place_of(tiny_case["FLAIR"], voxel))
    for count in (1, 2, 3):
        assert host.wait_until(lambda count=count: len(asked.clicks) == count, 5)
        asked.answer()
    assert [click.region for click in asked.clicks] == ["ET", "WT", "TC"]


def test_a_click_that_is_refused_takes_no_other_with_it(host, module, scan, asked):
    add, ui = [(10, 9, 11), (10, 400, 11), (10, 9, 16)], module.clicksPanel.ui
    ui.clickAddButton.click()
    for voxel in add:
        mouse.click(host, place_of(scan, voxel))
    asked.answer((10, 9, 11))
    assert host.wait_until(lambda: len(asked.clicks) == 2, 5)
    asked.refuse()
    assert host.wait_until(lambda: len(asked.clicks) == 3, 5)
    asked.answer((10, 9, 16))
    found = mask(module, scan)
    assert found[10, 9, 11] and found[10, 9, 16] and points() == 2
    module.reviewPanel.ui.undoButton.click()
    found = mask(module, scan)
    assert found[10, 9, 11] and not found[10, 9, 16], "each click is a step of its own"


@pytest.mark.parametrize("gone", ["scan", "segmentation"])
def test_what_is_deleted_while_a_click_is_answered_is_said(host, module, scan, asked, gone):
    panel = module.clicksPanel
    add_first(host, module, scan, asked)
    mouse.click(host, place_of(scan, (10, 9, 16)))
    assert host.wait_until(lambda: len(asked.clicks) == 2, 5)
    slicer.mrmlScene.RemoveNode(scan if gone == "scan" else result(module))
    asked.answer((10, 9, 16))
    host.process_events(0.1)
    assert "was deleted" in panel.ui.clicksStatusLabel.text
    assert points() == (1 if gone == "scan" else 0)


def test_a_click_is_not_undone_on_a_scan_that_is_gone(host, module, scan, asked):
    add_first(host, module, scan, asked)
    assert module.reviewPanel.ui.undoButton.enabled
    slicer.mrmlScene.RemoveNode(scan)
    host.process_events(0.1)
    assert not module.reviewPanel.ui.undoButton.enabled


def add_first(host, module, scan, asked) -> None:
    module.clicksPanel.ui.clickAddButton.click()
    mouse.click(host, place_of(scan, (10, 9, 11)))
    assert host.wait_until(lambda: len(asked.clicks) == 1, 5)
    asked.answer((10, 9, 11))
    host.process_events(0.1)


def test_a_scan_that_is_warped_cannot_be_clicked_on(host, module, scan):
    shifts = vtk.vtkImageData()
    shifts.SetDimensions(4, 4, 4)
    shifts.AllocateScalars(vtk.VTK_DOUBLE, 3)
    shifts.GetPointData().GetScalars().Fill(1.0)
    grid = slicer.vtkOrientedGridTransform()
    grid.SetDisplacementGridData(shifts)
    warp = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    warp.SetAndObserveTransformFromParent(grid)
    scan.SetAndObserveTransformNodeID(warp.GetID())
    module.logic.notify()
    button = module.clicksPanel.ui.clickAddButton
    assert not button.enabled and "is warped by the transform" in button.toolTip
    scan.SetAndObserveTransformNodeID(None)
    module.logic.notify()
    assert button.enabled, button.toolTip
    button.click()
    scan.SetAndObserveTransformNodeID(warp.GetID())
    mouse.click(host, place_of(scan, (10, 9, 11)))
    settle(host, module)
    assert "is warped by the transform" in module.clicksPanel.ui.clicksStatusLabel.text
    assert outlines() == points() == 0


def test_without_the_marks_no_click_is_waited_for(host, module, scan):
    add_click(host, module, scan, (10, 9, 11))
    button = module.clicksPanel.ui.clickAddButton
    slicer.mrmlScene.RemoveNode(module.logic.getParameterNode().segment.addingClicks)
    host.process_events(0.1)
    assert not button.checked
    mouse.click(host, place_of(scan, (10, 9, 16)))
    assert points() == 0
    add_click(host, module, scan, (10, 9, 16))
    assert mask(module, scan)[10, 9, 16] and points() == 1


def test_the_button_is_up_when_something_else_ends_the_clicks(host, module, scan):
    button = module.clicksPanel.ui.clickAddButton
    button.click()
    assert button.checked
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    interaction.SwitchToViewTransformMode()
    assert not button.checked
    button.click()
    assert button.checked
