"""Clicks into the views go where the user has said, whatever else is drawn meanwhile."""

from __future__ import annotations

import pytest
import slicer

from FactorizerSegmentationLib.scene.boxes import createBox
from FactorizerSegmentationLib.scene.place_mode import placingInto, stopPlacing
from module.panels.user import run


@pytest.fixture
def adding(host, widget, panel, volumes, fake_python):
    """The panel with *Add* pressed, on a result."""
    run(host, panel, fake_python("answer"))
    corrected = widget.clicksPanel
    corrected.ui.clickAddButton.click()
    assert placingInto(widget.logic.getParameterNode().segment.addingClicks)
    yield corrected
    stopPlacing()


def test_clicks_go_on_when_the_diameters_of_a_lesion_are_drawn(widget, adding):
    for number in (1, 2):
        widget.reviewPanel.lesions.select(number)
        assert slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
        adding.update()
        assert adding.ui.clickAddButton.checked
        assert placingInto(widget.logic.getParameterNode().segment.addingClicks)


def test_clicks_go_on_when_a_box_is_made(widget, adding):
    createBox(slicer.mrmlScene, (0, 0, 0), (5, 5, 5))
    assert placingInto(widget.logic.getParameterNode().segment.addingClicks)


def test_one_click_by_the_other_key_does_not_turn_the_next_ones_around(widget, adding, monkeypatch):
    from FactorizerSegmentationLib.panels import clicks

    monkeypatch.setattr(clicks, "cursorPlace", lambda: (0.0, 0.0, 0.0))
    adding.ui.clickRemoveButton.click()
    own = widget.logic.getParameterNode().segment
    assert placingInto(own.addingClicks) and not placingInto(own.removingClicks)
    assert adding.ui.clickAddButton.checked and not adding.ui.clickRemoveButton.checked
