"""The panel that shows what drove the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.errors import EngineError
from factorizer_engine.protocol.lesions import Lesion
from FactorizerSegmentationLib.panels.inputs import InputsPanel
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.run_controls import RunControls
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.panels.tables import currentKey, fillTable, selectKey
from FactorizerSegmentationLib.scene import overlays, tables
from FactorizerSegmentationLib.scene.errors import SceneError

if TYPE_CHECKING:
    from FactorizerSegmentationLib.tasks.components import Explained


class ComponentsPanel(Panel):
    """Explain/Cancel; the components by contribution; the chosen one as a heatmap over the scan.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
        inputs: Says what is explained.
    """

    pack = "components"

    def __init__(self, logic, uiPath: str, inputs: InputsPanel) -> None:
        super().__init__(logic, uiPath)
        self._inputs = inputs
        self._regionsOf: str | None = None
        self._lesionsOf: object = None
        self._followed: Lesion | None = None
        self._lesions: list[Lesion] = []
        self._listed: list[str] = []
        self.overlay = overlays.HeatmapOverlay()
        self.controls = RunControls(
            self.ui.explainButton,
            self.ui.explainProgressBar,
            self.ui.explainStageLabel,
            self.ui.explainStatusLabel,
            self._onExplain,
            logic.cancel,
            _("Find the components that drove the result; this runs the model again."),
        )
        self.ui.regionComboBox.connect("currentIndexChanged(int)", self._onRegionChanged)
        self.ui.mapComboBox.addItem(_("Evidence"), overlays.EVIDENCE)
        self.ui.mapComboBox.addItem(_("Activity"), overlays.ACTIVITY)
        self.ui.mapComboBox.connect("currentIndexChanged(int)", self._onMapChanged)
        self.ui.componentsTable.connect("itemSelectionChanged()", self._onComponentSelected)
        self.ui.opacitySlider.connect("valueChanged(double)", self._onOpacityChanged)
        self.ui.shownPartSlider.connect("valueChanged(double)", self._onShownPartChanged)
        self.ui.hideHeatmapButton.connect("clicked()", self.hideHeatmap)

    def boundWidgets(self) -> dict[str, object]:
        return {
            "componentCount": self.ui.componentCountSpinBox,
            "heatmapOpacity": self.ui.opacitySlider,
            "heatmapShownPart": self.ui.shownPartSlider,
        }

    def forget(self) -> None:
        if slicer.mrmlScene.IsClosing():
            self.overlay.forget()

    def leave(self) -> None:
        self.hideHeatmap()

    def show(self) -> None:
        self._showRegions()
        self._showLesions()
        self._showMapKind()
        heatmaps = self._logic.heatmaps()
        self.overlay.adopt(slicer.mrmlScene, heatmaps)
        self.showHeatmaps(heatmaps)

    def update(self) -> None:
        self.controls.setProblem(self._inputs.problem())
        if self._parameters is not None:
            self._showRegions()
            self._showLesions()
        ui = self.ui
        for widget in (ui.componentCountSpinBox, ui.regionComboBox, ui.lesionComboBox):
            widget.enabled = not self.controls.running
        ui.hideHeatmapButton.enabled = self.overlay.nodeId is not None

    def hideHeatmap(self) -> None:
        """Put the slice views back as they were before the first heatmap."""
        self.ui.componentsTable.clearSelection()
        self.overlay.hide(slicer.mrmlScene)
        self.update()

    def showHeatmaps(self, nodes: list) -> None:
        """List heatmap volume nodes that `overlays.createHeatmap` made."""
        keys = [node.GetID() for node in nodes]
        self.ui.heatmapsBox.visible = bool(nodes)
        if keys == self._listed:
            return
        self._listed = keys
        if not nodes:
            return
        heatmaps = filter(None, map(overlays.heatmapOf, nodes))
        found = [heatmap.component for heatmap in heatmaps]
        regions = list(found[0].contributions)
        rows = [
            (
                item.name,
                *(f"{item.contributions.get(name, 0.0):+.2f}" for name in regions),
                _("as a level") if item.is_level else _("at a place"),
            )
            for item in found
        ]
        fillTable(self.ui.componentsTable, (_("Component"), *regions, _("Acts")), rows, keys)

    def onNodesRemoved(self) -> None:
        """Drop heatmaps that were deleted in the scene."""
        if self._parameters is None:
            return
        if self.overlay.nodeId and slicer.mrmlScene.GetNodeByID(self.overlay.nodeId) is None:
            self.overlay.hide(slicer.mrmlScene)
        listed = set(self._listed)
        left = [node for node in self._logic.heatmaps() if node.GetID() in listed]
        self.showHeatmaps(left)
        self.update()

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

    def _showLesions(self) -> None:
        """Offer the lesions of the last result, and go along with the choice in the review."""
        combo = self.ui.lesionComboBox
        tableNode = self._parameters.segment.lesionTable if self._parameters else None
        if combo.count == 0 or tableNode is not self._lesionsOf:
            self._lesionsOf, self._followed = tableNode, None
            self._lesions = tables.lesionsOf(tableNode) if tableNode is not None else []
            combo.clear()
            combo.addItem(_("All lesions"))
            for lesion in self._lesions:
                title, place = _("Lesion {number}"), tables.placeText(lesion)
                title = title.format(number=lesion.id)
                combo.addItem(f"{title}: {place}" if place else title)
        selected = self._logic.selectedLesion
        if selected is not self._followed:
            self._followed = selected
            ids = [lesion.id for lesion in self._lesions]
            known = selected is not None and selected.id in ids
            combo.currentIndex = 1 + ids.index(selected.id) if known else 0

    def _lesion(self) -> Lesion | None:
        """The chosen lesion; None for all."""
        index = self.ui.lesionComboBox.currentIndex
        return self._lesions[index - 1] if 0 < index <= len(self._lesions) else None

    def _showMapKind(self) -> None:
        combo = self.ui.mapComboBox
        with signalsBlocked(combo):
            combo.currentIndex = max(0, combo.findData(self._own.shownMap))

    def _onMapChanged(self, index: int) -> None:
        if self._parameters is not None and index >= 0:
            self._own.shownMap = self.ui.mapComboBox.itemData(index)
            self._onComponentSelected()

    def _onRegionChanged(self, index: int) -> None:
        if self._parameters is not None and index >= 0:
            self._own.region = self.ui.regionComboBox.itemData(index)

    def _onExplain(self) -> None:
        settings = self._inputs.settings()
        if settings is None or not self._inputs.confirmed():
            return
        if not self._logic.prepareEngine(settings.python, settings.packages):
            return
        callbacks = Callbacks(self._onFinished, self._onFailed, self.controls.progressed)
        self.controls.started()
        try:
            own = self._own
            self._logic.explain(settings, callbacks, own.componentCount, own.region, self._lesion())
        except SceneError as error:
            self._onFailed(error)

    def _onFinished(self, outcome: Explained) -> None:
        self.showHeatmaps(outcome.heatmapNodes)
        if outcome.heatmapNodes:
            self.controls.ended(outcome.note)
            selectKey(self.ui.componentsTable, outcome.heatmapNodes[0].GetID())
        else:
            self.controls.ended(_("No component stands out: the model found nothing here."))
        self._logic.notify()

    def _onFailed(self, error: EngineError) -> None:
        self.controls.failed(error)
        self._logic.notify()

    def _onComponentSelected(self) -> None:
        nodeId = currentKey(self.ui.componentsTable)
        node = slicer.mrmlScene.GetNodeByID(nodeId) if nodeId else None
        if node is not None:
            opacity, shownPart = self.ui.opacitySlider.value, self.ui.shownPartSlider.value
            shown = overlays.mapOf(slicer.mrmlScene, node, self._own.shownMap)
            self.overlay.show(shown, opacity / 100, shownPart / 100)
            self.update()

    def _onOpacityChanged(self, percent: float) -> None:
        self.overlay.setOpacity(slicer.mrmlScene, percent / 100)

    def _onShownPartChanged(self, percent: float) -> None:
        self.overlay.setShownPart(slicer.mrmlScene, percent / 100)
