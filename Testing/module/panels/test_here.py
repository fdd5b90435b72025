"""What the model says under the mouse, moved over a slice view."""

from __future__ import annotations

import re

import pytest

from FactorizerSegmentationLib.scene.place_mode import cursorPlace
from host import mouse
from module.geometry import apply
from module.panels.test_component_browser import browser, open_section  # noqa: F401
from module.panels.test_components_panel import sequences
from module.panels.user import AFFINE


@pytest.fixture
def here(host, widget, browser):  # noqa: F811
    open_section(host, widget)
    return widget.herePanel


@pytest.fixture
def point(host):
    """Move the mouse in the axial view to a voxel of the scan; None moves it away."""

    def point(voxel) -> None:
        if voxel is None:
            mouse.leave_view()
            return
        place = apply(AFFINE, voxel)
        mouse.move_mouse(host, place)
        assert cursorPlace() == pytest.approx(tuple(place), abs=1)

    return point


def told(here) -> dict[str, int]:
    """Percent by title."""
    rows = re.findall(r"<tr><td>(.*?)</td>.*?(\d+)\xa0%</td></tr>", here.ui.hereLabel.text)
    return {title: int(percent) for title, percent in rows}


def test_classes_and_components_are_told_where_the_mouse_is(here, point):
    point((2, 3, 2))  # the last voxel of the core

    assert told(here) == {
        "Enhancing": 0,
        "Core": 80,
        "Component 1": 100,
        "Component 2": 50,
        "Component 3": 33,
    }

    point((5, 3, 2))  # enhancing
    assert told(here)["Enhancing"] == 80
    assert told(here)["Component 1"] == 0


def test_it_can_be_switched_off(host, widget, here, point):
    here.ui.hereCheckBox.click()
    host.process_events()
    before = here.ui.hereLabel.text
    point((2, 3, 2))

    assert not here.ui.hereLabel.visible and here.ui.hereLabel.text == before
    assert not widget.logic.getParameterNode().components.explainHere
    here.ui.hereCheckBox.click()
    assert here.ui.hereLabel.visible


def test_it_follows_no_mouse_when_another_module_is_shown(widget, here, point):
    widget.exit()
    before = here.ui.hereLabel.text
    point((2, 3, 2))
    assert here.ui.hereLabel.text == before

    widget.enter()
    point((2, 3, 2))
    assert told(here)["Core"] == 80


def test_deleted_maps_are_not_told_any_more(host, scene, widget, here, point):
    (node,) = sequences()
    for name in ("Component 1 (evidence)", "Component 1 (activity)"):
        node.RemoveDataNodeAtValue(name)
    widget.enter()
    host.process_events()
    point((2, 3, 2))
    assert "Component 1" not in told(here) and "Component 2" in told(here)

    scene.Clear(False)
    host.process_events()
    assert not here.ui.hereBox.visible
