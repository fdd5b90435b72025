"""The Segment Editor module as far as other modules open it: it shows what it was given."""

from __future__ import annotations

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from host.qmrml_widgets import qMRMLNodeComboBox, qMRMLWidget
from host.scripted_module import ScriptedLoadableModuleWidget, publish_module
from host.wrapping import Field, wraps_slicer_class

NAME = "SegmentEditor"


@wraps_slicer_class
class qMRMLSegmentEditorWidget(qMRMLWidget):  # noqa: N801
    """Chooses a segmentation and a volume and lists the segments; its effects do nothing."""

    segmentationNodeSelectorVisible = Field(True)
    sourceVolumeNodeSelectorVisible = Field(True)
    switchToSegmentationsButtonVisible = Field(True)
    autoShowSourceVolumeNode = Field(True)
    maskingSectionVisible = Field(True)
    undoEnabled = Field(True)
    maximumNumberOfUndoStates = Field(0)
    unorderedEffectsVisible = Field(True)

    segmentationNodeChanged = QtCore.Signal(object)
    sourceVolumeNodeChanged = QtCore.Signal(object)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._node = None
        self._effect, self._segmentId = "", ""
        self._history = slicer.vtkSegmentationHistory()
        self._segmentation = self._selector("vtkMRMLSegmentationNode")
        self._volume = self._selector("vtkMRMLScalarVolumeNode")
        self._list = QtWidgets.QListWidget(self)
        self._form = form = QtWidgets.QFormLayout(self)
        form.addRow("Segmentation:", self._segmentation)
        form.addRow("Source volume:", self._volume)
        form.addRow(self._list)
        self._segmentation.connect("currentNodeChanged(vtkMRMLNode*)", self._onSegmentation)
        self._volume.connect("currentNodeChanged(vtkMRMLNode*)", self.sourceVolumeNodeChanged.emit)

    def setMRMLScene(self, scene) -> None:
        super().setMRMLScene(scene)
        self._segmentation.setMRMLScene(scene)
        self._volume.setMRMLScene(scene)

    def mrmlSegmentEditorNode(self):
        return self._node

    def setMRMLSegmentEditorNode(self, node) -> None:
        self._node = node

    def segmentationNode(self):
        return self._segmentation.currentNode()

    def setSegmentationNode(self, node) -> None:
        self._segmentation.setCurrentNode(node)

    def sourceVolumeNode(self):
        return self._volume.currentNode()

    def setSourceVolumeNode(self, node) -> None:
        self._volume.setCurrentNode(node)

    def saveStateForUndo(self) -> None:
        self._history.SaveState()

    def undo(self) -> None:
        self._history.RestorePreviousState()

    def redo(self) -> None:
        self._history.RestoreNextState()

    def setActiveEffect(self, effect) -> None:
        """There are none, but for a name that was chosen."""
        self._effect = ""

    def setActiveEffectByName(self, name: str) -> None:
        self._effect = name

    def setEffectNameOrder(self, names) -> None:
        """There are none to be put in order."""

    def currentSegmentID(self) -> str:
        return self._segmentId

    def setCurrentSegmentID(self, segmentId: str) -> None:
        self._segmentId = segmentId

    def setupViewObservations(self) -> None:
        """The views are watched for effects only."""

    removeViewObservations = setupViewObservations

    def installKeyboardShortcuts(self) -> None:
        """They are those of effects."""

    uninstallKeyboardShortcuts = installKeyboardShortcuts

    def _changed(self, name: str) -> None:
        self._form.setRowVisible(self._segmentation, self.segmentationNodeSelectorVisible)
        self._form.setRowVisible(self._volume, self.sourceVolumeNodeSelectorVisible)

    def _selector(self, nodeClass: str) -> qMRMLNodeComboBox:
        selector = qMRMLNodeComboBox(self)
        selector.nodeTypes = [nodeClass]
        selector.noneEnabled = True
        return selector

    def _onSegmentation(self, node) -> None:
        self._list.clear()
        segmentation = node.GetSegmentation() if node is not None else None
        self._history.SetSegmentation(segmentation)
        for index in range(segmentation.GetNumberOfSegments() if segmentation else 0):
            segment = segmentation.GetNthSegment(index)
            swatch = QtGui.QPixmap(14, 14)
            swatch.fill(QtGui.QColor.fromRgbF(*segment.GetColor()))
            item = QtWidgets.QListWidgetItem(QtGui.QIcon(swatch), segment.GetName())
            self._list.addItem(item)
        self.segmentationNodeChanged.emit(node)


class SegmentEditorWidget(ScriptedLoadableModuleWidget):
    """`slicer.modules.SegmentEditorWidget`, with its `editor`."""

    def setup(self) -> None:
        self.editor = qMRMLSegmentEditorWidget()
        self.editor.setMRMLScene(slicer.mrmlScene)
        self.layout.addWidget(self.editor)
        self.layout.addStretch(1)

    def cleanup(self) -> None:
        self.editor.setMRMLScene(None)


CLASSES = {"qMRMLSegmentEditorWidget": qMRMLSegmentEditorWidget}


def install() -> None:
    """Publish the class in the `slicer` namespace."""
    vars(slicer).update(CLASSES)


def load():
    """Load the module; returns it."""
    module = publish_module(NAME, __file__, {f"{NAME}Widget": SegmentEditorWidget})
    module.title = "Segment Editor"
    return module
