"""The panel that shows what drove the network."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from FactorizerSegmentationLib.panels.run_controls import RunControls
from FactorizerSegmentationLib.panels.segment import BAD_INPUT, SegmentPanel
from FactorizerSegmentationLib.panels.tables import currentKey, fillTable, selectKey
from FactorizerSegmentationLib.parameters import Parameters
from FactorizerSegmentationLib.scene import overlays
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.tasks.run import Outcome, RunCallbacks


class ComponentsPanel:
    """Explain/Cancel; the components by contribution; the chosen one as a heatmap over the scan.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
        inputs: The panel whose model, scans and device are explained.
    """

    def __init__(self, logic, uiPath: str, inputs: SegmentPanel) -> None:
        self._logic = logic
        self._inputs = inputs
        self._parameters: Parameters | None = None
        self._guiTag = None
        self._regionsOf: str | None = None
        self._listed: list[str] = []
        self.overlay = overlays.HeatmapOverlay()
        self.widget = slicer.util.loadUI(uiPath)
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(self.widget)
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
        self.ui.componentsTable.connect("itemSelectionChanged()", self._onComponentSelected)
        self.ui.opacitySlider.connect("valueChanged(double)", self._onOpacityChanged)
        self.ui.shownPartSlider.connect("valueChanged(double)", self._onShownPartChanged)
        self.ui.hideHeatmapButton.connect("clicked()", self.hideHeatmap)

    def setParameters(self, parameters: Parameters | None) -> None:
        """Show and change these parameters; None before the scene or the panel goes."""
        if parameters is not self._parameters:
            if self._parameters is not None:
                self._parameters.disconnectGui(self._guiTag)
            self._parameters = parameters
            if parameters is not None:
                widgets = {
                    "componentCount": self.ui.componentCountSpinBox,
                    "heatmapOpacity": self.ui.opacitySlider,
                    "heatmapShownPart": self.ui.shownPartSlider,
                }
                self._guiTag = parameters.connectParametersToGui(widgets)
        if parameters is not None:
            self._showRegions()
            self.showHeatmaps(self._logic.heatmaps())

    def update(self) -> None:
        """Bring buttons and the list up to date with the scene and the logic."""
        if self._logic.busy and not self.controls.running:
            self.controls.setProblem(_("Wait until the running computation has ended."))
        else:
            self.controls.setProblem(self._inputs.problem())
        if self._parameters is not None:
            self._showRegions()
        for widget in (self.ui.componentCountSpinBox, self.ui.regionComboBox):
            widget.enabled = not self.controls.running
        self.ui.hideHeatmapButton.enabled = self.overlay.nodeId is not None

    def hideHeatmap(self) -> None:
        """Put the slice views back as they were before the first heatmap."""
        self.ui.componentsTable.clearSelection()
        self.overlay.hide(slicer.mrmlScene)
        self.update()

    def showHeatmaps(self, nodes: list) -> None:
        """List heatmap volume nodes that `overlays.createHeatmaps` made."""
        keys = [node.GetID() for node in nodes]
        self.ui.heatmapsBox.visible = bool(nodes)
        if keys == self._listed:
            return
        self._listed = keys
        if not nodes:
            return
        infos = [overlays.heatmapInfo(node) for node in nodes]
        regions = list(infos[0].contributions)
        rows = [
            (info.name, *(f"{info.contributions.get(name, 0.0):+.2f}" for name in regions))
            for info in infos
        ]
        fillTable(self.ui.componentsTable, (_("Component"), *regions), rows, keys)

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

    def release(self) -> None:
        """Let go of scene and parameters before the widget is deleted."""
        self.setParameters(None)

    def _showRegions(self) -> None:
        """Offer the regions of the chosen model."""
        model = self._inputs.model
        combo = self.ui.regionComboBox
        if model is not None and model.name != self._regionsOf:
            self._regionsOf = model.name
            blocked = combo.blockSignals(True)
            combo.clear()
            combo.addItem(_("Everything that was found"), "")
            for name, title in model.regions.items():
                combo.addItem(f"{title} ({name})", name)
            combo.blockSignals(blocked)
        blocked = combo.blockSignals(True)
        combo.currentIndex = max(0, combo.findData(self._parameters.region))
        combo.blockSignals(blocked)

    def _onRegionChanged(self, index: int) -> None:
        if self._parameters is not None and index >= 0:
            self._parameters.region = self.ui.regionComboBox.itemData(index)

    def _onExplain(self) -> None:
        settings = self._inputs.settings()
        python = self._inputs.ui.pythonLineEdit.text.strip()
        if settings is None or not self._logic.prepareEngine(python):
            return
        callbacks = RunCallbacks(self._onFinished, self._onFailed, self.controls.progressed)
        self.controls.started()
        try:
            self._logic.explain(
                settings, callbacks, self._parameters.componentCount, self._parameters.region
            )
        except SceneError as error:
            self._onFailed(BAD_INPUT, str(error))

    def _onFinished(self, outcome: Outcome) -> None:
        self.showHeatmaps(outcome.heatmapNodes)
        if outcome.heatmapNodes:
            self.controls.ended(outcome.note)
            selectKey(self.ui.componentsTable, outcome.heatmapNodes[0].GetID())
        else:
            self.controls.ended(_("No component stands out: the model found nothing here."))
        self._logic.notify()

    def _onFailed(self, kind: str, sentence: str) -> None:
        self.controls.failed(kind, sentence)
        self._logic.notify()

    def _onComponentSelected(self) -> None:
        nodeId = currentKey(self.ui.componentsTable)
        node = slicer.mrmlScene.GetNodeByID(nodeId) if nodeId else None
        if node is not None:
            opacity, shownPart = self.ui.opacitySlider.value, self.ui.shownPartSlider.value
            self.overlay.show(node, opacity / 100, shownPart / 100)
            self.update()

    def _onOpacityChanged(self, percent: float) -> None:
        self.overlay.setOpacity(slicer.mrmlScene, percent / 100)

    def _onShownPartChanged(self, percent: float) -> None:
        self.overlay.setShownPart(slicer.mrmlScene, percent / 100)
