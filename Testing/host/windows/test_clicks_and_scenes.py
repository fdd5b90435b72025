"""Clicks and scribbles in scenes that are saved, closed and opened again."""

from __future__ import annotations

import pytest
import slicer

from host.windows.clicking import add_click, mask, place_of, settle
from host.windows.test_clicks import paint, painted


@pytest.fixture
def reopened(host, tmp_path):
    """Saves the scene, closes it and opens it again: `reopened()`."""

    def reopen() -> None:
        path = str(tmp_path / "scene.mrb")
        assert slicer.util.saveScene(path)
        slicer.mrmlScene.Clear(False)
        host.process_events(0.1)
        slicer.util.loadScene(path)
        host.process_events(0.2)

    return reopen


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
