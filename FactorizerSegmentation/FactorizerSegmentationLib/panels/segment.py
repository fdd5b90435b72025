"""The panel that turns scans into segments, and lists the lesions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.errors import EngineError
from factorizer_engine.protocol.lesions import Lesion, volume_by_class
from FactorizerSegmentationLib.panels.durations import rememberDuration
from FactorizerSegmentationLib.panels.inputs import InputsPanel
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.run_controls import RunControls
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.panels.tables import currentKey, fillTable
from FactorizerSegmentationLib.scene import layers
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.segments import segmentIdOf
from FactorizerSegmentationLib.scene.tables import isBoxed, lesionsOf
from FactorizerSegmentationLib.scene.updates import Patch

if TYPE_CHECKING:
    from FactorizerSegmentationLib.tasks.run import RunSettings
    from FactorizerSegmentationLib.tasks.segment import Segmented


class SegmentPanel(Panel):
    """Segment/Cancel; progress; the lesions found.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
        inputs: Says what to run on what.
    """

    pack = "segment"

    def __init__(self, logic, uiPath: str, inputs: InputsPanel) -> None:
        super().__init__(logic, uiPath)
        self.inputs = inputs
        self._shown: tuple = ()
        self._lesions: list[Lesion] = []
        self._patch: Patch | None = None
        self._tableBefore: Any = None
        self.controls = RunControls(
            self.ui.applyButton,
            self.ui.progressBar,
            self.ui.stageLabel,
            self.ui.statusLabel,
            self._onApply,
            logic.cancel,
            "",
        )
        inputs.changed.connect(self._onInputsChanged)
        self.ui.lesionsTable.connect("itemSelectionChanged()", self._onLesionSelected)
        self.ui.show3DButton.connect("toggled(bool)", self._onShow3D)
        self.ui.editButton.connect("clicked()", self._onEdit)
        self.ui.undoButton.connect("clicked()", self._onUndo)

    def forget(self) -> None:
        self._shown = ()
        self._patch = None

    def show(self) -> None:
        self._showResult()

    def update(self) -> None:
        self.controls.setStart(*self.inputs.startText())
        self.controls.setProblem(self.inputs.problem())
        self.ui.undoButton.enabled = not self.controls.running

    def onNodesRemoved(self) -> None:
        """A result may have been deleted in the scene."""
        if self._patch is not None and self._patch.segmentationNode.GetScene() is None:
            self._patch = None
        if self._parameters is not None:
            self._showResult()

    def release(self) -> None:
        super().release()
        self.inputs.changed.disconnect(self._onInputsChanged)

    def _showResult(self) -> None:
        tableNode, segmentationNode = self._own.lesionTable, self._own.segmentation
        self.ui.undoButton.visible = self._patch is not None
        shown = (tableNode, segmentationNode)
        self.ui.lesionsBox.visible = tableNode is not None
        if tableNode is None or shown == self._shown:
            return
        self._shown = shown
        boxed = isBoxed(tableNode)
        self.ui.lesionsBox.title = _("Lesions inside the box") if boxed else _("Lesions")
        self._lesions = lesionsOf(tableNode)
        self._logic.selectedLesion = None
        fillTable(
            self.ui.lesionsTable,
            (_("Lesion"), _("mL"), _("mm"), _("Probability")),
            [_row(lesion) for lesion in self._lesions],
            [lesion.id for lesion in self._lesions],
            [_colorOf(segmentationNode, lesion.label) for lesion in self._lesions],
        )
        for button in (self.ui.show3DButton, self.ui.editButton):
            button.enabled = segmentationNode is not None
        display = segmentationNode.GetDisplayNode() if segmentationNode is not None else None
        with signalsBlocked(self.ui.show3DButton):
            self.ui.show3DButton.checked = bool(display is not None and display.GetVisibility3D())

    def _onInputsChanged(self) -> None:
        if not self.controls.running:
            self.controls.setStatus("")

    def _onApply(self) -> None:
        settings = self.inputs.settings()
        if settings is None or self._parameters is None:
            return
        if not self._logic.prepareEngine(settings.python):
            return
        self._parameters.inputs.modelName = settings.model.name
        callbacks = Callbacks(
            partial(self._onFinished, settings), self._onFailed, self.controls.progressed
        )
        self.controls.started()
        try:
            self._logic.segment(settings, callbacks)
        except SceneError as error:
            self._onFailed(error)

    def _onFinished(self, settings: RunSettings, outcome: Segmented) -> None:
        self.controls.ended(_summary(outcome))
        rememberDuration(settings, outcome.seconds)
        self._patch = outcome.patch
        if self._parameters is not None:
            self._tableBefore = self._own.lesionTable
            self._own.segmentation = outcome.segmentationNode
            self._own.lesionTable = outcome.lesionTableNode
            self.inputs.showDescription()
            self._showResult()
            if self._logic.inFront:
                self._lookAtResult()
        self._logic.notify()

    def _onFailed(self, error: EngineError) -> None:
        self.controls.failed(error)
        self._logic.notify()

    def _onUndo(self) -> None:
        if self._patch is None:
            return
        self._patch.undo()
        self._patch = None
        gone = self._tableBefore is None or self._tableBefore.GetScene() is None
        self._own.lesionTable = None if gone else self._tableBefore
        self.controls.setStatus(_("The update was taken back."))
        self._showResult()
        self._logic.notify()

    def _lookAtResult(self) -> None:
        """Show the scan below the segments, and move to the largest lesion; not to one in a box."""
        volumes = self.inputs.volumes()
        if volumes and not layers.backgroundIsOneOf(slicer.mrmlScene, volumes):
            slicer.util.setSliceViewerLayers(background=volumes[0], fit=True)
        if self._lesions and not isBoxed(self._own.lesionTable):
            layers.jumpSlices(slicer.mrmlScene, self._lesions[0].centroid_ras)

    def _onLesionSelected(self) -> None:
        key = currentKey(self.ui.lesionsTable)
        lesion = next((lesion for lesion in self._lesions if lesion.id == key), None)
        self._logic.selectedLesion = lesion
        if lesion is not None:
            layers.jumpSlices(slicer.mrmlScene, lesion.centroid_ras)

    def _onShow3D(self, shown: bool) -> None:
        node = self._own.segmentation if self._parameters is not None else None
        if node is None:
            return
        if shown:
            node.CreateClosedSurfaceRepresentation()
        node.GetDisplayNode().SetVisibility3D(bool(shown))
        if shown:
            slicer.util.resetThreeDViews()

    def _onEdit(self) -> None:
        node = self._own.segmentation if self._parameters is not None else None
        if node is not None:
            self._logic.openSegmentEditor(node)


def _summary(outcome: Segmented) -> str:
    """Total volume by class, the largest first."""
    totals = volume_by_class(lesionsOf(outcome.lesionTableNode))
    found = [f"{name} {volume:.1f} mL" for name, volume in totals.items()]
    sentence = _("{found} ({seconds} s on {device}).")
    if isBoxed(outcome.lesionTableNode):
        sentence = _("Inside the box: {found} ({seconds} s on {device}).")
    return sentence.format(
        found=", ".join(found) or _("Nothing was found"),
        seconds=round(sum(outcome.seconds.values())),
        device=outcome.device,
    )


def _row(lesion: Lesion) -> tuple[str, ...]:
    return (
        lesion.name,
        f"{lesion.volume_ml:.2f}",
        f"{lesion.max_diameter_mm:.1f}",
        f"{round(100 * lesion.mean_probability)} %",
    )


def _colorOf(segmentationNode, label: int) -> tuple[float, float, float] | None:
    if segmentationNode is None:
        return None
    segment = segmentationNode.GetSegmentation().GetSegment(segmentIdOf(label))
    return segment.GetColor() if segment is not None else None
