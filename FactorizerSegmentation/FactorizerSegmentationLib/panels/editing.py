"""The panel in which segments are edited by hand."""

from __future__ import annotations

from typing import Any

from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.tab_order import putInPlace
from FactorizerSegmentationLib.scene.editor import EmbeddedEditor, openSegmentEditor
from FactorizerSegmentationLib.scene.verdicts import problem


class EditPanel(Panel):
    """The Segment Editor for the result, folded until it is wanted.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
    """

    pack = "segment"

    def __init__(self, logic, uiPath: str) -> None:
        super().__init__(logic, uiPath)
        self.editor = EmbeddedEditor(self.ui.editorWidget.layout(), putInPlace)
        self._region: Any = None
        self.ui.editByHandButton.connect("contentsCollapsed(bool)", self._onFolded)
        self.ui.openEditorButton.connect("clicked()", self._onOpen)

    def paintRegion(self, segmentationNode, segmentId: str) -> None:
        """Let the user paint another segmentation than the result, until `endRegion`."""
        self._region = segmentationNode
        self.editor.paint(segmentationNode, segmentId)

    def endRegion(self) -> None:
        """The result is edited again."""
        if self._region is not None:
            self._region = None
            self.editor.hide()  # nor does the brush stay in the hand
            self.update()

    def forget(self) -> None:
        self._region = None
        self.editor.forget()

    def show(self) -> None:
        self.update()

    def update(self) -> None:
        if self._parameters is None:
            return
        usable = not problem(self._own.segmentation)
        self.widget.visible = self._own.lesionTable is not None
        self.ui.editByHandButton.enabled = usable
        wanted = self._region is not None or not self.ui.editByHandButton.collapsed
        if usable and self._logic.inFront and wanted:
            edited = self._region if self._region is not None else self._own.segmentation
            self.editor.show(edited)
        else:
            self.editor.hide()

    def onNodesRemoved(self) -> None:
        """The result or its scan may have been deleted in the scene."""
        if self._parameters is not None and problem(self._own.segmentation):
            self.editor.forget()

    def leave(self) -> None:
        self.editor.hide()

    def release(self) -> None:
        self.editor.release()
        super().release()

    def _onFolded(self, folded: bool) -> None:
        self.update()

    def _onOpen(self) -> None:
        if self._parameters is not None and not problem(self._own.segmentation):
            openSegmentEditor(self._own.segmentation)
