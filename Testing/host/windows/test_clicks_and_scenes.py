"""Clicks and scribbles in scenes that are opened again, and on scans that are moved."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from FactorizerSegmentationLib.scene.volumes import worldAffine
from host.windows.clicking import add_click, choose_scan, mask, place_of, result, settle
from host.windows.test_clicks import paint, painted, points


def test_a_click_in_a_scene_that_was_opened_again_is_answered(host, module, scan, reopened):
    """Also where nobody has pressed a button since, as in a scene that was saved while placing."""
    add_click(host, module, scan, (10, 9, 11))
    reopened()
    scan = slicer.util.getNode("Some scan")
    clicks = module.logic.getParameterNode().segment.addingClicks
    clicks.AddControlPointWorld(place_of(scan, (10, 9, 16)).tolist())
    settle(host, module)
    assert "mL changed" in module.clicksPanel.ui.clicksStatusLabel.text
    assert mask(module, scan)[10, 9, 16]


def test_scribbles_of_a_scene_that_was_opened_again_are_not_new(host, module, scan, reopened):
    module.clicksPanel.ui.scribbleButton.click()
    host.process_events()
    scribbles = module.logic.getParameterNode().segment.scribbles
    paint(host, module, scribbles, "lesion", True, [(10, 9, 11), (10, 9, 12)])
    reopened()
    scan = slicer.util.getNode("Some scan")
    add_click(host, module, scan, (10, 9, 16))
    module.reviewPanel.ui.undoButton.click()
    scribbles = module.logic.getParameterNode().segment.scribbles
    assert painted(scribbles, "Add_lesion") == 2
    assert mask(module, scan)[10, 9, 11]


@pytest.fixture
def moved(host, module):
    """Puts a scan and what is outlined on it below a transform: `moved(scan)`."""

    def move(scan) -> np.ndarray:
        matrix = np.diag([0.0, -1.0, 1.0, 1.0])  # a quarter turn, and further
        matrix[0, 2], matrix[2, 0], matrix[2, 2] = 1.0, 1.0, 0.0
        matrix[:3, 3] = 40, -8, 100
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        for node in (scan, result(module)):
            node.SetAndObserveTransformNodeID(transform.GetID())
        module.logic.notify()
        host.process_events(0.1)
        return matrix

    return move


def test_clicks_follow_their_scan(host, module, scan, moved):
    """As when an earlier study is laid onto a later one."""
    add_click(host, module, scan, (10, 9, 11))
    add_click(host, module, scan, (10, 2, 2), add=False)
    outlined = mask(module, scan)
    before = [np.array(node.GetNthControlPointPositionWorld(0)) for node in marks()]
    matrix = moved(scan)
    for node, place in zip(marks(), before, strict=True):
        found = node.GetNthControlPointPositionWorld(0)
        np.testing.assert_allclose(found, matrix[:3, :3] @ place + matrix[:3, 3], atol=1e-6)
    review = module.reviewPanel.ui
    review.undoButton.click()
    review.undoButton.click()
    assert points() == 0 and not mask(module, scan).any()
    review.redoButton.click()
    assert points() == 1
    np.testing.assert_array_equal(mask(module, scan), outlined)
    clicks = module.clicksPanel._marks[True].clicks(result(module))
    place = np.linalg.inv(worldAffine(scan)) @ [*clicks[0].points[0], 1]
    np.testing.assert_allclose(place[:3], (10, 9, 11), atol=0.5)


def marks() -> list:
    return slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")


def test_scribbles_follow_their_scan(host, module, scan, moved):
    module.clicksPanel.ui.scribbleButton.click()
    host.process_events()
    scribbles = module.logic.getParameterNode().segment.scribbles
    paint(host, module, scribbles, "lesion", True, [(10, 9, 11), (10, 9, 12)])
    moved(scan)
    assert module.logic.getParameterNode().segment.scribbles is scribbles
    review = module.reviewPanel.ui
    review.undoButton.click()
    assert painted(scribbles, "Add_lesion") == 0 and not mask(module, scan).any()
    review.redoButton.click()
    assert painted(scribbles, "Add_lesion") == 2 and mask(module, scan)[10, 9, 12]


def test_scribbles_hold_on_their_result_though_others_have_been_painted_since(
    host, module, scan, tiny, add_scan
):
    scans = [scan, add_scan(tiny.scans()["FLAIR"], "Another scan")]
    for volume in scans:
        choose_scan(module, volume)
        if not module.clicksPanel.ui.scribbleButton.checked:
            module.clicksPanel.ui.scribbleButton.click()
        host.process_events()
        scribbles = module.logic.getParameterNode().segment.scribbles
        paint(host, module, scribbles, "lesion", True, [(10, 9, 11), (10, 9, 12)])
    module.clicksPanel.ui.scribbleButton.click()
    choose_scan(module, scan)
    add_click(host, module, scan, (10, 9, 11), add=False)
    assert "contradicts" in module.clicksPanel.ui.clicksStatusLabel.text
