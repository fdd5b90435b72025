"""Idioms that were tried in a real Slicer give the same here."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import ctk
import numpy as np
import pytest
import qt
import slicer
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

FORM = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0"><class>Form</class>
 <widget class="qMRMLWidget" name="Form"><layout class="QVBoxLayout" name="formLayout">
  <item><widget class="ctkCollapsibleButton" name="section">
   <property name="text"><string>More</string></property>
   <property name="collapsed"><bool>true</bool></property>
   <layout class="QVBoxLayout" name="sectionLayout"><item>
    <widget class="qMRMLNodeComboBox" name="selector">
     <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist>
     </property>
     <property name="noneEnabled"><bool>true</bool></property>
     <property name="SlicerParameterName" stdset="0"><string>volume</string></property>
    </widget></item></layout>
  </widget></item>
  <item><widget class="ctkSliderWidget" name="slider">
   <property name="maximum"><double>50</double></property>
   <property name="SlicerParameterName" stdset="0"><string>amount</string></property>
  </widget></item>
 </layout></widget>
 <customwidgets>
  <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>a.h</header>
   <container>1</container></customwidget>
  <customwidget><class>ctkCollapsibleButton</class><extends>QWidget</extends>
   <header>b.h</header><container>1</container></customwidget>
  <customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends><header>c.h</header>
  </customwidget>
  <customwidget><class>ctkSliderWidget</class><extends>QWidget</extends><header>d.h</header>
  </customwidget>
 </customwidgets>
 <connections><connection><sender>Form</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
  <receiver>selector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections>
</ui>"""


EMPTY_LAYOUT = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0"><class>Form</class>
 <widget class="QWidget" name="Form"><layout class="QVBoxLayout" name="formLayout">
  <item><widget class="QGroupBox" name="box">
   <layout class="QVBoxLayout" name="emptyLayout"/></widget></item>
 </layout></widget>
