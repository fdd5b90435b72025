"""The panel in a narrow dock: what does not fit is scrolled, never squeezed."""

from __future__ import annotations

import pytest
import slicer

from module.panels.user import run

WIDTH = 400


@pytest.fixture
def narrow(host):
    """A dock of `WIDTH` pixels."""
    dock = slicer.util.findChild(slicer.util.mainWindow(), "ModulePanel")
    before = dock.minimumWidth
    dock.setFixedWidth(WIDTH)
    host.process_events()
    yield
    dock.maximumWidth = 16777215
    dock.minimumWidth = before
    host.process_events()


def managed(layout) -> list:
    """The widgets in a layout, and in the layouts in it, that are seen."""
    found = []
    for item in map(layout.itemAt, range(layout.count())):
        if item.layout() is not None:
            found += managed(item.layout())
        elif item.widget() is not None and item.widget().visible:
            found.append(item.widget())
            inner = item.widget().layout()
            found += managed(inner) if inner is not None else []
    return found


def squeezed(widget) -> list[str]:
    """What has less height than it needs, and how much."""
    wrong = []
    for part in managed(widget.layout):
        hint = part.minimumSizeHint
        least = hint() if callable(hint) else hint  # the host overrides a method
        needed = least.height()
        if part.className() == "QLabel" and part.wordWrap:
            needed = max(needed, part.heightForWidth(part.width))
        if part.height < needed or part.width < least.width():
            size = f"{part.width} x {part.height} of {least.width()} x {needed}"
            wrong.append(f"{part.className()} {part.objectName}: {size}")
    return wrong


def squeezed_at_last(host, widget) -> list[str]:
    """The same when the window has had the time to lay itself out."""
    host.wait_until(lambda: not squeezed(widget), 10)
    return squeezed(widget)


def explain(host, widget) -> None:
    components = widget.componentsPanel
    components.ui.explainButton.click()
    assert host.wait_until(lambda: not components.controls.running)


def test_nothing_is_squeezed_when_results_make_the_panel_longer(
    host, widget, panel, volumes, narrow, fake_python
):  # fmt: skip
    assert squeezed_at_last(host, widget) == []

    run(host, panel, fake_python("answer"))
    host.process_events()
    assert squeezed_at_last(host, widget) == []

    explain(host, widget)
    host.process_events()
    assert squeezed_at_last(host, widget) == []


def test_nothing_is_squeezed_when_everything_is_open(
    host, widget, panel, volumes, narrow, fake_python
):  # fmt: skip
    run(host, panel, fake_python("refuse"))
    for button in (
        panel.inputs.ui.boxCheckBox,
        panel.inputs.ui.advancedButton,
        panel.inputs.ui.aboutModelButton,
        widget._sections[-1].button,
    ):
        button.click()
        host.process_events()
        assert squeezed_at_last(host, widget) == []


def test_a_folded_section_takes_no_more_than_its_title(host, widget, narrow):
    first, second, _ = (section.button for section in widget._sections)
    height = first.height

    first.click()
    host.process_events()
    assert first.height < 40
    assert second.y < height
    assert squeezed_at_last(host, widget) == []

    first.click()
    host.process_events()
    assert first.height == height
    assert squeezed_at_last(host, widget) == []
