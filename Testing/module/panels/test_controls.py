"""Every control says what it is for, and is reached by the Tab key."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import slicer

from module.panels.user import run

FORMS = Path(__file__).resolve().parents[3] / "FactorizerSegmentation" / "Resources" / "UI"
CONTROLS = {
    "QPushButton", "QToolButton", "QCheckBox", "QComboBox", "QLineEdit", "QSpinBox",
    "QPlainTextEdit", "QListWidget", "QTableWidget", "QTreeWidget",
    "ctkSliderWidget", "ctkCollapsibleButton", "qMRMLNodeComboBox",
}  # fmt: skip

SAME_ROW = 20
"""Controls in a row begin at heights that differ by fewer pixels."""


def panels(widget) -> list:
    return [widget.workbench, *widget.workbench._panels][1:]


def named_controls(panel) -> dict[str, object]:
    """The controls of a panel's form, by name."""
    form = ElementTree.parse(FORMS / f"{type(panel).__name__}.ui")
    names = [item.get("name") for item in form.iter("widget") if item.get("class") in CONTROLS]
    return {name: getattr(panel.ui, name) for name in names}


def controls(widget) -> dict[str, object]:
    """All controls of the module, by name."""
    found = {}
    for panel in panels(widget):
        found |= named_controls(panel)
    for section in widget.workbench.sections:
        found[section.button.text] = section.button
    channels = widget.inputsPanel.channels
    for channel in channels.channels:
        found[f"row {channel.name}"] = channels.selector(channel.name)
    return found


def test_every_control_has_a_tooltip(host, widget, panel, volumes, fake_python):
    def silent() -> list[str]:
        return [name for name, control in controls(widget).items() if not control.toolTip.strip()]

    assert len(controls(widget)) > 60
    assert silent() == []
    run(host, panel, fake_python("answer"))
    assert silent() == []


@pytest.fixture
def everything_open(host, widget, panel, volumes, fake_python):
    """All sections and what is folded in them, with a result."""
    run(host, panel, fake_python("answer"))
    buttons = [control for control in controls(widget).values() if is_collapsible(control)]
    before = [button.collapsed for button in buttons]
    for button in buttons:
        button.collapsed = False
    host.process_events()
    yield
    for button, collapsed in zip(buttons, before, strict=True):
        button.collapsed = collapsed


def is_collapsible(control) -> bool:
    return control.className() == "ctkCollapsibleButton"


def test_the_tab_key_reaches_every_control_from_top_to_bottom(host, widget, everything_open):
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    window = slicer.util.mainWindow()
    window.activateWindow()
    usable = {n: c for n, c in controls(widget).items() if c.visible and c.enabled}
    widget.workbench.sections[0].button.setFocus()
    host.process_events()
    reached: list[object] = []
    while host.app.focusWidget() not in reached:
        reached.append(host.app.focusWidget())
        QTest.keyClick(reached[-1], Qt.Key.Key_Tab)
        host.process_events()

    def holds(control) -> bool:
        return any(control is one or control.isAncestorOf(one) for one in reached)

    assert [name for name, control in usable.items() if not holds(control)] == []
    inside = [one for one in reached if widget.parent.isAncestorOf(one)]
    tops = [one.mapToGlobal(one.rect.topLeft()).y() for one in inside]
    back = [
        one
        for one, top, next_top in zip(inside, tops, tops[1:], strict=False)
        if next_top < top - SAME_ROW
    ]
    assert [one.objectName for one in back] == []
