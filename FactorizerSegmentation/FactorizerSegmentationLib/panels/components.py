"""The panel that shows what drove the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.errors import EngineError
from FactorizerSegmentationLib.events import Event
from FactorizerSegmentationLib.panels.checked_start import CheckedStart
from FactorizerSegmentationLib.panels.component_list import ComponentList
from FactorizerSegmentationLib.panels.component_rows import barTitle, otherModel, rowsOf
from FactorizerSegmentationLib.panels.heatmap_controls import HeatmapControls
from FactorizerSegmentationLib.panels.heatmap_export import HeatmapExport
from FactorizerSegmentationLib.panels.inputs import InputsPanel
from FactorizerSegmentationLib.panels.lesion_choice import LesionChoice, lesionTitle
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.probability_offer import ProbabilityOffer
from FactorizerSegmentationLib.panels.run_controls import RunControls
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.scene import history, tables
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.explanations import (
    Step,
    bindToResult,
    explanationsIn,
    gatherVolumes,
    isOfResult,
    stepOf,
)
from FactorizerSegmentationLib.scene.heatmaps import ACTIVITY
from FactorizerSegmentationLib.scene.overlays import HeatmapOverlay
from FactorizerSegmentationLib.scene.rendering import HeatmapRendering
from FactorizerSegmentationLib.scene.replacing import Replacement
from FactorizerSegmentationLib.scene.slice_watch import SliceWatch, watchedScan, watchedSlice
from FactorizerSegmentationLib.scene.thumbnails import SlicePlane, thumbnail

if TYPE_CHECKING:
    from FactorizerSegmentationLib.tasks.components import Explained


class ComponentsPanel(Panel):
    """Explain/Cancel; the components by contribution; the chosen one as a heatmap over the scan.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
        inputs: Says what is explained.

    Attributes:
        shown: Emitted when other components are listed, or another heatmap is shown.
    """

    pack = "components"

    def __init__(self, logic, uiPath: str, inputs: InputsPanel) -> None:
        super().__init__(logic, uiPath)
        self._inputs = inputs
        self._regionsOf: str | None = None
        self._steps: list[Step] = []
        self.shown = Event()
        self.overlay = HeatmapOverlay()
        self._rendering = HeatmapRendering()
        self.controls = RunControls(
            self.ui.explainButton,
            self.ui.explainProgressBar,
            self.ui.explainStageLabel,
            self.ui.explainStatusLabel,
            lambda: self._checked.begin(),
            lambda: self._checked.cancel(),
            _("Find the components that drove the result, and measure what each contributes."),
        )
        self._checked = CheckedStart(
            inputs.checks, inputs.runProblem, self.controls, self._start, logic.cancel
        )
        self._probability = ProbabilityOffer(
            self.ui.probabilityButton,
            self.overlay,
            lambda: self._parameters.segment.segmentation if self._parameters else None,
            lambda: self._own.region,
            self._onProbabilityShown,
        )
        self.list = ComponentList(self.ui.componentsTable, self._pictureOf, self._showChosen)
        self._slices = SliceWatch(self.list.outdate)
        self.look = HeatmapControls(self.ui, self._onLookChanged)
        self.ui.regionComboBox.connect("currentIndexChanged(int)", self._onRegionChanged)
        self._choice = LesionChoice(self.ui.lesionComboBox, self._onLesionChanged)
        self.ui.opacitySlider.connect("valueChanged(double)", self._onOpacityChanged)
        self.ui.shownPartSlider.connect("valueChanged(double)", self._onShownPartChanged)
        self.ui.hideHeatmapButton.connect("clicked()", self.hideHeatmap)
        self.export = HeatmapExport(
            self.ui.exportHeatmapsButton, self.controls.setStatus, lambda: self._steps
        )

    @property
    def steps(self) -> list[Step]:
        """The leading heatmaps of the components that are listed."""
        return list(self._steps)

    @property
    def shownNode(self):
        """The volume node of the heatmap that is shown over the scan, or None."""
        nodeId = self.overlay.nodeId
        return slicer.mrmlScene.GetNodeByID(nodeId) if nodeId else None

    def boundWidgets(self) -> dict[str, object]:
        return {
            "componentCount": self.ui.componentCountSpinBox,
            "heatmapOpacity": self.ui.opacitySlider,
            "heatmapShownPart": self.ui.shownPartSlider,
            "heatmapSmooth": self.ui.smoothCheckBox,
        }

    def forget(self) -> None:
        self._checked.forget()
        self.controls.forget()
        self.export.forget()
        self._slices.stop()
        self.look.reset()
        if slicer.mrmlScene.IsClosing():
            self.overlay.forget()
            self._rendering.forget()

    def leave(self) -> None:
        self._slices.stop()
        self.hideHeatmap()

    def release(self) -> None:
        self._slices.stop()
        self.list.release()
        super().release()

    def show(self) -> None:
        gatherVolumes(slicer.mrmlScene)
        self.overlay.adopt(slicer.mrmlScene)
        self._showRegions()
        self._showLesions()
        self.look.show(self._own)
        self._showExplanation()
        self._selectAdopted()
        if self._logic.inFront:
            self._slices.start(slicer.mrmlScene)

    def update(self) -> None:
        self.controls.setProblem(self._inputs.runProblem())
        if self._parameters is not None:
            self._showRegions()
            isOther = self._tableNode is not self._choice.tableNode
            if self._showLesions():
                self._showExplanation()
            if isOther:
                self._onOtherResult()
        ui = self.ui
        for widget in (ui.componentCountSpinBox, ui.regionComboBox, ui.lesionComboBox):
            widget.enabled = not self.controls.running
        isShown = self.overlay.nodeId is not None
        ui.hideHeatmapButton.enabled = isShown
        ui.hideHeatmapButton.visible = isShown or bool(self._steps)

    def hideHeatmap(self) -> None:
        """Put the views back as they were before the first heatmap."""
        self.list.clearSelection()
        self.look.reset()
        self._rendering.hide(slicer.mrmlScene)
        self.overlay.hide(slicer.mrmlScene)
        self.update()
        self.shown.emit()

    def onNodesRemoved(self) -> None:
        """Drop heatmaps that were deleted in the scene."""
        if self._parameters is None:
            return
        if self.overlay.isStale(slicer.mrmlScene):
            self._rendering.hide(slicer.mrmlScene)
            self.overlay.hide(slicer.mrmlScene)
        self._showExplanation()
        self.update()

    def _showExplanation(self, *ignored) -> None:
        """List the components of what was explained last of the chosen lesion, or of all."""
        if self._parameters is None or self.controls.running:
            return
        found, lesion = explanationsIn(self._logic.heatmaps()), self._choice.lesion
        number, tableNode = lesion.id if lesion is not None else None, self._tableNode
        current = [item for item in found if isOfResult(found[item][0], tableNode)]
        fitting = [item for item in current if item.lesion == number]
        candidates = current or list(found)
        others = [item for item in candidates if item.lesion is None] or candidates
        shown = next(iter(fitting or others), None)
        self._steps = found[shown] if shown is not None else []
        note = shown.note if shown is not None else ""
        if shown is not None and not current:
            note = _("These components explain an earlier result. Press Explain.")
        elif shown is not None and not fitting:
            note = _("Not of this choice: these components explain {what}. Press Explain.").format(
                what=_("all lesions") if shown.lesion is None else lesionTitle(shown.lesion)
            )
        else:
            other = otherModel(self._parameters.segment.segmentation, self._steps)
            note = " ".join(filter(None, (other, note)))
        self.ui.explanationLabel.text = note
        self.ui.explanationLabel.visible = bool(note)
        self.ui.heatmapsBox.visible = bool(self._steps)
        self._showRows()
        self.shown.emit()

    def _selectAdopted(self) -> None:
        """Choose in the list what a scene file has brought into the views."""
        adopted = self.overlay.adopted(slicer.mrmlScene)
        keys = [
            next((it.key for it in self._steps if stepOf(it, shown.kind).heatmap == shown), None)
            for shown in adopted
        ]
        if keys and keys[0] is not None:
            self.look.setSecond(keys[1] if len(keys) > 1 else None)
            self.list.select(keys[0])

    def _showRows(self) -> None:
        rows = rowsOf(self._steps, self._own.region)
        self.list.fill(rows, barTitle(self._steps, self._own.region))
        self.look.offer([(row.key, row.title.partition("\n")[0]) for row in rows])
        shown = self.overlay.step
        if shown is not None and self.list.current is None:  # of another explanation
            known = {step.heatmap.component.name: step.key for step in self._steps}
            key = known.get(shown.heatmap.component.name)
            if key is not None:
                self.list.select(key)
            else:
                self.hideHeatmap()

    def _showRegions(self) -> None:
        """Offer the regions of the chosen model."""
        model = self._inputs.model
        combo = self.ui.regionComboBox
        if model is not None and model.name != self._regionsOf:
            self._regionsOf = model.name
            with signalsBlocked(combo):
                combo.clear()
                combo.addItem(_("Everything that was found"), "")
                for region in model.regions:
                    combo.addItem(f"{region.title} ({region.name})", region.name)
        with signalsBlocked(combo):
            combo.currentIndex = max(0, combo.findData(self._own.region))

    @property
    def _tableNode(self):
        """The lesions of the last result, or None."""
        return self._parameters.segment.lesionTable if self._parameters is not None else None

    def _showLesions(self) -> bool:
        """Offer the lesions of the last result; returns whether they are others than before."""
        isNew = self._choice.offer(self._tableNode, self._explainedNow)
        self._choice.follow(self._logic.selectedLesion)
        return isNew

    def _explainedNow(self) -> int | None:
        """The lesion of what a scene file has brought into view, or that was explained last."""
        found = explanationsIn(self._logic.heatmaps())
        own = [it for it, steps in found.items() if isOfResult(steps[0], self._tableNode, True)]
        shown = [heatmap.explanation for heatmap in self.overlay.adopted(slicer.mrmlScene)]
        return next((item.lesion for item in (*shown, *own) if item in own), None)

    def _onOtherResult(self) -> None:
        """What is shown of an earlier result would be taken for that of the one that has come.

        It is still listed, as one of an earlier result, and shown again when it is chosen.
        """
        step, node, tableNode = self.overlay.step, self.shownNode, self._tableNode
        isOwn = isOfResult(step, tableNode) if step is not None else self._probability.offers(node)
        if node is not None and tableNode is not None and not isOwn:
            self.hideHeatmap()
        else:
            self.overlay.renewOutlines(slicer.mrmlScene)

    def _onRegionChanged(self, index: int) -> None:
        if self._parameters is not None and index >= 0:
            self._own.region = self.ui.regionComboBox.itemData(index)
            self._showRows()

    def _onLesionChanged(self, *ignored) -> None:
        self.controls.setStatus("")  # it is about the lesion before
        self._showExplanation()

    def _start(self) -> None:
        settings = self._inputs.settings()
        if settings is None or not self._inputs.confirmed():
            return
        if not self._logic.prepareEngine(settings.python, settings.packages):
            return
        callbacks = Callbacks(self._onFinished, self._onFailed, self.controls.progressed)
        self._probability.after(None)
        self.controls.started()
        try:
            own = self._own
            self._logic.explain(
                settings, callbacks, own.componentCount, own.region, self._choice.lesion
            )
        except SceneError as error:
            self._onFailed(error)

    def _onFinished(self, outcome: Explained) -> None:
        outcome.completed.connect(self._onCompleted)
        nothing = _("No component stands out: the model found nothing here.")
        self.controls.ended("" if outcome.leading else nothing)
        if self._tableNode is not None:
            tables.noteLikeness(self._tableNode, outcome.lesions)
            for step in outcome.leading[:1]:
                bindToResult(step, self._tableNode)
                self._replaceEarlier(step)
        self._showExplanation()
        if outcome.leading and self._logic.inFront:
            self.list.select(outcome.leading[0].key)
        self._logic.notify()

    def _replaceEarlier(self, newest: Step) -> None:
        """What explained the same before goes: it could not be listed, and scenes would grow."""
        change = Replacement(newest, self._logic.heatmaps(), self._tableNode)
        if change.isNone or self._parameters is None:
            return
        change.apply()
        nodes = (self._parameters.segment.segmentation, self._tableNode)
        known = tuple(node for node in nodes if node is not None)
        title = _("components explained again")
        self._logic.history.add(history.Step(title, change.undo, change.apply, known))

    def _onCompleted(self) -> None:
        """Show what was not there yet when it was to be shown, and tell who reads activity."""
        if self._parameters is None:
            return
        isShown = self.look.kind == ACTIVITY or not self.look.look.smooth
        if isShown and self._logic.inFront:
            self._onLookChanged()
        self.shown.emit()

    def _onFailed(self, error: EngineError) -> None:
        self.controls.failed(error)
        self._probability.after(error)
        self._showExplanation()  # the scene may have been closed meanwhile
        self._logic.notify()

    def _onProbabilityShown(self) -> None:
        self.list.clearSelection()
        self.update()
        self.shown.emit()

    def _onLookChanged(self) -> None:
        self._showChosen()
        self.list.outdate()

    def _showChosen(self) -> None:
        scene, chosen = slicer.mrmlScene, self.list.current
        step = self._step(chosen)
        if step is None or self._parameters is None:
            return
        second = self._step(self.look.second if self.look.second != chosen else None)
        self.overlay.show(scene, step, self.look.look, second)
        self.look.tellSecond(second.heatmap if second is not None else None)
        if self.look.in3D:
            self._rendering.show(self.shownNode)
        else:
            self._rendering.hide(scene)
        self.update()
        self.shown.emit()

    def _onOpacityChanged(self, percent: float) -> None:
        self.overlay.setOpacity(slicer.mrmlScene, percent / 100)

    def _onShownPartChanged(self, percent: float) -> None:
        self.overlay.setShownPart(slicer.mrmlScene, percent / 100)
        if self.look.in3D and self.shownNode is not None:
            self._rendering.show(self.shownNode)
        self.list.outdate()

    def _step(self, key: str | None) -> Step | None:
        """The map of the chosen kind of a listed component, or None."""
        found = next((step for step in self._steps if step.key == key), None)
        return stepOf(found, self.look.kind) if found is not None and found.exists else None

    def _pictureOf(self, key: str) -> np.ndarray | None:
        """The slice with the map of a component."""
        scene = slicer.mrmlScene
        step, sliceNode = self._step(key), watchedSlice(scene)
        if step is None or sliceNode is None:
            return None
        try:
            plane = SlicePlane.of(sliceNode, step)
            return thumbnail(plane, watchedScan(scene), step, self.look.look)
        except SceneError:  # warped, or a scan of several values
            return None