</ui>"""


@pytest.fixture
def form(host, tmp_path):
    slicer.mrmlScene.Clear(False)
    path = tmp_path / "form.ui"
    path.write_text(FORM)
    widget = slicer.util.loadUI(str(path))
    widget.setMRMLScene(slicer.mrmlScene)
    yield slicer.util.childWidgetVariables(widget)
    widget.setMRMLScene(None)


def test_properties_are_read_and_assigned_but_not_called(host):
    button = qt.QPushButton("x")
    button.text = "y"

    assert button.text == "y" and button.enabled and button.isEnabled()
    with pytest.raises(TypeError):
        button.text()
    with pytest.raises(AttributeError):
        button.enabledd = False
    with pytest.raises(AttributeError):
        qt.QComboBox().setCurrentIndex = 1


def test_signals_pass_the_arguments_of_their_signature(host):
    button, got = qt.QPushButton("x"), []
    assert button.connect("clicked()", lambda i=3: got.append(i))
    assert button.connect("clicked(bool)", lambda *given: got.append(given))
    assert button.clicked.connect(lambda *given: got.append(given))
    assert not button.connect("nosuch()", lambda: None)

    button.click()
    assert button.disconnect("clicked()") and not button.clicked.disconnect(print)

    assert got == [3, (False,), (False,)]


def test_a_finished_process_passes_only_its_exit_code_to_the_attribute(host):
    process, got = qt.QProcess(), []
    process.finished.connect(lambda *given: got.append(given))
    process.connect("finished(int,QProcess::ExitStatus)", lambda *given: got.append(len(given)))

    process.start(sys.executable, ["-c", "import sys; sys.exit(3)"])
    assert host.wait_until(lambda: len(got) == 2)

    assert (3,) in got and 2 in got


def test_connections_keep_bound_methods_alive(host):
    class Listener:
        heard = 0

        def hear(self):
            Listener.heard += 1

    button = qt.QPushButton()
    button.connect("clicked()", Listener().hear)
    button.click()

    assert Listener.heard == 1


def test_a_slot_that_is_no_function_gets_all_arguments(host, uncaught):
    """As a partial, which would have to take them."""
    button, got = qt.QPushButton(), []
    button.connect("clicked(bool)", partial(lambda word, *given: got.append((word, given)), "it"))
    button.connect("clicked(bool)", partial(lambda word: got.append(word), "never"))

    button.click()

    assert got == [("it", (False,))]
    assert uncaught and uncaught.pop().__class__ is TypeError


@pytest.mark.parametrize("isKept", [False, True], ids=["dropped", "kept"])
def test_what_is_dropped_while_it_sends_a_signal_is_told(host, uncaught, isKept):
    """`deleteLater` alone does not keep it alive."""
    processes = [qt.QProcess()]
    kept = processes[0] if isKept else None

    def drop(code: int) -> None:
        processes.pop().deleteLater()

    processes[0].finished.connect(drop)
    processes[0].start(sys.executable, ["-c", ""])
    assert host.wait_until(lambda: not processes)

    assert [type(error) for error in uncaught] == ([] if isKept else [RuntimeError])
    assert "deleted while" in str(uncaught.pop()) if uncaught else kept


class Filter(qt.QObject):
    """Asks every event of one kind for its key."""

    def __init__(self, kind) -> None:
        super().__init__()
        self._kind = kind
        self.keys: list[int] = []

    def eventFilter(self, watched, event) -> bool:
        if event.type() == self._kind:
            self.keys.append(event.key())
        return False


@pytest.mark.parametrize("isTold", [True, False], ids=["press", "shortcut override"])
def test_an_event_filter_knows_the_key_of_a_press_only_and_its_exceptions_are_told(
    host, uncaught, isTold
):
    kind = qt.QEvent.KeyPress if isTold else qt.QEvent.ShortcutOverride
    filtered, line = Filter(kind), qt.QLineEdit()
    line.installEventFilter(filtered)

    qt.QCoreApplication.sendEvent(line, qt.QKeyEvent(kind, qt.Qt.Key_A, qt.Qt.NoModifier, "a"))

    assert filtered.keys == ([qt.Qt.Key_A] if isTold else [])
    assert [type(error) for error in uncaught] == ([] if isTold else [AttributeError])
    uncaught.clear()


def test_a_form_loads_with_real_classes_properties_and_scene(form):
    assert type(form.section) is ctk.ctkCollapsibleButton
    assert form.section.collapsed and form.section.text == "More"
    assert form.selector.mrmlScene() is slicer.mrmlScene
    assert form.slider.maximum == 50


def test_empty_layouts_are_false_and_so_missing_among_the_variables_of_a_form(host, tmp_path):
    (tmp_path / "form.ui").write_text(EMPTY_LAYOUT)
    ui = slicer.util.childWidgetVariables(slicer.util.loadUI(str(tmp_path / "form.ui")))

    assert ui.formLayout and not ui.box.layout()
    assert not hasattr(ui, "emptyLayout")
    ui.box.layout().addWidget(qt.QLabel("x"))
    assert ui.box.layout()


def test_widgets_are_true_even_without_contents_and_until_they_are_deleted(host):
    label, items = qt.QLabel(), qt.QListWidget()
    assert label and items

    label.deleteLater()
    qt.QCoreApplication.sendPostedEvents(label, qt.QEvent.DeferredDelete)

    assert not label


def test_a_missing_form_raises(host, tmp_path):
    with pytest.raises(RuntimeError):
        slicer.util.loadUI(str(tmp_path / "nothing.ui"))


def test_a_node_selector_follows_the_scene(form):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "A")
    got = []
    form.selector.connect("currentNodeChanged(vtkMRMLNode*)", got.append)

    assert form.selector.nodeCount() == 1 and form.selector.currentNode() is None
    form.selector.setCurrentNode(volume)
    slicer.mrmlScene.RemoveNode(volume)

    assert got == [volume, None]


def test_a_selector_takes_the_neighbour_of_a_node_that_leaves_though_it_may_have_none(form):
    first, second, third = (
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in "ABC"
    )
    form.selector.setCurrentNode(second)

    slicer.mrmlScene.RemoveNode(second)
    assert form.selector.currentNode() is third
    slicer.mrmlScene.RemoveNode(third)
    assert form.selector.currentNode() is first
    slicer.mrmlScene.RemoveNode(first)
    assert form.selector.currentNode() is None


def test_a_node_that_is_hidden_by_its_id_is_not_offered_and_its_neighbour_taken(form):
    first, second = (
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in "AB"
    )
    form.selector.setCurrentNode(first)

    form.selector.sortFilterProxyModel().hiddenNodeIDs = [first.GetID()]

    assert form.selector.nodeCount() == 1
    assert form.selector.currentNode() is second
    form.selector.sortFilterProxyModel().hiddenNodeIDs = []
    assert form.selector.nodeCount() == 2


def test_a_selector_without_none_selects_a_node_by_itself(host):
    slicer.mrmlScene.Clear(False)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "A")
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(slicer.mrmlScene)

    assert selector.currentNode() is volume
    selector.setMRMLScene(None)


def test_parameters_and_widgets_follow_each_other(form):
    @parameterNodeWrapper
    class Parameters:
        amount: Annotated[float, WithinRange(0, 40)] = 7
        volume: slicer.vtkMRMLScalarVolumeNode

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    parameters = Parameters(node)
    tag = parameters.connectGui(form)
    assert form.slider.value == 7 and form.slider.maximum == 40

    form.slider.value = 12
    assert parameters.amount == 12
    parameters.amount = 15
    assert form.slider.value == 15
    with pytest.raises(ValueError):
        parameters.amount = 41
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "A")
    form.selector.setCurrentNode(volume)
    assert parameters.volume is volume

    parameters.disconnectGui(tag)
    form.slider.value = 3
    assert parameters.amount == 15


class Representation(qt.QWidget):
    """A module's place in the panel, with one section."""

    def __init__(self) -> None:
        super().__init__()
        self._section = qt.QGroupBox("Section")
        qt.QVBoxLayout(self._section)
        qt.QVBoxLayout(self).addWidget(self._section)
        self.layout().addStretch(1)

    def enter(self) -> None:
        """As the panel wants it."""

    exit = enter


