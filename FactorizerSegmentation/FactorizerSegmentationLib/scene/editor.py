"""Segment editors: the one in the panel, and that of the application."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from FactorizerSegmentationLib.scene.masses import referenceVolumeOf

NODE_TAG = "FactorizerSegmentation"
"""Of the node in which the panel's editor keeps its choices."""
BRUSH_TAG = "FactorizerSegmentation.Brush"
"""Likewise of the brush with which scribbles are painted."""
UNDO_STEPS = 10

_embedded: list[Any] = []

_SET_ATTRIBUTE = "FactorizerSegmentation.Set"
"""Of an editor node that has the settings of the panel, which users may change."""


class EmbeddedEditor:
    """A qMRMLSegmentEditorWidget for a segmentation, made when it is first shown.

    Classes of a model exclude each other, so that painting one takes the voxel from the others;
    segments that are hidden are never touched. The masks of the editor say where may be edited.

    Args:
        layout: Where the widget goes.
        onMade: Called with the widget when it has been put there.
        tag: Singleton tag of the node that keeps its choices, one for each editor.
        effects: Names of those it offers; empty for all.
    """

    def __init__(
        self,
        layout,
        onMade: Callable[[Any], None],
        tag: str = NODE_TAG,
        effects: Sequence[str] = (),
    ) -> None:
        self._layout = layout
        self._onMade = onMade
        self._tag, self._effects = tag, tuple(effects)
        self._widget: Any = None
        self._active = False

    @property
    def widget(self):
        """The qMRMLSegmentEditorWidget, or None before it is shown first."""
        return self._widget

    def show(self, segmentationNode) -> None:
        """Let the user edit a segmentation on its scan."""
        widget = self._given(segmentationNode)
        if not self._active:
            self._active = True
            widget.setupViewObservations()
            if not self._effects:  # else those of the whole editor would mean two
                widget.installKeyboardShortcuts()

    def paint(self, segmentationNode, segmentId: str) -> None:
        """Let the user paint into a segment at once, in the views."""
        self.show(segmentationNode)
        self._widget.setCurrentSegmentID(segmentId)
        self._widget.setActiveEffectByName("Paint")

    def paintOnlyWhere(self, segmentationNode, volumeNode, low: float, high: float) -> None:
        """Let brushes change only voxels where a volume has a value from `low` to `high`."""
        widget = self._given(segmentationNode)
        widget.setSourceVolumeNode(volumeNode)
        node = widget.mrmlSegmentEditorNode()
        with slicer.util.NodeModify(node):
            node.SetSourceVolumeIntensityMaskRange(low, high)
            node.SetSourceVolumeIntensityMask(True)

    def paintEverywhere(self) -> None:
        """Take the limit away again that `paintOnlyWhere` has set."""
        node = self._widget.mrmlSegmentEditorNode() if self._widget is not None else None
        if node is None or not node.GetSourceVolumeIntensityMask():
            return
        node.SetSourceVolumeIntensityMask(False)
        segmentationNode = self._widget.segmentationNode()
        if segmentationNode is not None:
            self._widget.setSourceVolumeNode(referenceVolumeOf(segmentationNode))

    def hide(self) -> None:
        """The views and the keyboard are no longer the editor's; what can be undone stays."""
        if self._active:
            self._active = False
            self._widget.setActiveEffect(None)
            if not self._effects:
                self._widget.uninstallKeyboardShortcuts()
            self._widget.removeViewObservations()

    def forget(self) -> None:
        """Let go of all nodes, as before the scene is closed."""
        self.hide()
        self.paintEverywhere()
        if self._widget is not None:
            self._widget.setSegmentationNode(None)
            self._widget.setSourceVolumeNode(None)
            self._widget.setMRMLSegmentEditorNode(None)

    def release(self) -> None:
        """Let go of the scene, as before the widget is deleted."""
        self.forget()
        if self._widget is not None:
            self._widget.setMRMLScene(None)
            _embedded.remove(self._widget)
            self._widget = None

    def _given(self, segmentationNode):
        """The widget with a segmentation and its scan."""
        widget = self._made()
        if widget.segmentationNode() is not segmentationNode:
            widget.setMRMLSegmentEditorNode(_editorNode(self._tag))
            widget.setSegmentationNode(segmentationNode)
            widget.setSourceVolumeNode(referenceVolumeOf(segmentationNode))
        return widget

    def _made(self):
        if self._widget is None:
            widget = slicer.qMRMLSegmentEditorWidget()
            widget.setMRMLScene(slicer.mrmlScene)
            widget.segmentationNodeSelectorVisible = False
            widget.sourceVolumeNodeSelectorVisible = False
            widget.switchToSegmentationsButtonVisible = False
            widget.autoShowSourceVolumeNode = False
            widget.maskingSectionVisible = not self._effects
            if self._effects:
                widget.setEffectNameOrder(list(self._effects))
                widget.unorderedEffectsVisible = False
            widget.undoEnabled = True
            widget.maximumNumberOfUndoStates = UNDO_STEPS
            self._layout.addWidget(widget)
            self._widget = widget
            _embedded.append(widget)
            self._onMade(widget)
        return self._widget


def openSegmentEditor(segmentationNode) -> None:
    """Show the application's Segment Editor with this segmentation and its scan."""
    if not hasattr(slicer.modules, "segmenteditor"):
        slicer.util.errorDisplay(_("This application has no Segment Editor."))
        return
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.SegmentEditorWidget.editor
    editor.setSegmentationNode(segmentationNode)
    editor.setSourceVolumeNode(referenceVolumeOf(segmentationNode))


def saveForUndo(segmentationNode) -> None:
    """Let the editors that show a segmentation know that it is about to be changed."""
    application = getattr(slicer.modules, "SegmentEditorWidget", None)
    editors = [*_embedded, application.editor] if application is not None else _embedded
    for editor in editors:
        if editor.segmentationNode() is segmentationNode:
            editor.saveStateForUndo()


def _editorNode(tag: str):
    """The node of an editor in the scene; there is one, which a closed scene sets back."""
    node = slicer.mrmlScene.GetSingletonNode(tag, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag(tag)
        node.SetSaveWithScene(False)
        node = slicer.mrmlScene.AddNode(node)
    if node.GetAttribute(_SET_ATTRIBUTE) is None:
        node.SetAttribute(_SET_ATTRIBUTE, "1")
        node.SetOverwriteMode(node.OverwriteVisibleSegments)
    return node
