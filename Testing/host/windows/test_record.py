"""What the host offers, held against the record of a real Slicer."""

from __future__ import annotations

import ctk
import pytest
import qt
import slicer

from host import (
    ctk_widgets,
    layout_manager,
    main_window,
    qmrml_widgets,
    scripted_module,
    segment_editor,
    slice_widget,
    three_d_widget,
)
from host.application import qSlicerApplication
from host.record import record

pytestmark = pytest.mark.usefixtures("host")

CLASSES = {
    **ctk_widgets.CLASSES,
    **qmrml_widgets.CLASSES,
    **slice_widget.CLASSES,
    **three_d_widget.CLASSES,
    **segment_editor.CLASSES,
    **{
        cls.__name__: cls
        for cls in (
            layout_manager.qSlicerLayoutManager,
            main_window.qSlicerModuleSelectorToolBar,
            main_window.qSlicerModulePanel,
            main_window.qSlicerMainWindow,
            scripted_module.qSlicerScriptedLoadableModule,
            scripted_module.qSlicerScriptedLoadableModuleWidget,
            qSlicerApplication,
        )
    },
}


def own_members(name: str) -> dict[str, object]:
    """What the host itself gives a class, beyond Qt."""
    merged: dict[str, object] = {}
    for base in reversed(CLASSES[name].__mro__):
        if base.__module__.startswith("host."):
            merged.update(vars(base))
    merged.pop("staticMetaObject", None)
    return {member: value for member, value in merged.items() if not member.startswith("_")}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_host_class_has_no_public_name_that_slicer_lacks(name):
    assert set(own_members(name)) - record().members(name) == set()


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_host_class_has_the_recorded_kind_of_each_name(name):
    properties = record().properties(name)
    for member, value in own_members(name).items():
        if member in properties and member not in ("sizeHint", "minimumSizeHint"):  # overridden
            assert not callable(value), f"{name}.{member} is a property in Slicer"


@pytest.mark.parametrize("module", [qt, ctk], ids=["qt", "ctk"])
def test_the_modules_offer_recorded_classes_only(module):
    known = {n for n, entry in record().classes.items() if entry.module == module.__name__}
    extra = {"Signal", "Slot", "SIGNAL", "SLOT", "qVersion"} if module is qt else set()

    assert {name for name in vars(module) if not name.startswith("_")} - known - extra == set()


def test_every_recorded_property_of_common_widgets_is_an_attribute():
    for name in ("QLabel", "QPushButton", "QComboBox", "QSpinBox", "QTableWidget", "QLineEdit"):
        widget = getattr(qt, name)()
        for prop in record().properties(name):
            if hasattr(widget, prop):
                assert not callable(getattr(widget, prop)), f"{name}.{prop}"


def test_signals_of_pointer_types_connect_by_their_recorded_signature():
    combo = slicer.qMRMLNodeComboBox()

    assert combo.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: None)
    assert not combo.connect("currentNodeChanged(int)", lambda node: None)