@pytest.fixture
def module_panel(host, monkeypatch):
    """A module panel, as narrow as 300 pixels, with a section that gets more contents later."""
    shown = Representation()
    module = SimpleNamespace(path="", widgetRepresentation=lambda: shown)
    monkeypatch.setattr(slicer.modules, "growing", module, raising=False)
    panel = slicer.qSlicerModulePanel()
    panel.resize(300, 200)
    panel.show()
    panel.setModule("growing")
    host.process_events()
    table = qt.QTableWidget()
    table.minimumHeight = 400
    shown._section.layout().addWidget(table)
    host.process_events()
    yield panel, shown._section
    panel.hide()


def test_the_module_panel_squeezes_what_has_grown_until_it_gets_another_width(host, module_panel):
    panel, section = module_panel
    assert section.height < section.minimumSizeHint.height()

    panel.resize(340, 200)
    host.process_events()

    assert section.height >= section.minimumSizeHint.height()


def test_the_module_panel_scrolls_what_states_its_minimum_height(host, module_panel):
    section = module_panel[1]

    section.minimumHeight = section.minimumSizeHint.height()
    host.process_events()

    assert section.height == section.minimumHeight


def test_dialogs_are_logged_in_testing_mode(host, caplog):
    slicer.util.errorDisplay("It failed.")

    assert "It failed." in caplog.text
    assert slicer.util.confirmOkCancelDisplay("Go on?") is False


def test_a_node_and_the_scene_are_saved_and_read(host, tmp_path):
    slicer.mrmlScene.Clear(False)
    array = np.arange(24, dtype="float32").reshape(2, 3, 4)
    slicer.util.addVolumeFromArray(array, name="kept")

    assert slicer.util.saveNode(slicer.util.getNode("kept"), str(tmp_path / "kept.nrrd"))
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.util.loadScene(str(tmp_path / "scene.mrb"), {"clear": True})

    assert (slicer.util.arrayFromVolume(slicer.util.getNode("kept")) == array).all()
    with pytest.raises(RuntimeError):
        slicer.util.loadVolume(str(tmp_path / "missing.nrrd"))


def test_the_slice_views_show_what_is_set(host, tmp_path):
    slicer.mrmlScene.Clear(False)
    array = np.full((20, 20, 20), 100, dtype="int16")
    array[:, :, :10] = 0
    volume = slicer.util.addVolumeFromArray(array, name="half")
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    host.process_events(0.3)

    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    image = view.grab().toImage()

    left, right = (
        image.pixelColor(int(view.width * x), view.height // 2).lightness() for x in (0.4, 0.6)
    )
    assert {left > 128, right > 128} == {True, False}
    assert host.screenshot(Path(tmp_path) / "window.png").is_file()


def test_a_section_that_is_folded_again_keeps_its_contents():
    section = ctk.ctkCollapsibleButton()
    label = qt.QLabel("text", section)
    section.collapsed = True
    section.collapsed = True
    assert label.isHidden()
    section.collapsed = False
    assert not label.isHidden()
