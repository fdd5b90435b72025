"""The sliders that change a result without a new run."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.wording import rounded
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.scene.adjustment import Adjustment, canAdjust
from FactorizerSegmentationLib.scene.history import Step
from FactorizerSegmentationLib.scene.probabilities import (
    Thresholds,
    keepMaps,
    mapsOf,
    remainingMaps,
    savedSize,
    thresholdsOf,
)
from FactorizerSegmentationLib.scene.segments import segmentIdOf
from FactorizerSegmentationLib.scene.turns import Turns

DRAWN_MS = 60
"""After so long a new result is drawn in the views."""
REST_MS = 500
"""When a slider has not moved for so long, its move is one step."""


class AdjustPanel(Panel):
    """A threshold for each region, and the smallest lesion; the segments follow at once.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
    """

    pack = "segment"

    def __init__(self, logic, uiPath: str) -> None:
        super().__init__(logic, uiPath)
        self._adjustment: Adjustment | None = None
        self._adjusted: Any = None
        self._move: _Move | None = None
        self._orphans: list[str] = []
        self._rest = qt.QTimer()
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.connect("timeout()", self._onRest)
        self._soon = qt.QTimer()
        self._soon.setSingleShot(True)
        self._soon.connect("timeout()", self._onDrawn)
        self._turns = Turns()
        self.ui.adjustRegionComboBox.connect("currentIndexChanged(int)", self._showThresholds)
        self.ui.thresholdSlider.connect("valueChanged(double)", self._onThreshold)
        self.ui.smallestSlider.connect("valueChanged(double)", self._onSmallest)
        self.ui.keepMapsCheckBox.connect("toggled(bool)", self._onKeep)

    def forget(self) -> None:
        self._stop()
        self._adjustment = self._adjusted = self._move = None

    def show(self) -> None:
        self.update()

    def update(self) -> None:
        if self._parameters is None:
            return
        node = self._own.segmentation
        usable = canAdjust(node)
        self.ui.adjustBox.visible = usable
        self.ui.adjustBox.enabled = not self._logic.busy
        if not usable:
            self.forget()
        elif node is not self._adjusted:
            self.forget()
            self._adjusted = node
            self._showRegions()
            self._soon.start(DRAWN_MS)  # what follows takes its time
        elif self._adjustment is not None and self._adjustment.isOutdated:
            self._soon.start(DRAWN_MS)  # a lesion was rejected, a click answered, ...
        elif self._adjustment is not None:
            self._showVolumes(self._adjustment)  # a class may be called otherwise

    def onNodeAboutToBeRemoved(self, node) -> None:
        """The maps of a segmentation go with it."""
        if node.IsA("vtkMRMLSegmentationNode"):
            self._orphans += [mapNode.GetID() for mapNode in remainingMaps(node)]

    def onNodesRemoved(self) -> None:
        """The result, its scan or its maps may have been deleted in the scene."""
        orphans, self._orphans = self._orphans, []
        for nodeId in orphans:
            mapNode = slicer.mrmlScene.GetNodeByID(nodeId)
            if mapNode is not None:
                slicer.mrmlScene.RemoveNode(mapNode)
        if self._parameters is not None:
            self.update()

    def release(self) -> None:
        self._stop()
        super().release()

    def _stop(self) -> None:
        self._rest.stop()
        self._soon.stop()
        self._turns.cancel()

    def _showRegions(self) -> None:
        combo, thresholds = self.ui.adjustRegionComboBox, thresholdsOf(self._adjusted)
        with signalsBlocked(combo):
            combo.clear()
            for region in thresholds.regions if thresholds is not None else ():
                combo.addItem(region.title or region.name)
        self.ui.adjustLabel.text = ""
        self._showThresholds()

    def _showThresholds(self, *ignored) -> None:
        thresholds = thresholdsOf(self._adjusted) if self._adjusted is not None else None
        index = self.ui.adjustRegionComboBox.currentIndex
        if thresholds is None or index < 0:
            return
        with signalsBlocked(self.ui.thresholdSlider, self.ui.smallestSlider):
            self.ui.thresholdSlider.value = 100 * thresholds.values[index]
            self.ui.smallestSlider.value = thresholds.smallest_ml
        if self._adjustment is not None:
            self._showVolumes(self._adjustment)

    def _onDrawn(self) -> None:
        if canAdjust(self._adjusted):
            problem = "The volumes of the result could not be shown."
            self._turns.startAlone(self._showAmounts(), problem)

    def _showAmounts(self) -> Generator[None, None, None]:
        """The volumes and the size, which take their time."""
        adjustment = self._get()
        yield
        if adjustment is not None:
            adjustment.look()
            self._showVolumes(adjustment)
        self._showSize()

    def _showVolumes(self, adjustment: Adjustment) -> None:
        segmentation = self._adjusted.GetSegmentation()
        found = []
        for label, volume in adjustment.volumes().items():
            segment = segmentation.GetSegment(segmentIdOf(label))
            if segment is not None:
                found.append(f"{segment.GetName()} {rounded(volume, 1)} mL")
        text = _("Now {found}.").format(found=", ".join(found))
        edited = adjustment.editedMl
        if edited > 0:
            text += " " + _("{volume} mL edited or rejected stay as they are.").format(
                volume=rounded(edited, 2)
            )
        self.ui.adjustLabel.text = text

    def _showSize(self) -> None:
        """In a saved scene."""
        maps = mapsOf(self._adjusted)
        with signalsBlocked(self.ui.keepMapsCheckBox):
            self.ui.keepMapsCheckBox.checked = all(node.GetSaveWithScene() for node in maps)
        text = _("Save with the scene ({size} MB)")
        self.ui.keepMapsCheckBox.text = text.format(size=f"{savedSize(maps) / 1e6:.1f}")

    def _get(self) -> Adjustment | None:
        """The adjustment of the shown result; made when it is needed first."""
        if self._adjustment is None and self._adjusted is not None:
            self._adjustment = Adjustment(self._adjusted)
        return self._adjustment

    def _onThreshold(self, percent: float) -> None:
        adjustment, index = self._get(), self.ui.adjustRegionComboBox.currentIndex
        if adjustment is not None and index >= 0:
            values = list(adjustment.thresholds.values)
            values[index] = percent / 100
            wanted = dataclasses.replace(adjustment.thresholds, values=tuple(values))
            self._moveTo(adjustment, wanted)

    def _onSmallest(self, volume: float) -> None:
        adjustment = self._get()
        if adjustment is not None:
            wanted = dataclasses.replace(adjustment.thresholds, smallest_ml=volume)
            self._moveTo(adjustment, wanted)

    def _moveTo(self, adjustment: Adjustment, thresholds: Thresholds) -> None:
        if self._move is None:
            self._move = _Move(adjustment.thresholds, thresholds)
            self._addStep(adjustment, self._move)
        self._move.after = thresholds
        adjustment.apply(thresholds)
        self._showVolumes(adjustment)
        self._rest.start()

    def _addStep(self, adjustment: Adjustment, move: _Move) -> None:
        node = self._adjusted

        def go(thresholds: Thresholds) -> None:
            self._move = None
            adjustment.apply(thresholds)
            if node is self._adjusted:
                self._showThresholds()
                self._rest.start()

        self._logic.history.add(
            Step(
                _("thresholds changed"),
                lambda: go(move.before),
                lambda: go(move.after),
                (node, *mapsOf(node)),
            )
        )
        self._logic.notify()

    def _onRest(self) -> None:
        """The sliders rest: what takes longer is done now."""
        self._move = None
        if self._adjustment is None or not canAdjust(self._adjusted):
            return
        self._adjustment.remember()

    def _onKeep(self, kept: bool) -> None:
        if self._adjusted is not None:
            keepMaps(mapsOf(self._adjusted), bool(kept))


@dataclasses.dataclass
class _Move:
    """One drag of a slider."""

    before: Thresholds
    after: Thresholds
